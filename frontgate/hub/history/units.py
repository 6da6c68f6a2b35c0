"""What the units send: sealed packages from the standard's own samples, and receivers' receipts.

Offers: `batches`, a stream of bundles day by day. Every message has ids, persons, case and units of its
own; its seal is the sender's, its copies are those of the directory. Made in a process of its own, so
that the hub's share of the work can be measured alone.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import uuid
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from functools import cached_property

from frontgate import bundle, safexml
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.core.identifiers import case_uid, mod11_2, unit_code
from frontgate.hub.history.plan import Day
from frontgate.hub.history.province import Province
from frontgate.model.envelope import Copy, Envelope
from frontgate.model.message import Address, Header
from frontgate.model.receipt import Kind, Receipt
from frontgate.seal import PackageWriter
from frontgate.seal.receipts import sign_receipts, write_list
from frontgate.standard import Catalogue, Standards, copies
from frontgate.standard.view import read_view
from frontgate.values import Struct, replace

GROUP = 8
MEMBERS = 64
KEEP = 12
"""A unit goes on with one of its latest cases about as often as it opens one."""
_CASE = re.compile(r"C\d{21}[\dX]")
_UNIT = re.compile(r">(52\d{4}\d{2}\d{2}[\dX])<")
_ID_NO = re.compile(r"<t:IdNo>[^<]*")
_NAME = re.compile(r"<t:Name>[^<]*")
_ACCOUNTS = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜"


class Upload(Struct, frozen=True):
    """One bundle for the mailbox of an account, at a moment."""

    account: str
    name: str
    data: bytes
    at: datetime
    messages: int
    receipts: int


class Template:
    """One valid sample, its ids taken out."""

    def __init__(self, catalogue: Catalogue, flow: str, step: str) -> None:
        path = catalogue.folder / "flows" / flow / "samples" / "valid" / f"{step}.xml"
        text = path.read_text("utf-8")
        text = re.sub(r"\s*<m:(MessageId|FlowUid|InReplyTo|SenderRef)>[^<]*</m:\1>", "", text)
        text = re.sub(r"\s*<!--.*?-->", "", text, flags=re.DOTALL)
        self.text = re.sub(r">\s+<", "><", text)
        self.header: Header = read_view(safexml.parse(self.text.encode())).header
        case = _CASE.search(self.text)
        self.case = case.group() if case else ""

    @cached_property
    def units(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_UNIT.findall(self.text)))


class Units:
    """Everyone who sends."""

    def __init__(
        self, province: Province, standards: Standards, *, answers: float, seed: int
    ) -> None:
        self._province = province
        self._catalogue = standards.version(standards.newest)
        self._random = random.Random(seed)  # noqa: S311 (a play, no secret)
        self._answers = answers
        self._templates: dict[str, Template | None] = {}
        self._copies: dict[tuple[str, str], tuple[Copy, ...]] = {}
        self._cases: dict[str, list[str]] = {}
        self._serials: dict[tuple[int, str], int] = {}
        self._numbers: dict[str, int] = {}
        self._message = 0

    def template(self, flow: str, step: str) -> Template | None:
        key = f"{flow}.{step}"
        if key not in self._templates:
            folder = self._catalogue.folder / "flows" / flow / "samples" / "valid"
            known = (folder / f"{step}.xml").is_file()
            self._templates[key] = Template(self._catalogue, flow, step) if known else None
        return self._templates[key]

    def day(self, day: Day) -> Iterator[Upload]:
        """The bundles of one day: packages by front end, then the receivers' receipts, then answers."""
        morning = datetime.combine(day.day, time(9, 30), LEGAL_TIME)
        sent = [self._message_of(f, "submit", morning, "") for f in day.flows]
        yield from self._uploads(sent, morning + timedelta(minutes=10))
        yield from self._receipts(sent, morning + timedelta(minutes=30))
        answers = [
            self._answer(m, morning + timedelta(hours=5))
            for m in sent
            if self._random.random() < self._answers
        ]
        replies = [m for m in answers if m is not None]
        yield from self._uploads(replies, morning + timedelta(hours=5, minutes=10))
        yield from self._receipts(replies, morning + timedelta(hours=5, minutes=30))

    # -- one message ------------------------------------------------------------------------------

    def _message_of(self, flow: str, step: str, at: datetime, county: str) -> _Made:
        template = self.template(flow, step)
        assert template is not None, f"{flow}.{step} has no sample"
        county = county or self._random.choice(self._province.counties)
        at += timedelta(seconds=self._random.randrange(600))
        sender = _there(template.header.sender, county)
        return self._make(template, county, sender, at, self._case(sender, at.year), "", _new_id())

    def _answer(self, asked: _Made, at: datetime) -> _Made | None:
        """The receiver takes the message in: the flow's own `accept`, where it has one."""
        template = self.template(asked.header.flow, "accept")
        if template is None:
            return None
        sender = _there(template.header.sender, asked.county)
        if sender not in asked.receivers:
            return None
        return self._make(
            template, asked.county, sender, at, asked.case, asked.header.message_id,
            asked.header.flow_uid,
        )  # fmt: skip

    def _make(
        self,
        template: Template,
        county: str,
        sender: str,
        at: datetime,
        case: str,
        reply: str,
        flow: str,
    ) -> _Made:
        message_id = _new_id()
        text = template.text
        for unit in template.units:
            text = text.replace(f">{unit}<", f">{_there(unit, county)}<")
        if template.case:
            text = text.replace(template.case, case)
        ids = f"<m:MessageId>{message_id}</m:MessageId>"
        text = text.replace("<m:MessageType>", ids + "<m:MessageType>", 1)
        answer = f"<m:InReplyTo>{reply}</m:InReplyTo>" if reply else ""
        text = text.replace("<m:Sender>", f"<m:FlowUid>{flow}</m:FlowUid>{answer}<m:Sender>", 1)
        when = at.isoformat()
        text = re.sub("<m:BusinessTime>[^<]*", f"<m:BusinessTime>{when}", text, count=1)
        self._message += 1
        number = _citizen(self._message)
        text = _ID_NO.sub(lambda _: f"<t:IdNo>{number}", text, count=1)
        name = _ACCOUNTS[self._message % len(_ACCOUNTS)] + "某"
        text = _NAME.sub(lambda _: f"<t:Name>{name}", text, count=1)
        header = template.header
        receivers = tuple(_there(a.code, county) for a in header.receivers)
        header = replace(
            header,
            message_id=message_id,
            flow_uid=flow,
            in_reply_to=reply,
            sender=sender,
            receivers=tuple(Address(c) for c in receivers),
            business_time=when,
            case_uid=case if header.case_uid else "",
            person_uids=tuple(p.replace(template.case, case) for p in header.person_uids),
        )
        copied = self._copied(header, text, county)
        return _Made(text.encode(), header, receivers, copied, county, case)

    def _copied(self, header: Header, text: str, county: str) -> tuple[Copy, ...]:
        """Who gets a copy: the same for all messages of a type from one place."""
        key = (header.message_type, county)
        found = self._copies.get(key)
        if found is None:
            data = text.encode()
            view = replace(read_view(safexml.parse(data)), header=header)
            found = tuple(copies(self._catalogue, data, view, self._province.directory)[0])
            self._copies[key] = found
        return found

    def _case(self, sender: str, year: int) -> str:
        """A case of the sender: one of its latest, or a new one."""
        latest = self._cases.setdefault(sender, [])
        if latest and self._random.random() < 0.5:
            return self._random.choice(latest)
        serial = self._serials.get((year, sender), 0) + 1
        self._serials[year, sender] = serial
        case = case_uid(year, sender, serial)
        latest.append(case)
        del latest[:-KEEP]
        return case

    # -- bundles ----------------------------------------------------------------------------------

    def _uploads(self, made: list[_Made], at: datetime) -> Iterator[Upload]:
        by_account: dict[str, list[_Made]] = {}
        for m in made:
            account = self._province.directory.units[m.header.sender].account
            by_account.setdefault(account, []).append(m)
        for account, messages in sorted(by_account.items()):
            for first in range(0, len(messages), MEMBERS):
                part = messages[first : first + MEMBERS]
                members = [(f"{m.header.message_id}.asice", self._seal(m, at)) for m in part]
                yield self._upload(account, members, at, len(part), 0)

    def _seal(self, m: _Made, at: datetime) -> bytes:
        buffer = io.BytesIO()
        writer = PackageWriter(buffer, parts=[("message.xml", "application/xml")])
        writer.add("message.xml", "application/xml", [m.text])
        signer = self._province.signers[m.header.sender]
        writer.finish(Envelope(m.header, m.receivers, m.copies), signer, at)
        return buffer.getvalue()

    def _receipts(self, made: list[_Made], at: datetime) -> Iterator[Upload]:
        """`delivered` and `handed-over` of every recipient, signed by its front end."""
        by_account: dict[str, list[Receipt]] = {}
        units = self._province.directory.units
        for m in made:
            for unit in Envelope(m.header, m.receivers, m.copies).recipients:
                front = units[unit].front_end or unit
                for kind, minutes in ((Kind.DELIVERED, 0), (Kind.HANDED_OVER, 15)):
                    moment = at - timedelta(minutes=20) + timedelta(minutes=minutes)
                    by_account.setdefault(units[unit].account, []).append(
                        _receipt(kind, m, unit, front, moment)
                    )
        for account, receipts in sorted(by_account.items()):
            groups = []
            for first in range(0, len(receipts), GROUP):
                part = receipts[first : first + GROUP]
                signed = sign_receipts(part, self._province.signers[part[0].issuer])
                groups.append((signed.signature, [xml for _, xml, _ in signed.items]))
            members = [("0001-receipts.xml", write_list(groups))]
            yield self._upload(account, members, at, 0, len(receipts))

    def _upload(
        self,
        account: str,
        members: list[tuple[str, bytes]],
        at: datetime,
        messages: int,
        receipts: int,
    ) -> Upload:
        parts = [bundle.Member(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in members]
        number = self._numbers.get(account, 0) + 1
        self._numbers[account] = number
        body = b"".join(
            bundle.member_header(p) + d + bundle.member_padding(len(d))
            for p, (_, d) in zip(parts, members, strict=True)
        )
        name = bundle.bundle_id(number, parts)
        return Upload(account, name, body + bundle.TRAILER, at, messages, receipts)


class _Made(Struct, frozen=True):
    """A message with all that its seal and its receipts need."""

    text: bytes
    header: Header
    receivers: tuple[str, ...]
    copies: tuple[Copy, ...]
    county: str
    case: str


def _there(unit: str, county: str) -> str:
    """The unit of the same kind in another place: county, its prefecture, or the province."""
    if unit[:6].endswith("0000"):
        division = unit[:6]
    elif unit[:6].endswith("00"):
        division = county[:4] + "00"
    else:
        division = county
    return unit_code(division + unit[6:10])


def _new_id() -> str:
    return str(uuid.uuid4())


def _citizen(number: int) -> str:
    """A citizen number that nobody else in the play has. Its birth date lies in the years 1950 to 1999."""
    rest, sequence = divmod(number, 1000)
    rest, day = divmod(rest, 28)
    rest, month = divmod(rest, 12)
    place, year = divmod(rest, 50)
    digits = f"5201{place % 90 + 10:02d}{1950 + year}{month + 1:02d}{day + 1:02d}{sequence:03d}"
    return digits + mod11_2(digits)


def _receipt(kind: Kind, m: _Made, unit: str, front: str, at: datetime) -> Receipt:
    from datetime import UTC

    return Receipt(
        receipt_id=_new_id(),
        kind=kind,
        event_time=at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        issuer=front,
        issuer_node="gateway",
        message_id=m.header.message_id,
        sender=m.header.sender,
        message_type=m.header.message_type,
        flow_uid=m.header.flow_uid,
        case_uid=m.header.case_uid,
        receiver=unit,
        audit_seq=1,
        audit_head="0" * 64,
    )
