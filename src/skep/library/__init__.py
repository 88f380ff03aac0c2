"""What ships with Skep but anyone could have written."""
