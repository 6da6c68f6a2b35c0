"""ECDSA on P-256 with SHA-256: the default suite.

Source: FIPS 186-5; XML Signature 1.1, 6.4.3 (SignatureValue is r || s, 32 octets each).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from frontgate.errors import SignatureError
from frontgate.suites import DIGEST_SHA256

_HASH = ec.ECDSA(hashes.SHA256())


class EcdsaP256:
    """See the module."""

    name = "ecdsa-p256-sha256"
    signature_uri = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    digest_uri = DIGEST_SHA256

    def generate(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    def accepts(self, public_key: object) -> bool:
        return isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(
            public_key.curve, ec.SECP256R1
        )

    def sign(self, key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, _HASH))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, public_key: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> None:
        if not self.accepts(public_key) or len(signature) != 64:
            raise SignatureError("FG-SIG-010")
        der = encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        try:
            public_key.verify(der, data, _HASH)
        except InvalidSignature:
            raise SignatureError("FG-SIG-010") from None


SUITE = EcdsaP256()
