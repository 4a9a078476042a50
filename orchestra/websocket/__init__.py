"""The WebSocket side: what Autobahn does, and how it meets the hub."""
