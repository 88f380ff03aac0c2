"""What Skep stands on: implementations of the product's ports."""
