"""TLS: a server's certificate, read from files, and read again while connections go on."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    SubjectAlternativeName,
    load_pem_x509_certificates,
)
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from OpenSSL.crypto import Error as CryptoError
from twisted.internet.endpoints import SSL4ServerEndpoint, _parse, _parseSSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from zope.interface import implementer

WARN_BEFORE = timedelta(days=14)
"""How long before its end a certificate is warned of."""

CHAIN = "a PEM file with the server's certificate first and then those that sign it"
"""What :func:`read_chain` takes."""

KEY = "a PEM file with the private key of the certificate, not encrypted"
"""What :func:`read_key` takes."""

# What a client may offer of what is spoken here (RFC 7301). HTTP/2 is not.
_PROTOCOLS = (b"http/1.1", b"http/1.0")

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)  # RFC 7468


class CertificateFileError(ValueError):
    """A file cannot be used for TLS.

    :ivar file: its absolute path.
    :ivar reason: what is wrong with it, in one line.
    """

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


def read_chain(path: str) -> list[Certificate]:
    """Read the certificates in a file.

    :raises ValueError: says what is wrong with the file, which is not :data:`CHAIN`.
    """
    labels = (b"CERTIFICATE", b"X509 CERTIFICATE")
    found = [block for label, block in _blocks(path) if label in labels]
    if not found:
        raise ValueError("has no certificate")
    try:
        return load_pem_x509_certificates(b"\n".join(found))
    except ValueError:
        raise ValueError("has a certificate that cannot be understood") from None


def read_key(path: str) -> PrivateKeyTypes:
    """Read the first private key in a file.

    :raises ValueError: says what is wrong with the file, which is not :data:`KEY`.
    """
    found = [block for label, block in _blocks(path) if label.endswith(b"PRIVATE KEY")]
    if not found:
        raise ValueError("has no private key")
    try:
        # To prove a key of RSA sound takes a quarter of a second, in which nobody is served. Here
        # it is the operator's own, and has to match the certificate.
        return load_pem_private_key(found[0], None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise ValueError("has a private key that is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has a private key that cannot be understood") from None


def _blocks(path: str) -> list[tuple[bytes, bytes]]:
    # The labels of what is in a PEM file, and what it is.
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(error.strerror) from None
    if b"-----" in _BLOCK.sub(b"", content):  # readers would take what comes before the cut
        raise ValueError("is not whole: a block of PEM in it has no end")
    return [(match[1], match[0]) for match in _BLOCK.finditer(content)]


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """The certificate that a port shows, and its key.

    It goes wherever Twisted takes a context factory for a server, such as an endpoint::

        certificate = ServerCertificate("fullchain.pem", "privkey.pem")
        endpoint = SSL4ServerEndpoint(reactor, 8443, certificate)
        service = OrchestraService(hub, endpoint)

    TLS 1.2 and 1.3 are spoken, with Twisted's choice of ciphers and without compression. It does
    not look after its files: whoever changes them calls :meth:`reload`, as a process of its own
    does on SIGHUP (``ProcessService`` takes it among its ``reloads``).
    """

    _log = Logger()

    def __init__(self, certificate: str, key: str | None = None) -> None:
        """
        :param certificate: a PEM file with the certificate first and then those that sign it.
        :param key: a PEM file with the private key, not encrypted; by default the same file.
        :raises CertificateFileError: if that is not what is in the files.
        """
        self.file = os.path.abspath(certificate)  # twistd may change the directory
        self._key_file = self.file if key is None else os.path.abspath(key)
        self._load()
        self._log.info(
            "The certificate {file} is {description}.",
            event="certificate",
            file=self.file,
            description=self.description,
        )
        self._warn()

    def reload(self) -> str:
        """Read the files again, for connections that are yet to come.

        Those that there are go on with the certificate that they have.

        :returns: one line about the new certificate.
        :raises CertificateFileError: if the files cannot be used; all stays as it was then.
        """
        self._load()
        self._warn()
        return f"Reloaded the certificate {self.file}: {self.description}."

    @property
    def description(self) -> str:
        """For whom the certificate is, and until when."""
        return f"for {', '.join(self._names)}, until {_date(self._end)}"

    @property
    def warning(self) -> str | None:
        """A line that says why clients refuse the certificate, or soon will, if that is so."""
        now = datetime.now(UTC)
        if self._certificate.not_valid_before_utc > now:
            begin = _date(self._certificate.not_valid_before_utc)
            return f"The certificate {self.file} is not valid before {begin}."
        if self._end <= now:
            return f"The certificate {self.file} has expired, on {_date(self._end)}."
        if self._end - now <= WARN_BEFORE:
            return f"The certificate {self.file} expires soon, on {_date(self._end)}."
        return None

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Begin TLS on a new connection. Twisted calls this."""
        connection: SSL.Connection = self._options.serverConnectionForTLS(protocol)
        return connection

    @property
    def _end(self) -> datetime:
        return self._certificate.not_valid_after_utc

    def _warn(self) -> None:
        if warning := self.warning:
            self._log.warn("{warning}", event="certificate-warning", warning=warning)

    def _read(self) -> Any:
        certificate, *others = self._chain()
        return CertificateOptions(
            privateKey=PKey.from_cryptography_key(self._key(certificate)),
            certificate=X509.from_cryptography(certificate),
            extraCertChain=[X509.from_cryptography(other) for other in others],
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableProtocols=_PROTOCOLS,
        )

    def _chain(self) -> list[Certificate]:
        try:
            return read_chain(self.file)
        except ValueError as error:
            raise CertificateFileError(self.file, str(error)) from None

    def _key(self, certificate: Certificate) -> Any:
        try:
            key = read_key(self._key_file)
        except ValueError as error:
            raise CertificateFileError(self._key_file, str(error)) from None
        if key.public_key() != certificate.public_key():
            reason = f"has not the private key of the first certificate in {self.file}"
            raise CertificateFileError(self._key_file, reason)
        return key

    def _load(self) -> None:
        try:
            options = self._read()
            options.getContext()  # what OpenSSL does not take would fail for each client otherwise
            certificate: Certificate = options.certificate.to_cryptography()
            names = _names(certificate)
        except CertificateFileError:
            raise
        except Exception as error:  # each of the libraries has errors of its own
            raise CertificateFileError(self.file, explain(error)) from None
        self._options, self._certificate, self._names = options, certificate, names


class EndpointCertificate(ServerCertificate):
    """The certificate that an endpoint has by its endpoint string, ``ssl:…``.

    It takes the place of the context factory that the endpoint had, begins with what that had
    read, and has Twisted read the files of the string again when it is reloaded.
    """

    def __init__(self, endpoint: SSL4ServerEndpoint, description: str) -> None:
        """
        :param endpoint: what the string was parsed to.
        :param description: the string.
        :raises CertificateFileError: if OpenSSL cannot use what was in the files.
        """
        (_, *args), kwargs = _parse(description)
        bound = signature(_parseSSL).bind(None, *args, **kwargs)
        bound.apply_defaults()
        self._arguments = bound.arguments
        for name in ("privateKey", "certKey", "extraCertChain", "dhParameters"):
            if self._arguments[name] is not None:
                self._arguments[name] = os.path.abspath(self._arguments[name])
        self._parsed: Any = endpoint._sslContextFactory
        key = self._arguments["privateKey"]
        super().__init__(self._arguments["certKey"] or key, key)
        endpoint._sslContextFactory = self

    def _read(self) -> Any:
        options, self._parsed = self._parsed, None
        if options is None:
            self._key(self._chain()[0])  # Twisted would ask for a password, and tell no files
            (_, _, options), _ = _parseSSL(**self._arguments)
        return options


def _names(certificate: Certificate) -> list[str]:
    # RFC 6125 section 6.4.4: the subject counts only where there are no others.
    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return [certificate.subject.rfc4514_string()]
    return [str(getattr(name, "value", name)) for name in found.value]


def _date(date: datetime) -> str:
    return f"{date:%Y-%m-%d %H:%M:%S} UTC"


def explain(error: BaseException) -> str:
    """What an error says, in one line; of one of OpenSSL's, the reason that it found last."""
    if isinstance(error, SSL.SysCallError):
        return str(error.args[-1])
    queue = error.args[0] if error.args else None
    if isinstance(error, (SSL.Error, CryptoError)) and isinstance(queue, list) and queue:
        _, _, reason = queue[-1]
        return str(reason)
    if isinstance(error, OSError) and error.strerror:
        file = error.filename2 or error.filename
        return f"{error.strerror}: {os.fsdecode(file)}" if file else error.strerror
    return " ".join((str(error) or type(error).__name__).split()).rstrip(".")
