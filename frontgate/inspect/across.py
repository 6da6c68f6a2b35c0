"""Several homes held against each other: nothing lost between them, nothing invented.

The side that said something is read first and the side that must have it afterwards, so that nodes
at work may be looked at: what the first look saw is there by the second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from frontgate.core import chain, minting
from frontgate.inspect.home import Home
from frontgate.inspect.verdict import Tally, Verdict

_TRANSFER = (
    "SELECT t.id, p.sender, p.message_id, p.content_digest, t.destination, t.receiver, t.state,"
    " t.bundle_id FROM transfer t JOIN package p ON p.id = t.package_id"
    " WHERE t.id > ?1 AND p.state = 'ADMITTED' AND t.state IN ('SENT', 'ACKNOWLEDGED') ORDER BY t.id"
)


def check_across(homes: Sequence[Home], verdicts: Mapping[int, Verdict]) -> None:
    """Every pair of neighbours among the given homes."""
    hubs = [home for home in homes if home.role == "hub"]
    gateways = [home for home in homes if home.role == "gateway"]
    for hub in hubs:
        accounts = {gateway.account: gateway for gateway in gateways}
        for gateway in gateways:
            _sent_to_hub(gateway, hub, Tally(verdicts, gateway.name))
        _placed_for(hub, accounts, Tally(verdicts, hub.name))
        for gateway in gateways:
            _came_from_hub(gateway, hub, Tally(verdicts, gateway.name))
    for home in homes:
        _receipts_of_others(home, homes, verdicts)


def _bound(home: Home, sender: object, message_id: object) -> str | None:
    """The content that a node has admitted under an identity."""
    row = home.reader.one(
        "SELECT content_digest FROM package WHERE direction = 'in' AND sender = ? AND message_id = ?"
        " AND state = 'ADMITTED'",
        sender,
        message_id,
    )
    return None if row is None else str(row[0])


def _sent_to_hub(gateway: Home, hub: Home, tally: Tally) -> None:
    """What a gateway has an acceptance for, the hub holds; what it has sent, arrived."""
    for _, sender, message_id, content, destination, _, state, bundle_id in gateway.pages(
        _TRANSFER
    ):
        if destination != "hub":
            continue
        if state == "ACKNOWLEDGED":
            there = _bound(hub, sender, message_id)
            tally.expect(
                1,
                there is not None,
                message_id,
                "已确认，平台却没有",
                "acknowledged, but the hub has it not",
            )
            tally.expect(
                5,
                there in (None, content),
                message_id,
                "平台上的内容不同",
                "the hub has another content",
            )
            continue
        path = None if hub.mailboxes is None else hub.mailboxes / gateway.account / "to-hub"
        lies = path is not None and (path / f"{bundle_id}.bundle").exists()
        peer = f"account:{gateway.account}"
        tally.expect(
            3, _took(hub, peer, bundle_id) or lies, message_id, "已发出的传输包不见了", "its bundle was sent and is nowhere",
        )  # fmt: skip


def _took(home: Home, peer: str, bundle_id: object) -> bool:
    return (
        home.reader.one("SELECT 1 FROM bundle_in WHERE peer = ? AND bundle_id = ?", peer, bundle_id)
        is not None
    )


def _placed_for(hub: Home, accounts: Mapping[str, Home], tally: Tally) -> None:
    """What the hub has placed lies there or was taken; what was confirmed, the receiver holds."""
    for _, sender, message_id, content, destination, receiver, state, bundle_id in hub.pages(
        _TRANSFER
    ):
        account = str(destination).removeprefix("account:")
        gateway = accounts.get(account)
        if gateway is None or hub.mailboxes is None:
            continue
        if state == "SENT":
            lies = (hub.mailboxes / account / "from-hub" / f"{bundle_id}.bundle").exists()
            tally.expect(
                3, lies or _took(gateway, "hub", bundle_id), message_id, "已放置的传输包不见了", "its bundle was placed and is nowhere",
            )  # fmt: skip
            continue
        there = _bound(gateway, sender, message_id)
        tally.expect(
            1,
            there is not None,
            message_id,
            "已送达，收件方却没有",
            "delivered, but the receiver has it not",
        )
        tally.expect(
            5,
            there in (None, content),
            message_id,
            "收件方的内容不同",
            "the receiver has another content",
        )
        stood = gateway.reader.one(
            "SELECT count(*) FROM package p INDEXED BY package_message"
            " JOIN transfer t ON t.package_id = p.id"
            " WHERE p.direction = 'in' AND p.sender = ? AND p.message_id = ? AND t.receiver = ?"
            " AND t.state IN ('SENT', 'ACKNOWLEDGED')",
            sender, message_id, receiver,
        )  # fmt: skip
        count = 0 if stood is None else int(stood[0])
        tally.expect(4, count <= 1, message_id, "送达了两次", "delivered twice")
        tally.expect(
            1, count >= 1, message_id, "已送达而投放区未记", "delivered, but no entry was made"
        )


def _came_from_hub(gateway: Home, hub: Home, tally: Tally) -> None:
    """Nothing reaches a spool that the hub has not relayed."""
    for _, sender, message_id, content in gateway.pages(
        "SELECT id, sender, message_id, content_digest FROM package NOT INDEXED"
        " WHERE id > ?1 AND direction = 'in' AND state = 'ADMITTED' ORDER BY id"
    ):
        tally.expect(
            6, _bound(hub, sender, message_id) == content, message_id, "平台从未中继此件", "the hub has never relayed it",
        )  # fmt: skip


def _receipts_of_others(home: Home, homes: Sequence[Home], verdicts: Mapping[int, Verdict]) -> None:
    """A receipt that somebody holds is in its issuer's journal, and names its audit chain's heads."""
    issuers = {(other.role, unit): other for other in homes for unit in other.units}
    tally = Tally(verdicts, home.name)
    epochs: dict[str, list[tuple[int, int]]] = {}
    for _, ident, digest, node, issuer, seq, head in home.pages(
        "SELECT id, receipt_id, digest, issuer_node, issuer, audit_seq, audit_head FROM receipt"
        " WHERE id > ?1 ORDER BY id"
    ):
        other = issuers.get((str(node), str(issuer)))
        if other is None or other is home:
            continue
        if other.name not in epochs:
            epochs[other.name] = _epochs(other)
        if _was_cut_off(epochs[other.name], f"{node}:{issuer}", int(seq), str(ident)):
            continue
        known = other.reader.one("SELECT digest FROM receipt WHERE receipt_id = ?", ident)
        tally.expect(
            3, known is not None and known[0] == digest, ident, "签发者没有这份回执", "its issuer does not have this receipt",
        )  # fmt: skip
        event = other.reader.one("SELECT head FROM event WHERE seq = ?", seq)
        if event is None and int(seq) < _first_event(other):
            continue  # archived and pruned
        tally.expect(
            9, event is not None and event[0] == head, ident, "签发者的审计链与回执不符", "its issuer's audit chain is another",
        )  # fmt: skip


def _first_event(home: Home) -> int:
    row = home.reader.one("SELECT min(seq) FROM event")
    return int(row[0] or 0) if row else 0


def _epochs(home: Home) -> list[tuple[int, int]]:
    """(first entry, number) of every epoch of a journal, oldest first."""
    first = int(home.reader.meta("first-epoch") or home.reader.meta("epoch") or "1")
    opened = home.reader.all("SELECT seq, data FROM event WHERE kind = ? ORDER BY seq", chain.EPOCH)
    return [(1, first), *((int(seq), int(json.loads(str(data))["epoch"])) for seq, data in opened)]


def _was_cut_off(epochs: Sequence[tuple[int, int]], name: str, seq: int, receipt_id: str) -> bool:
    """Whether a receipt is of an epoch that ended, by a restore, before its entry."""
    present = [number for began, number in epochs if began <= seq][-1]
    return any(
        number != present and minting.receipt_id(name, seq, number) == receipt_id
        for _, number in epochs
    )
