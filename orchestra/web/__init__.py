"""The twisted.web side."""
