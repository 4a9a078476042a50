"""Certificates from files: what is read, what is refused, and what a reload does to whom."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface.verify import verifyObject

from orchestra.hub import Hub
from orchestra.tls import (
    CertificateFileError,
    EndpointCertificate,
    ServerCertificate,
    read_chain,
)
from orchestra.websocket.factory import OrchestraFactory
from tests.certificates import Issuer, serial
from tests.events import captured, lines, named
from tests.memory import MemoryTransport

# Twisted's own way with pyOpenSSL.


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class TLSClient:
    """A connection to a server with a certificate: Python's ``ssl``, and no socket."""

    def __init__(
        self,
        certificate: ServerCertificate,
        trust: ssl.SSLContext,
        clock: Clock,
        factory: Factory | None = None,
    ) -> None:
        tls = TLSMemoryBIOFactory(
            certificate, False, factory or Factory.forProtocol(Echo), clock=clock
        )
        self._clock = clock
        self._protocol = tls.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.transport = MemoryTransport(self._protocol)
        self._protocol.makeConnection(self.transport)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = trust.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def until(self, step: Callable[[], bytes | None]) -> bytes | None:
        """Carry bytes to and fro until a step can be made."""
        for _ in range(20):
            try:
                return step()
            except ssl.SSLWantReadError:
                if sent := self._outgoing.read():
                    self._protocol.dataReceived(sent)
                self._clock.advance(0)
                self._incoming.write(self.transport.take())
        raise AssertionError("the server does not answer")

    def shake_hands(self) -> int:
        """Do so, and return the serial number of the certificate that was shown."""
        self.until(self.ssl.do_handshake)
        return serial(self.ssl.getpeercert(binary_form=True))

    def echo(self, data: bytes) -> bytes | None:
        self.ssl.write(data)
        return self.until(lambda: self.ssl.read())


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def made(issuer: Issuer) -> ServerCertificate:
    return ServerCertificate(str(issuer.certificate), str(issuer.key))


def of_string(issuer: Issuer, more: str = "") -> tuple[SSL4ServerEndpoint, EndpointCertificate]:
    text = f"ssl:0:privateKey={issuer.key}:certKey={issuer.certificate}{more}"
    endpoint = serverFromString(None, text)
    assert isinstance(endpoint, SSL4ServerEndpoint)
    return endpoint, EndpointCertificate(endpoint, text)


def of_either_kind(issuer: Issuer, kind: str) -> ServerCertificate:
    return made(issuer) if kind == "files" else of_string(issuer)[1]


both_kinds = pytest.mark.parametrize("kind", ["files", "endpoint"])


@both_kinds
def test_a_reload_is_for_who_comes_later(issuer: Issuer, clock: Clock, kind: str) -> None:
    """A connection goes on with the certificate that it began with; the next has the new one."""
    first = issuer.issue()
    certificate = of_either_kind(issuer, kind)
    assert verifyObject(IOpenSSLServerConnectionCreator, certificate)
    old = TLSClient(certificate, issuer.trust, clock)
    begun = TLSClient(certificate, issuer.trust, clock)
    assert old.shake_hands() == first
    second = issuer.issue()
    assert second != first
    certificate.reload()
    assert old.echo(b"still here") == b"still here"
    assert TLSClient(certificate, issuer.trust, clock).shake_hands() == second
    assert begun.shake_hands() == first


@both_kinds
def test_what_a_reload_tells(issuer: Issuer, kind: str) -> None:
    """For whom the certificate is, and until when, at the start and when it is read again."""
    issuer.issue("old.example.com")
    with captured() as events:
        certificate = of_either_kind(issuer, kind)
    file = str(issuer.certificate)
    assert lines(events) == [f"The certificate {file} is {certificate.description}."]
    assert named(events, "certificate")[0]["description"].startswith("for old.example.com, until ")
    issuer.issue("example.com", "*.example.com", "10.1.2.3", "2001:db8::1")
    (leaf,) = read_chain(file)
    end = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    with captured() as events:
        assert certificate.reload() == (
            f"Reloaded the certificate {file}: "
            f"for example.com, *.example.com, 10.1.2.3, 2001:db8::1, until {end}."
        )
    assert events == []


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_an_authority(path: Path) -> None:
    ca = trustme.CA().cert_pem.bytes()
    path.write_bytes(path.read_bytes() + ca[: len(ca) // 2])


def in_der(path: Path) -> None:
    path.write_bytes(ssl.PEM_cert_to_DER_cert(path.read_text()))


def nonsense(path: Path) -> None:
    label = b"PRIVATE KEY" if b"PRIVATE KEY" in path.read_bytes() else b"CERTIFICATE"
    path.write_bytes(b"-----BEGIN %b-----\nAAAA\n-----END %b-----\n" % (label, label))


def another(path: Path) -> None:
    Issuer(path.parent).issue()


@both_kinds
@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (Path.unlink, "cert.pem", "No such file or directory"),
        (Path.unlink, "key.pem", "No such file or directory"),
        (lambda path: path.unlink() or path.mkdir(), "cert.pem", "Is a directory"),
        (lambda path: path.write_bytes(b""), "cert.pem", "has no certificate"),
        (lambda path: path.write_bytes(b""), "key.pem", "has no private key"),
        (in_der, "cert.pem", "has no certificate"),
        (half, "cert.pem", "is not whole"),
        (half, "key.pem", "is not whole"),
        (half_an_authority, "cert.pem", "is not whole"),
        (nonsense, "cert.pem", "has a certificate that cannot be understood"),
        (nonsense, "key.pem", "has a private key that cannot be understood"),
        (lambda path: Issuer.encrypt_key(Issuer(path.parent)), "key.pem", "is encrypted"),
    ],
)
def test_a_reload_that_fails_changes_nothing(
    issuer: Issuer,
    clock: Clock,
    kind: str,
    spoil: Callable[[Path], object],
    name: str,
    reason: str,
) -> None:
    """It says which file is wrong and why, in a line; all are shown what was shown before."""
    first = issuer.issue()
    certificate = of_either_kind(issuer, kind)
    old = TLSClient(certificate, issuer.trust, clock)
    old.shake_hands()
    issuer.issue()
    path = issuer.certificate.with_name(name)
    spoil(path)
    with captured() as events, pytest.raises(CertificateFileError) as caught:
        certificate.reload()
    assert events == []
    assert caught.value.file == str(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert old.echo(b"still here") == b"still here"
    assert TLSClient(certificate, issuer.trust, clock).shake_hands() == first


@both_kinds
def test_a_key_of_another_certificate(issuer: Issuer, clock: Clock, kind: str) -> None:
    """A renewal that has written one of two files is not taken."""
    first = issuer.issue()
    certificate = of_either_kind(issuer, kind)
    key = issuer.key.read_bytes()
    issuer.issue()
    issuer.key.write_bytes(key)
    with pytest.raises(CertificateFileError, match="has not the private key") as caught:
        certificate.reload()
    assert caught.value.file == str(issuer.key)
    assert TLSClient(certificate, issuer.trust, clock).shake_hands() == first


def test_wrong_files_are_refused_at_once(issuer: Issuer) -> None:
    """A certificate that cannot be shown is an error where it is made."""
    with pytest.raises(CertificateFileError, match="No such file"):
        made(issuer)
    issuer.issue()
    with pytest.raises(CertificateFileError, match="has no private key"):
        ServerCertificate(str(issuer.certificate))


def test_a_file_that_may_not_be_read(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the system's, without numbers."""
    issuer.issue()

    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CertificateFileError) as caught:
        made(issuer)
    assert str(caught.value) == f"{issuer.certificate}: Permission denied"


@both_kinds
def test_what_openssl_refuses_is_refused_at_once(issuer: Issuer, kind: str) -> None:
    """A key that is too short would otherwise fail for each client, and not where it is set."""
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "short")])
    issuer.issue()
    (other,) = read_chain(str(issuer.certificate))
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(other.not_valid_before_utc)
    short = builder.not_valid_after(other.not_valid_after_utc).sign(key, hashes.SHA256())
    issuer.certificate.write_bytes(short.public_bytes(Encoding.PEM))
    issuer.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    with pytest.raises(CertificateFileError, match="key too small"):
        of_either_kind(issuer, kind)


def test_one_file_for_both(issuer: Issuer, clock: Clock) -> None:
    """The key may stand behind the certificate, with text between as tools leave it."""
    number = issuer.issue(behind=True)
    issuer.certificate.write_bytes(b"subject=CN = x\r\n---\n" + issuer.certificate.read_bytes())
    certificate = ServerCertificate(str(issuer.certificate))
    assert TLSClient(certificate, issuer.trust, clock).shake_hands() == number


def test_the_whole_chain_is_shown(issuer: Issuer, clock: Clock) -> None:
    """Clients that know only the root need those between as well."""
    root = trustme.CA()
    below = Issuer(issuer.certificate.parent, root.create_child_ca())
    below.issue()
    assert len(read_chain(str(below.certificate))) == 2
    trust = ssl.create_default_context()
    root.configure_trust(trust)
    TLSClient(made(below), trust, clock).shake_hands()
    _, certificate = of_string(below)
    with pytest.raises(ssl.SSLCertVerificationError):
        TLSClient(certificate, trust, clock).shake_hands()
    _, certificate = of_string(below, f":extraCertChain={below.certificate}")
    certificate.reload()
    TLSClient(certificate, trust, clock).shake_hands()


def test_an_endpoint_string_stays_what_it_is(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its other parts still hold, and its files are found from where the server was started."""
    folder = issuer.certificate.parent
    issuer.issue(behind=True)
    monkeypatch.chdir(folder)
    for text in ("ssl:8443:cert.pem", "ssl:8443:privateKey=cert.pem:interface=127.0.0.1"):
        endpoint = serverFromString(None, text)
        assert isinstance(endpoint, SSL4ServerEndpoint)
        certificate = EndpointCertificate(endpoint, text)
        assert endpoint._sslContextFactory is certificate
        assert endpoint._port == 8443
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert certificate.reload().startswith(f"Reloaded the certificate {folder}/cert.pem: ")
        monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    ("days", "warning"),
    [
        (15, None),
        (13, "expires soon, on "),
        (-1, "has expired, on "),
    ],
)
@both_kinds
def test_a_certificate_that_ends(
    issuer: Issuer, kind: str, days: float, warning: str | None
) -> None:
    """Fourteen days before its end and after it there is a warning, but no refusal."""
    issuer.issue(days=days)
    for act in (lambda: of_either_kind(issuer, kind), of_either_kind(issuer, kind).reload):
        with captured() as events:
            act()
        warnings = [event for event in events if event["log_level"].name == "warn"]
        assert len(warnings) == (warning is not None)
        for line in lines(warnings):
            assert line.startswith(f"The certificate {issuer.certificate} {warning}")


def test_a_certificate_of_the_future(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is warned of as well."""
    issuer.issue()
    certificate = made(issuer)
    assert certificate.warning is None
    begin = certificate._certificate.not_valid_before_utc

    class Past:
        @staticmethod
        def now(zone: object) -> object:
            return begin.replace(year=begin.year - 1)

    monkeypatch.setattr("orchestra.tls.datetime", Past)
    assert certificate.warning is not None
    assert " is not valid before " in certificate.warning


def test_a_certificate_without_alternative_names(issuer: Issuer) -> None:
    """Its subject names it."""
    authority = trustme.CA()
    issuer.certificate.write_bytes(authority.cert_pem.bytes())
    issuer.key.write_bytes(authority.private_key_pem.bytes())
    assert made(issuer).description.startswith("for OU=Testing CA")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_spoken(issuer: Issuer, clock: Clock, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3, with forward secrecy for whoever has it, and nothing compressed."""
    issuer.issue()
    trust = issuer.trust
    trust.minimum_version = trust.maximum_version = version
    client = TLSClient(made(issuer), trust, clock)
    client.shake_hands()
    cipher = client.ssl.cipher()
    assert cipher is not None
    assert version == ssl.TLSVersion.TLSv1_3 or cipher[0].startswith("ECDHE-")
    assert client.ssl.compression() is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused(issuer: Issuer, clock: Clock) -> None:
    """RFC 8996 says so."""
    issuer.issue()
    trust = issuer.trust
    trust.minimum_version = trust.maximum_version = ssl.TLSVersion.TLSv1_1
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this client would not even ask
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        TLSClient(made(issuer), trust, clock).shake_hands()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["h2", "http/1.1"], "http/1.1"),
        (["http/1.0"], "http/1.0"),
    ],
)
def test_http_is_what_is_agreed_on(
    issuer: Issuer, clock: Clock, offered: list[str], chosen: str | None
) -> None:
    """Of what a client offers (RFC 7301), and never HTTP/2, which is not spoken."""
    issuer.issue()
    trust = issuer.trust
    trust.set_alpn_protocols(offered)
    client = TLSClient(made(issuer), trust, clock)
    client.shake_hands()
    assert client.ssl.selected_alpn_protocol() == chosen


def test_a_client_that_speaks_nothing_else(issuer: Issuer, clock: Clock) -> None:
    """Who offers HTTP/2 alone is refused while hands are shaken (RFC 7301 section 3.2)."""
    issuer.issue()
    trust = issuer.trust
    trust.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        TLSClient(made(issuer), trust, clock).shake_hands()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "http request"),
        (bytes(100), "wrong version number"),
    ],
)
def test_whatever_is_no_tls(issuer: Issuer, clock: Clock, sent: bytes, reason: str) -> None:
    """It is logged as refusals are: no errors, and a hundred lines in a second at the most."""
    issuer.issue()
    factory = OrchestraFactory(Hub(), reactor=clock)
    certificate = made(issuer)
    with captured() as events:
        for _ in range(150):
            client = TLSClient(certificate, issuer.trust, clock, factory)
            client._protocol.dataReceived(sent)
            assert b"HTTP" not in client.transport.take()
            assert client.transport.disconnected
        clock.advance(1)
    line = f"TLS with tcp4:127.0.0.1:50000 failed: {reason}"
    assert lines(events) == [line] * 100 + ["TLS with 50 more failed."]
    assert {event["log_level"].name for event in events} == {"info"}
    assert factory.countConnections == 0


@pytest.mark.parametrize("begun", [False, True])
def test_the_handshake_timeout_is_for_tls_too(issuer: Issuer, clock: Clock, begun: bool) -> None:
    """Whoever begins TLS and does not end it, or does not even begin, is dropped."""
    issuer.issue()
    factory = OrchestraFactory(Hub(), reactor=clock, handshake_timeout=5)
    client = TLSClient(made(issuer), issuer.trust, clock, factory)
    if begun:
        with pytest.raises(ssl.SSLWantReadError):
            client.ssl.do_handshake()
        client._protocol.dataReceived(client._outgoing.read()[:100])
    clock.advance(4.9)
    assert not client.transport.disconnected
    clock.advance(0.2)
    assert client.transport.disconnected
    assert factory.countConnections == 0
