"""The projector: journal events after its cursor → rows of `state/cases.db`, batch by batch.

Offers: `Projector` (`turn`, `catch_up`), `rebuild`. Guarantees: a batch's rows and the cursor are one
transaction, so a kill at any point loses and doubles nothing; the rows after event n are the same
however the way there was cut into batches. Test traffic never enters. The journal is only read.
Fails: `JournalError` where a file cannot be used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from frontgate.cases.folding import Fold, Message, is_hub
from frontgate.cases.reading import Said, documents_of, read_said
from frontgate.cases.rules import CaseRules, Plan, fingerprint
from frontgate.cases.tallies import Tallies
from frontgate.cases.terms import Terms
from frontgate.cases.times import effective
from frontgate.errors import XmlError
from frontgate.journal import Reader, extracts, open_reader
from frontgate.journal.files import File, open_file, publish_file, remove_file, take_lock
from frontgate.standard import Standards
from frontgate.standard.extract import expand

BATCH = 2000
"""Events of one transaction."""


class Projector:
    """Owns the projection file while it is open."""

    def __init__(
        self, journal: Path, cases: Path, standards: Standards, *, is_draft: bool = False
    ) -> None:
        """is_draft: the file is made from nothing and published when it is whole."""
        self._standards = standards
        self._rules: dict[str, CaseRules] = {}
        self._journal: Reader = open_reader(journal)
        schema = resources.files("frontgate.cases").joinpath("schema.sql").read_text("utf-8")
        marks = fingerprint(*(standards.version(v) for v in standards.versions))
        version = f"{hashlib.sha256(schema.encode()).hexdigest()[:16]} {marks}"
        self._file: File = open_file(cases, schema, version, is_draft=is_draft)
        if not self._goes_on():
            self._file.close()
            remove_file(cases)
            self._file = open_file(cases, schema, version, is_draft=is_draft)
        self._terms = Terms(self._file)
        self._tallies = Tallies(self._file)
        self._fold = Fold(self._file, self._refold)
        self._last_at = ""
        self._kinds: dict[str, Callable[[int, str, dict[str, Any]], None]] = {
            "admitted": self._admitted,
            "refused": self._refused,
            "receipt-got": self._receipt_got,
            "receipt": self._receipt_issued,
            "case-act": self._act,
            "started": self._running,
            "stopped": self._running,
        }

    def _goes_on(self) -> bool:
        """Whether the journal is the one that the rows came from: its chain has our head."""
        row = self._file.one("SELECT value FROM meta WHERE key = 'cursor'")
        if row is None:
            return True
        seq, _, head = str(row[0]).partition(" ")
        found = extracts.entry(self._journal, int(seq))
        if found is None:
            return extracts.is_archived(self._journal, int(seq))
        return found[1] == head

    def close(self) -> None:
        self._journal.close()
        self._file.close()

    @property
    def cursor(self) -> int:
        """The sequence number of the last event whose rows are here."""
        row = self._file.one("SELECT value FROM meta WHERE key = 'cursor'")
        return int(str(row[0]).partition(" ")[0]) if row is not None else 0

    def turn(self, limit: int = BATCH) -> int:
        """Project the next events. Returns: how many there were."""
        cursor = self.cursor
        end = extracts.newest(
            self._journal
        )  # before the events: the cursor may not pass one unseen
        if end is None or end[0] <= cursor:
            return 0
        events = [e for e in extracts.followed(self._journal, cursor, limit) if e[0] <= end[0]]
        last = end if len(events) < limit else (events[-1][0], events[-1][1], "")
        head = last[2] or (extracts.entry(self._journal, last[0]) or ("", ""))[1]
        with self._file.write():
            self._last_at = self._meta("last_at")
            for seq, at, kind, data in events:
                self._kinds[kind](seq, at, json.loads(data))
                self._last_at = at
            self._terms.settle()
            for key, value in (
                ("cursor", f"{last[0]} {head}"), ("as_of", last[1]), ("last_at", self._last_at)
            ):  # fmt: skip
                self._file.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)
        return last[0] - cursor

    def _meta(self, key: str) -> str:
        row = self._file.one("SELECT value FROM meta WHERE key = ?", key)
        return str(row[0]) if row is not None else ""

    def catch_up(self, said: Callable[[int], None] = lambda _: None, *, limit: int = BATCH) -> int:
        """Project all there is, `limit` events at a time. said: called with the number of events after each batch."""
        done = 0
        while count := self.turn(limit):
            done += count
            said(done)
        return done

    def rules(self, version: str) -> CaseRules:
        """The rules of a version of the standard; of the newest for one that lives here no more."""
        chosen = version if version in self._standards.versions else self._standards.newest
        found = self._rules.get(chosen)
        if found is None:
            found = self._rules[chosen] = CaseRules(self._standards.version(chosen))
        return found

    # -- events -----------------------------------------------------------------------------------

    def _admitted(self, seq: int, at: str, data: dict[str, Any]) -> None:
        package_id = int(data["package"])
        loaded = self._load(package_id)
        if loaded is None:
            return
        m, head, flags = loaded
        sequence = int(any(f.get("severity") == "sequence" for f in flags))
        self._file.run(
            "INSERT INTO message (id, seq, relayed_at, effective_at, sender, message_id, type, flow, step,"
            " flow_uid, in_reply_to, replaces, case_uid, stage, urgency, conf, vendor, product, version,"
            " standard, digest, original, is_sequence, flags)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            m.id, seq, m.relayed_at, m.effective_at, m.sender, m.message_id, m.type, m.flow, m.step,
            m.flow_uid, m.in_reply_to, m.replaces, m.case_uid, m.stage, head["urgency"], m.conf,
            head.get("vendor", ""), head.get("product", ""), head.get("version", ""),
            head.get("standard", ""), data.get("content", ""), head.get("original", ""), sequence,
            json.dumps(flags, ensure_ascii=False, separators=(",", ":")),
        )  # fmt: skip
        self._file.many(
            "INSERT OR IGNORE INTO recipient (message, unit, mode) VALUES (?, ?, ?)",
            [(m.id, unit, mode) for unit, mode in m.recipients],
        )
        copies: dict[str, str] = head.get("copies", {})
        self._file.many(
            "INSERT OR IGNORE INTO narrowed VALUES (?, ?)",
            [(m.id, unit) for unit, mode in copies.items() if mode == "narrowed"],
        )
        self._sent(m)
        if head.get("original"):
            return  # an extract says nothing of its own: it is shown beside its original
        rules = self.rules(head.get("standard", ""))
        plan = rules.plan(m.type)
        if m.said is not None:
            rows = [
                (m.id, n, d.doc_uid, d.type, d.title[:300], d.carrier, d.digest, d.size_bytes)
                for n, d in enumerate(documents_of(m.said.root, head.get("files", {})))
            ]
            self._file.many("INSERT INTO document VALUES (?,?,?,?,?,?,?,?)", rows)
        self._apply(m, rules, plan)
        if is_hub(m.sender, rules):
            return  # its notices are no exchanges of units
        self._tallies.exchange(m, plan)
        if m.said is not None:
            self._tallies.outcomes(m, rules)

    def _apply(self, m: Message, rules: CaseRules, plan: Plan) -> None:
        if self._fold.take(m, rules, plan) and m.said is not None:
            self._terms.mark(m, m.said, rules, plan)

    def _load(self, package_id: int) -> tuple[Message, dict[str, Any], list[dict[str, Any]]] | None:
        """A message from the journal; None for test traffic."""
        row = self._journal.one(
            "SELECT p.sender, p.message_id, p.message_type, p.flow_uid, p.in_reply_to, p.case_uid,"
            " p.business_time, p.recipients, p.report, p.made_at, p.test_flag, p.urgency"
            " FROM package p WHERE p.id = ?",
            package_id,
        )
        kept = extracts.of_package(self._journal, package_id)
        if row is None or row[10] or kept is None:
            return None
        (
            sender,
            message_id,
            kind,
            flow_uid,
            in_reply_to,
            case_uid,
            business,
            units,
            report,
            made_at,
        ) = (str(v) for v in row[:10])
        said = self._said(kept.body)
        copies: dict[str, str] = kept.head.get("copies", {})
        persons = dict.fromkeys(kept.head.get("persons", ()))
        if said is not None:
            persons.update(dict.fromkeys(said.persons))
        flow, _, step = kind.partition(".")
        message = Message(
            package_id, made_at, effective(business, made_at), sender, message_id, kind, flow, step,
            flow_uid, in_reply_to, kept.head.get("replaces", ""), case_uid, kept.head.get("stage", ""),
            kept.head.get("conf", ""),
            tuple((u, "cc" if u in copies else "to") for u in units.split()),
            tuple(persons), said,
        )  # fmt: skip
        flags = [
            {k: f.get(k, "") for k in ("rule", "severity", "zh", "en", "value")}
            for f in json.loads(report)
        ]
        return message, {**kept.head, "urgency": int(row[11])}, flags

    @staticmethod
    def _said(body: bytes) -> Said | None:
        if not body:
            return None
        try:
            return read_said(expand(body))
        except XmlError:
            return None

    def _sent(self, m: Message) -> None:
        """The sender's gateway had taken it before: its receipt came ahead of the package."""
        row = self._journal.one(
            "SELECT min(event_time) FROM receipt WHERE message_id = ? AND receiver = '' AND sender = ?"
            " AND kind = 'submission-accepted'",
            m.message_id, m.sender,
        )  # fmt: skip
        if row is not None and row[0]:
            self._file.run("UPDATE message SET sent_at = ? WHERE id = ?", str(row[0]), m.id)

    def _refold(self, case_uid: str) -> None:
        """Fold a case anew, from its first message: who belongs to it has changed."""
        file = self._file
        for table in (
            "casefile", "person", "custody", "party", "outcome", "instance", "link", "alarm", "property"
        ):  # fmt: skip
            file.run(f"DELETE FROM {table} WHERE case_uid = ?", case_uid)  # noqa: S608
        self._terms.forget(case_uid)
        file.run(
            "DELETE FROM concerns WHERE message IN (SELECT id FROM message WHERE case_uid = ?)",
            case_uid,
        )
        file.run("UPDATE message SET is_outside = 0 WHERE case_uid = ?", case_uid)
        after = 0
        while True:
            rows = file.all(
                "SELECT id FROM message WHERE case_uid = ? AND original = '' AND id > ? ORDER BY id LIMIT 200",
                case_uid, after,
            )  # fmt: skip
            for (package_id,) in rows:
                loaded = self._load(int(package_id))
                if loaded is not None:
                    rules = self.rules(loaded[1].get("standard", ""))
                    self._apply(loaded[0], rules, rules.plan(loaded[0].type))
            if not rows:
                return
            after = int(rows[-1][0])

    def _refused(self, seq: int, at: str, data: dict[str, Any]) -> None:
        row = self._journal.one(
            "SELECT p.message_type, p.sender, p.test_flag FROM package p WHERE p.id = ?",
            int(data["package"]),
        )
        kept = extracts.of_package(self._journal, int(data["package"]))
        if row is None or row[2] or kept is None:
            return
        self._tallies.reject(
            at, kept.head, str(row[0]).partition(".")[0], str(row[1]), data.get("codes", [])
        )

    def _receipt_got(self, seq: int, at: str, data: dict[str, Any]) -> None:
        row = self._journal.one(
            "SELECT sender, event_time FROM receipt WHERE message_id = ? AND receiver = ? AND digest = ?",
            data.get("message", ""), data.get("receiver", ""), data.get("digest", ""),
        )  # fmt: skip
        if row is None:
            return
        message = self._message(str(data.get("message", "")), str(row[0]))
        if message is None:
            return
        message_id, relayed_at, standard, first = message
        stated = effective(str(row[1]), at)
        when = max(stated, relayed_at)
        unit, kind = str(data.get("receiver", "")), str(data.get("kind", ""))
        if kind == "submission-accepted":
            self._file.run(
                "UPDATE message SET sent_at = ? WHERE id = ? AND (sent_at = '' OR sent_at > ?)",
                stated, message_id, stated,
            )  # fmt: skip
        elif kind == "delivered":
            made = self._file.run(
                "UPDATE recipient SET delivered_at = ?, delivered_known_at = ?"
                " WHERE message = ? AND unit = ? AND delivered_at = ''",
                when, at, message_id, unit,
            )  # fmt: skip
            if made:
                self._terms.delivered(message_id, unit, first, when, at, self.rules(standard))
        elif kind == "handed-over":
            self._file.run(
                "UPDATE recipient SET handed_at = ? WHERE message = ? AND unit = ? AND handed_at = ''",
                when, message_id, unit,
            )  # fmt: skip
        elif kind in ("delivery-failed", "handover-failed"):
            self._failed(message_id, unit, when, kind)

    def _receipt_issued(self, seq: int, at: str, data: dict[str, Any]) -> None:
        kind = data.get("kind", "")
        if kind not in ("relay-failed", "relay-delayed"):
            return
        message = self._message(str(data.get("message", "")), str(data.get("sender", "")))
        if message is None:
            return
        unit = str(data.get("receiver", ""))
        if kind == "relay-failed":
            self._failed(message[0], unit, at, kind)
        else:
            self._file.run(
                "UPDATE recipient SET delayed_at = ? WHERE message = ? AND (unit = ? OR ? = '')",
                at, message[0], unit, unit,
            )  # fmt: skip

    def _failed(self, message: int, unit: str, at: str, kind: str) -> None:
        self._file.run(
            "UPDATE recipient SET failed_at = ?, failed_kind = ? WHERE message = ? AND (unit = ? OR ? = '')",
            at, kind, message, unit, unit,
        )  # fmt: skip

    def _message(self, message_id: str, sender: str) -> tuple[int, str, str, str] | None:
        """(id, relayed at, version of the standard, first receiver) of an admitted message."""
        rows = self._file.all(
            "SELECT id, relayed_at, standard, (SELECT unit FROM recipient r WHERE r.message = m.id"
            " AND mode = 'to' ORDER BY unit LIMIT 1) FROM message m WHERE message_id = ?"
            " AND (sender = ? OR ? = '') LIMIT 2",
            message_id, sender, sender,
        )  # fmt: skip
        if len(rows) != 1:
            return None
        return int(rows[0][0]), str(rows[0][1]), str(rows[0][2]), str(rows[0][3] or "")

    def _act(self, seq: int, at: str, data: dict[str, Any]) -> None:
        self._file.run(
            "INSERT INTO act VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            seq, at, data.get("act", ""), data.get("item", ""), data.get("case", ""), data.get("unit", ""),
            data.get("actor", ""), data.get("code", ""), data.get("text", ""),
        )  # fmt: skip
        if data.get("act") == "admit":
            self._refold(str(data.get("item", "")))

    def _running(self, seq: int, at: str, data: dict[str, Any]) -> None:
        what = "started" if "version" in data else "stopped"
        self._file.run("INSERT INTO running VALUES (?, ?, ?, ?)", seq, at, what, self._last_at)


def rebuild(
    journal: Path, cases: Path, standards: Standards, said: Callable[[int], None] = lambda _: None
) -> int:
    """Throw the projections away and make them anew. Returns: the events projected.

    The old file serves readers until the new one is whole. Raises: JournalError FG-JRN-002 while a
    projector runs.
    """
    fresh = cases.with_name(cases.name + ".new")
    unlock = take_lock(cases)
    try:
        remove_file(fresh)
        projector = Projector(journal, fresh, standards, is_draft=True)
        try:
            count = projector.catch_up(said, limit=5 * BATCH)
        finally:
            projector.close()
        publish_file(fresh, cases)
        return count
    finally:
        unlock()
