"""A client for Twisted applications: listens without a gap, and plays exactly once.

>>> client = OrchestraClient("http://localhost:8080/")

It speaks plain HTTP, event streams and POST, and so goes through whatever lets those pass.
"""

from orchestra.client.service import OrchestraClient, RequestRefusedError
from orchestra.client.subscription import Received, Subscription
from orchestra.position import Position

__all__ = ["OrchestraClient", "Position", "Received", "RequestRefusedError", "Subscription"]
