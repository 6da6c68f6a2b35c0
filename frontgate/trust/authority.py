"""The province's certificate authority: a CA key, the hub's and the units' certificates.

Subjects are set by the hub from its own directory, never taken from a request.
Source: RFC 5280; ETSI EN 319 412-2 (natural use of serialNumber for the unit code).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from frontgate import clock, durable
from frontgate.errors import TrustError
from frontgate.suites import for_key, suite
from frontgate.values import Struct

CA_YEARS = 20
LEAF_DAYS = 3 * 365
_BACKDATE = timedelta(minutes=5)  # the clocks of two machines are never quite the same


def key_pem(key: Any) -> bytes:
    """A private key as unencrypted PKCS#8 PEM; it belongs into a file of mode 0600."""
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def certificate_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: bytes | x509.Certificate) -> str:
    """SHA-256 of a certificate's DER, 64 lower-case hex digits."""
    import hashlib

    der = certificate if isinstance(certificate, bytes) else certificate_der(certificate)
    return hashlib.sha256(der).hexdigest()


def spoken(hex_digest: str) -> str:
    """A fingerprint in groups of four, to read out by phone: the first 128 bits."""
    return " ".join(hex_digest[i : i + 4] for i in range(0, 32, 4)).upper()


def _name(common: str, serial: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, serial),
        ]
    )


def unit_of(certificate: x509.Certificate) -> str:
    """The unit code in a certificate's subject; empty if there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(found[0].value) if len(found) == 1 else ""


class Authority(Struct, frozen=True):
    """The CA with its key. Only the hub's administration holds one."""

    certificate: x509.Certificate
    key: Any

    @classmethod
    def create(cls, unit: str, name: str, *, now: datetime | None = None) -> Authority:
        """A new self-signed CA of P-256 for the hub `unit`."""
        now = now or clock.now()
        key = suite("ecdsa-p256-sha256").generate()
        subject = _name(f"{name} CA", unit)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + timedelta(days=365 * CA_YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """Read `ca.pem` and `ca.key`. Raises: TrustError FG-TRU-020."""
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except (OSError, ValueError) as error:
            raise TrustError(
                "FG-TRU-020", path=str(folder / "ca.key"), detail=str(error)
            ) from error
        return cls(certificate, key)

    def save(self, folder: Path) -> None:
        """Write `ca.pem` and `ca.key` (0600). Raises: TrustError FG-TRU-018 if there is one."""
        if (folder / "ca.key").exists():
            raise TrustError("FG-TRU-018", path=str(folder / "ca.key"))
        durable.write_file(folder / "ca.key", key_pem(self.key))
        durable.write_file(folder / "ca.pem", certificate_pem(self.certificate), 0o644)

    def issue(
        self,
        public_key: Any,
        unit: str,
        name: str,
        *,
        now: datetime | None = None,
        days: int = LEAF_DAYS,
    ) -> x509.Certificate:
        """A signing certificate for a unit (or the hub). Raises: SignatureError for a foreign key."""
        now = now or clock.now()
        for_key(public_key)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name, unit))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
