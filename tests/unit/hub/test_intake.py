"""What the hub's intake makes of sealed packages whose envelope and message disagree, and its receipts."""

import io
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from ledger import POLICE, PROCURATORATE, Ledger, sample

from frontgate.journal import open_reader
from frontgate.journal.files import open_file, open_reading
from frontgate.model.envelope import Envelope
from frontgate.model.receipt import Kind
from frontgate.seal import PackageWriter
from frontgate.values import replace


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def seal(ledger: Ledger, message: bytes, envelope: Envelope) -> None:
    """Upload a package with a seal that holds, whatever is in it."""
    buffer = io.BytesIO()
    writer = PackageWriter(buffer, parts=[("message.xml", "application/xml")])
    writer.add("message.xml", "application/xml", [message])
    writer.finish(envelope, ledger.signers[envelope.header.sender], ledger.at)
    name = f"{envelope.header.message_id}.asice"
    ledger.upload(envelope.header.sender, [(name, buffer.getvalue())])


def reasons(ledger: Ledger) -> list[str]:
    rows = ledger.query("SELECT xml FROM receipt WHERE kind = 'relay-rejected' ORDER BY id")
    return [str(bytes(r[0]), "utf-8") for r in rows]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "junk", [b"", b"no XML", b"<m:Message", b"<a/>", b"\xff\xfe<\0a\0/\0>\0", b"<!DOCTYPE a><a/>"]
)
def test_a_sealed_message_that_cannot_be_read_is_refused_and_the_next_one_taken(
    ledger: Ledger, junk: bytes
) -> None:
    _, _, envelope = ledger.sealable(sample("arrest-request/submit"))
    seal(ledger, junk, envelope)
    assert len(reasons(ledger)) == 1
    taken = ledger.send(sample("arrest-request/submit"))
    assert ledger.query("SELECT state FROM package WHERE message_id = ?", taken) == [("ADMITTED",)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("message_type", "arrest-request.withdraw"), ("message_id", "0" * 8 + "-0000-4000-8000-" + "0" * 12)],
)  # fmt: skip
def test_an_envelope_that_names_another_message_is_refused(
    ledger: Ledger, field: str, value: str
) -> None:
    """Its roles and receivers would be judged by one type, and its content be of another."""
    text, header, envelope = ledger.sealable(sample("arrest-request/submit"))
    other = replace(envelope, header=replace(header, **{field: value}))  # type: ignore[arg-type]
    seal(ledger, text.encode(), other)
    assert ["FG-SIG-040" in r for r in reasons(ledger)] == [True]
    assert ledger.query("SELECT count(*) FROM transfer") == [(0,)]


def test_receipts_of_one_list_settle_each_transfer_once(ledger: Ledger) -> None:
    sent = ledger.send(sample("arrest-request/submit"))
    unit = str(ledger.query("SELECT receiver FROM transfer ORDER BY id")[0][0])
    ledger.receipt(sent, unit, Kind.DELIVERY_FAILED)
    ledger.receipt(sent, unit, Kind.DELIVERED)
    ledger.receipt(sent, unit, Kind.HANDED_OVER)
    rows = ledger.query("SELECT attempt, state FROM transfer WHERE receiver = ? ORDER BY id", unit)
    assert rows == [(1, "FAILED"), (2, "ACKNOWLEDGED")]
    account = ledger.directory.units[POLICE].account
    passed_on = ledger.query(
        "SELECT r.kind FROM receipt_out o JOIN receipt r ON r.id = o.receipt"
        " WHERE o.destination = ? AND r.receiver = ? ORDER BY r.id",
        f"account:{account}", unit,
    )  # fmt: skip
    assert [k for (k,) in passed_on] == ["delivery-failed", "delivered", "handed-over"]
    assert unit == PROCURATORATE


def test_an_upload_that_waited_for_a_resync_is_looked_at_soon_after_its_end(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer that ends the resync may be taken in the same turn, after what it holds up."""
    resync = ledger.intake._resync
    assert not resync.asking.is_holding()
    monkeypatch.setattr(resync, "holds", lambda _: True)
    waiting = ledger.send(sample("arrest-request/submit"))
    again_in = ledger.intake.turn()
    assert again_in is not None
    assert again_in <= 1
    monkeypatch.undo()
    assert ledger.intake.turn() is None
    assert ledger.query("SELECT state FROM package WHERE message_id = ?", waiting) == [
        ("ADMITTED",)
    ]


def test_no_connection_compiles_a_statement_anew_for_each_value(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A partial index in reach of a bound value would have it so: ten times the statement's own cost."""
    projections = open_file(tmp_path / "p.db", "CREATE TABLE meta (key, value)", "1")
    connections: list[apsw.Connection] = [
        ledger.journal._db,
        open_reader(ledger.journal.path).db,
        projections._db,
        open_reading(tmp_path / "p.db").db,
    ]
    assert [c.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1) for c in connections] == [1] * 4
    projections.close()
