"""Orchestra, a real-time broadcast server: what one client plays, all of its channel hear.

These are the public names; everything else may change.
"""

from orchestra.history import Retention
from orchestra.hub import Hub, KeyReusedError
from orchestra.interfaces import IPolicy
from orchestra.message import Message
from orchestra.metrics import MetricsService
from orchestra.policy.access import AccessRequest, Policy
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.grants import Capability, Grant, ServerSubscription
from orchestra.policy.token_keys import KeyFile
from orchestra.policy.tokens import TokenPolicy
from orchestra.position import LostPositionError, Position
from orchestra.presence import Member, Move, Presence
from orchestra.refusal import RefusedError
from orchestra.service import ListenError, OrchestraService
from orchestra.session.calls import Caller
from orchestra.settings import ChannelSettings
from orchestra.subscriber import Subscriber
from orchestra.tls import CertificateFileError, ServerCertificate
from orchestra.web.page import Page
from orchestra.web.resource import OrchestraResource
from orchestra.web.server_api import ServerApiResource
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol

__all__ = [
    "AccessRequest",
    "ApiKeys",
    "Caller",
    "Capability",
    "CertificateFileError",
    "ChannelSettings",
    "Grant",
    "Hub",
    "IPolicy",
    "KeyFile",
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
    "Page",
    "Policy",
    "Position",
    "Presence",
    "RefusedError",
    "Retention",
    "ServerApiResource",
    "ServerCertificate",
    "ServerSubscription",
    "Subscriber",
    "TokenPolicy",
]

__version__ = "0.1.0"
