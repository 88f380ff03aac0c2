"""What Skep is: its nouns. Decisions are here; input and output go through each noun's ports."""
