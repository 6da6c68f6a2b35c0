"""The judge: whether a history kept every promise, by folders, journals and the programs' book.

Each check returns sentences about what is wrong. None may pass something that the others excuse.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from frontgate.cli.homes import home_of
from frontgate.inspect import examine
from frontgate.journal import Reader, audit, open_reader
from frontgate.pipeline.segments import PARTIAL

from .province import Province
from .software import Book, Dropped

_RECEIPT = "{urn:frontgate:receipt:1}"
_BAD_ENDS = ("FAILED", "CANCELLED", "UNCONFIRMED")


class Ledgers:
    """Read-only views of all journals, by unit code or `hub`."""

    def __init__(self, province: Province) -> None:
        self._readers: dict[str, Reader] = {}
        for name in ("hub", *province.gateways):
            self._readers[name] = open_reader(province.journal(name))

    def __enter__(self) -> Ledgers:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers.values():
            reader.close()

    def all(self, name: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self._readers[name].all(sql, *values)

    def __iter__(self) -> Iterator[Reader]:
        return iter(self._readers.values())

    def items(self) -> Iterator[tuple[str, Reader]]:
        yield from self._readers.items()


def open_things(province: Province) -> list[str]:
    """What somebody still has to do; empty when all is settled."""
    found: list[str] = []
    for node in province.world.nodes.values():
        if not node.is_up:
            return [f"{node.name} is down"]
        found += [
            f"{node.name}: loop {each.name} in trouble" for each in node.loops if each.trouble
        ]
    for code in province.gateways:
        spool = province.spool(code)
        for folder in (spool / "outbound", spool / "inbound"):
            found += [f"{code}: {folder.name}/{n}" for n in sorted(os.listdir(folder))]
        # An empty one is what a claim left that the disk stopped; the next start clears it away.
        claims = [p for p in (spool / ".frontgate" / "claims").iterdir() if os.listdir(p)]
        found += [f"{code}: claims/{p.name}" for p in claims]
        box = province.wires[code].to_hub.parent
        for folder in (box / "to-hub", box / "from-hub"):
            names = [n for n in sorted(os.listdir(folder)) if n.endswith(".bundle")]
            found += [f"hub: {box.name}/{folder.name}/{n[:20]}" for n in names]
    if province.device is not None:
        found += province.device.unrested()
    if found:
        return found  # the journals are looked at last: that costs more
    with Ledgers(province) as ledgers:
        for name, reader in ledgers.items():
            for sql, what in _OPEN:
                (count,) = reader.all(sql)[0]
                if count:
                    found.append(f"{name}: {count} {what}")
        (count,) = ledgers.all("hub", "SELECT count(*) FROM transfer WHERE state = 'SENT'")[0]
        if count:
            found.append(f"hub: {count} transfers SENT")
    return found


_OPEN = (
    (
        "SELECT count(*) FROM transfer WHERE state IN ('QUEUED', 'SENDING', 'HELD')"
        " OR (state = 'SENT' AND (destination = 'hub' OR substr(destination, 1, 6) = 'spool:'))",
        "transfers open",
    ),
    ("SELECT count(*) FROM receipt_out WHERE bundle_id = ''", "receipts waiting"),
    ("SELECT count(*) FROM receipt_out WHERE destination = 'hub'", "receipts not answered"),
    ("SELECT count(*) FROM bundle_out WHERE state = 'composed'", "bundles not sent"),
    ("SELECT count(*) FROM control_out WHERE bundle_id = ''", "control messages waiting"),
    ("SELECT count(*) FROM receipt_file WHERE flushed = 0", "receipt files not flushed"),
)


def judge(province: Province, book: Book) -> list[str]:
    """All that is wrong with a settled province."""
    with Ledgers(province) as ledgers:
        return [
            *check_answers(province, book, ledgers),
            *check_once(book, ledgers),
            *check_contents(book, ledgers),
            *check_order(book, ledgers),
            *check_receipts(province, ledgers),
            *check_hand_over(book, ledgers),
            *check_journals(ledgers),
            *check_left_overs(province, ledgers),
            *(province.device.let_go() if province.device is not None else ()),
            *check_invariants(province),
        ]


def check_invariants(province: Province) -> list[str]:
    """The fifteen invariants, by the program's own inspection of all homes together."""
    homes = [home_of(settings) for settings in province.settings()]
    for home in homes:
        home.is_settled = True
    try:
        return [
            f"INV-{verdict.number} {b.node} {b.ident}: {b.en}"
            for verdict in examine(homes).verdicts
            for b in verdict.breaches
        ]
    finally:
        for home in homes:
            home.close()


# -- each drop ----------------------------------------------------------------------------------


def check_answers(province: Province, book: Book, ledgers: Ledgers) -> list[str]:
    """Every drop ends as delivered with all receipts, refused with a report, or failed with a reason."""
    wrong: list[str] = []
    for drop in book.drops:
        said = [f"{drop.name} ({drop.what}): {text}" for text in _answer(province, drop, ledgers)]
        wrong += said
    return wrong


def _answer(province: Province, drop: Dropped, ledgers: Ledgers) -> list[str]:
    rows = ledgers.all(
        drop.unit,
        "SELECT id, state, message_id FROM package WHERE direction = 'out' AND drop_name = ?",
        drop.name,
    )
    if len(rows) != 1:
        return [f"{len(rows)} outcomes in the journal"]
    package, state, message = rows[0]
    allowed = {
        "good": ("ADMITTED", "DUPLICATE"),
        "bad": ("REJECTED",),
        "repeat": ("ADMITTED", "DUPLICATE"),
        "clash": ("REJECTED", "ADMITTED"),  # the first of two is the one that counts
    }[drop.what]
    if state not in allowed:
        return [f"is {state}"]
    if state == "REJECTED":
        return _refusal(province, drop)
    if state == "DUPLICATE":
        return []
    return _course(province, drop, str(message), int(package), ledgers)


def _refusal(province: Province, drop: Dropped) -> list[str]:
    folder = province.spool(drop.unit) / "rejected"
    wrong: list[str] = []
    path = folder / drop.name
    if not path.is_file() or path.read_bytes() != drop.original:
        wrong.append("the drop is not whole in rejected/")
    for end in (".report.xml", ".report.txt"):
        report = folder / (drop.name + end)
        if not report.is_file() or not report.stat().st_size:
            wrong.append(f"no {end}")
    told = [
        kind
        for kind, _, _, name in _receipt_files(province.spool(drop.unit))
        if name == drop.name and kind == "submission-rejected"
    ]
    if len(told) != 1:
        wrong.append(f"{len(told)} submission-rejected")
    return wrong


def _course(
    province: Province, drop: Dropped, message: str, package: int, ledgers: Ledgers
) -> list[str]:
    """An admitted message: per receiver delivered and handed over, or ended with a signed reason."""
    files = [
        (kind, receiver)
        for kind, receiver, message_id, _ in _receipt_files(province.spool(drop.unit))
        if message_id == message
    ]
    kinds = Counter(kind for kind, _ in files)
    wrong: list[str] = []
    if kinds["submission-accepted"] != 1:
        wrong.append(f"{kinds['submission-accepted']} submission-accepted")
    sent = ledgers.all(
        drop.unit, "SELECT state FROM transfer WHERE package_id = ? ORDER BY attempt", package
    )
    if sent[-1][0] in _BAD_ENDS:
        if not kinds["relay-failed"] and not kinds["relay-rejected"]:
            wrong.append(f"{sent[-1][0]} at the sender without a signed reason")
        return wrong
    if kinds["relay-accepted"] != 1:
        wrong.append(f"{kinds['relay-accepted']} relay-accepted")
    for receiver in drop.receivers:
        told = Counter(kind for kind, whose in files if whose == receiver)
        ends = ledgers.all(
            "hub",
            "SELECT t.state FROM transfer t JOIN package p ON p.id = t.package_id"
            " WHERE p.message_id = ? AND t.receiver = ? ORDER BY t.attempt",
            message,
            receiver,
        )
        if not ends:
            wrong.append(f"the hub has no transfer to {receiver}")
        elif ends[-1][0] in _BAD_ENDS:
            if not told["relay-failed"] and not told["delivery-failed"]:
                wrong.append(f"{ends[-1][0]} at the hub without a signed reason for {receiver}")
        elif told["delivered"] != 1 or told["handed-over"] != 1:
            wrong.append(f"for {receiver}: {dict(told)}")
    return wrong


def _receipt_files(spool: Path) -> list[tuple[str, str, str, str]]:
    """(kind, receiver, MessageId, DropName) of each file in `receipts/`."""
    found = []
    for path in sorted((spool / "receipts").glob("*.xml")):
        root = etree.parse(path).getroot()
        node = root if root.tag == f"{_RECEIPT}Receipt" else root.find(f".//{_RECEIPT}Receipt")
        if node is None:
            continue

        def text(name: str, node: etree._Element = node) -> str:
            return node.findtext(f".//{_RECEIPT}{name}") or ""

        kind = node.get("kind") or text("Kind")
        found.append((kind, text("Receiver"), text("MessageId"), text("DropName")))
    return found


# -- each delivery ------------------------------------------------------------------------------


def check_once(book: Book, ledgers: Ledgers) -> list[str]:
    """No receiver got a message twice, counted over all that its program ever took or saw."""
    wrong: list[str] = []
    times = Counter((t.unit, t.message_id) for t in book.taken)
    wrong += [f"{m} came {n} times to {u}" for (u, m), n in sorted(times.items()) if n > 1]
    names: dict[tuple[str, str], set[str]] = {}
    for unit, entry in book.seen:
        names.setdefault((unit, entry[-36:]), set()).add(entry)
    wrong += [f"{m} stood as {sorted(e)} at {u}" for (u, m), e in names.items() if len(e) > 1]
    known = {
        (str(r[0]), str(r[1]))
        for name, reader in ledgers.items()
        if name != "hub"
        for r in reader.all(
            "SELECT sender, message_id FROM package WHERE direction = 'out' AND state = 'ADMITTED'"
        )
    }
    ids = {message for _, message in known}
    wrong += [
        f"{t.message_id} was never admitted anywhere" for t in book.taken if t.message_id not in ids
    ]
    return wrong


def check_contents(book: Book, ledgers: Ledgers) -> list[str]:
    """What came is, byte for byte, what was dropped."""
    wrong: list[str] = []
    for drop in book.drops:
        if drop.what != "good":
            continue
        rows = ledgers.all(
            drop.unit,
            "SELECT message_id FROM package WHERE direction = 'out' AND state = 'ADMITTED'"
            " AND drop_name = ?",
            drop.name,
        )
        for taken in book.taken:
            if rows and taken.message_id == rows[0][0] and taken.unit in drop.receivers:
                if taken.body != drop.body:
                    wrong.append(f"{drop.name}: another body came to {taken.unit}")
                if taken.files != drop.files:
                    wrong.append(f"{drop.name}: other files came to {taken.unit}")
    return wrong


def check_order(book: Book, ledgers: Ledgers) -> list[str]:
    """Within one instance (FlowUid) entries appear at a receiver in the order of the drops.

    A large package holds up only what replies to it, so it alone may come after later ones.
    """
    wrong: list[str] = []
    place: dict[str, Dropped] = {}
    for drop in book.drops:
        if drop.ordered:
            for (message,) in ledgers.all(
                drop.unit,
                "SELECT message_id FROM package WHERE direction = 'out' AND state = 'ADMITTED'"
                " AND drop_name = ?",
                drop.name,
            ):
                place[str(message)] = drop
    moved = _moved_by_hand(ledgers)
    for name, reader in ledgers.items():
        if name == "hub":
            continue
        latest: dict[str, int] = {}
        for message, flow in reader.all(
            "SELECT r.message_id, p.flow_uid FROM receipt r JOIN package p ON p.id = r.package_id"
            " WHERE r.kind = 'delivered' AND p.direction = 'in' ORDER BY r.id"
        ):
            if message not in place or message in moved:
                continue
            drop = place[message]
            before = latest.get(flow, -1)
            if drop.number < before and not drop.is_large:
                wrong.append(f"drop {drop.number} came after {before} at {name}")
            latest[flow] = max(before, drop.number)
    return wrong


def _moved_by_hand(ledgers: Ledgers) -> set[str]:
    """Messages that an operator held, cancelled or replayed, or that failed: they release others."""
    found: set[str] = set()
    for reader in ledgers:
        for (message,) in reader.all(
            "SELECT DISTINCT p.message_id FROM transfer t JOIN package p ON p.id = t.package_id"
            " WHERE t.attempt > 1 OR t.state IN ('FAILED', 'CANCELLED', 'UNCONFIRMED', 'HELD')"
            " OR t.id IN (SELECT json_extract(data, '$.transfer') FROM event WHERE kind = 'operator')"
        ):
            found.add(str(message))
    return found


def check_hand_over(book: Book, ledgers: Ledgers) -> list[str]:
    """Each pick-up is told once, and nothing is told handed over that nobody took."""
    wrong: list[str] = []
    taken = {(t.unit, t.message_id) for t in book.taken}
    for name, reader in ledgers.items():
        if name == "hub":
            continue
        told = Counter(
            str(message)
            for (message,) in reader.all(
                "SELECT message_id FROM receipt WHERE kind = 'handed-over' AND receiver = ?", name
            )
        )
        for message, times in told.items():
            if times > 1:
                wrong.append(f"{message}: handed-over {times} times by {name}")
            if (name, message) not in taken:
                wrong.append(f"{message}: handed-over by {name}, and nobody took it")
        wrong += [
            f"{message}: taken at {name}, and not told"
            for unit, message in sorted(taken)
            if unit == name and not told[message]
        ]
    return wrong


# -- books and folders --------------------------------------------------------------------------


def check_receipts(province: Province, ledgers: Ledgers) -> list[str]:
    """Whoever holds a receipt, its issuer knows it; chains have no gap; files say what journals say."""
    wrong: list[str] = []
    issued: dict[str, tuple[str, str]] = {}
    held: list[tuple[str, str, str]] = []
    for name, reader in ledgers.items():
        node = "hub" if name == "hub" else "gateway"
        for ident, digest, issuer, issuer_node in reader.all(
            "SELECT receipt_id, digest, issuer, issuer_node FROM receipt"
        ):
            if issuer_node == node and (name == "hub" or issuer == name):
                issued[ident] = (digest, name)
            else:
                held.append((name, ident, digest))
    for name, ident, digest in held:
        if ident not in issued:
            wrong.append(
                f"{name} holds a receipt that nobody issued: {_which(ledgers, name, ident)}"
            )
        elif issued[ident][0] != digest:
            wrong.append(f"{name} holds another receipt than was issued: {ident}")
    for name, reader in ledgers.items():
        digests = {row[0] for row in reader.all("SELECT digest FROM receipt")}
        for ident, xml in reader.all("SELECT receipt_id, xml FROM receipt"):
            found = re.search(rb"PreviousReceiptDigest[^>]*>([0-9a-f]{64})<", bytes(xml))
            own = issued.get(ident, ("", ""))[1] == name
            if own and found and found.group(1).decode() not in digests:
                wrong.append(f"{name}: {ident} follows a receipt that is not there")
        if name == "hub":
            continue
        planned = {row[0] for row in reader.all("SELECT name FROM receipt_file")}
        standing = {p.name for p in (province.spool(name) / "receipts").glob("*.xml")}
        wrong += [f"{name}: receipt file {n} is missing" for n in sorted(planned - standing)]
        wrong += [f"{name}: receipt file {n} is not planned" for n in sorted(standing - planned)]
    return wrong


def _which(ledgers: Ledgers, name: str, ident: str) -> str:
    rows = ledgers.all(
        name, "SELECT kind, issuer, message_id FROM receipt WHERE receipt_id = ?", ident
    )
    return " ".join(map(str, rows[0]))


def check_journals(ledgers: Ledgers) -> list[str]:
    """Audit chains hold; nothing was set aside; nothing internal went wrong unseen."""
    wrong: list[str] = []
    for name, reader in ledgers.items():
        walked, breaks = audit.verify(reader)
        if breaks or not walked:
            wrong.append(f"{name}: audit chain {breaks[:2]}")
        rows = reader.all("SELECT code, name, detail FROM quarantine")
        wrong += [
            f"{name}: set aside {code} {what[:40]} {detail[:80]}" for code, what, detail in rows
        ]
    return wrong


def check_left_overs(province: Province, ledgers: Ledgers) -> list[str]:
    """Nothing lies about that nobody needs, and every segment is named."""
    wrong: list[str] = []
    for name, reader in ledgers.items():
        state = province.journal(name).parent
        named = {row[0] for row in reader.all("SELECT path FROM segment")}
        standing = {
            str(p.relative_to(state)) for p in (state / "segments").rglob("*") if p.is_file()
        }
        wrong += [f"{name}: segment {p} is missing" for p in sorted(named - standing)]
        wrong += [f"{name}: segment {p} has no row" for p in sorted(standing - named)]
        wrong += [f"{name}: tmp/{n}" for n in sorted(os.listdir(state / "tmp")) if PARTIAL not in n]
    for code in province.gateways:
        spool = province.spool(code)
        for folder in (spool / ".frontgate" / "claims", spool / ".frontgate" / "staging"):
            wrong += [f"{code}: {folder.name}/{n}" for n in sorted(os.listdir(folder))]
        for folder in (spool / "receipts", spool / "rejected", spool / "inbound"):
            wrong += [
                f"{code}: {folder.name}/{n}" for n in sorted(os.listdir(folder)) if n[0] == "."
            ]
        box = province.wires[code].to_hub.parent
        for folder in (box / "to-hub", box / "from-hub"):
            wrong += [
                f"hub: {box.name}/{folder.name}/{n[:24]}"
                for n in sorted(os.listdir(folder))
                if n != ".bell"
            ]
    staging = province.hub.home / "sftp" / ".staging"
    wrong += [f"hub: .staging/{n}" for n in sorted(os.listdir(staging))]
    return wrong
