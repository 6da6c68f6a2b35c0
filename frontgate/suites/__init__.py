"""Signature suites: a small contract and one file each.

Which suites a node accepts is policy, passed by the caller; nothing of it is taken from a message.
A key is used through `Signer` alone: sign, certificate. A suite is found by its name, its
SignatureMethod URI or a public key; to add one, add a file with a `SUITE` and name it in `_FILES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from frontgate.errors import SignatureError
from frontgate.values import Struct

DIGEST_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_FILES = ("ecdsa_p256", "rsa_3072")


class Suite(Protocol):
    """One pair of signature and digest algorithm.

    `sign` and `verify` work on the data itself and on SignatureValue octets as XMLDSig defines them.
    """

    name: str
    signature_uri: str
    digest_uri: str

    def generate(self) -> Any: ...

    def accepts(self, public_key: object) -> bool: ...

    def sign(self, key: Any, data: bytes) -> bytes: ...

    def verify(self, public_key: Any, data: bytes, signature: bytes) -> None: ...


@cache
def all_suites() -> tuple[Suite, ...]:
    """Every suite that is built in; the first is the default."""
    return tuple(importlib.import_module(f"frontgate.suites.{name}").SUITE for name in _FILES)


DEFAULT_SUITE = "ecdsa-p256-sha256"


def suite(name: str) -> Suite:
    """The suite of this name. Raises: SignatureError FG-SIG-001."""
    for one in all_suites():
        if one.name == name:
            return one
    raise SignatureError("FG-SIG-001", value=name)


def by_uri(uri: str, allowed: frozenset[str] | None = None) -> Suite:
    """The suite of a SignatureMethod URI among the allowed names (None: all built in).

    Raises: SignatureError FG-SIG-001.
    """
    for one in all_suites():
        if one.signature_uri == uri and (allowed is None or one.name in allowed):
            return one
    raise SignatureError("FG-SIG-001", value=uri)


def for_key(public_key: object) -> Suite:
    """The suite that uses keys like this. Raises: SignatureError FG-SIG-001."""
    for one in all_suites():
        if one.accepts(public_key):
            return one
    raise SignatureError("FG-SIG-001", value=type(public_key).__name__)


class Signer(Struct, frozen=True):
    """A unit's key in use. certificate, chain: DER. sign: data → SignatureValue octets."""

    unit: str
    suite: Suite
    certificate: bytes
    sign: Callable[[bytes], bytes]
    chain: tuple[bytes, ...] = ()


def signer_of(
    key: Any, certificate: x509.Certificate, unit: str, chain: tuple[bytes, ...] = ()
) -> Signer:
    """A signer from a private key object. Raises: SignatureError FG-SIG-002 for a foreign key."""
    used = for_key(key.public_key())
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != certificate.public_key().public_bytes(*spki):
        raise SignatureError("FG-SIG-002", unit=unit)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Signer(unit, used, der, lambda data: used.sign(key, data), chain)


def load_signer(key_path: Path, certificate_path: Path, unit: str) -> Signer:
    """A signer from PEM files: an unencrypted PKCS#8 key and a certificate (chain may follow).

    Raises: SignatureError FG-SIG-002 (do not match), FG-SIG-003 (unreadable).
    """
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        certificates = x509.load_pem_x509_certificates(certificate_path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise SignatureError("FG-SIG-003", unit=unit, detail=str(error)) from error
    chain = tuple(c.public_bytes(serialization.Encoding.DER) for c in certificates[1:])
    return signer_of(key, certificates[0], unit, chain)


@lru_cache(maxsize=2048)
def public_key_of(certificate_der: bytes) -> Any:
    """The public key in a certificate. Raises: SignatureError FG-SIG-004.

    Remembered: the same few hundred certificates sign everything.
    """
    try:
        return x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError("FG-SIG-004", detail=str(error)) from error
