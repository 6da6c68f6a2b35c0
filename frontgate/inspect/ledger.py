"""Held against the journal's own rows: conservation, evidence of every end, replay, order, terms."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from frontgate.core.lifecycle import FINAL, Intake, Transfer
from frontgate.core.routing import HUB
from frontgate.errors import all_codes
from frontgate.inspect.home import Home
from frontgate.inspect.verdict import Tally
from frontgate.model.receipt import Kind

_POSITIVE = {
    HUB: (Kind.RELAY_ACCEPTED,),
    "account": (Kind.DELIVERED,),
    "spool": (Kind.HANDED_OVER,),
}
_NEGATIVE = (
    Kind.RELAY_REJECTED,
    Kind.RELAY_FAILED,
    Kind.DELIVERY_FAILED,
)
_ENDED_BADLY = (Transfer.FAILED, Transfer.CANCELLED, Transfer.UNCONFIRMED)


def check_packages(home: Home, tally: Tally) -> None:
    """Every package ends in one way per receiver, and each end has its signed evidence."""
    rows = home.pages(
        "SELECT id, direction, state, sender, message_id, recipients, report, drop_name FROM package"
        " WHERE id > ?1 ORDER BY id"
    )
    for ident, direction, state, sender, message_id, recipients, report, drop_name in rows:
        shown = message_id or drop_name or ident
        kinds = _kinds(home, int(ident), str(sender), str(message_id))
        if state == Intake.REJECTED.value:
            wanted = Kind.SUBMISSION_REJECTED if direction == "out" else Kind.RELAY_REJECTED
            tally.expect(
                1, (wanted, "") in {(k, "") for k, _ in kinds}, shown, "退回件没有签名回执", "refused without a signed receipt",
            )  # fmt: skip
            _explained(tally, shown, str(report))
        elif state == Intake.DUPLICATE.value:
            original = home.reader.one(
                "SELECT 1 FROM package WHERE direction = ? AND sender = ? AND message_id = ?"
                " AND state = 'ADMITTED'",
                direction, sender, message_id,
            )  # fmt: skip
            tally.expect(4, original, shown, "重复件没有原件", "a repeat without its original")
        elif state == Intake.ADMITTED.value:
            _admitted(home, tally, int(ident), str(direction), shown, str(recipients), kinds)
        else:
            tally.broken(1, shown, f"未知状态 {state}", f"unknown state {state}")


def _kinds(home: Home, package_id: int, sender: str, message_id: str) -> set[tuple[Kind, str]]:
    """(kind, receiver) of every receipt of a package; of its message where it has no row of its own."""
    rows = home.reader.all("SELECT kind, receiver FROM receipt WHERE package_id = ?", package_id)
    if message_id:
        rows += home.reader.all(
            "SELECT kind, receiver FROM receipt WHERE message_id = ? AND sender IN (?, '')",
            message_id,
            sender,
        )
    return {(Kind(kind), str(receiver)) for kind, receiver in rows}


def _explained(tally: Tally, ident: object, report: str) -> None:
    """A refusal names a known rule with a sentence in both languages."""
    findings = [f for f in json.loads(report) if f.get("severity") in ("error", "fatal")]
    tally.expect(
        12,
        findings and all(f.get("rule") and f.get("zh") and f.get("en") for f in findings),
        ident,
        "退回没有理由",
        "refused without a reason",
    )


def _admitted(
    home: Home,
    tally: Tally,
    package_id: int,
    direction: str,
    shown: object,
    recipients: str,
    kinds: set[tuple[Kind, str]],
) -> None:
    rows = home.reader.all(
        "SELECT id, destination, receiver, attempt, state, reason FROM transfer WHERE package_id = ?"
        " ORDER BY attempt",
        package_id,
    )
    newest = {(str(d), str(r)): (Transfer(s), str(why)) for _, d, r, _, s, why in rows}
    receivers = {receiver for _, receiver in newest}
    if direction == "out":
        wanted = {""}
        tally.expect(
            8, (Kind.SUBMISSION_ACCEPTED, "") in kinds, shown, "受理件没有受理回执", "accepted without its receipt",
        )  # fmt: skip
    else:
        named = set(recipients.split())
        wanted = named if home.role == "hub" else named & set(home.units)
        if home.role == "hub":
            tally.expect(
                8, (Kind.RELAY_ACCEPTED, "") in kinds, shown, "受理件没有中继回执", "relayed without its receipt",
            )  # fmt: skip
    tally.expect(
        1,
        receivers == wanted and len(newest) == len(wanted),
        shown,
        f"收件方 {sorted(wanted)} 与传输 {sorted(newest)} 不符",
        f"receivers {sorted(wanted)} but transfers {sorted(newest)}",
    )
    for (destination, receiver), (state, why) in newest.items():
        _ending(tally, shown, destination, receiver, state, why, kinds)
        stands = state is Transfer.SENT and destination.startswith("spool:")
        if home.is_settled:
            tally.expect(
                13, state in FINAL or stands, shown, f"仍为 {state.value}", f"still {state.value} to {destination}",
            )  # fmt: skip
    _attempts(tally, shown, rows)
    if direction == "in" and home.role == "gateway":
        _handed_once(home, tally, package_id, shown, rows)


def _handed_once(
    home: Home, tally: Tally, package_id: int, shown: object, rows: Sequence[tuple[object, ...]]
) -> None:
    """Each receiver has one delivery that came to something, and one receipt of its hand-over.

    A restored node may hold another of each from an epoch that was cut off: that is no entry of the
    chain as it is now.
    """
    stood = Counter(
        str(receiver)
        for _, destination, receiver, _, state, _ in rows
        if str(destination).startswith("spool:") and state in ("SENT", "ACKNOWLEDGED")
    )
    tally.ok(4)
    for receiver, count in stood.items():
        if count > 1:
            tally.broken(4, shown, f"向 {receiver} 送达 {count} 次", f"delivered {count} times to {receiver}")  # fmt: skip
    for receiver, count in home.reader.all(
        "SELECT r.receiver, count(*) FROM receipt r"
        " JOIN event e ON e.seq = r.audit_seq AND e.head = r.audit_head"
        " WHERE r.package_id = ? AND r.kind = ? AND r.issuer_node = 'gateway' GROUP BY 1",
        package_id,
        Kind.HANDED_OVER.value,
    ):
        if count > 1:
            tally.broken(4, shown, f"{receiver} 有 {count} 份取件回执", f"{count} receipts of one hand-over to {receiver}")  # fmt: skip


def _ending(
    tally: Tally,
    shown: object,
    destination: str,
    receiver: str,
    state: Transfer,
    why: str,
    kinds: set[tuple[Kind, str]],
) -> None:
    """The evidence that a state asks for."""

    def has(*wanted: Kind) -> bool:
        return any((kind, who) in kinds for kind in wanted for who in {receiver, ""})

    where = destination.partition(":")[0]
    if state is Transfer.ACKNOWLEDGED:
        tally.expect(
            1, has(*_POSITIVE[where]), shown, "已确认而无回执", "acknowledged without a receipt"
        )
    elif state in _ENDED_BADLY:
        tally.expect(
            1,
            has(*_NEGATIVE),
            shown,
            f"{state.value} 而无签名理由",
            f"{state.value} without a signed reason",
        )
        tally.expect(
            12,
            why in all_codes(),
            shown,
            f"失败原因 {why!r} 不明",
            f"reason {why!r} is not a known code",
        )
    if where == "spool" and state in (Transfer.SENT, Transfer.ACKNOWLEDGED):
        tally.expect(8, has(Kind.DELIVERED), shown, "已送达而无回执", "delivered without a receipt")


def _attempts(tally: Tally, shown: object, rows: Sequence[tuple[object, ...]]) -> None:
    """A further attempt follows one that ended badly, one number later: a replay, and only that.

    An UNCONFIRMED one may have been answered late, after its replay: that is no second effect.
    """
    last: dict[tuple[str, str], tuple[int, Transfer]] = {}
    for _, destination, receiver, attempt, state, _ in rows:
        key = (str(destination), str(receiver))
        number = int(str(attempt))
        before = last.get(key)
        last[key] = (number, Transfer(str(state)))
        if before is None:
            tally.expect(
                15, number == 1, shown, "首次尝试的编号不为 1", "its first attempt is not number 1"
            )
            continue
        tally.expect(
            15,
            number == before[0] + 1 and before[1] in FINAL | {Transfer.UNCONFIRMED},
            shown,
            "前一次尝试未终止就有新的尝试",
            "a further attempt while the one before is open",
        )


def check_replays(home: Home, tally: Tally) -> None:
    """Every further attempt was told in the audit chain when it was made: a replay, or a success on
    another way after a failure. Both are walked once: new rows and their entries have one order.
    """
    (top,) = home.reader.one("SELECT coalesce(max(id), 0) FROM transfer") or (0,)
    first = home.reader.one("SELECT seq, at FROM event ORDER BY seq LIMIT 1") or (1, "")
    told = home.pages(
        "SELECT seq, json_extract(data, '$.new') FROM event WHERE seq > ?1"
        " AND kind IN ('replay', 'superseded') ORDER BY seq"
    )
    entry = next(told, None)
    oldest = None if entry is None else int(entry[1])
    for ident, message_id, attempt, made_at in home.pages(
        "SELECT t.id, p.message_id, t.attempt, t.made_at FROM transfer t"  # noqa: S608
        f" JOIN package p ON p.id = t.package_id WHERE t.id > ?1 AND t.id <= {int(top)}"
        " AND t.attempt > 1 ORDER BY t.id"
    ):
        if int(first[0]) > 1 and (oldest is None or ident < oldest) and made_at <= first[1]:
            continue  # its entry was archived and pruned
        while entry is not None and int(entry[1]) < ident:
            entry = next(told, None)
        tally.expect(
            15,
            entry is not None and int(entry[1]) == ident,
            message_id or f"transfer {ident}",
            f"审计链中没有第 {attempt} 次尝试的重发记录",
            f"no replay in the audit chain made its attempt {attempt}",
        )


_STARTED = (
    "(t.state IN ('SENDING', 'SENT')"
    " OR (t.state = 'ACKNOWLEDGED' AND (t.bundle_id <> '' OR t.entry <> '')))"
)
"""Of a transfer that went from here; one that a receipt alone ended may never have."""
_NEVER_STARTED = (
    "SELECT min(e.id) FROM transfer e INDEXED BY transfer_flow"
    " WHERE e.state = 'QUEUED'"
    " AND e.destination = t.destination AND e.flow_uid = t.flow_uid AND e.id > {after} AND e.id < t.id"
    " AND e.package_id <> t.package_id AND e.attempt = 1 AND e.failures = 0"
    " AND e.bundle_id = '' AND e.entry = ''"
)


def check_order(home: Home, tally: Tally) -> None:
    """In a flow's instance nothing has started while an earlier one never was (unless held back).

    Each question about two of them is one statement, so that a node at work is seen at one moment.
    """
    held: set[int] | None = None
    told: set[int] = set()
    for ident, found in home.pages(
        f"SELECT t.id, ({_NEVER_STARTED.format(after=0)}) FROM transfer t"  # noqa: S608
        f" WHERE t.id > ?1 AND t.flow_uid <> '' AND {_STARTED} ORDER BY t.id"
    ):
        tally.ok(10)
        earlier = found
        while earlier is not None and earlier not in told:
            held = _held(home) if held is None or earlier not in held else held
            if earlier not in held:
                break
            (earlier,) = home.reader.one(
                f"SELECT ({_NEVER_STARTED.format(after=int(earlier))}) FROM transfer t"  # noqa: S608
                " WHERE t.id = ?",
                ident,
            ) or (None,)
        if earlier is not None and earlier not in told:
            told.add(earlier)
            tally.broken(
                10, f"transfer {earlier}", f"后面的 {ident} 已先出发", f"the later {ident} has started",
            )  # fmt: skip


def _held(home: Home) -> set[int]:
    """Queued transfers that an operator acted on: those behind them did not wait."""
    return {
        int(row[0])
        for row in home.reader.all(
            "SELECT t.id FROM event e JOIN transfer t ON t.id = json_extract(e.data, '$.transfer')"
            " WHERE e.kind = 'operator' AND t.state = 'QUEUED'"
        )
    }


def check_quarantine(home: Home, tally: Tally) -> None:
    """Whatever was set aside has a known code, a sentence, and bytes in a segment of ours."""
    for ident, name, code, detail in home.pages(
        "SELECT id, name, code, detail FROM quarantine WHERE id > ?1 ORDER BY id"
    ):
        tally.expect(
            12, code in all_codes() and detail and name, f"quarantine {ident}", "隔离项没有说明", "set aside without a reason",
        )  # fmt: skip
