"""The testbed's own certificate authority and the certificates it signs.

Elliptic-curve keys (P-256): making fifteen RSA keys would take longer
than starting the API server.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence


LIFETIME = dt.timedelta(days=365)
"""Validity: a testbed is thrown away long before; each start makes new certificates."""
CLOCK_SLACK = dt.timedelta(minutes=5)
"""Certificates are valid from this much earlier, should the clock be set back."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def _name(common_name: str, organisation: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        attributes.append(
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        )
    return x509.Name(attributes)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a private key as the Kubernetes programs read it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write the public half, which verifies service-account tokens."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )


class Authority:
    """A certificate authority that lives only as long as this object.

    Its private key is never written to a file:
    nobody can sign further certificates for a running testbed.
    They are valid from `now` on.
    """

    def __init__(self, now: dt.datetime) -> None:
        self._now = now
        self._key = new_key()
        self._subject = _name("cmhot testbed CA", None)
        certificate = (
            self._builder(self._subject, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - CLOCK_SLACK)
            .not_valid_after(self._now + LIFETIME)
        )

    def issue(
        self,
        common_name: str,
        *,
        organisation: str | None = None,
        names: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> KeyPair:
        """Sign a certificate: for a client, or for a server if it has names.

        RBAC sees the common name as the user and the organisation as the group.
        """
        key = new_key()
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(_name(common_name, organisation), key)
        alternatives: list[x509.GeneralName] = [
            *(x509.DNSName(name) for name in names),
            *(x509.IPAddress(ipaddress.ip_address(text)) for text in addresses),
        ]
        if alternatives:
            usage.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = (
            builder.add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(
                # Python's ssl refuses a chain without it (VERIFY_X509_STRICT, 3.13).
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._key.public_key()
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return KeyPair(
            certificate=certificate.public_bytes(serialization.Encoding.PEM),
            key=key_pem(key),
        )
