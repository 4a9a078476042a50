"""What is spoken on a connection."""
