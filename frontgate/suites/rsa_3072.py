"""RSA with 3072-bit keys, PKCS#1 v1.5, SHA-256: the second suite.

Source: RFC 8017, 8.2; XML Signature 1.1, 6.4.2. Keys of 3072 to 4096 bits are accepted.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from frontgate.errors import SignatureError
from frontgate.suites import DIGEST_SHA256


class Rsa3072:
    """See the module."""

    name = "rsa-3072-sha256"
    signature_uri = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    digest_uri = DIGEST_SHA256

    def generate(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=3072)

    def accepts(self, public_key: object) -> bool:
        return isinstance(public_key, rsa.RSAPublicKey) and 3072 <= public_key.key_size <= 4096

    def sign(self, key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def verify(self, public_key: rsa.RSAPublicKey, data: bytes, signature: bytes) -> None:
        if not self.accepts(public_key) or len(signature) != (public_key.key_size + 7) // 8:
            raise SignatureError("FG-SIG-010")
        try:
            public_key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise SignatureError("FG-SIG-010") from None


SUITE = Rsa3072()
