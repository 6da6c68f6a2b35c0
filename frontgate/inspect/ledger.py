"""Held against the journal's own rows: conservation, evidence of every end, replay, order, terms."""

from __future__ import annotations

import json
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
        if home.is_settled and state not in FINAL and not stands:
            tally.broken(13, shown, f"仍为 {state.value}", f"still {state.value} to {destination}")
    _attempts(tally, shown, rows)


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
    tally.ok(13)
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


def check_order(home: Home, tally: Tally) -> None:
    """In a flow's instance nothing has started while an earlier one never was (unless held back)."""
    rows = home.pages(
        "SELECT id, package_id, destination, flow_uid FROM transfer WHERE id > ?1 AND flow_uid <> ''"
        " AND attempt = 1 AND bundle_id = '' AND entry = '' AND state = 'QUEUED' AND failures = 0"
        " ORDER BY id"
    )
    for ident, package_id, destination, flow_uid in rows:
        later = home.reader.one(
            "SELECT t.id FROM transfer t WHERE t.destination = ? AND t.flow_uid = ? AND t.id > ?"
            " AND t.package_id <> ? AND t.state IN ('SENDING', 'SENT') LIMIT 1",
            destination, flow_uid, ident, package_id,
        )  # fmt: skip
        if later is not None and not _was_held(home, int(ident)):
            tally.broken(
                10, f"transfer {ident}", f"后面的 {later[0]} 已先出发", f"the later {later[0]} has started",
            )  # fmt: skip
        tally.ok(10)


def _was_held(home: Home, transfer_id: int) -> bool:
    return (
        home.reader.one(
            "SELECT 1 FROM event WHERE kind = 'operator' AND json_extract(data, '$.transfer') = ? LIMIT 1",
            transfer_id,
        )
        is not None
    )


def check_quarantine(home: Home, tally: Tally) -> None:
    """Whatever was set aside has a known code, a sentence, and bytes in a segment of ours."""
    for ident, name, code, detail in home.pages(
        "SELECT id, name, code, detail FROM quarantine WHERE id > ?1 ORDER BY id"
    ):
        tally.expect(
            12, code in all_codes() and detail and name, f"quarantine {ident}", "隔离项没有说明", "set aside without a reason",
        )  # fmt: skip
