"""Certificates in files, for tests."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_der_x509_certificate


class Issuer:
    """An authority that writes certificates into a folder: ``cert.pem``, ``key.pem``."""

    def __init__(self, folder: Path, authority: trustme.CA | None = None) -> None:
        self.authority = trustme.CA() if authority is None else authority
        self.certificate = folder / "cert.pem"
        self.key = folder / "key.pem"

    def issue(self, *names: str, days: float = 365, behind: bool = False) -> int:
        """Write a certificate and its key over what is there.

        :param days: after how many of them it ends.
        :param behind: whether the key is in the same file, behind the certificate.
        :returns: its serial number.
        """
        end = datetime.now(UTC) + timedelta(days=days, minutes=1)
        begin = min(datetime.now(UTC), end) - timedelta(days=1)
        issued = self.authority.issue_cert(
            *(names or ("127.0.0.1",)), not_before=begin, not_after=end
        )
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
        self.certificate.write_bytes(chain + key if behind else chain)
        self.key.write_bytes(key)
        return serial(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))

    def encrypt_key(self) -> None:
        """Put a password on the key."""
        key = load_pem_private_key(self.key.read_bytes(), None)
        secret = BestAvailableEncryption(b"secret")
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client trusts the authority's certificates by."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


def serial(certificate: bytes | None) -> int:
    """The serial number of a certificate in DER, as a client has got it."""
    assert certificate is not None
    return load_der_x509_certificate(certificate).serial_number
