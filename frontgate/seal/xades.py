"""`META-INF/signatures.xml`: XAdES-B over every part, in one strict form.

Source: ETSI EN 319 132-1 (XAdES-B-B), ETSI EN 319 162-1 (ASiC-E), XML Signature 1.1, C14N 1.1.
The text is written canonical, so the bytes that are digested and signed are pieces of the file with
the namespace declarations of their ancestors added, as inclusive C14N 1.1 renders an apex element.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from lxml import etree

from frontgate import safexml
from frontgate.errors import SignatureError
from frontgate.model.envelope import Part
from frontgate.seal.xml import (
    DS,
    INCLUSIVE_11,
    attribute,
    b64,
    between,
    clean_text,
    hex_of,
    text,
    unb64,
)
from frontgate.suites import Signer, by_uri, public_key_of
from frontgate.values import Struct, replace

ASIC = "http://uri.etsi.org/02918/v1.2.1#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
SIGNED_PROPERTIES = "http://uri.etsi.org/01903#SignedProperties"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
MAX_BYTES = 8 << 20
_NS = {"asic": ASIC, "ds": DS, "xades": XADES}
_DIGEST = f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod>'


class Facts(Struct, frozen=True):
    """All that varies in a signature file. references: part path → SHA-256 hex.

    properties, info: the inner text of SignedProperties and SignedInfo, written from the others;
    properties_digest: what SignedInfo states of the former.
    """

    signature_uri: str
    references: tuple[tuple[str, str], ...]
    media_types: tuple[str, ...]
    signing_time: str
    certificate: bytes
    value: bytes = b""
    properties: str = ""
    properties_digest: str = ""
    info: str = ""


def _digest_value(hex_digest: str) -> str:
    return f"{_DIGEST}<ds:DigestValue>{b64(bytes.fromhex(hex_digest))}</ds:DigestValue>"


def _signed_properties(facts: Facts) -> str:
    """Inner text from `<xades:SignedSignatureProperties>` on."""
    formats = "".join(
        f'<xades:DataObjectFormat ObjectReference="#r-{n}"><xades:MimeType>{text(media)}'
        "</xades:MimeType></xades:DataObjectFormat>"
        for n, media in enumerate(facts.media_types)
    )
    certificate = hashlib.sha256(facts.certificate).hexdigest()
    return (
        "<xades:SignedSignatureProperties>"
        f"<xades:SigningTime>{text(facts.signing_time)}</xades:SigningTime>"
        "<xades:SigningCertificateV2><xades:Cert><xades:CertDigest>"
        f"{_digest_value(certificate)}"
        "</xades:CertDigest></xades:Cert></xades:SigningCertificateV2>"
        "</xades:SignedSignatureProperties>"
        f"<xades:SignedDataObjectProperties>{formats}</xades:SignedDataObjectProperties>"
    )


def _signed_info(facts: Facts, properties_digest: str) -> str:
    """Inner text of `<ds:SignedInfo>`."""
    references = "".join(
        f'<ds:Reference Id="r-{n}" URI="{attribute(quote(path))}">{_digest_value(digest)}'
        "</ds:Reference>"
        for n, (path, digest) in enumerate(facts.references)
    )
    return (
        f'<ds:CanonicalizationMethod Algorithm="{INCLUSIVE_11}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{attribute(facts.signature_uri)}"></ds:SignatureMethod>'
        f"{references}"
        f'<ds:Reference Type="{SIGNED_PROPERTIES}" URI="#SP-1"><ds:Transforms>'
        f'<ds:Transform Algorithm="{INCLUSIVE_11}"></ds:Transform></ds:Transforms>'
        f"{_digest_value(properties_digest)}</ds:Reference>"
    )


def _canonical_properties(inner: str) -> bytes:
    return (
        f'<xades:SignedProperties xmlns:asic="{ASIC}" xmlns:ds="{DS}" xmlns:xades="{XADES}"'
        f' Id="SP-1">{inner}</xades:SignedProperties>'
    ).encode()


def _canonical_info(inner: str) -> bytes:
    return f'<ds:SignedInfo xmlns:asic="{ASIC}" xmlns:ds="{DS}">{inner}</ds:SignedInfo>'.encode()


def _document(facts: Facts, info: str, properties: str) -> bytes:
    return (
        f'<asic:XAdESSignatures xmlns:asic="{ASIC}"><ds:Signature xmlns:ds="{DS}" Id="S-1">'
        f"<ds:SignedInfo>{info}</ds:SignedInfo>"
        f"<ds:SignatureValue>{b64(facts.value)}</ds:SignatureValue>"
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{b64(facts.certificate)}"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        f'<ds:Object><xades:QualifyingProperties xmlns:xades="{XADES}" Target="#S-1">'
        f'<xades:SignedProperties Id="SP-1">{properties}</xades:SignedProperties>'
        "</xades:QualifyingProperties></ds:Object></ds:Signature></asic:XAdESSignatures>"
    ).encode()


def write_signatures(parts: Sequence[Part], signer: Signer, signing_time: datetime) -> bytes:
    """Sign the parts (envelope.xml among them) and return the file's bytes."""
    facts = Facts(
        signature_uri=signer.suite.signature_uri,
        references=tuple((p.path, p.digest) for p in parts),
        media_types=tuple(p.media_type for p in parts),
        signing_time=signing_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        certificate=signer.certificate,
    )
    properties = _signed_properties(facts)
    digest = hashlib.sha256(_canonical_properties(properties)).hexdigest()
    info = _signed_info(facts, digest)
    value = signer.sign(_canonical_info(info))
    return _document(replace(facts, value=value), info, properties)


def read_signatures(data: bytes) -> Facts:
    """Take the values out of a signature file and compare its shape, byte for byte.

    Nothing is verified here. Raises: SignatureError FG-SIG-020, FG-SIG-021; XmlError.
    """
    clean = clean_text(data)
    if clean is not None:
        try:
            return _proven(*_picked(clean), data)
        except SignatureError:
            pass  # the parser says why
    return read_any_signatures(data)


def read_any_signatures(data: bytes) -> Facts:
    """`read_signatures` by the parser, which also says why not."""
    root = safexml.parse_plain(data, max_bytes=MAX_BYTES)
    if root.tag != f"{{{ASIC}}}XAdESSignatures":
        raise SignatureError("FG-SIG-020", what="XAdESSignatures")
    signatures = root.findall("ds:Signature", _NS)
    if not signatures:
        raise SignatureError("FG-SIG-021")
    if len(signatures) != 1:
        raise SignatureError("FG-SIG-020", what="Signature")
    return _proven(*_values(signatures[0]), data)


def _proven(facts: Facts, properties_digest: str, data: bytes) -> Facts:
    """All of the facts, if they are the file's: written again they are its bytes."""
    properties = _signed_properties(facts)
    info = _signed_info(facts, properties_digest)
    if _document(facts, info, properties) != data:
        raise SignatureError("FG-SIG-020", what="signatures.xml")
    return replace(facts, properties=properties, properties_digest=properties_digest, info=info)


_REFERENCE = re.compile(
    f'<ds:Reference Id="r-[0-9]+" URI="([^"<]*)">{re.escape(_DIGEST)}'
    "<ds:DigestValue>([^<]*)</ds:DigestValue>"
)
_MIME_TYPE = re.compile("<xades:MimeType>([^<]*)</xades:MimeType>")


def _picked(clean: str) -> tuple[Facts, str]:
    """What a `clean_text` seems to say. Whether it does shows when it is written again."""
    of_properties = between(clean, f'<ds:Reference Type="{SIGNED_PROPERTIES}"', "</ds:Reference>")
    facts = Facts(
        signature_uri=between(clean, '<ds:SignatureMethod Algorithm="', '"'),
        references=tuple(
            (unquote(uri), hex_of(digest, "DigestValue"))
            for uri, digest in _REFERENCE.findall(clean)
        ),
        media_types=tuple(_MIME_TYPE.findall(clean)),
        signing_time=between(clean, "<xades:SigningTime>", "<"),
        certificate=unb64(between(clean, "<ds:X509Certificate>", "<"), "X509Certificate"),
        value=unb64(between(clean, "<ds:SignatureValue>", "<"), "SignatureValue"),
    )
    return facts, hex_of(between(of_properties, "<ds:DigestValue>", "<"), "DigestValue")


def _values(node: etree._Element) -> tuple[Facts, str]:
    """What varies in a `ds:Signature`, and the digest that it states of its properties. Children are
    taken by their place: whether all are what they should be shows when the text is written again.
    """
    try:
        info, value, key_info, holder = node
        references: list[tuple[str, str]] = []
        properties_digest = ""
        for reference in list(info)[2:]:
            digest = hex_of(_content(reference[-1]), "DigestValue")
            if reference.get("Type") == SIGNED_PROPERTIES:
                properties_digest = digest
            else:
                references.append((unquote(reference.get("URI", "")), digest))
        of_signature, of_data = holder[0][0]
        facts = Facts(
            signature_uri=info[1].get("Algorithm", ""),
            references=tuple(references),
            media_types=tuple(form[0].text or "" for form in of_data),
            signing_time=_content(of_signature[0]),
            certificate=unb64(_content(key_info[0][0]), "X509Certificate"),
            value=unb64(_content(value), "SignatureValue"),
        )
    except (IndexError, ValueError):
        raise SignatureError("FG-SIG-020", what="signatures.xml") from None
    return facts, properties_digest


def _content(node: etree._Element) -> str:
    """The text of an element that holds nothing else. Raises: SignatureError FG-SIG-020."""
    if len(node) or node.text is None:
        raise SignatureError("FG-SIG-020", what=str(node.tag).rpartition("}")[2])
    return node.text


def verify_signatures(facts: Facts, allowed: frozenset[str] | None) -> str:
    """Verify the signature value over what `read_signatures` took out. Returns: the suite's name.

    The digests of the parts are compared by the package reader.
    Raises: SignatureError FG-SIG-001, 004, 010.
    """
    suite = by_uri(facts.signature_uri, allowed)
    key = public_key_of(facts.certificate)
    digest = hashlib.sha256(_canonical_properties(facts.properties)).hexdigest()
    if digest != facts.properties_digest:
        raise SignatureError("FG-SIG-010")
    suite.verify(key, _canonical_info(facts.info), facts.value)
    return suite.name
