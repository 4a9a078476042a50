"""The Centrifuge client protocol, version 2: what its commands, replies and pushes are."""
