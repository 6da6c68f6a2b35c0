"""Epochs: after a restore the audit chain begins anew, signed, so that a fork is never silent.

`restore` marks the journal; the daemon's first start (or `restore` itself, where the keys are at hand)
opens the epoch before anything else is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from lxml import etree

from frontgate import clock
from frontgate.core import chain
from frontgate.errors import FrontgateError
from frontgate.journal import Journal
from frontgate.journal.store import STEADY
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.seal.control import read_control, write_control
from frontgate.suites import Signer
from frontgate.trust.store import TrustStore

RESTORED = "restored"
"""Meta key: a backup was put in place and its epoch is not opened yet. Value: JSON of why."""
RESYNC = "resync-since"
"""Meta key: what this journal knew last before its present epoch: JSON {epoch, seq, at}."""


def open_if_restored(journal: Journal, signer: Signer) -> bool:
    """Open the epoch that a restore made due, in one transaction. Returns: whether one was due."""
    reader = journal.reader()
    mark = reader.meta(RESTORED)
    reader.close()
    if mark is None:
        return False
    why = json.loads(mark)
    now = clock.now()
    with journal.write(now) as tx:
        old, (seq, head) = tx.epoch, tx.head
        newest = tx.one("SELECT at FROM event ORDER BY seq DESC LIMIT 1")
        epoch = max(int(now.timestamp()), old + 1)
        facts = {
            "epoch": epoch,
            "previous_epoch": old,
            "previous_seq": seq,
            "previous_head": head,
            "backup": str(why.get("backup", "")),
        }
        body = etree.Element(f"{{{CONTROL_NS}}}Epoch", nsmap=CONTROL_MAP)
        for key, value in facts.items():
            body.set(key, str(value))
        body.set("node", tx.node)
        number = tx.next_number(f"control:{signer.unit}", epoch * chain.NUMBERS_A_SECOND)
        document = write_control("epoch", number, signer.unit, now, body, signer)
        tx.begin_epoch(
            epoch, **{k: v for k, v in facts.items() if k != "epoch"}, document=document.decode()
        )
        tx.run("DELETE FROM meta WHERE key = ?", RESTORED)
        # The spools may be others than those the backup knew, and so may the clock: they are known anew.
        tx.run("DELETE FROM meta WHERE substr(key, 1, 6) = 'spool:' OR key = ?", STEADY)
        at = str(newest[0]) if newest else ""
        tx.set_meta(RESYNC, json.dumps({"epoch": epoch, "seq": seq, "at": at, "previous": old}))
    return True


def judge_by(node: str, trust: TrustStore | None) -> chain.Judge:
    """A judge of `epoch` entries: the document says the same, is signed, and by this node.

    trust: None where there is none at hand; then only its integrity is held.
    """

    def judge(link: chain.Link, data: Mapping[str, object]) -> str:
        try:
            control = read_control(str(data.get("document", "")).encode())
            said = {str(k): str(v) for k, v in control.body.attrib.items()}
            same = all(
                said.get(key) == str(data.get(key))
                for key in ("epoch", "previous_epoch", "previous_seq", "previous_head", "backup")
            )
            if control.kind != "epoch" or not same or said.get("node") != node:
                return "an epoch whose signed document says something else"
            if trust is not None:
                _judge_signer(trust, node, control.issuer, control.certificate, control.issued_at)
        except FrontgateError as error:
            return f"an epoch whose signature does not hold ({error.code})"
        return ""

    return judge


def _judge_signer(
    trust: TrustStore, node: str, issuer: str, certificate: bytes, at: datetime
) -> None:
    if node.startswith("hub:"):
        trust.judge_hub(certificate, at)
    else:
        trust.judge(certificate, issuer, at)
