"""The options of the command line, and what they stand for."""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from orchestra import __version__
from orchestra.accepting import NotSharedError, SharedPorts, endpoint_from_string
from orchestra.config import Config, ConfigError
from orchestra.dialects.raw import PREFIX
from orchestra.history import Retention
from orchestra.metrics import endpoint_string
from orchestra.observe.runner_log import (
    check_log_format,
    check_log_level,
)
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.origins import SAME, Origins
from orchestra.policy.token_keys import KeyFile
from orchestra.policy.tokens import TokenPolicy
from orchestra.service import DRAIN, GRACE
from orchestra.settings import CLOSE
from orchestra.tls import (
    CHAIN,
    KEY,
    CertificateFileError,
    EndpointCertificate,
    ServerCertificate,
    explain,
)
from orchestra.values import OPTIONS, Check, WrongItemError
from orchestra.web.page import Page
from orchestra.web.pages import HALL
from orchestra.websocket.factory import (
    CLOSE_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    MAX_BUFFERED,
    MAX_MESSAGE_SIZE,
    MAX_SUBSCRIPTIONS,
    PING_INTERVAL,
    PING_TIMEOUT,
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
        [
            "tls-certificate",
            None,
            None,
            "PEM file with a certificate and those that sign it: the port speaks TLS",
        ],
        [
            "tls-key",
            None,
            None,
            "PEM file with its private key [default: the certificate's file]",
        ],
        ["prefix", None, PREFIX, "put before each text that clients get; empty: a pure relay"],
        ["max-message-size", None, MAX_MESSAGE_SIZE, "largest message taken, in bytes"],
        [
            "max-connections",
            None,
            0,
            "clients at the same time; 0 for as many as files can be open",
        ],
        ["max-connections-per-address", None, 0, "clients of one address; 0: any number"],
        [
            "max-subscriptions",
            None,
            MAX_SUBSCRIPTIONS,
            "channels that a client of an SDK may listen to; 0: any number",
        ],
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
        [
            "slow-reader",
            None,
            CLOSE,
            "what becomes of a reader that falls off the history: close (its connection), skip "
            "(on with the oldest message there is) or latest (with the newest)",
        ],
        [
            "token-key-file",
            None,
            None,
            "a file with the key that clients' tokens (JWT) are checked with: a secret of 32 "
            "bytes or more, or a public key (PEM); without one, everybody may come in",
        ],
        [
            "token-jwks-file",
            None,
            None,
            "a file with several keys for tokens, as a JWK set (RFC 7517), instead of a "
            "token-key-file",
        ],
        [
            "token-audience",
            None,
            None,
            "what must be among a token's aud; without it, a token must have none",
        ],
        ["token-issuer", None, None, "what a token's iss must be; without it, anything"],
        [
            "token-cookie",
            None,
            None,
            "the name of a cookie that may have the token, for pages of the origins that may "
            "connect",
        ],
        [
            "api-key-file",
            None,
            None,
            "a file with keys for an application's servers, one in each line: who sends one as "
            "X-API-Key may do everything; without keys for tokens, only POST and the server API "
            "take one",
        ],
        [
            "page",
            None,
            None,
            "a folder whose index.html, with the files beside it, a browser is shown at / instead "
            "of the server's own page",
        ],
        [
            "drain",
            None,
            DRAIN,
            "seconds over which clients are closed at shutdown, at least ten a second; 0: at once",
        ],
        ["grace", None, GRACE, "seconds that clients may take to leave at shutdown"],
        [
            "metrics",
            None,
            None,
            "where to tell Prometheus how the server is, at /metrics: a Twisted endpoint string; "
            "a number alone is a port of 127.0.0.1",
        ],
        [
            "log-format",
            None,
            None,
            "how to log: text (the default of twistd) or json, an event a line",
        ],
        ["log-level", None, None, "the least that is logged: debug, info, warn or error"],
        ["log-notes", None, "on", "on, or off: the log tells of each note only its size"],
        [
            "config",
            None,
            None,
            "a TOML file with options as keys, and with settings of channels; what is said on the "
            "command line counts for more",
        ],
    ]

    optFlags: ClassVar = [
        [
            "reuse-port",
            None,
            "let other processes listen on the same ports, each with channels of its own",
        ],
        ["no-page", None, "show browsers no page at all, neither at / nor at /podium"],
        ["compress", None, "compress messages for clients that offer it (permessage-deflate)"],
        ["check-config", None, "check the options and the file of --config, and exit"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["origin"] = []
        self["trusted-proxy"] = []
        self["metrics-channels"] = []
        self._config: Config | None = None
        self._from_config: set[str] = set()  # which options are not from the command line

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

    def opt_metrics_channels(self, pattern: str) -> None:
        """Channels that have metrics of their own, by a pattern of their names with * for any
        characters; may be given more than once"""
        self["metrics-channels"].append(pattern)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"Orchestra {__version__}")
        sys.exit(0)

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Read a command line.

        :raises SystemExit: if something is wrong with it, with one line that says what.
        """
        self._arguments = sys.argv[1:] if options is None else options
        try:
            super().parseOptions(options)
        except ConfigError as error:
            raise SystemExit(f"orchestra: {explain(error)}") from None
        except UsageError as error:
            hint = ""
            if isinstance(error.__context__, getopt.error):
                hint = "; --help lists the options that are allowed"
            raise SystemExit(f"orchestra: {explain(error)}{hint}") from None

    @property
    def _given(self) -> set[str]:
        # The options that are on the command line.
        given, _ = getopt.getopt(self._arguments, self.shortOpt, self.longOpt)
        return {
            self.synonyms.get(o.lstrip("-"), o.lstrip("-")).replace("_", "-") for o, _ in given
        }

    def parseArgs(self, *args: str) -> None:
        """Take no arguments beside the options."""
        if args:
            raise UsageError(f"{args[0]!r}: only options are allowed, see --help")

    def postOptions(self) -> None:
        """Check the values and turn them into what they stand for."""
        if self["config"] is not None:
            self._read_config(self["config"])
        elif self["check-config"]:
            raise UsageError("--check-config: goes only with a --config")
        for name, check in OPTIONS.items():
            if self[name] is not None:
                self._check(name, check)
        if self["message-burst"] and not self["max-message-rate"]:
            raise UsageError(f"{self._words('message-burst')}: goes only with a max-message-rate")
        if self["metrics-channels"] and self["metrics"] is None:
            words = self._words("metrics-channels", self["metrics-channels"][0])
            raise UsageError(f"{words}: goes only with a metrics")
        self._check("log-format", partial(check_log_format, runner=self.parent))
        self._check("log-level", partial(check_log_level, runner=self.parent))
        self["retention"] = Retention(
            self["history-messages"], self["history-bytes"], self["history-age"]
        )
        self["channels"] = {}
        if self._config is not None:
            self["channels"] = self._config.channels(self["retention"], self["max-message-rate"])
        self["certificates"] = []
        self["endpoints"] = self._endpoints()
        self["api-keys"] = self._loaded("api-key-file", lambda path: ApiKeys(path=path))
        self["policy"] = self._policy()
        self["page-shown"] = self._page()
        self["metrics-endpoints"] = {}
        if self["metrics"] is not None:
            words = self._words("metrics")
            endpoint = self._endpoint(words, endpoint_string(self["metrics"]))
            self["metrics-endpoints"][endpoint] = words
        if self["check-config"]:
            for certificate in self["certificates"]:
                if certificate.warning:
                    print(f"orchestra: {certificate.warning}", file=sys.stderr)
            print(f"orchestra: {self['config']}: all is well")
            sys.exit(0)

    def _read_config(self, path: str) -> None:
        self._config = Config(path)
        for name, value in self._config.options.items():
            if name not in self._given:
                self[name] = value
                self._from_config.add(name)

    def _check(self, name: str, check: Check) -> None:
        try:
            self[name] = check(self[name])
        except WrongItemError as error:
            raise UsageError(f"{self._words(name, error.item)}: {error}") from None
        except ValueError as error:
            raise UsageError(f"{self._words(name)}: {error}") from None

    def _policy(self) -> TokenPolicy | None:
        key = self._loaded("token-key-file", KeyFile)
        keys = self._loaded("token-jwks-file", partial(KeyFile, is_set=True))
        if key is not None and keys is not None:
            words = self._words("token-key-file")
            raise UsageError(f"{words}: goes not together with a token-jwks-file")
        self["token-keys"] = key or keys
        if self["token-keys"] is None:
            for name in ("token-audience", "token-issuer", "token-cookie"):
                if self[name] is not None:
                    raise UsageError(
                        f"{self._words(name)}: goes only with a token-key-file or a "
                        "token-jwks-file"
                    )
            return None
        if self["token-cookie"] is not None and Origins(self["origin"] or [SAME]).is_open:
            raise UsageError(
                f"{self._words('token-cookie')}: goes not together with the origins * and null, "
                "whose pages could use everybody's cookies"
            )
        return TokenPolicy(
            self["token-keys"],
            audience=self["token-audience"],
            issuer=self["token-issuer"],
            cookie=self["token-cookie"],
        )

    def _page(self) -> Page | None:
        # What browsers are shown.
        page: Page | None = self._loaded("page", Page)
        if self["no-page"]:
            if page is not None:
                raise UsageError(f"{self._words('page')}: goes not together with no-page")
            return None
        return page or HALL

    def _loaded(self, name: str, load: Callable[[str], Any]) -> Any:
        # What a file holds that an option names.
        try:
            # By a path that still leads there when the process has gone somewhere else.
            return None if self[name] is None else load(os.path.abspath(self[name]))
        except OSError as error:
            raise UsageError(
                f"{self._words(name)}: {error.strerror}; must be a file that can be read"
            ) from None
        except ValueError as error:
            raise UsageError(f"{self._words(name)}: {error}") from None

    def _words(self, name: str, value: Any = None) -> str:
        # Which option, and which value.
        if value is None:
            value = self[name]
        if self._config is not None and name in self._from_config:
            return self._config.where(name, value=value)
        return f"--{name} {value if str(value).isprintable() else repr(value)}"

    def _endpoints(self) -> dict[IStreamServerEndpoint, str]:
        # Each endpoint with the words that asked for it.
        from twisted.internet import reactor

        endpoints: dict[IStreamServerEndpoint, str] = {}
        certificate = self._certificate()
        ports = SharedPorts(reactor) if self["reuse-port"] else reactor
        if self["port"] is not None or not self["listen"]:
            port = DEFAULT_PORT if self["port"] is None else self["port"]
            endpoint: IStreamServerEndpoint
            if certificate is None:
                endpoint = TCP4ServerEndpoint(ports, port)
            else:
                endpoint = SSL4ServerEndpoint(ports, port, certificate)
            endpoints[endpoint] = self._words("port", port)
        for text in self["listen"]:
            words = self._words("listen", text)
            text = f"tcp:{text}" if text.isdigit() else text
            endpoints[self._endpoint(words, text, self["reuse-port"])] = words
        return endpoints

    def _endpoint(
        self, words: str, description: str, reuse_port: bool = False
    ) -> IStreamServerEndpoint:
        from twisted.internet import reactor

        try:
            endpoint = endpoint_from_string(reactor, description, reuse_port)
            if isinstance(endpoint, SSL4ServerEndpoint):
                self["certificates"].append(EndpointCertificate(endpoint, description))
        except NotSharedError as error:
            raise UsageError(f"{words}: with reuse-port, {error}") from None
        except Exception as error:  # each kind of endpoint has errors of its own
            raise UsageError(f"{words}: {explain(error)}; must be {_ENDPOINTS}") from None
        if not 0 <= getattr(endpoint, "_port", 0) <= 65535:
            raise UsageError(f"{words}: must be {_ENDPOINTS}, with a port from 0 to 65535")
        return endpoint

    def _certificate(self) -> ServerCertificate | None:
        # What the port is to show.
        file, key = self["tls-certificate"], self["tls-key"]
        if file is None:
            if key is not None:
                raise UsageError(f"{self._words('tls-key')}: goes only with a tls-certificate")
            return None
        if self["listen"] and self["port"] is None:
            raise UsageError(
                f"{self._words('tls-certificate')}: is for a port, and goes with a listen only "
                "where there is a port as well; TLS of an endpoint string is "
                "ssl:8443:privateKey=key.pem:certKey=cert.pem"
            )
        try:
            certificate = ServerCertificate(file, key)
        except CertificateFileError as error:
            if key is not None and error.file != os.path.abspath(file):
                option, allowed = "tls-key", KEY
            else:
                option, allowed = "tls-certificate", f"{CHAIN}, with its key there or in a tls-key"
            raise UsageError(f"{self._words(option)}: {error.reason}; must be {allowed}") from None
        self["certificates"].append(certificate)
        return certificate
