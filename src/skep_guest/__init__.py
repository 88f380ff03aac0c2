"""What an agent finds in its sandbox at /opt/skep/lib. Standard library only; nothing of Skep is imported here."""
