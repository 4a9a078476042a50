"""The factory: who is connected, and what they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from math import ceil
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.failure import Failure

from orchestra.connection.backpressure import Backpressure
from orchestra.connection.client import Client
from orchestra.connection.close_codes import MAY_NOT_PUBLISH, TOO_MANY_MESSAGES
from orchestra.connection.directory import Directory
from orchestra.connection.drain import Drain
from orchestra.connection.entrance import Entrance
from orchestra.connection.publishing import check_address, too_large, too_many
from orchestra.connection.timers import Timers
from orchestra.connection.turns import Turns
from orchestra.connection.undecided import Undecided
from orchestra.counters import POST, WEBSOCKET
from orchestra.dialects.raw import PREFIX, RawDialect
from orchestra.hub import Hub, KeyReusedError
from orchestra.interfaces import IEncoding, IPolicy
from orchestra.message import Content, Message
from orchestra.observe.activity import ActivityLog
from orchestra.policy.access import TIMEOUT, Access
from orchestra.policy.addresses import Addresses, address_of
from orchestra.policy.admission import Admission
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.limits import RatePerAddress, TokenBucket
from orchestra.policy.origins import SAME
from orchestra.refusal import RefusedError
from orchestra.session.calls import MessageHandler, RpcHandler, built_in
from orchestra.session.encodings import Encodings
from orchestra.settings import NOTHING, ChannelSettings
from orchestra.urls import MAIN
from orchestra.web.page import Page
from orchestra.web.pages import HALL
from orchestra.web.session_stream import EmulatedStream
from orchestra.web.site import OrchestraSite
from orchestra.websocket.centrifuge import CentrifugeProtocol
from orchestra.websocket.deflate import accept_offer
from orchestra.websocket.frames import DeflatedFrameEncoding, FrameEncoding
from orchestra.websocket.opening import class_attributes
from orchestra.websocket.protocol import OrchestraProtocol

MAX_MESSAGE_SIZE = 1024 * 1024
"""The largest message that is taken from a client, in bytes of payload."""

MAX_BUFFERED = 256 * 1024 * 1024
"""How much the transports may hold for slow readers, in bytes, before publishers have to wait."""

HANDSHAKE_TIMEOUT = 5.0
"""In how many seconds a client must have shaken hands."""

CLOSE_TIMEOUT = 5.0
"""In how many seconds a client must answer a close."""

PING_INTERVAL = 25.0
"""How many seconds there are between pings."""

PING_TIMEOUT = 20.0
"""In how many seconds a ping must be answered."""

MAX_SUBSCRIPTIONS = 128
"""How many channels a client of an SDK may listen to at the same time."""

SPARE_FILES = 32
"""How many files are left for all but connections, such as the log's or an application's; an
eighth, if fewer than that can be open. Another so many are left for those who are told that the
server is full."""


class OrchestraFactory(WebSocketServerFactory):
    """Makes a protocol for each connection, keeps the set of clients and broadcasts.

    Listen with any endpoint, mount it in a site (:class:`orchestra.OrchestraResource`), or have
    it run by an :class:`orchestra.OrchestraService`.
    """

    protocol: Any = OrchestraProtocol
    noisy = False
    dialects: Mapping[bytes, Any] = {CentrifugeProtocol.own_path: CentrifugeProtocol}
    """The protocols of dialects that have a URL of their own, by its path."""

    _configured: dict[Any, Any]

    def __init__(
        self,
        hub: Hub | None = None,
        *,
        prefix: str = PREFIX,
        max_message_size: int = MAX_MESSAGE_SIZE,
        max_connections: int = 0,
        max_buffered: int = MAX_BUFFERED,
        compress: bool = False,
        origins: Iterable[str] = (SAME,),
        trusted_proxies: Iterable[str] = (),
        max_connections_per_address: int = 0,
        max_message_rate: float = 0,
        message_burst: int = 0,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        ping_interval: float = PING_INTERVAL,
        ping_timeout: float = PING_TIMEOUT,
        policy: IPolicy | None = None,
        api_keys: ApiKeys | None = None,
        max_subscriptions: int = MAX_SUBSCRIPTIONS,
        rpc: Mapping[str, RpcHandler] = {},
        on_message: MessageHandler | None = None,
        policy_timeout: float = TIMEOUT,
        log_notes: bool = True,
        page: Page | None = HALL,
        reactor: IReactorTime | None = None,
    ) -> None:
        """
        :param hub: where messages go and come from; a new one by default. It is bound to the
            reactor, unless it is bound already.
        :param prefix: put before each text that clients get.
        :param max_message_size: bytes of payload; a client that sends more is closed with 1009.
        :param max_connections: clients at the same time; whoever comes then is refused with 503.
        :param max_buffered: bytes that transports may hold for slow readers, all together, before
            those who publish have to wait.
        :param compress: whether to compress messages for clients that offer it, each message once
            for all of them (permessage-deflate, RFC 7692).
        :param origins: whose pages may connect: ``same`` (those from the host that the request is
            for), ``*`` (all), ``null`` (those without an origin), or origins such as
            ``https://example.com`` and ``https://*.example.com``. Clients that are no browsers
            send none, and are let in.
        :param trusted_proxies: addresses, networks, or ``unix``, whose ``X-Forwarded-For`` and
            ``Forwarded`` tell the client's address.
        :param max_connections_per_address: clients of one address at the same time; whoever comes
            then is refused with 429. Addresses of IPv6 count as one by their first 64 bits.
        :param max_message_rate: messages per second that a client may send; one that sends more
            is closed with 1008.
        :param message_burst: messages that a client may send at once, after it has sent less than
            that; 0 for as many as in a second.
        :param handshake_timeout: seconds in which a client must have shaken hands.
        :param close_timeout: seconds in which a client must answer a close, or be dropped.
        :param ping_interval: seconds between pings.
        :param ping_timeout: seconds in which a ping must be answered.
        :param policy: who may come in, and what they may do: a
            :class:`orchestra.TokenPolicy`, or one of the application's own; without one,
            everybody may do everything.
        :param api_keys: whoever has one may do everything. If there are any, and no policy, they
            alone may post.
        :param max_subscriptions: channels that a client of an SDK may listen to at the same time.
        :param rpc: what clients of an SDK may call, by the names of the methods. One that is
            called like one of the server's own (``orchestra.time``) takes its place.
        :param on_message: takes what they send to the server, and is not for a channel.
        :param policy_timeout: seconds in which a policy must have decided each time.
        :param log_notes: whether what clients write may be in the log. If not, that tells of each
            note only its size, no reason that a client closes for, and of what an application's
            code raises only the type and where it was raised.
        :param page: what a browser is shown that opens the server's address; by default the
            server's own page. With ``None`` there is none, nor ``/podium``.
        :param reactor: the global one by default.
        :raises ValueError: if a number is negative, an origin or a proxy is none, or a cookie is
            to tell who somebody is where any site's pages may come in. 0 means that there is no
            such limit, timeout or ping.
        """
        numbers = {
            "max_message_size": max_message_size,
            "max_connections": max_connections,
            "max_buffered": max_buffered,
            "max_connections_per_address": max_connections_per_address,
            "max_message_rate": max_message_rate,
            "message_burst": message_burst,
            "handshake_timeout": handshake_timeout,
            "close_timeout": close_timeout,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "policy_timeout": policy_timeout,
            "max_subscriptions": max_subscriptions,
        }
        for name, number in numbers.items():
            if not number >= 0:
                raise ValueError(f"{name} must be 0 or more, not {number!r}")
        super().__init__(server="", reactor=reactor)
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            failByDrop=False,
            echoCloseCodeReason=True,
            maxFramePayloadSize=max_message_size,
            maxMessagePayloadSize=max_message_size,
            openHandshakeTimeout=handshake_timeout,
            closeHandshakeTimeout=close_timeout,
            autoPingInterval=ping_interval,
            autoPingTimeout=ping_timeout,
            allowNullOrigin=True,
            perMessageCompressionAccept=accept_offer if compress else None,
        )
        # Autobahn's own go by another clock than this reactor's, and fire up to a second early.
        self.timers = self._batched_timer = Timers(self.reactor)
        """The timers of its connections."""
        self.admission = Admission(origins, trusted_proxies, max_connections_per_address)
        """From where somebody is let in."""
        self.access = Access(self.reactor, policy, api_keys, policy_timeout)
        """Who is let in, and what they may do."""
        if self.access.takes_cookies and self.admission.origins.is_open:
            raise ValueError(
                "a cookie cannot tell who somebody is where the pages of any site may come in "
                "(origins with * or null)"
            )
        self.defaults = ChannelSettings(
            prefix=prefix,
            max_message_size=max_message_size,
            max_message_rate=max_message_rate,
            message_burst=message_burst,
            max_connections=0,
        )
        """What holds for channels for which nothing else is set."""
        self._over_defaults = lru_cache(lambda settings: settings.over(self.defaults))
        self._addresses = lru_cache(Addresses)
        self._rates = RatePerAddress()
        self.turns = Turns(self.reactor)
        """What keeps one client's flood from holding up the others."""
        self.hub = Hub() if hub is None else hub
        for settings in self.hub.rules.all:
            self._addresses(settings.publishers)  # raises, if one is none
        self.hub.bind(
            partial(self.reactor.callLater, 0), self._report, later=self.reactor.callLater
        )
        self.compress = compress
        """Whether messages are compressed for clients that offer it."""
        self._encodings: dict[tuple[str, int], IEncoding] = {}
        self.backpressure = Backpressure(max_buffered, self.reactor)
        """What holds publishers back when too much waits for slow readers."""
        self.emulated: dict[str, EmulatedStream] = {}
        """The clients whose commands come by requests of their own, by their secret names."""
        self.encodings = Encodings()
        """How messages are put to clients of SDKs."""
        self.max_subscriptions = max_subscriptions
        self.rpc = built_in(self.hub) | dict(rpc)
        """What clients of an SDK may call, by the names of the methods."""
        self.on_message = on_message
        self.activity = ActivityLog(self.reactor, log_notes)
        """Where what happens among the clients is logged."""
        self.max_connections = max_connections
        self.clients: set[Client] = set()
        """Everyone who listens, on a connection that is not gone: WebSockets that have shaken
        hands, and streams."""
        self._directory = Directory()
        self.accepting = True
        """Whether new clients are let in."""
        self.hindrances: set[str] = set()
        """Why no clients should be sent here though the server runs, each in a few words: put in
        by whoever knows of one, taken out when it is over. Clients that come are let in."""
        self.entrance = Entrance(self)
        """Where clients are let in, or not."""
        self._drain = Drain(self.reactor, self.clients)
        self.page = page
        """What a browser is shown; ``None`` for nothing."""
        self.site = OrchestraSite(self)
        """What serves requests for anything but a WebSocket."""

    def setProtocolOptions(self, *values: Any, **options: Any) -> None:
        """Set options of Autobahn's; they hold for connections that come after that."""
        super().setProtocolOptions(*values, **options)
        self._configured = {}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the protocol for a connection.

        :returns: ``None``, with which it is closed, if nearly as many files are open as may be.
        """
        return self._build(self.protocol, addr)

    def build_dialect(self, path: bytes, peer: IAddress | None) -> Any:
        """Make the protocol for a connection on which a dialect with a URL of its own is spoken.

        :param path: the URL's.
        :returns: ``None``, if there is none, or no more files can be open.
        """
        kind = self.dialects.get(path)
        return None if kind is None else self._build(kind, peer)

    def _build(self, kind: Any, peer: IAddress | None) -> Any:
        if not self._leaves_files(1):
            self.activity.refused(address_of(peer), 503, "no more files can be open", "files")
            return None
        configured = self._configured.get(kind)
        if configured is None:
            attributes = class_attributes(self, kind)
            configured = self._configured[kind] = type(kind.__name__, (kind,), attributes)
        return configured()

    @property
    def not_ready(self) -> list[str]:
        """Why no clients should be sent here; empty if they should."""
        stopping = [] if self.accepting else ["shutting down"]
        return stopping + sorted(self.hindrances)

    def settings(self, channel: str) -> ChannelSettings:
        """What holds for a channel, with nothing left open but its retention."""
        settings = self.hub.settings(channel)
        if settings is NOTHING:
            return self.defaults
        found: ChannelSettings = self._over_defaults(settings)
        return found

    def allowance(self, settings: ChannelSettings) -> TokenBucket | None:
        """How much a client may publish from now on, where that is limited."""
        if not settings.max_message_rate:
            return None
        return TokenBucket(settings.max_message_rate, _burst(settings), self.reactor.seconds())

    def may_publish(self, address: str, settings: ChannelSettings) -> bool:
        """Whether those of an address may publish in channels with some settings."""
        return settings is self.defaults or address in self._addresses(settings.publishers)

    def register(self, client: Client) -> None:
        """Take in a client that begins to listen."""
        self.clients.add(client)
        self._directory.add(client)
        self.activity.joined(
            client.peer, client.listens_to, len(self.clients), client.connection_kind
        )
        if not self.accepting:  # it was let in before that
            self._drain.joined(client)

    def unregister(self, client: Client, code: int | None, reason: str | None) -> None:
        """Forget a client whose connection is gone; one that never was registered is no news.

        :param code: the close code of whoever closed first.
        :param reason: the reason that went with it.
        """
        if client.address is not None:
            self.admission.leave(client.address)
        if client not in self.clients:
            return
        self.clients.remove(client)
        self._directory.remove(client)
        self.activity.left(
            client.peer,
            client.listens_to,
            len(self.clients),
            code,
            reason or "",
            client.connection_kind,
        )
        self._drain.left(client)

    def clients_of(self, identity: str) -> Collection[Client]:
        """The clients that one and the same has, as they are now.

        :param identity: whose; empty for all clients of which that is not known.
        """
        if identity:
            return self._directory.clients(identity)
        return tuple(client for client in self.clients if not client.identity)

    @property
    def identities(self) -> int:
        """How many different identities the clients have. Those without one do not count."""
        return len(self._directory)

    def encoding(self, window_bits: int = 0, channel: str = MAIN) -> IEncoding:
        """What the subscribers of clients share, so that each message is framed once for all.

        :param window_bits: of the compression that the clients agreed to; 0 for none.
        """
        prefix = self.settings(channel).prefix or ""
        encoding = self._encodings.get((prefix, window_bits))
        if encoding is None:
            dialect = RawDialect(prefix)
            if window_bits:
                encoding = DeflatedFrameEncoding(dialect, window_bits)
            else:
                encoding = FrameEncoding(dialect)
            self._encodings[prefix, window_bits] = encoding
        return encoding

    @property
    def is_full(self) -> bool:
        """Whether there are as many clients as there may be."""
        if 0 < self.max_connections <= len(self.clients):
            return True
        return not self._leaves_files(2)

    def _leaves_files(self, times: int) -> bool:
        # Whether there could be one more connection, and so many times what is to be left.
        limit, _ = getrlimit(RLIMIT_NOFILE)
        spare = times * min(SPARE_FILES, limit // 8)
        return limit == RLIM_INFINITY or self.countConnections < limit - spare

    def play(self, client: OrchestraProtocol, contents: Sequence[Content]) -> None:
        """Publish what a client sent in the client's channel.

        :param contents: messages that were read, their text checked to be UTF-8.
        """
        if not client.may_publish:
            client.close(MAY_NOT_PUBLISH)
            return
        admitted = contents
        if client.allowance is not None:
            admitted = contents[: client.allowance.take(len(contents), self.reactor.seconds())]
        if admitted and self.access.asks_to_publish:
            if client.undecided is None:
                client.undecided = Undecided(
                    client,
                    partial(self.access.publish, client.grant, client.target.channel),
                    partial(self._play, client),
                )
            client.undecided.add(admitted)
        elif admitted:
            self._play(client, admitted)
        if len(admitted) < len(contents):
            client.close(TOO_MANY_MESSAGES)
        elif self.backpressure.is_high:
            self.backpressure.hold(client)

    def _play(self, client: OrchestraProtocol, contents: Sequence[Content]) -> None:
        channel = client.target.channel
        self.activity.notes(client.peer, channel, len(self.clients), contents)
        self.hub.publish_all(channel, contents, client.publisher, WEBSOCKET)

    def post(
        self,
        address: str | None,
        peer: str,
        channel: str,
        content: Content,
        key: str | None,
        source: str = POST,
    ) -> tuple[Message, bool]:
        """Publish what somebody sent who does not listen.

        :param address: whose request it is; ``None`` for the application's own, for which neither
            the publishers of a channel nor the rate of clients are set.
        :param peer: the same for the log.
        :param content: text is checked to be UTF-8.
        :param key: an idempotency key.
        :param source: where it comes from, for the hub's ledger.
        :returns: the message, and whether it was published before.
        :raises RefusedError: if it may not be published.
        """
        self.entrance.check_accepting()  # it may be no more, since the request came
        settings = self.settings(channel)
        if address is not None:
            check_address(self, address, settings)
        payload, is_binary = content
        if 0 < (limit := settings.max_message_size or 0) < len(payload):
            raise too_large(limit)
        if self.backpressure.is_high:
            raise RefusedError(503, "slow readers have to catch up first", kind="slow_readers")
        if key is not None and self.hub.published(channel, key) is not None:
            try:
                return self.hub.publish(channel, *content, idempotency_key=key), True
            except KeyReusedError as error:
                raise RefusedError(422, str(error)) from None
        if address is not None and settings.max_message_rate and self.admission.counts(address):
            rate, now = settings.max_message_rate, self.reactor.seconds()
            if not self._rates.take(address, rate, _burst(settings), now):
                raise too_many()
        self.activity.notes(peer, channel, len(self.clients), [content])
        message = self.hub.publish(channel, payload, is_binary, idempotency_key=key, source=source)
        self.hub.relieve()
        return message, False

    def broadcast(self, payload: bytes, isBinary: bool = False, channel: str = MAIN) -> Message:
        """Play a message to everyone in a channel: :meth:`Hub.publish` by another name.

        :raises ValueError: if the channel's name is not allowed, or text is not UTF-8.
        """
        return self.hub.publish(channel, payload, isBinary)

    def drain(self, grace: float, spread: float = 0.0) -> Deferred[None]:
        """Let nobody in any more and see everybody off.

        Each client plays and hears until it is closed with 1001, after all that was published
        before. Connections that are no client's are closed when nothing is being served on them.
        Who is still there when the grace is over is dropped.

        :param grace: seconds that clients have to leave in once the last one is closed.
        :param spread: seconds over which they are closed, each at another time: fewer, if there
            are less than ten clients for each of them.
        :returns: fires when the last client is gone.
        """
        self.accepting = False
        self.hub.flush()  # once for all, rather than once for each client that finishes
        idle = [channel.close_idle for channel in self.site.channels]
        return self._drain.start(idle, grace, spread)

    def report(self, failure: Failure, what: str) -> None:
        """Log what an application's own code raised, and what it was that failed."""
        self.activity.failed(failure, what)

    def _report(self, error: Exception, what: str) -> None:
        self.report(Failure(error), what)


def _burst(settings: ChannelSettings) -> float:
    return settings.message_burst or max(1, ceil(settings.max_message_rate or 0))
