"""Control messages: signed by their issuer, numbered, applied by verification only.

Form: `<Control xmlns="urn:frontgate:control:1" issuedAt issuer kind number>` with one body element
and an enveloped XML signature (URI="", enveloped-signature, exclusive C14N) as its last child.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from lxml import etree

from frontgate import safexml
from frontgate.errors import SignatureError
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.seal.xml import DS, ENVELOPED, EXCLUSIVE, attribute, b64, child_text, unb64
from frontgate.suites import Signer, by_uri, public_key_of
from frontgate.values import Struct

SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
MAX_BYTES = 32 << 20
_NS = {"c": CONTROL_NS, "ds": DS}
_KIND = re.compile(r"[a-z][a-z-]{1,40}")


class Control(Struct, frozen=True):
    """A verified control message. certificate: DER of who signed; its right is judged elsewhere."""

    kind: str
    number: int
    issuer: str
    issued_at: datetime
    body: etree._Element
    certificate: bytes


def _info(uri: str, digest: bytes, *, apex: bool) -> str:
    declared = f' xmlns:ds="{DS}"' if apex else ""
    return (
        f'<ds:SignedInfo{declared}><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">'
        f'</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{attribute(uri)}">'
        '</ds:SignatureMethod><ds:Reference URI=""><ds:Transforms>'
        f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
        f'<ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod>'
        f"<ds:DigestValue>{b64(digest)}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )


def _signature(uri: str, digest: bytes, value: bytes, certificate: bytes) -> bytes:
    return (
        f'<ds:Signature xmlns:ds="{DS}">{_info(uri, digest, apex=False)}'
        f"<ds:SignatureValue>{b64(value)}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
        f"<ds:X509Certificate>{b64(certificate)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        "</ds:Signature>"
    ).encode()


def write_control(
    kind: str, number: int, issuer: str, issued_at: datetime, body: etree._Element, signer: Signer
) -> bytes:
    """A signed control message. number: grows with each one of this issuer."""
    root = etree.Element(f"{{{CONTROL_NS}}}Control", nsmap=CONTROL_MAP)
    root.set("issuedAt", issued_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    root.set("issuer", issuer)
    root.set("kind", kind)
    root.set("number", str(number))
    root.append(body)
    plain = safexml.canonical(root)
    digest = hashlib.sha256(plain).digest()
    uri = signer.suite.signature_uri
    value = signer.sign(_info(uri, digest, apex=True).encode())
    end = b"</Control>"
    return plain[: -len(end)] + _signature(uri, digest, value, signer.certificate) + end


def read_control(data: bytes) -> Control:
    """Read and verify a control message. Raises: XmlError, SignatureError FG-SIG-*."""
    root = safexml.parse_plain(data, max_bytes=MAX_BYTES)
    signatures = root.findall("ds:Signature", _NS)
    if root.tag != f"{{{CONTROL_NS}}}Control" or len(root) != 2:
        raise SignatureError("FG-SIG-032", what="Control")
    if len(signatures) != 1 or root[-1] is not signatures[0]:
        raise SignatureError("FG-SIG-021")
    node = signatures[0]
    shown = safexml.canonical(node)
    method = node.find("ds:SignedInfo/ds:SignatureMethod", _NS)
    uri = "" if method is None else method.get("Algorithm", "")
    value = unb64(child_text(node, "ds:SignatureValue", _NS, "SignatureValue"), "SignatureValue")
    certificate = unb64(
        child_text(node, "ds:KeyInfo/ds:X509Data/ds:X509Certificate", _NS, "X509Certificate"),
        "X509Certificate",
    )
    root.remove(node)
    digest = hashlib.sha256(safexml.canonical(root)).digest()
    if _signature(uri, digest, value, certificate) != shown:
        raise SignatureError("FG-SIG-010")
    by_uri(uri).verify(public_key_of(certificate), _info(uri, digest, apex=True).encode(), value)
    kind, number = root.get("kind", ""), root.get("number", "")
    try:
        issued_at = datetime.strptime(root.get("issuedAt", ""), "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise SignatureError("FG-SIG-032", what="issuedAt") from None
    if not _KIND.fullmatch(kind) or not (number.isascii() and number.isdigit()):
        raise SignatureError("FG-SIG-032", what="kind, number")
    return Control(
        kind,
        int(number),
        root.get("issuer", ""),
        issued_at.replace(tzinfo=UTC),
        root[0],
        certificate,
    )
