"""Alarms from the journal's own tables."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from frontgate.errors import all_codes
from frontgate.journal import Journal, bundles, packages
from frontgate.pipeline.alarms import alarms

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_each_alarm_of_the_journal_and_of_the_daemon(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", node="hub:52000090005")
    calm = {"troubles": {}, "intake_open": True, "certificate_days": 300, "waiting": {}}
    with journal.write(NOW - timedelta(hours=2)) as tx:
        bundles.take_control(tx, "5201021100X", "heartbeat", 1, b"<x/>")
        for n, state in enumerate(("QUEUED", "FAILED", "SENT"), 1):
            tx.run(
                "INSERT INTO package (id, direction, state, sender, message_id, made_at)"
                " VALUES (?, 'out', 'ADMITTED', 's', ?, ?)",
                n, f"m{n}", tx.now_at,
            )  # fmt: skip
            tx.run(
                "INSERT INTO transfer (package_id, destination, state, made_at, made_ms, changed_at,"
                " changed_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                n, "spool:x" if state == "SENT" else "account:u1", state, tx.now_at, tx.now_ms,
                tx.now_at, tx.now_ms,
            )  # fmt: skip
        packages.add_quarantine(
            tx, origin="hub", name="x", segment_id=None, offset=0, size_bytes=0,
            code="FG-BND-010", detail="",
        )  # fmt: skip
    reader = journal.reader()
    found = {a.id: a for a in alarms("hub", reader, calm, NOW)}
    assert set(found) == {"FG-ALM-004", "FG-ALM-005", "FG-ALM-006", "FG-ALM-007:5201021100X"}
    assert found["FG-ALM-004"].value == "1", "what lies in a spool waits for its case software"
    assert found["FG-ALM-004"].since.startswith("2026-11-24T10:00")
    later = NOW + timedelta(days=2)
    assert "FG-ALM-006" not in {a.id for a in alarms("gateway", reader, calm, later)}
    live = {
        "troubles": {"send": "FG-TRN-001"},
        "intake_open": False,
        "certificate_days": 12,
        "waiting": {"u": [{"name": "x", "why": "stuck"}, {"name": "y", "why": "incomplete"}]},
    }
    told = alarms("gateway", reader, live, NOW)
    assert [a.id for a in told[:4]] == ["FG-TRN-001:send", "FG-ALM-002", "FG-ALM-003", "FG-ALM-008"]
    assert alarms("gateway", reader, None, NOW)[0].id == "FG-ALM-001"
    for alarm in (*told, *found.values()):
        assert alarm.code in all_codes()
        assert alarm.advice("zh")
        assert alarm.text("en")
    reader.close()
    journal.close()
