"""`request.json`: what a gateway sends to be admitted. One file, made offline.

It holds the unit codes, one PKCS#10 request each (its signature proves possession of the key) and
the SSH public key. Nothing in it is believed but the keys: names and rights come from the directory.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from frontgate import __version__
from frontgate.core.identifiers import is_unit_code
from frontgate.errors import TrustError
from frontgate.values import Struct

FORMAT = "frontgate-request-1"
MAX_BYTES = 1 << 20


class Request(Struct, frozen=True):
    """units: code → public key. ssh_key: `ssh-ed25519 AAAA…`. fingerprint: of the whole, hex."""

    units: dict[str, Any]
    ssh_key: str
    fingerprint: str

    @property
    def front_end(self) -> str:
        """The unit whose account this gateway logs in as: the first."""
        return next(iter(self.units))


def write_request(units: dict[str, Any], ssh_key: str) -> bytes:
    """units: code → private key, the front end's own unit first. ssh_key: public key line."""
    requests = {}
    for code, key in units.items():
        name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, code)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        requests[code] = csr.public_bytes(serialization.Encoding.PEM).decode()
    document = {
        "format": FORMAT,
        "software": f"frontgate {__version__}",
        "units": requests,
        "ssh_key": " ".join(ssh_key.split()[:2]),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def read_request(data: bytes, path: str = "request.json") -> Request:
    """Parse and prove a request. Raises: TrustError FG-TRU-010, 011."""
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too large")
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError("format")
        rows = dict(document["units"])
        ssh_key = str(document["ssh_key"])
        kind, blob = ssh_key.split()
        if kind != "ssh-ed25519" or not 60 <= len(blob) <= 80:
            raise ValueError("ssh_key must be ssh-ed25519")
        serialization.load_ssh_public_key(ssh_key.encode())
        if not rows:
            raise ValueError("no unit")
        keys: dict[str, Any] = {}
        for code, pem in rows.items():
            if not is_unit_code(str(code)):
                raise ValueError(f"{code} is not a unit code")
            csr = x509.load_pem_x509_csr(str(pem).encode())
            if not csr.is_signature_valid:
                raise TrustError("FG-TRU-011", path=path)
            named = csr.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
            if [n.value for n in named] != [code]:
                raise ValueError(f"the request of {code} names another unit")
            keys[str(code)] = csr.public_key()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrustError("FG-TRU-010", path=path, reason=str(error)[:200]) from None
    return Request(keys, ssh_key, hashlib.sha256(data.strip()).hexdigest())
