"""The quick readers of what is signed say what the parser says, also of what somebody has changed."""

import random
from collections.abc import Callable

import pytest
from signing import HEADER, NOW, POLICE, PROCURATORATE, signer

from frontgate.errors import FrontgateError
from frontgate.model.envelope import Copy, Envelope, Part
from frontgate.model.message import Address, Software
from frontgate.model.receipt import Kind, Reason, Receipt
from frontgate.seal import envelope as envelopes
from frontgate.seal import receipts, xades
from frontgate.seal.xml import QUICK_BYTES, clean_text
from frontgate.values import replace

PARTS = (
    Part("files/a.pdf", 400, "application/pdf", "ab" * 32),
    Part("message.xml", 12, "application/xml", "cd" * 32),
)
PLAIN = replace(
    HEADER,
    software=Software("厂商", "产品", "1"),
    person_uids=("P-1", "P-2"),
    receivers=(Address(PROCURATORATE), Address("52010231000")),
    in_reply_to="x",
    test_flag=True,
)
ENVELOPE = Envelope(
    PLAIN,
    tuple(a.code for a in PLAIN.receivers),
    (Copy("52010213005"), Copy("52010213006", "narrowed")),
    PARTS,
    "original",
    "ef" * 32,
    POLICE,
)
RECEIPT = Receipt(
    receipt_id="11111111-1111-4111-8111-111111111111",
    kind=Kind.DELIVERED,
    event_time="2026-11-24T08:00:00.000Z",
    issuer=POLICE,
    issuer_node="gateway",
    message_id="m1",
    sender=PROCURATORATE,
    message_type="a.b",
    drop_name="逮捕.xml",
    previous="ab" * 32,
    attempt=2,
    audit_seq=7,
    audit_head="cd" * 32,
)
OTHER = replace(RECEIPT, receipt_id="22222222-2222-4222-8222-222222222222", drop_name="")
REFUSED = replace(OTHER, kind=Kind.DELIVERY_FAILED, reasons=(Reason("FG-X", "中", "text", line=3),))


def _list(*groups: tuple[Receipt, ...]) -> bytes:
    signed = [receipts.sign_receipts(group, signer()) for group in groups]
    return receipts.write_list((s.signature, [xml for _, xml, _ in s.items]) for s in signed)


def _forged() -> bytes:
    """Of the right form; the second group's signature covers another receipt."""
    one, other = (receipts.sign_receipts([r], signer()) for r in (RECEIPT, OTHER))
    return receipts.write_list(
        [(one.signature, [one.items[0][1]]), (one.signature, [other.items[0][1]])]
    )


def _groups(data: bytes) -> object:
    return [(g.items, g.certificate, _said(g.error)) for g in receipts.read_list(data)]


def _groups_parsed(data: bytes) -> object:
    return [(g.items, g.certificate, _said(g.error)) for g in receipts.read_any_list(data)]


def _said(error: FrontgateError | None) -> object:
    return error and (error.code, error.message("en"))


SIGNATURES = xades.write_signatures(
    [*PARTS, Part("envelope.xml", 9, "application/xml", "01" * 32)], signer(), NOW
)
CASES: dict[str, tuple[bytes, Callable[[bytes], object], Callable[[bytes], object]]] = {
    "envelope": (
        envelopes.write_envelope(ENVELOPE),
        envelopes.read_envelope,
        envelopes.read_any_envelope,
    ),
    "least envelope": (
        envelopes.write_envelope(Envelope(replace(HEADER, software=None), (PROCURATORATE,))),
        envelopes.read_envelope,
        envelopes.read_any_envelope,
    ),
    "signatures": (SIGNATURES, xades.read_signatures, xades.read_any_signatures),
    "receipts": (_list((RECEIPT, OTHER), (replace(RECEIPT, kind=Kind.HANDED_OVER),)), _groups, _groups_parsed),
    "a receipt with reasons": (_list((RECEIPT,), (REFUSED,)), _groups, _groups_parsed),
    "another's receipt": (_forged(), _groups, _groups_parsed),
    "no receipts": (_list(), _groups, _groups_parsed),
}  # fmt: skip
SNIPPETS = (
    b" ", b"\n", b"\r\n", b"\t", b"<!-- -->", b"<?x y?>", b"&amp;", b"&#65;", b"<x></x>", b"<x/>", b"]]>",
    b"<![CDATA[a]]>", b"<Original><MessageId></MessageId></Original>", b"<Cc mode=\"full\">1</Cc>",
    b"<Receiver>1</Receiver>", b"<Software></Software>", b"<Reasons></Reasons>", b"<Group>", b"</Group>",
    b"<Part bytes=\"01\" mediaType=\"\" path=\"\" sha256=\"\"></Part>", b"\x00", b"\x7f", b"\xff", b">", b"'",
    b"\"", b" a=\"b\"", b" xmlns:q=\"q\"", "中".encode(), "\ufffe".encode(), "\u0085".encode(), b"%41", b"+", b"=",
)  # fmt: skip


def _outcome(read: Callable[[bytes], object], data: bytes) -> object:
    try:
        return read(data)
    except FrontgateError as error:
        return _said(error)


@pytest.mark.parametrize("name", CASES)
def test_quick_and_parsed_agree_on_what_we_write(name: str) -> None:
    data, quick, parsed = CASES[name]
    assert clean_text(data) is not None
    assert quick(data) == parsed(data)


@pytest.mark.parametrize("name", [n for n in CASES if n != "another's receipt"])
def test_what_we_write_is_not_parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, quick, _ = CASES[name]
    for module in (envelopes, xades, receipts):
        monkeypatch.delattr(module, "safexml")
    quick(data)


@pytest.mark.parametrize("name", CASES)
def test_quick_and_parsed_agree_on_what_was_changed(name: str) -> None:
    """900 seeded changes: a byte, a piece put in, taken away, doubled, or moved."""
    data, quick, parsed = CASES[name]
    luck = random.Random(name)
    kept = 0
    for _ in range(900):
        at, end = sorted(luck.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + luck.choice((1, 4, 40, 400)))
        changed = luck.choice(
            (
                data[:at] + bytes([luck.randrange(256)]) + data[at + 1 :],
                data[:at] + luck.choice(SNIPPETS) + data[at:],
                _at_tag(data, luck, luck.choice(SNIPPETS)),
                data[:at] + data[end:],
                data[:end] + data[at:end] + data[end:],
                data[:at] + data[end:] + data[at:end],
                _element_gone(data, luck),
            )
        )
        found = _outcome(quick, changed)
        assert found == _outcome(parsed, changed), changed
        kept += isinstance(found, Envelope | xades.Facts | list)
    assert kept, "no change was harmless"


def _at_tag(data: bytes, luck: random.Random, snippet: bytes) -> bytes:
    """The snippet before, after or inside some tag."""
    places = [n + luck.randrange(2) for n, c in enumerate(data) if c in b"<>"]
    at = luck.choice(places)
    return data[:at] + snippet + data[at:]


def _element_gone(data: bytes, luck: random.Random) -> bytes:
    """Without what lies from one tag to another."""
    at, end = sorted(luck.sample([n for n, c in enumerate(data) if c in b"<"] + [len(data)], 2))
    return data[:at] + data[end:]


@pytest.mark.parametrize("read", [envelopes.read_envelope, envelopes.read_any_envelope])
def test_a_header_that_was_read_names_the_envelopes_receivers(
    read: Callable[[bytes], Envelope],
) -> None:
    other = replace(ENVELOPE, header=replace(PLAIN, receivers=(Address("x", "scheme"),)))
    found = read(envelopes.write_envelope(other))
    assert found.header.receivers == tuple(map(Address, ENVELOPE.receivers))


def test_a_large_document_is_left_to_the_parser() -> None:
    assert clean_text(b"a" * QUICK_BYTES) is not None
    assert clean_text(b"a" * (QUICK_BYTES + 1)) is None


@pytest.mark.parametrize("odd", ["&", "\t", "\n", "\r", "\x00", "\x1f", "\x7f", "\ufffe", "\uffff"])
def test_only_characters_that_stand_for_themselves_are_clean(odd: str) -> None:
    assert clean_text(f"中a{odd}b".encode()) is None
    assert clean_text(b"a\xed\xa0\x80") is None  # a surrogate
