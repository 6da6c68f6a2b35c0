"""Receipts and control messages: signed together, verifying alone, refused when touched."""

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signing import NOW, POLICE, SUITES, authority, signer

from frontgate.errors import FrontgateError, SignatureError, XmlError
from frontgate.model.message import CONTROL_NS
from frontgate.model.receipt import Kind, Reason, Receipt
from frontgate.seal.control import read_control, write_control
from frontgate.seal.receipts import (
    read_list,
    read_receipt_file,
    receipt_file,
    receipt_xml,
    sign_receipts,
    write_list,
)
from frontgate.values import replace


def receipt(n: int) -> Receipt:
    return Receipt(
        receipt_id=f"0000000{n}-1111-4111-8111-111111111111",
        kind=Kind.DELIVERY_FAILED,
        event_time="2026-11-24T08:00:00.000Z",
        issuer=POLICE,
        issuer_node="gateway",
        message_id=f"m{n}",
        sender="52010221005",
        message_type="a.b",
        receiver=POLICE,
        drop_name="坏 & <名>\x07.xml",
        previous="ab" * 32,
        attempt=2,
        audit_seq=n,
        audit_head="cd" * 32,
        reasons=(Reason("FG-X", "中文 <&>", "text", "f", 3, "/a/b", "v"),),
    )


@pytest.mark.parametrize("name", SUITES)
def test_a_list_gives_back_its_receipts(name: str) -> None:
    made = [receipt(n) for n in range(5)]
    signed = sign_receipts(made, signer(name))
    (group,) = read_list(write_list([(signed.signature, [xml for _, xml, _ in signed.items])]))
    assert group.error is None
    assert group.certificate == signer(name).certificate
    assert [r.message_id for r, _, _ in group.items] == [r.message_id for r in made]
    assert [d for _, _, d in group.items] == [
        hashlib.sha256(x).hexdigest() for _, x, _ in signed.items
    ]
    assert group.items[0][0].drop_name == "坏 & <名>\\x07.xml"


@pytest.mark.parametrize("name", SUITES)
def test_each_file_verifies_alone_and_with_xmlsec1(name: str, tmp_path: Path) -> None:
    signed = sign_receipts([receipt(n) for n in range(3)], signer(name))
    data = receipt_file(signed.items[1][1], signed.signature)
    read, certificate, digest = read_receipt_file(data)
    assert read.message_id == "m1"
    assert certificate == signer(name).certificate
    (tmp_path / "r.xml").write_bytes(data)
    (tmp_path / "ca.pem").write_bytes(authority().certificate.public_bytes(Encoding.PEM))

    def xmlsec() -> int:
        return subprocess.run(
            ["xmlsec1", "--verify", "--ignore-manifests", "--trusted-pem", "ca.pem",
             "--verification-time", "2026-11-24 08:30:00", "--id-attr:Id",
             "http://www.w3.org/2000/09/xmldsig#:Manifest", "r.xml"],
            cwd=tmp_path, capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert xmlsec() == 0
    # The manifest's entry for this receipt, computed by other tools: exclusive C14N by xmllint.
    root = etree.fromstring(data)
    (signature,) = root.findall("{http://www.w3.org/2000/09/xmldsig#}Signature")
    root.remove(signature)
    (tmp_path / "plain.xml").write_bytes(etree.tostring(root))
    canonical = subprocess.run(
        ["xmllint", "--exc-c14n", "plain.xml"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    wanted = base64.b64encode(hashlib.sha256(canonical).digest())
    assert hashlib.sha256(canonical).hexdigest() == digest
    assert wanted in data
    first = base64.b64encode(bytes.fromhex(signed.items[0][2]))
    (tmp_path / "r.xml").write_bytes(data.replace(first, wanted))
    assert xmlsec() != 0


def test_every_changed_field_is_refused() -> None:
    base = receipt(1)
    signed = sign_receipts([base], signer())
    for field in Receipt.__struct_fields__:
        value = getattr(base, field)
        if field == "kind":
            other: object = Kind.DELIVERED
        elif field == "reasons":
            other = ()
        elif isinstance(value, int):
            other = value + 1
        else:
            other = value + "1"
        forged = receipt_xml(replace(base, **{field: other}))
        with pytest.raises(FrontgateError):
            read_receipt_file(receipt_file(forged, signed.signature))


def test_a_receipt_of_another_signature_is_refused_and_the_other_group_holds() -> None:
    good = sign_receipts([receipt(1)], signer())
    other = sign_receipts([receipt(2)], signer())
    data = write_list(
        [(good.signature, [other.items[0][1]]), (other.signature, [other.items[0][1]])]
    )
    groups = read_list(data)
    assert groups[0].error is not None
    assert groups[0].error.code == "FG-SIG-030"
    assert groups[1].error is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<ds:Manifest", b"<ds:Manifest x='1'"),
        (b"<ds:SignatureValue>", b"<ds:SignatureValue> "),
        (b"<ds:SignatureValue>", b"<ds:SignatureValue><!-- -->"),
        (b"enveloped-signature", b"base64"),
        (b"</ds:Signature>", b"<ds:Object></ds:Object></ds:Signature>"),
        (b"<ReceiptId>", b"<Extra></Extra><ReceiptId>"),
        (b"<Attempt>2", b"<Attempt>x"),
        (b"<Kind>delivery-failed", b"<Kind>unknown"),
        (b'Id="r-', b'Id="s-'),
    ],
)
def test_every_other_form_is_refused(old: bytes, new: bytes) -> None:
    signed = sign_receipts([receipt(1)], signer())
    data = receipt_file(signed.items[0][1], signed.signature)
    assert old in data
    with pytest.raises(FrontgateError):
        read_receipt_file(data.replace(old, new, 1))


def test_what_has_no_canonical_form_is_refused_and_the_other_group_holds() -> None:
    """Canonicalisation itself fails for a namespace with a relative name."""
    bad, good = (sign_receipts([receipt(n)], signer()) for n in (1, 2))
    for tag in (b"<Receipt ", b"<ds:Signature "):
        data = write_list(
            (s.signature, [xml for _, xml, _ in s.items]) for s in (bad, good)
        ).replace(tag, tag + b'xmlns:q="q" ', 1)
        groups = read_list(data)
        assert groups[0].error is not None
        assert groups[0].error.code == "FG-XML-009"
        assert groups[1].error is None
    control = write_control(
        "ping", 1, POLICE, NOW, etree.Element(f"{{{CONTROL_NS}}}Ping"), signer()
    )
    with pytest.raises(XmlError) as caught:
        read_control(control.replace(b"<Control ", b'<Control xmlns:q="q" ', 1))
    assert caught.value.code == "FG-XML-009"


def test_no_signature_is_no_receipt() -> None:
    with pytest.raises(SignatureError) as caught:
        read_receipt_file(receipt_xml(receipt(1)))
    assert caught.value.code == "FG-SIG-021"


def body() -> etree._Element:
    return etree.fromstring(
        f'<Heartbeat xmlns="{CONTROL_NS}"><Fact name="v">中&amp;</Fact></Heartbeat>'
    )


@pytest.mark.parametrize("name", SUITES)
def test_control_messages_round_trip_and_satisfy_xmlsec1(name: str, tmp_path: Path) -> None:
    data = write_control("heartbeat", 7, POLICE, NOW, body(), signer(name))
    control = read_control(data)
    assert (control.kind, control.number, control.issuer, control.issued_at) == (
        "heartbeat",
        7,
        POLICE,
        NOW,
    )
    assert control.body[0].text == "中&"
    (tmp_path / "c.xml").write_bytes(data)
    (tmp_path / "ca.pem").write_bytes(authority().certificate.public_bytes(Encoding.PEM))
    command = [
        "xmlsec1",
        "--verify",
        "--trusted-pem",
        "ca.pem",
        "--verification-time",
        "2026-11-24 08:30:00",
        "c.xml",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'number="7"', b'number="8"'),
        (b'kind="heartbeat"', b'kind="release"'),
        (b'issuer="', b'issuer="1'),
        ("中".encode(), "国".encode()),
        (b"<ds:SignedInfo>", b"<ds:SignedInfo> "),
        (b"<ds:KeyInfo>", b"<!-- --><ds:KeyInfo>"),
        (b"</Control>", b"<Heartbeat></Heartbeat></Control>"),
        (b'URI=""', b'URI="#x"'),
    ],
)
def test_touched_control_messages_are_refused(old: bytes, new: bytes) -> None:
    data = write_control("heartbeat", 7, POLICE, NOW, body(), signer())
    assert old in data
    with pytest.raises(FrontgateError):
        read_control(data.replace(old, new, 1))
