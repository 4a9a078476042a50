"""The command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IServiceMaker
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.plugin import getPlugins

import orchestra
from orchestra.history import Retention
from orchestra.metrics import MetricsService
from orchestra.process import ProcessService
from orchestra.refusal import RefusedError
from orchestra.service import OrchestraService
from orchestra.tap import Options, makeService
from orchestra.tls import EndpointCertificate, ServerCertificate
from orchestra.web.page import Page
from orchestra.web.pages import HALL
from tests.certificates import Issuer


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
    assert (service.grace, service.drain) == (10, 0)
    assert service.hub.retention == Retention()
    factory = service.factory
    assert factory.activity.log_notes
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
            "--max-subscriptions=3",
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
            "--drain=1.5",
            "--grace=0",
            "--log-notes=off",
        )
    )
    assert not service.factory.activity.log_notes
    assert service.factory.encoding().encode([(b"a", False, None, 0.0)], [1], "") == b"\x81\x03> a"
    assert service.factory.max_connections == 7
    assert service.factory.max_subscriptions == 3
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
    assert (service.grace, service.drain) == (0, 1.5)


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


def test_metrics() -> None:
    """A port alone is one of this machine; the service comes first, so that it stops last."""
    root = makeService(parse("--metrics=9090", "--metrics-channels=a/*", "--metrics-channels=b"))
    assert isinstance(root, ProcessService)
    metrics, server = root
    assert isinstance(metrics, MetricsService)
    (endpoint,) = metrics._endpoints
    assert (endpoint._port, endpoint._interface) == (9090, "127.0.0.1")
    assert isinstance(server, OrchestraService)
    for name in ("a/1", "b", "c"):
        server.hub.publish(name, b"C#4")
    assert set(server.hub.ledger.apart) == {"a/1", "b", "other"}
    (only,) = makeService(parse())
    assert isinstance(only, OrchestraService)


class TestPage:
    """What browsers are shown."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "page"
        folder.mkdir()
        (folder / "index.html").write_text("a page")
        return folder

    def test_it_is_that_of_the_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Relative to where the process is started, as all files are; the server's by default."""
        monkeypatch.chdir(folder.parent)
        page = server(parse("--page=page")).factory.page
        assert page is not None
        assert page.version == Page(folder).version != HALL.version
        assert server(parse()).factory.page is HALL

    def test_there_may_be_none(self) -> None:
        """Then a browser is a client like any other."""
        assert server(parse("--no-page")).factory.page is None

    @pytest.mark.parametrize("place", ["command line", "file", "both"])
    def test_it_cannot_be_there_and_not(self, folder: Path, place: str) -> None:
        """One line says so."""
        config = folder / "orchestra.toml"
        lines = {"command line": "", "file": f"page = '{folder}'\nno-page = true\n"}
        config.write_text(lines.get(place, "no-page = true"))
        arguments = {"command line": [f"--page={folder}", "--no-page"], "file": []}
        with pytest.raises(SystemExit) as caught:
            parse(f"--config={config}", *arguments.get(place, [f"--page={folder}"]))
        where = f"{config}:1: page = '{folder}'" if place == "file" else f"--page {folder}"
        assert caught.value.code == f"orchestra: {where}: goes not together with no-page"

    def test_the_file_may_say_it(self, folder: Path) -> None:
        """With a false no-page as well."""
        config = folder / "orchestra.toml"
        config.write_text(f"page = '{folder}'\nno-page = false\n")
        page = server(parse(f"--config={config}")).factory.page
        assert page is not None
        assert page.version == Page(folder).version
        config.write_text("no-page = true\n")
        assert server(parse(f"--config={config}")).factory.page is None


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
        (["--metrics=99999"], ["--metrics 99999: must be", "with a port from 0 to 65535"]),
        (["--listen=99999"], ["--listen 99999: must be", "with a port from 0 to 65535"]),
        (["--listen=tcp:99999"], ["--listen tcp:99999: must be", "a port from 0 to 65535"]),
        (["--metrics="], ["--metrics :", "must be a Twisted endpoint string such as tcp:8080"]),
        (["--metrics=nonsense:1"], ["--metrics nonsense:1", "Unknown endpoint type", "tcp:8080"]),
        (["--metrics-channels=a"], ["--metrics-channels a", "only with a metrics"]),
        (
            ["--metrics=1", "--metrics-channels=/a"],
            ["--metrics-channels /a", "must be a name of 1 to 255 bytes without a / in front"],
        ),
        (["--metrics=1", "--metrics-channels="], ["--metrics-channels :", "must be a name of 1"]),
        (["--metrics=1", "--metrics-channels=\udcff"], ["'\\udcff'", "must be a name of 1"]),
        (["--page="], ["--page : must be a folder with an index.html"]),
        (["--page=/nowhere"], ["--page /nowhere: No such file or directory; must be a folder"]),
        (["--page=/dev/null"], ["--page /dev/null: Not a directory; must be a folder"]),
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


class TestTLS:
    """A certificate is all that it takes for the port to speak TLS."""

    @pytest.fixture
    def issuer(self, tmp_path: Path) -> Issuer:
        issuer = Issuer(tmp_path)
        issuer.issue()
        return issuer

    def test_the_port_speaks_it(self, issuer: Issuer) -> None:
        """The default one as well; a --listen stays what it says."""
        options = parse(f"--tls-certificate={issuer.certificate}", f"--tls-key={issuer.key}")
        (endpoint,) = options["endpoints"]
        assert isinstance(endpoint, SSL4ServerEndpoint)
        assert endpoint._port == 8080
        assert [endpoint._sslContextFactory] == options["certificates"]
        issuer.issue(behind=True)
        plain = "--listen=tcp:8081"
        options = parse("--port=0", plain, f"--tls-certificate={issuer.certificate}")
        secure, other = options["endpoints"]
        assert isinstance(secure, SSL4ServerEndpoint)
        assert isinstance(other, TCP4ServerEndpoint)
        assert list(options["endpoints"].values()) == ["--port 0", "--listen tcp:8081"]

    def test_all_are_reloaded(self, issuer: Issuer) -> None:
        """Those of endpoint strings, too, and the process is told of them."""
        string = f"ssl:0:privateKey={issuer.key}:certKey={issuer.certificate}"
        arguments = ("--port=0", f"--listen={string}", "--listen=tcp:0")
        files = (f"--tls-certificate={issuer.certificate}", f"--tls-key={issuer.key}")
        options = parse(*arguments, *files)
        assert [type(one) for one in options["certificates"]] == [
            ServerCertificate,
            EndpointCertificate,
        ]
        root = makeService(options)
        assert isinstance(root, ProcessService)
        assert list(root._reloads) == [one.reload for one in options["certificates"]]

    @pytest.mark.parametrize(
        ("files", "line"),
        [
            ({"tls-key": "key"}, "--tls-key {key}: goes only with a tls-certificate"),
            (
                {"tls-certificate": "cert", "listen": "tcp:0"},
                "--tls-certificate {cert}: is for a port, and goes with a listen only where there "
                "is a port as well; TLS of an endpoint string is "
                "ssl:8443:privateKey=key.pem:certKey=cert.pem",
            ),
            (
                {"tls-certificate": "cert"},
                "--tls-certificate {cert}: has no private key; must be a PEM file with the "
                "server's certificate first and then those that sign it, with its key there or "
                "in a tls-key",
            ),
            (
                {"tls-certificate": "key"},
                "--tls-certificate {key}: has no certificate; must be a PEM file with the "
                "server's certificate first and then those that sign it",
            ),
            (
                {"tls-certificate": "none"},
                "--tls-certificate {none}: No such file or directory; must be a PEM file with the "
                "server's certificate first and then those that sign it",
            ),
            (
                {"tls-certificate": "cert", "tls-key": "other"},
                "--tls-key {other}: has not the private key of the first certificate in {cert}; "
                "must be a PEM file with the private key of the certificate, not encrypted",
            ),
            (
                {"tls-certificate": "cert", "tls-key": "encrypted"},
                "--tls-key {encrypted}: has a private key that is encrypted; "
                "must be a PEM file with the private key of the certificate, not encrypted",
            ),
        ],
    )
    @pytest.mark.parametrize("place", ["command line", "file"])
    def test_what_is_wrong_is_said_in_one_line(
        self, issuer: Issuer, place: str, files: dict[str, str], line: str
    ) -> None:
        """It names the option or the key in the file, the value, and what is allowed."""
        folder = issuer.certificate.parent
        other = Issuer(folder / "other")
        other.key.parent.mkdir()
        other.issue()
        encrypted = Issuer(folder / "encrypted")
        encrypted.key.parent.mkdir()
        encrypted.issue()
        encrypted.encrypt_key()
        paths = {
            "cert": str(issuer.certificate),
            "key": str(issuer.key),
            "other": str(other.key),
            "encrypted": str(encrypted.key),
            "none": str(folder / "none"),
        }
        found = {option: paths.get(name, name) for option, name in files.items()}
        line = line.format(**paths)
        config = folder / "orchestra.toml"
        if place == "file":
            name, value, *_ = line.removeprefix("--").replace(":", "", 1).split()
            reason = line.partition(": ")[2]
            lists = {"listen": lambda value: [value]}
            config.write_text(
                "".join(
                    f"{option} = {lists.get(option, str)(value)!r}\n"
                    for option, value in found.items()
                )
            )
            number = list(found).index(name) + 1
            line = f"{config}:{number}: {name} = {value!r}: {reason}"
            arguments = ["--check-config", f"--config={config}"]
        else:
            arguments = [f"--{option}={value}" for option, value in found.items()]
        with pytest.raises(SystemExit) as caught:
            parse(*arguments)
        assert caught.value.code == f"orchestra: {line}"

    def test_a_check_warns_of_what_ends(
        self, issuer: Issuer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """--check-config has no log to do so in."""
        config = issuer.certificate.with_name("orchestra.toml")
        config.write_text(f"tls-certificate = '{issuer.certificate}'\n")
        for days, warning in ((365, ""), (-1, "has expired"), (3, "expires soon")):
            issuer.issue(days=days, behind=True)
            with pytest.raises(SystemExit) as caught:
                parse("--check-config", f"--config={config}")
            assert caught.value.code == 0
            out, err = capsys.readouterr()
            assert out == f"orchestra: {config}: all is well\n"
            assert bool(err) == bool(warning)
            assert warning in err


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
    for option in (*(p[0] for p in Options.optParameters), "listen", "metrics-channels"):
        assert f"--{option}=" in text
    assert "[default: 8080]" in text
    assert "[default: 1048576]" in text
