"""What every connection needs, whatever is spoken on it."""
