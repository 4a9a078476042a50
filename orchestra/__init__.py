"""Orchestra, a real-time broadcast server: what one client plays, all of its channel hear.

These are the public names; everything else may change.
"""

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.message import Message
from orchestra.service import ListenError, OrchestraService
from orchestra.subscriber import Subscriber
from orchestra.web.resource import OrchestraResource
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol

__all__ = [
    "Hub",
    "ListenError",
    "Message",
    "OrchestraFactory",
    "OrchestraProtocol",
    "OrchestraResource",
    "OrchestraService",
    "Retention",
    "Subscriber",
]

__version__ = "0.1.0"
