"""Signatures of Apple Wallet passes: detached PKCS #7 (RFC 5652) by an RSA key.

The signature itself is computed here, because the library that does it, cryptography, would be loaded by each
cold start: see the decision on paper tickets.
"""

import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime

from asn1crypto import cms, keys, pem, x509

from chalicelib.platform.settings import BadSetting

_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
"""The DigestInfo of SHA-256 up to the hash (RFC 8017, section 9.2)."""


class PassSigner:
    """Signs with the certificate and key in a PEM text, which also has the certificates of its issuers."""

    def __init__(self, text: str) -> None:
        """Raises: BadSetting: The text has no such certificate."""
        certificates: list[x509.Certificate] = []
        private: list[keys.RSAPrivateKey] = []
        try:
            for name, content in _blocks(text):
                if name == "CERTIFICATE":
                    certificates.append(x509.Certificate.load(content, strict=True))
                elif name == "RSA PRIVATE KEY":
                    private.append(keys.RSAPrivateKey.load(content, strict=True))
                elif name == "PRIVATE KEY":
                    private.append(keys.PrivateKeyInfo.load(content, strict=True)["private_key"].parsed)
            [key] = private
            self._modulus = key["modulus"].native
            self._public_exponent = key["public_exponent"].native
            self._exponent = key["private_exponent"].native
            [self._certificate] = [one for one in certificates if self._is_certified_by(one)]
            subject = self._certificate.subject.native
            self.pass_type_id = str(subject["user_id"])
            self.team_id = str(subject["organizational_unit_name"])
            self.organization = str(subject["organization_name"])
        except (ValueError, TypeError, KeyError):
            raise BadSetting(
                "WALLET_CERTIFICATE must have the certificate of a pass type and its RSA key without password"
            ) from None  # the cause could quote the key
        self._certificates = certificates

    def sign(self, content: bytes, now: datetime) -> bytes:
        """Return the signature of the content in DER, with the time and the certificates."""
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["data"]},
                {"type": "signing_time", "values": [cms.Time({"utc_time": now})]},
                {"type": "message_digest", "values": [hashlib.sha256(content).digest()]},
            ]
        )
        signer = {
            "version": "v1",
            "sid": {
                "issuer_and_serial_number": {
                    "issuer": self._certificate.issuer,
                    "serial_number": self._certificate.serial_number,
                }
            },
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": self._sign(attributes.dump()),
        }
        signed = {
            "version": "v1",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "data"},
            "certificates": self._certificates,
            "signer_infos": [signer],
        }
        result = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)})
        return bytes(result.dump())

    def _is_certified_by(self, certificate: x509.Certificate) -> bool:
        if certificate.public_key.algorithm != "rsa":
            return False
        return bool(certificate.public_key["public_key"].parsed["modulus"].native == self._modulus)

    def _sign(self, content: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2).

        The random factor hides from clients how long the private operation takes.
        """
        size = (self._modulus.bit_length() + 7) // 8
        digest = _SHA256_PREFIX + hashlib.sha256(content).digest()
        padded = int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest)
        factor = secrets.randbelow(self._modulus - 2) + 2
        blinded = padded * pow(factor, self._public_exponent, self._modulus) % self._modulus
        signed = pow(blinded, self._exponent, self._modulus) * pow(factor, -1, self._modulus) % self._modulus
        signature: bytes = signed.to_bytes(size)
        return signature


def _blocks(text: str) -> Iterator[tuple[str, bytes]]:
    for name, _, content in pem.unarmor(text.encode(), multiple=True):
        yield name, content
