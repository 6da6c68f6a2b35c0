"""`<unit>.bundle`: the hub's one answer to a request, signed, ready for a medium.

It holds the certificates, the CA and hub certificates, the hub's address and host keys, and the
signed directory. The CA in it is trusted because its fingerprint was compared by phone; without
that comparison it is trust on first use, and `enrol` says so.
"""

from __future__ import annotations

import base64
from typing import Any

from frontgate import clock
from frontgate.errors import SignatureError, TrustError
from frontgate.suites import Signer
from frontgate.trust.authority import fingerprint
from frontgate.trust.directory import FORMAT as DIRECTORY_FORMAT
from frontgate.trust.directory import from_body
from frontgate.trust.signed import read_signed, write_signed
from frontgate.trust.store import TrustStore
from frontgate.values import Struct

FORMAT = "frontgate-unit-bundle-1"


class UnitBundle(Struct, frozen=True):
    """certificates: unit code → DER. host_keys: public key lines. trust: CA, hub, directory."""

    certificates: dict[str, bytes]
    account: str
    host: str
    port: int
    host_keys: tuple[str, ...]
    trust: TrustStore

    @property
    def ca_fingerprint(self) -> str:
        return fingerprint(self.trust.ca)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def write_unit_bundle(bundle: UnitBundle, signer: Signer) -> bytes:
    """The file's bytes, signed by the hub."""
    body: dict[str, Any] = {
        "certificates": {code: _b64(der) for code, der in bundle.certificates.items()},
        "account": bundle.account,
        "host": bundle.host,
        "port": bundle.port,
        "host_keys": list(bundle.host_keys),
        "ca": _b64(bundle.trust.ca),
        "hub_certificate": _b64(bundle.trust.hub_certificate),
        "directory": _b64(bundle.trust.directory_document),
    }
    return write_signed(FORMAT, body, signer)


def read_unit_bundle(data: bytes, *, ca_fingerprint: str = "", path: str = "bundle") -> UnitBundle:
    """Verify a unit bundle in itself. ca_fingerprint: hex digits as read by phone, or empty.

    Raises: TrustError FG-TRU-013, 014; SignatureError.
    """
    body, certificate = read_signed(data, FORMAT)
    try:
        hub = base64.b64decode(body["hub_certificate"], validate=True)
        document = base64.b64decode(body["directory"], validate=True)
        directory_body, directory_signer = read_signed(document, DIRECTORY_FORMAT)
        trust = TrustStore(
            base64.b64decode(body["ca"], validate=True), hub, from_body(directory_body), document
        )
        bundle = UnitBundle(
            {str(c): base64.b64decode(d, validate=True) for c, d in body["certificates"].items()},
            str(body["account"]),
            str(body["host"]),
            int(body["port"]),
            tuple(map(str, body["host_keys"])),
            trust,
        )
    except (KeyError, TypeError, ValueError, AttributeError, SignatureError) as error:
        raise TrustError("FG-TRU-013", path=path, reason=str(error)[:200]) from None
    if certificate != hub or directory_signer != hub:
        raise TrustError("FG-TRU-013", path=path, reason="not signed by the hub it names")
    wanted = "".join(c for c in ca_fingerprint.lower() if c in "0123456789abcdef")
    if ca_fingerprint and (len(wanted) < 32 or not bundle.ca_fingerprint.startswith(wanted)):
        raise TrustError("FG-TRU-014")

    now = clock.now()
    trust.judge_hub(hub, now)
    for code, der in bundle.certificates.items():
        trust.judge(der, code, now)
    return bundle
