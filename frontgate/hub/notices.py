"""Deadline notices: the hub writes to the acting unit when a term is near its end or past it, and
from red on to whoever the standard names for a copy: the committee of the place.

A notice is a message of the type that the standard names for it, sealed by the hub, kept in its ledger and
placed like any other. One a term and level: its MessageId follows from both, so that a repeat is known.
The projections may be behind or rebuilt; the journal says what was sent. Off unless `[cases] notices`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from frontgate import clock, safexml
from frontgate.cases.counting import DEADLINE
from frontgate.cases.read import Cases
from frontgate.cases.records import Case, Deadline, deadline
from frontgate.cases.times import stored
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.core.lifecycle import Intake as State
from frontgate.errors import JournalError
from frontgate.hub.mailboxes import ACCOUNT
from frontgate.journal import Journal, Tx, extracts, packages, transfers
from frontgate.log import get_logger
from frontgate.model.envelope import Copy, Envelope
from frontgate.model.message import Address, Header, Software
from frontgate.model.receipt import Kind
from frontgate.pipeline import issue
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.segments import SegmentStore
from frontgate.safexml import escape
from frontgate.seal import PackageWriter
from frontgate.standard import Catalogue
from frontgate.standard.copies import copies
from frontgate.standard.extract import compact, head_of
from frontgate.standard.view import read_view
from frontgate.trust.store import TrustStore
from frontgate.values import Struct

log = get_logger()

LEVELS = {"yellow": "1", "red": "2", "overdue": "3"}
LOOK_S = 60.0
BATCH = 50
MARK = "notices_until"
_SPACE = uuid.UUID("5b0d0a52-6a5e-5c0b-9d51-3f0c7d9be7a1")


class Notice(Struct, frozen=True):
    """One notice, written but not sealed."""

    header: Header
    text: bytes
    copies: tuple[Copy, ...]


class Notices:
    """`turn` is the body of a loop."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        issuer: Issuer,
        trust: Callable[[], TrustStore],
        catalogue: Catalogue,
        cases: Path,
        wake_placer: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._store = store
        self._issuer = issuer
        self._trust = trust
        self._catalogue = catalogue
        self._type = catalogue.notice_type
        self._cases = cases
        self._wake_placer = wake_placer

    def turn(self) -> float | None:
        """Send what has crossed a level since the last look. The first look begins a day back.

        The mark follows what the projections have seen: a term that became known after its level had
        passed crosses it when it became known. Looking twice is harmless, a notice has one id.
        """
        try:
            source = Cases(self._cases)
        except JournalError:
            return LOOK_S  # the projector has not begun yet
        try:
            now = clock.now()
            seen = min(source.as_of()[1] or stored(now), stored(now))
            since = self._reader.meta(MARK) or stored(now - timedelta(days=1))
            found: list[Notice] = []
            after = (since, "")
            while len(found) < BATCH:
                page = self._crossed(source, after, stored(now))
                found += [n for _, d in page if (n := self._notice(source, d, now)) is not None]
                if len(page) < BATCH:
                    after = (max(since, seen), "")
                    break
                after = (page[-1][0], page[-1][1].id)
        finally:
            source.close()
        is_full = len(found) >= BATCH
        if found or after[0] != since:
            self._send(found, now, after[0])
        return 0.0 if is_full else LOOK_S

    def _crossed(
        self, source: Cases, after: tuple[str, str], now: str
    ) -> list[tuple[str, Deadline]]:
        """(when, term): open terms whose highest level was crossed, and known, after a point."""
        when = (
            "max(start_known_at, CASE WHEN due_at <= ? THEN due_at WHEN red_at <= ? THEN red_at"
            " ELSE yellow_at END)"
        )
        rows = source.reader.all(
            f"SELECT * FROM (SELECT {when} AS crossed, {DEADLINE} FROM deadline WHERE state = 'open'"  # noqa: S608
            " AND is_lapsing = 0 AND case_uid <> '' AND yellow_at <= ?"
            # What was closed and confirmed is in no list of what is due either.
            " AND id NOT IN (SELECT item FROM act WHERE act = 'confirm'))"
            " WHERE (crossed, id) > (?, ?) ORDER BY crossed, id LIMIT ?",
            now, now, now, *after, BATCH,
        )  # fmt: skip
        return [(str(r[0]), deadline(r[1:])) for r in rows]

    def _notice(self, source: Cases, item: Deadline, now: datetime) -> Notice | None:
        level = item.level(stored(now))
        unit = self._trust().directory.units.get(item.unit)
        case = source.case(item.case_uid)
        if (
            level not in LEVELS
            or unit is None
            or not unit.certificates
            or case is None
            or not case.name
        ):
            return None
        if not set(unit.roles) & set(self._catalogue.step(self._type).to_roles):
            return None
        key = f"{item.id}\n{level}\n{item.due_at}"
        message_id = str(uuid.uuid5(_SPACE, key))
        hub = self._issuer.unit
        if packages.find_admitted(self._reader, "in", hub, message_id) is not None:
            return None
        persons = (item.subject,) if item.subject.startswith(item.case_uid) else ()
        header = Header(
            standard=self._catalogue.version,
            message_type=self._type,
            sender=hub,
            receivers=(Address(item.unit),),
            business_time=_legal(now),
            message_id=message_id,
            flow_uid=str(uuid.uuid5(_SPACE, item.id)),
            case_uid=item.case_uid,
            case_stage=case.stage or "10",
            person_uids=persons,
            confidentiality=max(case.conf, "2"),
            software=Software("frontgate", "hub", "1"),
        )
        rule = self._catalogue.deadlines.get(item.rule)
        article = (rule.basis[0] if rule and rule.basis else item.rule)[:200]
        text = _message(header, case, item, LEVELS[level], article)
        root = safexml.parse(text)
        # From red on the committee of the place is told as well: the standard says so, not this code.
        directory = self._trust().directory
        copied, _ = copies(self._catalogue, root, read_view(root), directory)
        # A unit that never enrolled fetches nothing: its mailbox would only grow.
        enrolled = tuple(c for c in copied if directory.units[c.unit].certificates)
        return Notice(header, text, enrolled)

    def _send(self, notices: list[Notice], now: datetime, until: str) -> None:
        """Seal, keep and queue: one segment and one transaction for all."""
        if not notices:
            with self._journal.write() as tx:
                tx.set_meta(MARK, until)
            return
        segment = self._store.new(now)
        places: list[tuple[int, int, str, str, str, Envelope]] = []
        for notice in notices:
            offset = segment.file.tell()
            receivers = tuple(a.code for a in notice.header.receivers)
            envelope = Envelope(notice.header, receivers, notice.copies)
            writer = PackageWriter(
                segment.file, offset=offset, parts=[("message.xml", "application/xml")]
            )
            writer.add("message.xml", "application/xml", [notice.text])
            sealed = writer.finish(envelope, self._issuer.signer, now)
            size = segment.file.seek(0, 2) - offset
            segment.file.seek(offset)
            digest = hashlib.sha256(segment.file.read(size)).hexdigest()
            segment.file.seek(0, 2)
            places.append(
                (offset, size, digest, sealed.content_digest, sealed.seal_digest, envelope)
            )
        size = segment.publish()
        with (
            self._store.named_by(self._journal, segment.relative_path),
            self._journal.write() as tx,
        ):
            segment_id = packages.add_segment(tx, segment.relative_path, size, "sealed")
            drafts = [
                self._record(tx, segment_id, notice, place)
                for notice, place in zip(notices, places, strict=True)
            ]
            issue.issue(tx, self._issuer, drafts)
            tx.set_meta(MARK, until)
        self._wake_placer()
        log.info("notices", count=len(notices))

    def _record(
        self,
        tx: Tx,
        segment_id: int,
        notice: Notice,
        place: tuple[int, int, str, str, str, Envelope],
    ) -> Draft:
        offset, size, digest, content, seal, envelope = place
        header = notice.header
        package_id = packages.add(
            tx, direction="in", state=State.ADMITTED, envelope=envelope, sender=header.sender,
            message_id=header.message_id, content_digest=content, seal_digest=seal,
            segment_id=segment_id, offset=offset, size_bytes=size, digest=digest,
        )  # fmt: skip
        extracts.keep(tx, package_id, head_of(envelope), compact(notice.text))
        tx.event(
            "admitted", package=package_id, sender=header.sender, message=header.message_id,
            type=self._type, content=content, peer="hub",
        )  # fmt: skip
        units = self._trust().directory.units
        accounts = []
        for code in envelope.recipients:
            accounts.append(ACCOUNT + units[code].account)
            transfers.add(tx, package_id=package_id, destination=accounts[-1], receiver=code)
        return Draft(
            kind=Kind.RELAY_ACCEPTED, sender=header.sender, message_id=header.message_id,
            message_type=self._type, flow_uid=header.flow_uid, case_uid=header.case_uid,
            content_digest=content, seal_digest=seal, package_id=package_id,
            destinations=tuple(dict.fromkeys(accounts)),
        )  # fmt: skip


def _legal(at: datetime) -> str:
    return at.astimezone(LEGAL_TIME).isoformat(timespec="seconds")


def _message(header: Header, case: Case, item: Deadline, level: str, article: str) -> bytes:
    """The message as the standard's XSD wants it."""
    persons = "".join(f"<m:PersonUid>{escape(p)}</m:PersonUid>" for p in header.person_uids)
    about = "".join(f"<b:PersonUid>{escape(p)}</b:PersonUid>" for p in header.person_uids)
    end = datetime.fromisoformat(item.due_at) - timedelta(seconds=1)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<m:Message xmlns:m="urn:frontgate:message:1"'
        ' xmlns:t="urn:frontgate:types:1" xmlns:b="urn:frontgate:'
        f'{header.flow}:1"'
        f' standard="{header.standard}"><m:Header><m:MessageId>{header.message_id}</m:MessageId>'
        f"<m:MessageType>{header.message_type}</m:MessageType><m:FlowUid>{header.flow_uid}</m:FlowUid>"
        f"<m:Sender>{header.sender}</m:Sender><m:Receiver>{header.receivers[0].code}</m:Receiver>"
        f"<m:CaseUid>{escape(case.case_uid)}</m:CaseUid><m:CaseStage>{escape(header.case_stage)}</m:CaseStage>"
        f"{persons}<m:BusinessTime>{header.business_time}</m:BusinessTime><m:Urgency>1</m:Urgency>"
        f"<m:Confidentiality>{escape(header.confidentiality)}</m:Confidentiality><m:Software>"
        "<m:Vendor>frontgate</m:Vendor><m:Product>hub</m:Product><m:Version>1</m:Version></m:Software>"
        f"</m:Header><m:Body><b:Notify><b:Case><t:CaseUid>{escape(case.case_uid)}</t:CaseUid>"
        f"<t:CaseName>{escape(case.name)}</t:CaseName><t:CaseStage>{escape(header.case_stage)}</t:CaseStage>"
        f"<t:MainCrime>{escape(case.crime)}</t:MainCrime>"
        f"<t:HandlingUnit>{escape(case.handling_unit or case.owner)}</t:HandlingUnit>"
        f"<t:HandlerName>-</t:HandlerName><t:Confidentiality>{escape(header.confidentiality)}</t:Confidentiality>"
        f"</b:Case><b:RuleId>{escape(item.rule)}</b:RuleId><b:NoticeLevel>{level}</b:NoticeLevel>"
        f"<b:StartAt>{_legal(datetime.fromisoformat(item.start_at))}</b:StartAt><b:DueAt>{_legal(end)}</b:DueAt>"
        f"<b:ActingUnit>{item.unit}</b:ActingUnit><b:Article>{escape(article)}</b:Article>{about}"
        "</b:Notify></m:Body></m:Message>"
    )
    return text.encode()
