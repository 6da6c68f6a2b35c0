"""Resynchronising with peers: asking after a restore or a replacement, and telling who asks.

The one who asks names its epoch and what it knew last. The one who tells queues, page by page, all
receipts that concern the other and are newer; then its packages that the other lost. Packages are held
until the receipts have left: who gets a package must know first what it once answered. Everything rides
in ordinary bundles and is recognised where it was known; a request or an answer may come twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lxml import etree

from frontgate import clock
from frontgate.journal import Journal, Reader, Tx, resync, timestamp
from frontgate.log import get_logger
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.pipeline import answers
from frontgate.pipeline.epochs import RESYNC
from frontgate.pipeline.issue import Issuer
from frontgate.seal.control import Control
from frontgate.values import Struct

log = get_logger()

REQUEST = "resync-request"
ANSWER = "resync-answer"
HORIZON_DAYS = 40
"""A journal that is new is told what is at most so old: longer than anything is under way."""
MARGIN = timedelta(days=1)
"""Clocks of two machines may differ by so much."""
HOLD_S = 60.0
"""So long a restored node waits for answers before it goes on without them."""
ASK_AGAIN_S = 600.0


class Since(Struct, frozen=True):
    """What the asking node knew last. seq: its audit entry; at: RFC 3339, empty if nothing."""

    epoch: int
    seq: int
    at: str
    previous: int


@dataclass(slots=True)
class Page:
    """What one page of telling queued. cursor: where the next begins; is_last: nothing after it."""

    cursor: int
    receipts: int = 0
    packages: int = 0
    missing: int = 0
    is_last: bool = False


def since_of(reader: Reader | Tx) -> Since | None:
    """What this journal knew before its present epoch; None where no restore opened it."""
    mark = reader.meta(RESYNC)
    if mark is None:
        return None
    value = json.loads(mark)
    return Since(int(value["epoch"]), int(value["seq"]), str(value["at"]), int(value["previous"]))


def is_recent(epoch: int) -> bool:
    """Whether an epoch is so young that what was before it still matters."""
    return clock.now().timestamp() - epoch < HORIZON_DAYS * 86400


class Asking:
    """Asks peers once an epoch, and again while they do not answer."""

    def __init__(
        self, journal: Journal, issuer: Issuer, *, only_restored: bool, was_before: bool = False
    ) -> None:
        """only_restored: a journal that is merely new asks nobody. was_before: although the journal is
        new, the node is not: it waits for its answer like a restored one.
        """
        self._journal = journal
        self._reader = journal.reader()
        self._issuer = issuer
        self._only_restored = only_restored
        self._hold_until = 0.0
        self._waits = was_before or self.is_restored

    @property
    def is_restored(self) -> bool:
        """Whether the present epoch was opened by a restore."""
        since = since_of(self._reader)
        return since is not None and since.epoch == self._journal.epoch

    def ask(self, peers: list[str]) -> bool:
        """Ask those that were not asked in this epoch, or not answered for long. Returns: if any."""
        is_restored = self.is_restored
        if self._only_restored and not is_restored:
            return False
        now = clock.now()
        again = timestamp(now - timedelta(seconds=ASK_AGAIN_S))
        known = {row.peer: row for row in resync.of_side(self._reader, "asked")}
        due = [
            peer
            for peer in peers
            if (row := known.get(peer)) is None
            or row.epoch != self._journal.epoch
            or (row.state == "open" and row.began_at < again)
        ]
        if not due:
            return False
        since = since_of(self._reader) if is_restored else None
        with self._journal.write(now) as tx:
            for peer in due:
                self._ask_one(tx, peer, since)
            tx.event("resync-asked", peers=len(due), epoch=tx.epoch)
        log.info("resync-asked", peers=due)
        return True

    def _ask_one(self, tx: Tx, peer: str, since: Since | None) -> None:
        seq, at, previous = (since.seq, since.at, since.previous) if since else (0, "", 0)
        body = etree.Element(f"{{{CONTROL_NS}}}Resync", nsmap=CONTROL_MAP)
        body.set("epoch", str(tx.epoch))
        body.set("seq", str(seq))
        body.set("at", at)
        body.set("previous", str(previous))
        resync.begin(
            tx,
            peer,
            "asked",
            epoch=tx.epoch,
            since_epoch=previous,
            since_seq=seq,
            since_at=at,
        )
        answers.send_control(tx, peer, self._issuer, REQUEST, body)

    def is_holding(self) -> bool:
        """Whether a restored or replaced node still waits to be told what it had done."""
        if not self._waits:
            return False
        if not self._hold_until:
            self._hold_until = clock.monotonic() + HOLD_S
        rows = [r for r in resync.of_side(self._reader, "asked") if r.epoch == self._journal.epoch]
        is_told = bool(rows) and all(row.state == "closed" for row in rows)
        if is_told or clock.monotonic() >= self._hold_until:
            self._waits = False
        return self._waits

    def take_answer(self, tx: Tx, peer: str, control: Control) -> None:
        """The peer has told all. An answer to an earlier epoch's question changes nothing."""
        row = resync.find(tx, peer, "asked")
        said = _numbers(control.body, "epoch", "receipts", "packages", "missing")
        if row is None or said is None or said[0] != row.epoch or row.state == "closed":
            return
        resync.close(tx, peer, "asked", counts=(said[1], said[2], said[3]))
        tx.event("resync-closed", peer=peer, receipts=said[1], packages=said[2], missing=said[3])
        log.info("resync-closed", peer=peer, receipts=said[1], packages=said[2])


class Telling:
    """Tells peers who ask. `turn` is the body of a loop.

    page: queues one page for a peer, in the caller's transaction.
    """

    def __init__(
        self,
        journal: Journal,
        issuer: Issuer,
        page: Callable[[Tx, resync.Row], Page],
        wake: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._issuer = issuer
        self._page = page
        self._wake = wake

    def take_request(self, tx: Tx, peer: str, control: Control) -> None:
        """Begin to tell. The same question again changes nothing while it is being answered."""
        said = _numbers(control.body, "epoch", "seq", "previous")
        at = control.body.get("at", "")
        if said is None or len(at) > 40:
            return
        row = resync.find(tx, peer, "served")
        if row is not None and row.epoch == said[0] and row.state != "closed":
            return
        resync.begin(
            tx,
            peer,
            "served",
            epoch=said[0],
            since_epoch=said[2],
            since_seq=said[1],
            since_at=_horizon(at, tx.now),
        )
        tx.event("resync-requested", peer=peer, epoch=said[0], seq=said[1], at=at)
        log.info("resync-requested", peer=peer, seq=said[1], at=at)

    def turn(self) -> float | None:
        """Queue a page for each peer that asked; answer those to whom all receipts have left."""
        is_busy = False
        for row in resync.of_side(self._reader, "served"):
            if row.state == "closed":
                continue
            is_busy = True
            with self._journal.write() as tx:
                if row.state == "open":
                    page = self._page(tx, row)
                    cursor = resync.newest_receipt(tx) if page.is_last else page.cursor
                    resync.advance(
                        tx,
                        row,
                        cursor=cursor,
                        receipts=page.receipts,
                        packages=page.packages,
                        missing=page.missing,
                        drained=page.is_last,
                    )
                elif row.state == "answered":
                    if resync.has_left(tx, row.peer, f"-{ANSWER}.ctl.xml"):
                        resync.close(tx, row.peer, "served")
                elif resync.is_drained(tx, row.peer, row.cursor):
                    self._answer(tx, row)
            self._wake()
        return 0.1 if is_busy else None

    def _answer(self, tx: Tx, row: resync.Row) -> None:
        body = etree.Element(f"{{{CONTROL_NS}}}Resync", nsmap=CONTROL_MAP)
        for key, value in (
            ("epoch", row.epoch),
            ("receipts", row.receipts),
            ("packages", row.packages),
            ("missing", row.missing),
        ):
            body.set(key, str(value))
        answers.send_control(tx, row.peer, self._issuer, ANSWER, body)
        resync.answered(tx, row.peer)
        tx.event("resync-answered", peer=row.peer, receipts=row.receipts, packages=row.packages)
        log.info("resync-answered", peer=row.peer, receipts=row.receipts, packages=row.packages)


def _horizon(at: str, now: datetime) -> str:
    """From when on a peer is told: what it knew last less a margin, or the horizon of a new one."""
    oldest = now - timedelta(days=HORIZON_DAYS)
    try:
        since = datetime.fromisoformat(at) - MARGIN if at else oldest
        return timestamp(max(since, oldest) if not at else since)
    except (ValueError, TypeError):
        return timestamp(oldest)


def _numbers(body: etree._Element, *names: str) -> list[int] | None:
    values = [body.get(name, "") for name in names]
    if not all(v.isascii() and v.isdigit() and len(v) < 17 for v in values):
        return None
    return [int(v) for v in values]


def shown(reader: Reader) -> dict[str, Any]:
    """For `status`: what was asked and told, the newest of each peer; `missing`: MessageIds that this
    node had accepted before a restore and whose packages have not come back.
    """
    rows = [
        {
            "peer": row.peer,
            "side": row.side,
            "state": row.state,
            "receipts": row.receipts,
            "packages": row.packages,
            "missing": row.missing,
            "began_at": row.began_at,
            "ended_at": row.ended_at,
        }
        for side in ("asked", "served")
        for row in resync.of_side(reader, side)
    ]
    since = since_of(reader)
    missing = resync.without_package(reader, 1000) if since is not None else []
    return {"epoch": since.epoch if since else 0, "peers": rows, "missing": missing}
