"""A connection on which the Centrifuge client protocol is spoken: what it is to the server."""
