"""What an operator sees: log events and their formats."""
