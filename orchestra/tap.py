"""The command line: ``twistd orchestra`` and ``python -m twisted orchestra``."""

from __future__ import annotations

import getopt
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from orchestra import __version__
from orchestra.dialects.raw import PREFIX
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.observe.runner_log import check_log_format, log_is_hidden, log_observer
from orchestra.policy import addresses, origins
from orchestra.policy.addresses import TrustedProxies
from orchestra.policy.origins import SAME, Origins
from orchestra.process import ProcessService
from orchestra.service import GRACE, ListenError, OrchestraService
from orchestra.websocket.factory import (
    CLOSE_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    MAX_BUFFERED,
    MAX_MESSAGE_SIZE,
    PING_INTERVAL,
    PING_TIMEOUT,
    OrchestraFactory,
)

DEFAULT_PORT = 8080
_KEEP = Retention()

_ENDPOINTS = (
    "a Twisted endpoint string such as tcp:8080, tcp:8080:interface=127.0.0.1, "
    "ssl:8443:privateKey=key.pem:certKey=cert.pem, unix:/run/orchestra.sock or "
    "systemd:domain=INET:index=0"
)


class Options(UsageOptions):
    """The options of the command line, each checked when it is read.

    What is wrong ends the process with one line that names the option, the value and what is
    allowed, and with exit status 1.
    """

    synopsis = "[options]"
    longdesc = (
        "A real-time broadcast server: WebSocket clients connect, and what one of them sends in "
        "a channel, all of them in that channel get. The path of the URL names the channel."
    )
    optParameters: ClassVar = [
        ["port", "p", None, f"TCP port to listen on, 0 for any [default: {DEFAULT_PORT}]"],
        ["prefix", None, PREFIX, "put before each text that clients get"],
        ["max-message-size", None, MAX_MESSAGE_SIZE, "largest message taken, in bytes"],
        [
            "max-connections",
            None,
            0,
            "clients at the same time; 0 for as many as files can be open",
        ],
        ["max-connections-per-address", None, 0, "clients of one address; 0: any number"],
        ["max-message-rate", None, 0, "messages a second that a client may send; 0: any number"],
        [
            "message-burst",
            None,
            0,
            "messages that a client may send at once; 0: as many as in a second",
        ],
        [
            "max-buffered",
            None,
            MAX_BUFFERED,
            "bytes that may wait for slow readers in all; 0: any",
        ],
        ["handshake-timeout", None, HANDSHAKE_TIMEOUT, "seconds to shake hands in; 0: any time"],
        ["close-timeout", None, CLOSE_TIMEOUT, "seconds to answer a close in; 0: any time"],
        ["ping-interval", None, PING_INTERVAL, "seconds between pings; 0: no pings"],
        ["ping-timeout", None, PING_TIMEOUT, "seconds to answer a ping in; 0: any time"],
        ["history-messages", None, _KEEP.messages, "messages that a channel retains, at most"],
        ["history-bytes", None, _KEEP.bytes, "bytes that a channel retains, at most"],
        ["history-age", None, _KEEP.age, "seconds for which a channel retains them, at most"],
        ["grace", None, GRACE, "seconds that clients may take to leave at shutdown"],
        ["log-format", None, None, "text (the default of twistd) or json, one event per line"],
    ]

    optFlags: ClassVar = [
        ["compress", None, "compress messages for clients that offer it (permessage-deflate)"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["origin"] = []
        self["trusted-proxy"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Where to listen, as a Twisted endpoint string; may be given more than once."""
        self["listen"].append(endpoint)

    def opt_origin(self, origin: str) -> None:
        """Whose pages may connect: *, same, null, or an origin such as https://example.com or
        https://*.example.com; may be given more than once [default: same]"""
        self["origin"].append(origin)

    def opt_trusted_proxy(self, proxy: str) -> None:
        """Whose X-Forwarded-For and Forwarded to believe: an address, a network such as
        10.0.0.0/8, or unix; may be given more than once"""
        self["trusted-proxy"].append(proxy)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"Orchestra {__version__}")
        sys.exit(0)

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Read a command line.

        :raises SystemExit: if something is wrong with it, with one line that says what.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            hint = ""
            if isinstance(error.__context__, getopt.error):
                hint = "; --help lists the options that are allowed"
            raise SystemExit(f"orchestra: {_one_line(error)}{hint}") from None

    def parseArgs(self, *args: str) -> None:
        """Take no arguments beside the options."""
        if args:
            raise UsageError(f"{args[0]!r}: only options are allowed, see --help")

    def postOptions(self) -> None:
        """Check the values and turn them into what they stand for."""
        if self["port"] is not None:
            self._check_number("port", 0, 65535)
        self._check_number("max-message-size", 1, 2**30, "bytes")
        self._check_number("max-connections", 0, 10**7)
        self._check_number("max-connections-per-address", 0, 10**7)
        self._check_number("max-message-rate", 0, 10**7, "messages per second", float)
        self._check_number("message-burst", 0, 10**7)
        if self["message-burst"] and not self["max-message-rate"]:
            raise UsageError(
                f"--message-burst {self['message-burst']}: goes only with a --max-message-rate"
            )
        self._check_number("max-buffered", 0, 2**40, "bytes")
        for name in ("handshake-timeout", "close-timeout", "ping-interval", "ping-timeout"):
            self._check_number(name, 0, 86400, "seconds", float)
        self._check_number("history-messages", 0, 10**7)
        self._check_number("history-bytes", 0, 2**40, "bytes")
        self._check_number("history-age", 0, 365 * 86400, "seconds", float)
        self._check_number("grace", 0, 3600, "seconds", float)
        self._check_each("origin", Origins, origins.ALLOWED)
        self._check_each("trusted-proxy", TrustedProxies, addresses.ALLOWED)
        self._check_utf8("prefix")
        try:
            check_log_format(self["log-format"], self.parent)
        except ValueError as error:
            raise UsageError(f"--log-format {self['log-format']}: {error}") from None
        self["endpoints"] = self._endpoints()

    def _check_number(
        self, name: str, lowest: int, highest: int, unit: str = "", kind: type = int
    ) -> None:
        text = self[name]
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not lowest <= number <= highest:
            what = "a whole number" if kind is int else "a number"
            of = f" of {unit}" if unit else ""
            raise UsageError(f"--{name} {text}: must be {what}{of} from {lowest} to {highest}")
        self[name] = number

    def _check_each(
        self, name: str, kind: Callable[[Sequence[str]], object], allowed: str
    ) -> None:
        for value in self[name]:
            try:
                kind([value])
            except ValueError:
                raise UsageError(f"--{name} {value}: must be {allowed}") from None

    def _check_utf8(self, name: str) -> None:
        try:
            self[name].encode()
        except UnicodeEncodeError:
            raise UsageError(f"--{name} {self[name]!r}: must be UTF-8") from None

    def _endpoints(self) -> dict[IStreamServerEndpoint, str]:
        # Each endpoint with the words that asked for it.
        from twisted.internet import reactor

        wanted = [(f"--listen {text}", text) for text in self["listen"]]
        if self["port"] is not None or not wanted:
            port = DEFAULT_PORT if self["port"] is None else self["port"]
            wanted.insert(0, (f"--port {port}", f"tcp:{port}"))
        endpoints = {}
        for words, text in wanted:
            try:
                description = f"tcp:{text}" if text.isdigit() else text
                endpoints[serverFromString(reactor, description)] = words
            except Exception as error:  # each kind of endpoint has errors of its own
                raise UsageError(f"{words}: {_one_line(error)}; must be {_ENDPOINTS}") from None
        return endpoints


def makeService(options: Options) -> IService:
    """Make the service that the options ask for."""
    from twisted.internet import reactor

    hub = Hub(
        Retention(options["history-messages"], options["history-bytes"], options["history-age"])
    )
    factory = OrchestraFactory(
        hub,
        prefix=options["prefix"],
        max_message_size=options["max-message-size"],
        max_connections=options["max-connections"],
        max_buffered=options["max-buffered"],
        compress=bool(options["compress"]),
        origins=options["origin"] or [SAME],
        trusted_proxies=options["trusted-proxy"],
        max_connections_per_address=options["max-connections-per-address"],
        max_message_rate=options["max-message-rate"],
        message_burst=options["message-burst"],
        handshake_timeout=options["handshake-timeout"],
        close_timeout=options["close-timeout"],
        ping_interval=options["ping-interval"],
        ping_timeout=options["ping-timeout"],
    )
    endpoints: dict[IStreamServerEndpoint, str] = options["endpoints"]
    service = OrchestraService(factory, *endpoints, grace=options["grace"])

    def explain(error: ListenError) -> str:
        words = endpoints[error.endpoint]
        return f"orchestra: {words}: {_one_line(error)}; must be a place that is free to listen on"

    observer = log_observer(options["log-format"], options.parent)
    root = ProcessService(reactor, explain, observer, log_is_hidden(options.parent))
    service.setServiceParent(root)
    return root


def _one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
