"""Certificates as Apple issues them for passes, made here."""

from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PASS_TYPE = "pass.com.example.tickets"
TEAM = "A1B2C3D4E5"
ORGANIZATION = "Kulturhof Ltd"
VALID_FROM, VALID_UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)


class Certificates(NamedTuple):
    """In PEM."""

    issuer: str
    certificate: str
    key: str
    """As PKCS #8."""
    traditional_key: str
    """As PKCS #1."""


@cache
def certificates() -> Certificates:
    issuer_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Developer Relations of a test")])
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.USER_ID, PASS_TYPE),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Pass Type ID: {PASS_TYPE}"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, TEAM),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        ]
    )
    pem = Encoding.PEM
    return Certificates(
        issuer=_certify(issuer, issuer_key, issuer, issuer_key).public_bytes(pem).decode(),
        certificate=_certify(subject, key, issuer, issuer_key).public_bytes(pem).decode(),
        key=key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()).decode(),
        traditional_key=key.private_bytes(pem, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
    )


def wallet_certificate() -> str:
    """A value of WALLET_CERTIFICATE."""
    made = certificates()
    return made.certificate + made.key + made.issuer


def _certify(
    subject: x509.Name, key: rsa.RSAPrivateKey, issuer: x509.Name, issuer_key: rsa.RSAPrivateKey
) -> x509.Certificate:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(VALID_FROM).not_valid_after(VALID_UNTIL)
    is_issuer = x509.BasicConstraints(ca=subject == issuer, path_length=None)
    return builder.add_extension(is_issuer, critical=True).sign(issuer_key, SHA256())
