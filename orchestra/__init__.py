"""Orchestra, a real-time broadcast server: what one client plays, all of its channel hear.

These are the public names; everything else may change.
"""

from orchestra.history import Retention
from orchestra.hub import Hub, KeyReusedError
from orchestra.message import Message
from orchestra.metrics import MetricsService
from orchestra.position import LostPositionError, Position
from orchestra.presence import Member, Move, Presence
from orchestra.service import ListenError, OrchestraService
from orchestra.settings import ChannelSettings
from orchestra.subscriber import Subscriber
from orchestra.web.resource import OrchestraResource
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol

__all__ = [
    "ChannelSettings",
    "Hub",
    "KeyReusedError",
    "ListenError",
    "LostPositionError",
    "Member",
    "Message",
    "MetricsService",
    "Move",
    "OrchestraFactory",
    "OrchestraProtocol",
    "OrchestraResource",
    "OrchestraService",
    "Position",
    "Presence",
    "Retention",
    "Subscriber",
]

__version__ = "0.1.0"
