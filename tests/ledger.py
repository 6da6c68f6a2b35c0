"""A hub's ledger without the network: real units, real seals, real intake, a clock that tests set.

Bundles are put into the mailboxes as an SFTP server would; `HubIntake` takes them.
"""

from __future__ import annotations

import hashlib
import io
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import apsw
from province import SAMPLES, unsynced

from frontgate import bundle, clock
from frontgate.cases.project import Projector
from frontgate.cases.read import Cases
from frontgate.gateway.setup import make_home
from frontgate.hub.admin import Administration, lay_out_mailboxes, set_up
from frontgate.hub.intake import HubIntake
from frontgate.hub.mailboxes import Mailboxes
from frontgate.hub.resync import HubResync
from frontgate.journal import Journal, open_reader
from frontgate.model.envelope import Envelope, Part
from frontgate.model.message import Address, Header
from frontgate.model.receipt import Kind, Reason, Receipt
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.segments import SegmentStore
from frontgate.seal import PackageWriter
from frontgate.seal.receipts import sign_receipts, write_list
from frontgate.settings import load_gateway, load_hub
from frontgate.standard import Checker, Standards, copies
from frontgate.suites import Signer, load_signer
from frontgate.trust.store import load_trust
from frontgate.values import replace

HUB = "52000090005"
ROLES = {
    "5201021100X": "police",
    "52010311000": "police",
    "52010221005": "procuratorate",
    "52010021003": "procuratorate",
    "52010231000": "court",
    "52010031009": "court",
    "52010213005": "detention",
    "52010052010": "prison",
    "52010242009": "correction",
    "52010244004": "legal-aid",
    "52010241006": "justice-bureau",
    "52000051006": "prison-admin",
    "52010001002": "committee",
}
POLICE, OTHER_POLICE, PROCURATORATE, COURT, DETENTION = (
    "5201021100X", "52010311000", "52010221005", "52010231000", "52010213005",
)  # fmt: skip
CITY_PROCURATORATE = "52010021003"
BEGIN = datetime(2026, 11, 10, 1, 0, tzinfo=UTC)
STANDARDS = Standards.load()


class Ledger:
    """One hub below `home`. `at` is the present moment; every act moves it a second on."""

    @unsynced()
    def __init__(self, home: Path, units: Sequence[str] = tuple(ROLES)) -> None:
        self.home = home
        self.at = BEGIN
        self.take_time()
        set_up(home / "hub", HUB, "省级交换平台")
        (home / "hub" / "hub.toml").write_text(f'unit = "{HUB}"\n[sftp]\nserver = "embedded"\n')
        self.settings = load_hub(home / "hub" / "hub.toml")
        administration = Administration(self.settings)
        table = ["code,name_zh,name_en,roles"]
        table += [f"{code},{ROLES[code]}{code[:6]},{ROLES[code]},{ROLES[code]}" for code in units]
        administration.import_units("\n".join(table).encode(), "units.csv")
        requests = [make_home(home / code, [code]) for code in units]
        results = administration.admit(requests, home / "bundles")
        assert all(r.error is None for r in results), results
        self.signers: dict[str, Signer] = {
            code: _signer(home / code, home / "bundles" / f"{code}.bundle", code) for code in units
        }
        self.state = home / "hub" / "state"
        self.open()
        self._sequence = count(1)

    def take_time(self) -> None:
        """The process goes by `at` from now on."""
        clock.use(lambda: self.at, lambda: self.at.timestamp())

    def open(self) -> None:
        """Open the journal and the intake, as the hub does when it starts."""
        keys = self.home / "hub" / "keys"
        self.trust = load_trust(keys / "trust")
        self.directory = self.trust.directory
        lay_out_mailboxes(self.settings, self.directory)
        self.journal = Journal.open(self.state / "journal.db", node=f"hub:{HUB}")
        root = self.home / "hub" / "sftp"
        self.root = root
        signer = load_signer(keys / "hub.key", keys / "hub.pem", HUB)
        self.issuer = Issuer(signer, "hub", lambda *_: "")
        self.mailboxes = Mailboxes(root, root / ".staging", lambda: self.directory, None)
        self.intake = HubIntake(
            self.journal,
            SegmentStore(self.state),
            self.mailboxes,
            self.issuer,
            lambda: self.trust,
            lambda: (self.directory,),
            STANDARDS,
            Checker(STANDARDS),
            resync=HubResync(
                self.journal,
                self.mailboxes,
                self.issuer,
                lambda: self.trust,
                wake_placer=lambda: None,
            ),
            wake_placer=lambda: None,
        )

    def close(self) -> None:
        self.mailboxes.close()
        self.journal.close()
        clock.use(None, None)

    # -- what units send --------------------------------------------------------------------------

    def upload(self, unit: str, members: Sequence[tuple[str, bytes]]) -> None:
        parts = [bundle.Member(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in members]
        body = b"".join(
            bundle.member_header(p) + d + bundle.member_padding(len(d))
            for p, (_, d) in zip(parts, members, strict=True)
        )
        name = bundle.bundle_id(next(self._sequence), parts)
        account = self.directory.units[unit].account
        (self.root / account / "to-hub" / f"{name}.bundle").write_bytes(body + bundle.TRAILER)
        self.intake.turn()
        self.at += timedelta(seconds=1)

    def send(
        self, text: str, *, answers: str = "", files: Mapping[str, bytes] | None = None
    ) -> str:
        """Seal and upload a message with ids of its own. Returns: its MessageId."""
        message, header, envelope = self.sealable(text, answers)
        buffer = io.BytesIO()
        writer = PackageWriter(buffer, parts=[("message.xml", "application/xml")])
        writer.add("message.xml", "application/xml", [message.encode()])
        writer.finish(envelope, self.signers[header.sender], self.at)
        self.upload(header.sender, [(f"{header.message_id}.asice", buffer.getvalue())])
        return header.message_id

    def sealable(self, text: str, answers: str = "") -> tuple[str, Header, Envelope]:
        """The message with ids, its header, and the envelope that its gateway would make."""
        view = Checker(STANDARDS).read(text.encode())
        if not view.header.message_id:
            ids = f"<m:MessageId>{uuid.uuid4()}</m:MessageId>\n    "
            text = text.replace("<m:MessageType>", ids + "<m:MessageType>", 1)
        if answers:
            text = re.sub(
                "(?=    <m:Sender>)", f"    <m:InReplyTo>{answers}</m:InReplyTo>\n", text, count=1
            )
        if "<m:FlowUid>" not in text:
            flow = self.flow_of(answers) if answers else str(uuid.uuid4())
            text = text.replace(
                "</m:MessageType>", f"</m:MessageType>\n    <m:FlowUid>{flow}</m:FlowUid>", 1
            )
        view = Checker(STANDARDS).read(text.encode())
        header = view.header
        receivers = tuple(a.code for a in header.receivers)
        header = replace(header, receivers=tuple(Address(c) for c in receivers))
        catalogue = STANDARDS.version(header.standard)
        copied, _ = copies(catalogue, text.encode(), replace(view, header=header), self.directory)
        return text, header, Envelope(header, receivers, tuple(copied))

    def flow_of(self, message_id: str) -> str:
        row = self.query("SELECT flow_uid FROM package WHERE message_id = ?", message_id)
        return str(row[0][0]) if row else str(uuid.uuid4())

    def receipt(
        self, message_id: str, unit: str, kind: Kind = Kind.DELIVERED, at: datetime | None = None
    ) -> None:
        """The receiver's gateway answers."""
        sender, flow = self.query(
            "SELECT sender, flow_uid FROM package WHERE message_id = ? AND state = 'ADMITTED'",
            message_id,
        )[0]
        made = Receipt(
            receipt_id=str(uuid.uuid4()),
            kind=kind,
            event_time=(at or self.at).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            issuer=unit,
            issuer_node="gateway",
            message_id=message_id,
            sender=str(sender),
            flow_uid=str(flow),
            receiver=unit if kind is not Kind.SUBMISSION_ACCEPTED else "",
            audit_seq=1,
            audit_head="0" * 64,
            reasons=(Reason("FG-RTE-020", "测试", "test"),) if kind.is_negative else (),
        )
        signed = sign_receipts([made], self.signers[unit])
        xml = write_list([(signed.signature, [xml for _, xml, _ in signed.items])])
        self.upload(unit, [("0001-receipts.xml", xml)])

    def exchange(self, text: str, *, answers: str = "") -> str:
        """Send a message and let every recipient's gateway deliver it."""
        message_id = self.send(text, answers=answers)
        for unit in str(
            self.query("SELECT recipients FROM package WHERE message_id = ?", message_id)[0][0]
        ).split():
            self.receipt(message_id, unit)
        return message_id

    def go_to(self, year: int, month: int, day: int, hour: int = 9) -> None:
        """The present moment becomes that hour of a legal day."""
        self.at = datetime(year, month, day, tzinfo=UTC) + timedelta(hours=hour - 8)

    # -- what came of it --------------------------------------------------------------------------

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        reader = open_reader(self.state / "journal.db")
        try:
            return reader.all(sql, *values)
        finally:
            reader.close()

    @property
    def file(self) -> Path:
        return self.state / "cases.db"

    def project(self, limit: int = 2000) -> None:
        projector = Projector(self.state / "journal.db", self.file, STANDARDS)
        try:
            while projector.turn(limit):
                pass
        finally:
            projector.close()

    def cases(self) -> Cases:
        self.project()
        return Cases(self.file)


def _signer(home: Path, bundle_file: Path, code: str) -> Signer:
    from frontgate.gateway.setup import take_bundle
    from frontgate.trust.unit_bundle import read_unit_bundle

    take_bundle(home, home / "gateway.toml", read_unit_bundle(bundle_file.read_bytes()))
    settings = load_gateway(home / "gateway.toml")
    table = settings.unit[0]
    return load_signer(settings.path(table.key), settings.path(table.certificate), code)


def sample(name: str, when: datetime | None = None, **replacements: str) -> str:
    """A valid sample (`flow/name`) without the ids that a gateway mints, its BusinessTime set."""
    flow, _, stem = name.partition("/")
    text = (SAMPLES / flow / "samples" / "valid" / f"{stem}.xml").read_text("utf-8")
    text = re.sub(r"\s*<m:(MessageId|FlowUid|InReplyTo)>[^<]*</m:\1>", "", text)
    if when is not None:
        text = re.sub("<m:BusinessTime>[^<]*", f"<m:BusinessTime>{when.isoformat()}", text)
    for old, new in replacements.items():
        text = re.sub(f"<(\\w:{old})>[^<]*", f"<\\1>{new}", text)
    return text


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of a projection file, for comparing files."""
    from frontgate.journal.files import open_reading

    reader = open_reading(path)
    tables = reader.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    found = {str(t): sorted(reader.all(f"SELECT * FROM {t}"), key=repr) for (t,) in tables}
    reader.close()
    return found


@contextmanager
def longer(path: Path, case_uid: str, messages: int) -> Iterator[None]:
    """A projection file in which a case has so many messages more, a minute apart, that name its first
    person: what no test could send one by one."""
    with closing(apsw.Connection(str(path))) as db:
        db.set_busy_timeout(5000)
        columns = [r[1] for r in db.execute("PRAGMA table_info(message)")]
        kept = next(
            iter(db.execute("SELECT * FROM message WHERE case_uid = ? ORDER BY id", (case_uid,)))
        )
        row = dict(zip(columns, kept, strict=True))
        begin = datetime.fromisoformat(str(row["effective_at"]))
        with db:
            for n in range(messages):
                at = (begin + timedelta(minutes=n + 1)).astimezone(UTC)
                told = {**row, "id": FAR + n, "message_id": str(uuid.uuid4())}
                told["effective_at"] = at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
                marks = ", ".join("?" * len(columns))
                db.execute(f"INSERT INTO message VALUES ({marks})", tuple(told.values()))
                db.execute("INSERT INTO concerns VALUES (?, ?)", (f"{case_uid}-P001", FAR + n))
        try:
            yield
        finally:
            with db:
                db.execute("DELETE FROM message WHERE id >= ?", (FAR,))
                db.execute("DELETE FROM concerns WHERE message >= ?", (FAR,))


FAR = 10**9
"""Rows of `longer` are numbered from here."""
__all__ = ["Ledger", "Part", "dump", "longer", "sample"]
