"""Receipts as kept: each verifies alone, says what its row says, and is chained to the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from frontgate.errors import FrontgateError
from frontgate.inspect.home import Home
from frontgate.inspect.verdict import Tally
from frontgate.journal import audit
from frontgate.model.receipt import Receipt
from frontgate.pipeline import chains
from frontgate.seal.receipts import ReceiptGroup, read_list, write_list

_SUPERSEDED = frozenset({"FG-TRU-004", "FG-TRU-006"})
"""Codes of a certificate of the unit and our CA that was replaced or revoked since: what it signed
while it was registered stays good, and when that ended is not in the directory."""

_COLUMNS = (
    "r.id, r.receipt_id, r.kind, r.sender, r.message_id, r.receiver, r.issuer, r.issuer_node,"
    " r.event_time, r.digest, r.audit_seq, r.audit_head, r.xml, r.signature_id, s.xml,"
    " p.content_digest, p.state, p.direction"
)


def judge(home: Home, certificate: bytes, unit: str, at: datetime, *, is_hub: bool) -> str:
    """Why a certificate may not speak for a unit at that time; empty where it may."""
    try:
        if is_hub:
            home.trust.judge_hub(certificate, at)
        else:
            home.trust.judge(certificate, unit, at)
    except FrontgateError as error:
        return "" if error.code in _SUPERSEDED else error.code
    return ""


def check_receipts(home: Home, tally: Tally) -> None:
    """Every receipt against its own bytes, its signature, its signer, its package, its chain."""
    for rows in _by_signature(home):
        group = _verified(rows)
        if group is None or len(group.items) != len(rows):
            tally.ok(8, len(rows))
            for row in rows:
                tally.broken(8, row[1], "回执签名不成立", "the receipt's signature does not hold")
            continue
        for row, (receipt, _, digest) in zip(rows, group.items, strict=True):
            _check_one(home, tally, row, receipt, digest, group.certificate)


def _by_signature(home: Home) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Runs of neighbouring receipts that share a signature: one verification for each run."""
    run: list[tuple[Any, ...]] = []
    for row in home.pages(
        f"SELECT {_COLUMNS} FROM receipt r JOIN signature s ON s.id = r.signature_id"  # noqa: S608
        " LEFT JOIN package p ON p.id = r.package_id WHERE r.id > ?1 ORDER BY r.id"
    ):
        if run and (row[13] != run[0][13] or len(run) >= 512):
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _verified(rows: Sequence[tuple[Any, ...]]) -> ReceiptGroup | None:
    try:
        (group,) = read_list(write_list([(bytes(rows[0][14]), [bytes(r[12]) for r in rows])]))
    except FrontgateError:
        return None
    return group if group.error is None else None


def _check_one(
    home: Home,
    tally: Tally,
    row: tuple[Any, ...],
    receipt: Receipt,
    digest: str,
    certificate: bytes,
) -> None:
    said = (
        receipt.receipt_id, receipt.kind.value, receipt.sender, receipt.message_id, receipt.receiver,
        receipt.issuer, receipt.issuer_node, receipt.event_time, digest, receipt.audit_seq,
        receipt.audit_head,
    )  # fmt: skip
    tally.expect(
        8, said == row[1:12], row[1], "回执与日志行不符", "the receipt is not what its row says"
    )
    why = judge(
        home,
        certificate,
        receipt.issuer,
        datetime.fromisoformat(receipt.event_time),
        is_hub=receipt.issuer_node == "hub",
    )
    tally.expect(
        8, not why, row[1], f"签发者证书不可信（{why}）", f"its signer may not issue it ({why})"
    )
    if receipt.kind.is_negative:
        tally.expect(
            12, receipt.reasons, row[1], "否定回执没有理由", "a negative receipt without a reason"
        )
    if row[16] == "ADMITTED" and receipt.content_digest:
        tally.expect(
            8, receipt.content_digest == row[15], row[1], "回执的摘要与包不符", "names another content than its package",
        )  # fmt: skip
    if f"{receipt.issuer_node}:{receipt.issuer}" == home.name or (
        receipt.issuer_node == home.role and receipt.issuer in home.units
    ):
        _check_chain(home, tally, receipt)


def _check_chain(home: Home, tally: Tally, receipt: Receipt) -> None:
    """A digest cannot be named before its receipt exists, so the order of rows says nothing more: a
    restored node gets its own receipts back in any order.
    """
    if not receipt.message_id:
        return
    kept = home.reader.all(
        "SELECT digest FROM receipt WHERE message_id = ? AND (receiver = ? OR receiver = '' OR ? = '')",
        receipt.message_id, receipt.receiver, receipt.receiver,
    )  # fmt: skip
    chained = not receipt.previous or receipt.previous in {str(r[0]) for r in kept}
    tally.expect(
        8,
        chained,
        receipt.receipt_id,
        "前一回执的摘要不存在",
        "chained to a receipt that is not kept",
    )


def check_audit(home: Home, tally: Tally, archives: Path | None) -> audit.Examination:
    """The chain from its genesis or newest checkpoint to its head, against every receipt that this
    node issued. archives: folder of the archived part.
    """
    found = chains.examine(home.reader, home.keys, archives)
    tally.ok(9, found.walked)
    for b in found.breaks:
        tally.broken(9, f"entry {b.seq}", f"断裂：{b.what}", b.what)
    return found
