"""How a connection begins, at less cost than in Autobahn.

After a restart all clients come back at once: what a connection costs decides how long that
takes. So some things are done here in a cheaper way, with the same outcome. What Autobahn sets on
each connection, which is the same for all, is put into their class; no message is formatted that
no log will have; and the handshake that common clients send is read directly. Every other one is
left to Autobahn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from autobahn.twisted.util import create_transport_details
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from OpenSSL import SSL
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from txaio.tx import make_logger

from orchestra.policy.addresses import address_of
from orchestra.refusal import Kind, RefusedError
from orchestra.tls import explain
from orchestra.web.answers import refusal_headers
from orchestra.web.handover import hand_over
from orchestra.websocket.handshake import (
    HEAD,
    UPGRADE,
    Handshake,
    in_own_words,
    objection,
    read_handshake,
    unambiguous,
)
from orchestra.websocket.utf8 import TextCheck

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

MAX_HEAD = 16 * 1024
"""The longest head of a request that is read, in bytes."""

_OWN = b"GET /connection/"  # where other dialects are spoken than in channels

_MAX_REASON = 200  # of a refusal, in characters; an application may say anything


def class_attributes(factory: Any, protocol: type) -> dict[str, Any]:
    """What Autobahn sets on each new connection of a factory, as attributes of a class.

    Options and initial values are shared. Objects that belong to one connection, of which most
    connections never make use, are made when they are asked for.

    :param factory: an Autobahn factory, with its options set.
    :param protocol: the class of its connections; an option that it sets itself stays.
    """
    sample: Any = WebSocketServerProtocol()
    before = set(vars(sample))
    sample.factory = factory
    sample.openHandshakeTimeout = 0  # so that no timer is started for the sample
    sample._connectionMade()
    factory.countConnections -= 1
    attributes: dict[str, Any] = {"CONFIG_ATTRS": (), "factory": factory}
    for name, value in vars(sample).items():
        if name in WebSocketServerProtocol.CONFIG_ATTRS:
            if not hasattr(protocol, name):
                option = getattr(factory, name)
                attributes[name] = staticmethod(option) if callable(option) else option
        elif value is None or isinstance(value, (bool, int, float, str, bytes)):
            attributes[name] = value
        elif name not in before and name != "factory":
            attributes[name] = _on_demand(type(value))
    attributes["utf8validator"] = _on_demand(TextCheck)
    return attributes


def _on_demand(kind: Callable[[], object]) -> cached_property[object]:
    return cached_property(lambda _: kind())


class OpeningProtocol(WebSocketServerProtocol):
    """The beginning of a connection, up to its handshake or its refusal.

    It neither decides who is let in (``onConnect`` does) nor what becomes of the connection then.
    """

    factory: OrchestraFactory
    transport: Any  # of whatever kind the endpoint makes
    peer: str
    tcpNoDelay: bool
    allowedOrigins: list[str]
    openHandshakeTimeout: float
    trustXForwardedFor: int
    own_path = b""
    """Where its dialect is spoken, if not in channels."""

    address: str | None
    refusal_kind: Kind | None = None
    """Why it is refused, once it is; ``None`` where nothing is known but the status."""

    _wskey = ""  # until a handshake was read
    _is_head = False  # and wants no body
    _decision: Deferred[Any] | None = None  # on whether it is let in, while that takes time
    # Autobahn tells of refusals and failures at length, with what the peer sent unescaped; what
    # matters of it is logged by the factory's activity log.
    log = make_logger(level="error")

    def connectionMade(self) -> None:
        """Begin, as Autobahn does, but without a message for its log."""
        self._transport_details = create_transport_details(self.transport, True)
        self.peer = self._transport_details.peer or ""
        with suppress(AttributeError, OSError):  # it is no TCP socket
            self.transport.setTcpNoDelay(self.tcpNoDelay)
        self._connectionMade()

    def _connectionMade(self) -> None:
        # What else Autobahn does here has been done by opening.class_attributes.
        self.factory.countConnections += 1
        if self.openHandshakeTimeout > 0:
            self.openHandshakeTimeoutCall = self.factory._batched_timer.call_later(
                self.openHandshakeTimeout, self.onOpenHandshakeTimeout
            )

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """End, as Autobahn does, but without a message for its log, which anybody could fill."""
        if isinstance(reason.value, SSL.Error):
            words = explain(reason.value)
            self.factory.activity.tls_failed(self.peer, words)
            reason = Failure(ConnectionLost(words))  # of the other Autobahn cannot read all kinds
        self._connectionLost(reason)
        if self._decision is not None:  # on whether it is let in, which does not matter any more
            self._decision.cancel()

    def processHandshake(self) -> None:
        """Read the handshake, if it is well formed and there is room for one more client."""
        size = self.data.find(b"\r\n\r\n")
        if not 0 <= size <= MAX_HEAD:
            if len(self.data) > MAX_HEAD:
                self.failHandshake(f"the request's head must be {MAX_HEAD} bytes or less", 431)
        elif self._wskey:
            # It was read, and who may decide has not yet; nothing should come before the answer.
            self.failHandshake("another request came before the answer to the first")
        elif not HEAD.fullmatch(self.data, 0, size):
            self.failHandshake("the request's head is malformed")
        else:
            self._read_request()

    def _read_directly(self) -> Handshake | None:
        # Of these options Autobahn makes more than is read here.
        if self.trustXForwardedFor:
            return None
        return read_handshake(self.data, self.allowedOrigins == ["*"])

    def _read_request(self) -> None:
        if self.data.startswith(_OWN) and self._speak_another():
            return
        handshake = self._read_directly()
        if handshake is None and not UPGRADE.match(self.data, 0, self.data.find(b"\r\n\r\n")):
            self._hand_over()
            return
        if self.factory.is_full:
            self.failHandshake("the server is full", 503)
            return
        if handshake is not None:
            self._shake_hands(handshake)
            return
        if not self.data.isascii():
            end = self.data.find(b"\r\n\r\n")
            self.data = unambiguous(self.data[:end]) + self.data[end:]
        # Autobahn would tell the client what has failed, and what was wrong in its own words.
        vars(self).update(onConnect=self._decide, failHandshake=self._refuse_misread)
        try:
            super().processHandshake()
        finally:
            del vars(self)["onConnect"]
            vars(self).pop("failHandshake", None)

    def _refuse_misread(
        self, reason: str, code: int = 400, headers: list[tuple[str, str]] | None = None
    ) -> None:
        del vars(self)["failHandshake"]
        self.failHandshake(in_own_words(reason), code, headers)

    def _speak_another(self) -> bool:
        # Whether it is for a WebSocket on which another dialect is spoken.
        path = self.data[len(b"GET ") : self.data.index(b" ", len(b"GET "))].partition(b"?")[0]
        if path == self.own_path or not UPGRADE.match(self.data, 0, self.data.find(b"\r\n\r\n")):
            return False
        protocol = self.factory.build_dialect(path, self.transport.getPeer())
        if protocol is None:
            return False
        protocol.address, self.address = self.address, None
        data = self._let_go()
        hand_over(self.transport, protocol)
        protocol.dataReceived(data)
        return True

    def _let_go(self) -> bytes:
        # Another protocol goes on with the connection, and with what has been received.
        if self.openHandshakeTimeoutCall is not None:
            self.openHandshakeTimeoutCall.cancel()
        data, self.data = self.data, b""
        self.state = self.STATE_CLOSED
        self.factory.countConnections -= 1
        self.transport.unregisterProducer()
        return data

    def _hand_over(self) -> None:
        # It is for no WebSocket, and so for the site, which answers what may come after it, too.
        address = address_of(self.transport.getPeer())
        self._is_head = self.data.startswith(b"HEAD ")
        try:
            place = address if self.factory.admission.enter(address) else None
        except RefusedError as error:
            self.refusal_kind = error.kind
            self.failHandshake(str(error), error.status)
            return
        self.factory.site.take_over(self.transport, self._let_go(), place)

    def _decide(self, request: ConnectionRequest) -> Deferred[Any]:
        del vars(self)["failHandshake"]  # it was read; what is said from now on is meant
        decision: Deferred[Any] = maybeDeferred(self._ask, request)
        self._decision = decision
        return decision.addErrback(lambda failure: Failure(self._denial(failure)))

    def _ask(self, request: ConnectionRequest) -> Any:
        if reason := objection(request.headers):
            raise ConnectionDeny(400, reason)
        return type(self).onConnect(self, request)

    def _shake_hands(self, handshake: Handshake) -> None:
        # What Autobahn would have found, under the names that it has there.
        headers = handshake.headers
        self.http_request_data = self.data[: handshake.size]
        self.data = self.data[handshake.size :]
        self.http_status_line = handshake.request_line
        self.http_headers = headers
        self.http_request_uri = handshake.target
        self.http_request_path, _, query = handshake.target.partition("?")
        self.http_request_params = parse_qs(query) if query else {}
        self.http_request_host = handshake.host
        self.websocket_version = 13
        self.websocket_protocols = []
        self.websocket_origin = headers.get("origin", "")
        self.websocket_extensions = []
        if "sec-websocket-extensions" in headers:
            self.websocket_extensions = self._parseExtensionsHeader(
                headers["sec-websocket-extensions"]
            )
        self._wskey = headers["sec-websocket-key"]
        request = ConnectionRequest(
            self.peer,
            headers,
            self.http_request_host,
            self.http_request_path,
            self.http_request_params,
            self.websocket_version,
            self.websocket_origin,
            self.websocket_protocols,
            self.websocket_extensions,
        )
        try:
            answer = self._ask(request)
        except Exception as error:
            self._refuse(Failure(error))
            return
        if isinstance(answer, Deferred) or iscoroutine(answer):  # of a subclass
            self._decision = maybeDeferred(lambda: answer)
            self._decision.addCallbacks(self.succeedHandshake, self._refuse)
        else:
            self.succeedHandshake(answer)

    def succeedHandshake(self, res: Any) -> None:
        """Answer the handshake of a client that is let in, if it is still there."""
        if self._decision is not None:  # most have none, and need no attribute for that
            self._decision = None
        if self.state == self.STATE_CONNECTING:
            super().succeedHandshake(res)

    def _refuse(self, failure: Failure) -> None:
        denial = self._denial(failure)
        self.failHandshake(str(denial.reason), denial.code)

    def _denial(self, failure: Failure) -> ConnectionDeny:
        # What the client is told: of what was not meant for it, nothing.
        if isinstance(failure.value, ConnectionDeny):
            return failure.value
        if isinstance(failure.value, RefusedError):
            self.refusal_kind = failure.value.kind
            return ConnectionDeny(failure.value.status, str(failure.value))
        if self.state == self.STATE_CONNECTING:
            self.factory.report(failure, "a connection could not be admitted")
        return ConnectionDeny(500, "internal server error")

    def failHandshake(
        self,
        reason: str,
        code: int = 400,
        responseHeaders: list[tuple[str, str]] | None = None,
    ) -> None:
        """Refuse the connection with an HTTP status and a reason, if it is still there."""
        if self.state != self.STATE_CONNECTING:
            return
        if responseHeaders:  # Autobahn's list of the versions that it speaks
            code = 426  # RFC 6455 section 4.2.2
        reason = reason[:_MAX_REASON]
        self.factory.activity.refused(self.peer, code, reason, self.refusal_kind)
        super().failHandshake(reason, code, responseHeaders)

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Answer with an HTTP status, and the reason both beside it and as the body."""
        reason = reason.encode("ascii", "replace").decode().replace("\t", " ")
        headers = [
            ("Content-Length", str(len(reason) + 1)),
            ("Connection", "close"),
            *refusal_headers(code, self.factory.access.challenge),
            *(responseHeaders or ()),
        ]
        lines = [f"HTTP/1.1 {code} {reason}", *(f"{name}: {value}" for name, value in headers)]
        body = "" if self._is_head else f"{reason}\n"
        self.sendData("\r\n".join([*lines, "", body]).encode())
