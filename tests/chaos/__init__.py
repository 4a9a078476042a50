"""What hostile clients and failing machines do to the real server."""
