"""Receipts in XML: signed together, each verifying alone.

All receipts of one signature stand in a `ds:Manifest` inside it, one reference each; the signature
covers the manifest. A receipt's file is the receipt with that signature as its last child: the
manifest's reference has the enveloped-signature transform, so it verifies in a file and in a list
alike. Every text is written canonical and read back only in that form.
Source: XML Signature 1.1, 5.1 (Manifest); `standards/1.0/xsd/receipt.xsd`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from lxml import etree

from frontgate import safexml
from frontgate.errors import FrontgateError, SignatureError, XmlError
from frontgate.model.message import RECEIPT_NS
from frontgate.model.receipt import Kind, Reason, Receipt
from frontgate.seal.xml import (
    DS,
    ENVELOPED,
    EXCLUSIVE,
    attribute,
    b64,
    between,
    child_text,
    clean_text,
    element,
    hex_of,
    leaves,
    optional,
    unb64,
)
from frontgate.suites import Signer, by_uri, public_key_of
from frontgate.values import Struct

SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_R = f"{{{RECEIPT_NS}}}"
_NS = {"r": RECEIPT_NS, "ds": DS}
_DIGEST = f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod>'
_OPEN = f'<ReceiptList xmlns="{RECEIPT_NS}">'
MAX_BYTES = 64 << 20


class SignedReceipts(Struct, frozen=True):
    """items: (receipt, canonical XML, digest) in the given order; one signature for all."""

    signature: bytes
    items: tuple[tuple[Receipt, bytes, str], ...]


class ReceiptGroup(Struct, frozen=True):
    """The receipts of one signature in a list. error: set where they do not verify."""

    signature: bytes
    certificate: bytes
    items: tuple[tuple[Receipt, bytes, str], ...]
    error: FrontgateError | None = None


def receipt_xml(receipt: Receipt) -> bytes:
    """The canonical bytes of a receipt, without signature."""
    r = receipt
    out = [
        f'<Receipt xmlns="{RECEIPT_NS}" Id="r-{attribute(r.receipt_id)}">',
        element("ReceiptId", r.receipt_id),
        element("Kind", r.kind.value),
        element("EventTime", r.event_time),
        f'<Issuer node="{attribute(r.issuer_node)}">{attribute(r.issuer)}</Issuer>',
        element("MessageId", r.message_id),
        optional("MessageType", r.message_type),
        optional("FlowUid", r.flow_uid),
        element("Sender", r.sender),
        optional("Receiver", r.receiver),
        optional("SenderRef", r.sender_ref),
        optional("DropName", _printable(r.drop_name)),
        optional("BundleId", r.bundle_id),
        optional("ContentDigest", r.content_digest),
        optional("SealDigest", r.seal_digest),
        optional("CrlNumber", r.crl_number),
        optional("CaseUid", r.case_uid),
        element("Attempt", str(r.attempt)),
        optional("PreviousReceiptDigest", r.previous),
        element("AuditSeq", str(r.audit_seq)),
        element("AuditHead", r.audit_head),
        optional("Dialect", r.dialect),
    ]
    if r.reasons:
        out.append("<Reasons>")
        for reason in r.reasons:
            out += [
                "<Reason>",
                element("Code", reason.code),
                element("Severity", reason.severity),
                element("TextZh", _printable(reason.zh)),
                element("TextEn", _printable(reason.en)),
                optional("File", _printable(reason.file)),
                optional("Line", str(reason.line) if reason.line is not None else ""),
                optional("XPath", _printable(reason.xpath)),
                optional("Value", _printable(reason.value)),
                "</Reason>",
            ]
        out.append("</Reasons>")
    out.append("</Receipt>")
    return "".join(out).encode()


_ODD = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _printable(value: str) -> str:
    """Without what XML cannot hold: control characters become a visible escape."""
    if _ODD.search(value) is None:
        return value
    return "".join(
        c
        if (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff") or c in "\t\n"
        else f"\\x{ord(c):02x}"
        for c in value
    )


def receipt_digest(xml: bytes) -> str:
    """SHA-256 of a receipt's canonical bytes."""
    return hashlib.sha256(xml).hexdigest()


_TRANSFORMS = (
    f'<ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform></ds:Transforms>'
)
_APEX = f' xmlns:ds="{DS}"'
"""The declaration that a canonical subtree carries on its own top."""


class _Signed:
    """What one signature covers: the manifest with a reference to each receipt, and its digest."""

    def __init__(self, references: Sequence[tuple[str, str]], uri: str) -> None:
        self._uri = uri
        # The manifest's Id comes from its content, so that two of them in one list differ.
        joined = "".join(f"{i}\n{d}\n" for i, d in references)
        self._ident = "m-" + hashlib.sha256(joined.encode()).hexdigest()[:32]
        self._references = "".join(
            f'<ds:Reference URI="#r-{attribute(receipt_id)}">{_TRANSFORMS}{_DIGEST}'
            f"<ds:DigestValue>{b64(bytes.fromhex(digest))}</ds:DigestValue></ds:Reference>"
            for receipt_id, digest in references
        )
        self._digest = hashlib.sha256(self._manifest(_APEX).encode()).digest()

    def _manifest(self, declared: str) -> str:
        return f'<ds:Manifest{declared} Id="{self._ident}">{self._references}</ds:Manifest>'

    def _info(self, declared: str) -> str:
        return (
            f'<ds:SignedInfo{declared}><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">'
            f'</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{attribute(self._uri)}">'
            f'</ds:SignatureMethod><ds:Reference Type="{DS}Manifest" URI="#{self._ident}">'
            f'<ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform></ds:Transforms>'
            f"{_DIGEST}<ds:DigestValue>{b64(self._digest)}</ds:DigestValue></ds:Reference>"
            "</ds:SignedInfo>"
        )

    def octets(self) -> bytes:
        """What is signed: the canonical SignedInfo."""
        return self._info(_APEX).encode()

    def signature(self, value: bytes, certificate: bytes) -> bytes:
        """The whole `ds:Signature`."""
        return (
            f'<ds:Signature xmlns:ds="{DS}">{self._info("")}'
            f"<ds:SignatureValue>{b64(value)}</ds:SignatureValue>"
            f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{b64(certificate)}"
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            f"<ds:Object>{self._manifest('')}</ds:Object></ds:Signature>"
        ).encode()


def sign_receipts(receipts: Sequence[Receipt], signer: Signer) -> SignedReceipts:
    """Sign any number of receipts of one issuer with one signature."""
    items = []
    for receipt in receipts:
        xml = receipt_xml(receipt)
        items.append((receipt, xml, receipt_digest(xml)))
    references = [(receipt.receipt_id, digest) for receipt, _, digest in items]
    signed = _Signed(references, signer.suite.signature_uri)
    value = signer.sign(signed.octets())
    return SignedReceipts(signed.signature(value, signer.certificate), tuple(items))


def receipt_file(xml: bytes, signature: bytes) -> bytes:
    """One receipt with its signature: what stands in `receipts/`."""
    end = b"</Receipt>"
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml[: -len(end)] + signature + end + b"\n"


def write_list(groups: Iterable[tuple[bytes, Sequence[bytes]]]) -> bytes:
    """A list for the wire. groups: (signature, canonical receipts that it covers)."""
    out = [_OPEN.encode()]
    for signature, receipts in groups:
        out += [b"<Group>", signature, *receipts, b"</Group>"]
    out.append(b"</ReceiptList>")
    return b"".join(out)


def read_list(data: bytes) -> tuple[ReceiptGroup, ...]:
    """Read and verify a list. A group that does not verify has `error` set; the others hold.

    Raises: XmlError; SignatureError FG-SIG-031 where it is no list at all.
    """
    clean = clean_text(data)
    picked = None if clean is None else _picked_list(clean)
    if picked is None:
        return read_any_list(data)
    groups: list[ReceiptGroup] = []
    for signature, items in picked:
        try:
            groups.append(_verified(signature, items))
        except SignatureError as error:
            groups.append(ReceiptGroup(b"", b"", (), error))
    return tuple(groups)


def read_any_list(data: bytes) -> tuple[ReceiptGroup, ...]:
    """`read_list` by the parser, for a list of any form."""
    root = safexml.parse_plain(data, max_bytes=MAX_BYTES)
    if root.tag != f"{{{RECEIPT_NS}}}ReceiptList":
        raise SignatureError("FG-SIG-031", what="ReceiptList")
    groups: list[ReceiptGroup] = []
    for node in root:
        try:
            signatures = node.findall("ds:Signature", _NS)
            if node.tag != f"{{{RECEIPT_NS}}}Group" or len(signatures) != 1:
                raise SignatureError("FG-SIG-031", what="Group")
            groups.append(_verify_group(signatures[0], node.findall("r:Receipt", _NS)))
        except (SignatureError, XmlError) as error:
            groups.append(ReceiptGroup(b"", b"", (), error))
    return tuple(groups)


def read_receipt_file(data: bytes) -> tuple[Receipt, bytes, str]:
    """Read and verify a receipt's file. Returns: (receipt, certificate DER, digest).

    Raises: XmlError, SignatureError.
    """
    root = safexml.parse_plain(data.strip(), max_bytes=MAX_BYTES)
    signatures = root.findall("ds:Signature", _NS)
    if root.tag != f"{{{RECEIPT_NS}}}Receipt":
        raise SignatureError("FG-SIG-031", what="Receipt")
    if not signatures:
        raise SignatureError("FG-SIG-021")
    if len(signatures) != 1 or root[-1] is not signatures[0]:
        raise SignatureError("FG-SIG-031", what="Signature")
    group = _verify_group(signatures[0], [root])
    receipt, _, digest = group.items[0]
    return receipt, group.certificate, digest


class _Signature(Struct, frozen=True):
    """A `ds:Signature` whose bytes are those that its values give."""

    xml: bytes
    signed: _Signed
    uri: str
    value: bytes
    certificate: bytes
    references: Sequence[tuple[str, str]]


def _compared(
    xml: bytes, uri: str, references: Sequence[tuple[str, str]], value: str, certificate: str
) -> _Signature:
    """references: receipt and digest in Base64. Raises: SignatureError FG-SIG-020 for another form."""
    known = [(receipt_id, hex_of(digest, "DigestValue")) for receipt_id, digest in references]
    signature = unb64(value, "SignatureValue")
    der = unb64(certificate, "X509Certificate")
    signed = _Signed(known, uri)
    if signed.signature(signature, der) != xml:
        raise SignatureError("FG-SIG-020", what="Signature")
    return _Signature(xml, signed, uri, signature, der, known)


def _verify_group(node: etree._Element, receipts: Sequence[etree._Element]) -> ReceiptGroup:
    method = node.find("ds:SignedInfo/ds:SignatureMethod", _NS)
    signature = _compared(
        safexml.canonical(node),
        "" if method is None else method.get("Algorithm", ""),
        [
            (
                reference.get("URI", "").removeprefix("#r-"),
                child_text(reference, "ds:DigestValue", _NS, "DigestValue"),
            )
            for reference in node.iterfind("ds:Object/ds:Manifest/ds:Reference", _NS)
        ],
        child_text(node, "ds:SignatureValue", _NS, "SignatureValue"),
        child_text(node, "ds:KeyInfo/ds:X509Data/ds:X509Certificate", _NS, "X509Certificate"),
    )
    return _verified(signature, map(_read, receipts))


def _verified(signature: _Signature, receipts: Iterable[tuple[Receipt, bytes]]) -> ReceiptGroup:
    """receipts: with their canonical bytes. Raises: SignatureError."""
    suite, key = by_uri(signature.uri), public_key_of(signature.certificate)
    suite.verify(key, signature.signed.octets(), signature.value)
    known = dict(signature.references)
    if len(known) != len(signature.references):
        raise SignatureError("FG-SIG-020", what="Manifest")
    items: list[tuple[Receipt, bytes, str]] = []
    for receipt, xml in receipts:
        digest = receipt_digest(xml)
        if known.get(receipt.receipt_id) != digest:
            raise SignatureError("FG-SIG-030", value=receipt.receipt_id)
        items.append((receipt, xml, digest))
    return ReceiptGroup(signature.xml, signature.certificate, tuple(items))


_SIGNATURE_END = "</ds:Signature>"
_RECEIPT_END = "</Receipt>"
_REFERENCE = re.compile(
    f'<ds:Reference URI="#r-([^"<]*)">{re.escape(_TRANSFORMS + _DIGEST)}'
    "<ds:DigestValue>([^<]*)</ds:DigestValue>"
)


def _picked_list(clean: str) -> list[tuple[_Signature, list[tuple[Receipt, bytes]]]] | None:
    """The groups of a list whose text, written again, is what was read; None for any other."""
    found: list[tuple[_Signature, list[tuple[Receipt, bytes]]]] = []
    try:
        for group in clean.split("<Group>")[1:]:
            head, _, tail = group.partition(_SIGNATURE_END)
            signature = _compared(
                (head + _SIGNATURE_END).encode(),
                between(head, '<ds:SignatureMethod Algorithm="', '"'),
                _REFERENCE.findall(between(head, "<ds:Object>", "</ds:Object>")),
                between(head, "<ds:SignatureValue>", "<"),
                between(head, "<ds:X509Certificate>", "<"),
            )
            receipts: list[tuple[Receipt, bytes]] = []
            for text in tail.split(_RECEIPT_END)[:-1]:
                said, _, listed = text.partition("<Reasons>")
                reasons = [dict(leaves(r)) for r in listed.split("<Reason>")[1:]]
                node = between(said, '<Issuer node="', '"')
                receipt = _receipt(dict(leaves(said)), node, reasons)
                receipts.append((receipt, receipt_xml(receipt)))
            found.append((signature, receipts))
    except SignatureError:
        return None
    written = write_list((s.xml, [xml for _, xml in receipts]) for s, receipts in found)
    return found if written == clean.encode() else None


def _read(node: etree._Element) -> tuple[Receipt, bytes]:
    """A receipt and its canonical bytes. Raises: SignatureError FG-SIG-031 for another form."""
    texts = _texts(node)
    listed = node.find(f"{_R}Reasons")
    issuer = node.find(f"{_R}Issuer")
    receipt = _receipt(
        texts,
        "" if issuer is None else issuer.get("node", ""),
        [_texts(n) for n in (() if listed is None else listed.iterchildren(f"{_R}Reason"))],
    )
    xml = receipt_xml(receipt)
    for inner in node.findall("ds:Signature", _NS):
        node.remove(inner)
    if xml != safexml.canonical(node):
        raise SignatureError("FG-SIG-031", what=receipt.receipt_id)
    return receipt, xml


def _receipt(
    texts: Mapping[str, str], issuer_node: str, reasons: Sequence[Mapping[str, str]]
) -> Receipt:
    """From the texts of its elements, by name. Raises: SignatureError FG-SIG-031."""
    one = texts.get
    try:
        return Receipt(
            receipt_id=one("ReceiptId", ""),
            kind=Kind(one("Kind", "")),
            event_time=one("EventTime", ""),
            issuer=one("Issuer", ""),
            issuer_node=issuer_node,
            message_id=one("MessageId", ""),
            sender=one("Sender", ""),
            message_type=one("MessageType", ""),
            flow_uid=one("FlowUid", ""),
            receiver=one("Receiver", ""),
            sender_ref=one("SenderRef", ""),
            drop_name=one("DropName", ""),
            bundle_id=one("BundleId", ""),
            content_digest=one("ContentDigest", ""),
            seal_digest=one("SealDigest", ""),
            crl_number=one("CrlNumber", ""),
            previous=one("PreviousReceiptDigest", ""),
            attempt=int(one("Attempt", "")),
            audit_seq=int(one("AuditSeq", "")),
            audit_head=one("AuditHead", ""),
            case_uid=one("CaseUid", ""),
            dialect=one("Dialect", ""),
            reasons=tuple(
                Reason(
                    code=n.get("Code", ""),
                    zh=n.get("TextZh", ""),
                    en=n.get("TextEn", ""),
                    file=n.get("File", ""),
                    line=int(n.get("Line", "")) if n.get("Line", "") else None,
                    xpath=n.get("XPath", ""),
                    value=n.get("Value", ""),
                    severity=n.get("Severity", ""),
                )
                for n in reasons
            ),
        )
    except ValueError:
        raise SignatureError("FG-SIG-031", what=one("ReceiptId", "") or "Receipt") from None


def _texts(node: etree._Element) -> dict[str, str]:
    """The text of the first child of each name."""
    found: dict[str, str] = {}
    for child in node:
        found.setdefault(str(child.tag).removeprefix(_R), child.text or "")
    return found
