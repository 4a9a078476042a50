"""The command line."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IServiceMaker
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory
from twisted.plugin import getPlugins

import orchestra
from orchestra.history import Retention
from orchestra.process import ProcessService
from orchestra.refusal import RefusedError
from orchestra.service import OrchestraService
from orchestra.tap import Options, makeService


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def server(options: Options) -> OrchestraService:
    root = makeService(options)
    assert isinstance(root, ProcessService)
    service = root.getServiceNamed("orchestra")
    assert isinstance(service, OrchestraService)
    return service


def test_the_plugin_is_found() -> None:
    """twistd finds the command, with its options and its service."""
    (plugin,) = [p for p in getPlugins(IServiceMaker) if p.tapname == "orchestra"]
    assert plugin.options is Options
    assert plugin.makeService is makeService


def test_the_defaults() -> None:
    """Without options it listens on port 8080, with the prefix and limits of the factory."""
    options = parse()
    (endpoint,) = options["endpoints"]
    assert isinstance(endpoint, TCP4ServerEndpoint)
    assert endpoint._port == 8080
    service = server(options)
    assert service.grace == 10
    assert service.hub.retention == Retention()
    factory = service.factory
    assert factory.maxMessagePayloadSize == 1024 * 1024
    assert (factory.openHandshakeTimeout, factory.closeHandshakeTimeout) == (5, 5)
    assert (factory.autoPingInterval, factory.autoPingTimeout) == (25, 20)
    assert factory.defaults.max_message_rate == 0
    same = {"host": "localhost", "origin": "http://localhost", "x-forwarded-for": "1.2.3.4"}
    factory.admission.check(same)
    assert factory.admission.address("127.0.0.1", same) == "127.0.0.1"
    with pytest.raises(RefusedError):
        factory.admission.check({**same, "origin": "https://example.com"})
    assert not factory.admission.enter("127.0.0.1")


def test_every_option_arrives() -> None:
    """What is said on the command line is what the server is made with."""
    service = server(
        parse(
            "--prefix=> ",
            "--max-message-size=2000",
            "--max-connections=7",
            "--max-buffered=1000000",
            "--compress",
            "--origin=https://example.com",
            "--origin=null",
            "--trusted-proxy=10.0.0.0/8",
            "--trusted-proxy=unix",
            "--max-connections-per-address=5",
            "--max-message-rate=2.5",
            "--message-burst=20",
            "--handshake-timeout=1.5",
            "--close-timeout=2.5",
            "--ping-interval=3.5",
            "--ping-timeout=4.5",
            "--history-messages=10",
            "--history-bytes=1000",
            "--history-age=1.5",
            "--slow-reader=skip",
            "--grace=0",
        )
    )
    assert service.factory.encoding().encode([(b"a", False, None, 0.0)], [1], "") == b"\x81\x03> a"
    assert service.factory.max_connections == 7
    assert service.factory.backpressure.bound == 1_000_000
    assert service.factory.compress
    admission = service.factory.admission
    headers = {"host": "localhost", "origin": "https://example.com", "x-forwarded-for": "1.2.3.4"}
    for proxy in ("10.1.1.1", "unix"):
        assert admission.address(proxy, headers) == "1.2.3.4"
    admission.check(headers)
    admission.check({"origin": "null"})
    with pytest.raises(RefusedError):
        admission.check({"host": "localhost", "origin": "http://localhost"})
    assert [admission.enter("1.2.3.4") for _ in range(5)] == [True] * 5
    with pytest.raises(RefusedError):
        admission.enter("1.2.3.4")
    assert service.factory.defaults.max_message_rate == 2.5
    assert service.factory.defaults.message_burst == 20
    assert service.factory.openHandshakeTimeout == 1.5
    assert service.factory.closeHandshakeTimeout == 2.5
    assert service.factory.autoPingInterval == 3.5
    assert service.factory.autoPingTimeout == 4.5
    assert service.factory.maxMessagePayloadSize == 2000
    assert service.factory.maxFramePayloadSize == 2000
    assert service.hub.retention == Retention(10, 1000, 1.5)
    assert service.hub.slow_reader == "skip"
    assert service.grace == 0


def test_where_to_listen() -> None:
    """Each --listen is an endpoint, digits are a port, and --port comes first."""
    options = parse("--listen", "unix:/tmp/a", "--listen", "8081", "--port", "0")
    port, unix, digits = options["endpoints"]
    assert isinstance(port, TCP4ServerEndpoint)
    assert isinstance(unix, UNIXServerEndpoint)
    assert isinstance(digits, TCP4ServerEndpoint)
    assert (port._port, digits._port) == (0, 8081)
    assert list(options["endpoints"].values()) == [
        "--port 0",
        "--listen unix:/tmp/a",
        "--listen 8081",
    ]
    (only,) = parse("--listen", "unix:/tmp/a")["endpoints"]
    assert isinstance(only, UNIXServerEndpoint)


@pytest_twisted.inlineCallbacks
def test_a_port_can_be_shared() -> Any:
    """With --reuse-port a second server may listen where the first one does."""
    port = parse("--reuse-port", "--listen=tcp:0:interface=127.0.0.1")
    (endpoint,) = port["endpoints"]
    first = yield endpoint.listen(Factory())
    text = f"--listen=tcp:{first.getHost().port}:interface=127.0.0.1"
    (endpoint,) = parse("--reuse-port", text)["endpoints"]
    second = yield endpoint.listen(Factory())
    yield first.stopListening()
    yield second.stopListening()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--port", "x"], ["--port x", "whole number from 0 to 65535"]),
        (["--port", "65536"], ["--port 65536", "from 0 to 65535"]),
        (["--port=-1"], ["--port -1", "from 0 to 65535"]),
        (["-p", "80.5"], ["--port 80.5", "whole number"]),
        (["--max-message-size", "0"], ["--max-message-size 0", "bytes", "from 1 to 1073741824"]),
        (["--max-connections=-1"], ["--max-connections -1", "whole number from 0 to 10000000"]),
        (["--max-buffered=1G"], ["--max-buffered 1G", "whole number of bytes from 0"]),
        (
            ["--origin=example.com"],
            ["--origin example.com", "must be *, same, null, or an origin"],
        ),
        (["--origin=*", "--origin="], ["--origin :", "must be *, same"]),
        (["--trusted-proxy=me"], ["--trusted-proxy me", "must be an address such as 10.0.0.1"]),
        (["--trusted-proxy=10.0.0.1/8"], ["--trusted-proxy 10.0.0.1/8", "10.0.0.0/8, or unix"]),
        (["--max-connections-per-address=x"], ["-per-address x", "number from 0 to 10000000"]),
        (["--max-message-rate=-1"], ["--max-message-rate -1", "number of messages per second"]),
        (["--message-burst=5"], ["--message-burst 5", "only with a max-message-rate"]),
        (["--handshake-timeout=-1"], ["--handshake-timeout -1", "seconds from 0 to 86400"]),
        (["--close-timeout=x"], ["--close-timeout x", "number of seconds"]),
        (["--ping-interval=1e9"], ["--ping-interval 1e9", "from 0 to 86400"]),
        (["--ping-timeout=nan"], ["--ping-timeout nan", "from 0 to 86400"]),
        (["--compress=yes"], ["option --compress", "--help"]),
        (["--history-messages=-1"], ["--history-messages -1", "from 0 to 10000000"]),
        (["--history-bytes=1e3"], ["--history-bytes 1e3", "whole number of bytes"]),
        (["--history-age=nan"], ["--history-age nan", "number of seconds from 0 to 31536000"]),
        (["--slow-reader=wait"], ["--slow-reader wait", "must be close, skip or latest"]),
        (["--check-config"], ["--check-config", "only with a --config"]),
        (["--config=/nowhere.toml"], ["/nowhere.toml: No such file", "must be a TOML file"]),
        (["--grace=inf"], ["--grace inf", "number of seconds from 0 to 3600"]),
        (["--grace="], ["--grace :", "number of seconds from 0 to 3600"]),
        (["--prefix=\udcff"], ["--prefix '\\udcff'", "must be UTF-8"]),
        (["--log-format=xml"], ["--log-format xml", "must be text or json"]),
        (["--listen="], ["--listen :", "must be a Twisted endpoint string such as tcp:8080"]),
        (["--listen=nonsense:1"], ["--listen nonsense:1", "Unknown endpoint type", "tcp:8080"]),
        (["--listen=tcp:http"], ["--listen tcp:http", "must be a Twisted endpoint"]),
        (["--listen=ssl:1:privateKey=/none"], ["--listen ssl:1", "/none", "must be a Twisted"]),
        (["--reuse-port", "--listen=unix:/tmp/a"], ["--listen unix:/tmp/a: with reuse", "tcp6:"]),
        (["--reuse-port", "--listen=tcp:http"], ["--listen tcp:http", "must be a Twisted"]),
        (
            ["--listen=systemd:domain=INET:index=0"],
            ["--listen systemd", "no such socket; must be"],
        ),
        (
            ["--listen=systemd:domain=INET:name=web"],
            ["--listen systemd", "no such socket; must be"],
        ),
        (["--tempo=120"], ["option --tempo not recognized", "--help"]),
        (["--port"], ["option --port requires argument", "--help"]),
        (["allegro"], ["'allegro'", "only options are allowed", "--help"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], parts: list[str]) -> None:
    """The line names the option, the value and what is allowed; the exit status is 1."""
    with pytest.raises(SystemExit) as caught:
        parse(*arguments)
    line = caught.value.code
    assert isinstance(line, str)  # which is printed, with exit status 1
    assert line.startswith("orchestra: ")
    assert "\n" not in line
    for part in parts:
        assert part in line


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=20), max_size=4))
def test_no_command_line_is_a_traceback(arguments: list[str]) -> None:
    """Whatever is typed is understood or refused."""
    try:
        parse(*arguments)
    except SystemExit as refusal:
        line = str(refusal.code)
        assert line == "0" or line.startswith("orchestra: ")
        assert len(line.splitlines()) == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version tells the version of Orchestra and nothing else."""
    with pytest.raises(SystemExit) as caught:
        parse("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"Orchestra {orchestra.__version__}\n"


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option is there, with its default where it has one."""
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in (*(p[0] for p in Options.optParameters), "listen"):
        assert f"--{option}=" in text
    assert "[default: 8080]" in text
    assert "[default: 1048576]" in text
