"""Alarms from the journal's own tables."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from frontgate.core.reconcile import EMPTY, Gap, Key
from frontgate.core.silence import Silence
from frontgate.errors import all_codes
from frontgate.journal import Journal, bundles, habits, packages, reconcile
from frontgate.journal.reconcile import FoundGap
from frontgate.model.message import CONTROL_NS
from frontgate.model.unit import Directory, Unit
from frontgate.pipeline.alarms import alarms, note

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
    assert set(found) == {"FG-ALM-010:1", "FG-ALM-005", "FG-ALM-006", "FG-ALM-007:5201021100X"}
    assert found["FG-ALM-010:1"].value == "1", "what lies in a spool waits for its case software"
    assert found["FG-ALM-010:1"].since.startswith("2026-11-24T10:00")
    later = NOW + timedelta(days=2)
    assert "FG-ALM-006" not in {a.id for a in alarms("gateway", reader, calm, later)}
    live = {
        "troubles": {"send": "FG-TRN-001"},
        "intake_open": False,
        "certificate_days": 12,
        "waiting": {"u": [{"name": "x", "why": "stuck"}, {"name": "y", "why": "incomplete"}]},
    }
    told = alarms("gateway", reader, live, NOW)
    assert [a.id for a in told] == [
        "FG-ALM-002", "FG-TRN-001:send", "FG-ALM-004", "FG-ALM-005", "FG-ALM-003", "FG-ALM-008",
        "FG-ALM-006",
    ], "gravest first"  # fmt: skip
    assert alarms("gateway", reader, None, NOW)[0].id == "FG-ALM-001"
    for alarm in (*told, *found.values()):
        assert alarm.code in all_codes()
        assert alarm.advice("zh")
        assert alarm.text("en")
    reader.close()
    journal.close()


def unit(code: str, status: str = "active") -> Unit:
    return Unit(code, code, certificates=("c",), status=status)


def beat(journal: Journal, code: str, at: datetime, **facts: str) -> None:
    rows = "".join(f'<Fact name="{name}">{value}</Fact>' for name, value in facts.items())
    xml = f'<Control xmlns="{CONTROL_NS}"><Heartbeat>{rows}</Heartbeat></Control>'
    with journal.write(at) as tx:
        bundles.take_control(tx, code, "heartbeat", 1, xml.encode())


def test_the_hub_tells_of_each_unit_what_is_wrong_there(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", node="hub:52000090005")
    beat(journal, "A", NOW, certificate_days="9", intake_open="0", free_bytes="1048576",
         troubles="FG-TRN-001", oldest_open="2026-11-24T09:00:00.000Z")  # fmt: skip
    beat(journal, "B", NOW, certificate_days="300", intake_open="1", troubles="", oldest_open="")
    beat(journal, "C", NOW - timedelta(hours=1))
    beat(journal, "D", NOW - timedelta(hours=1))
    beat(journal, "E", NOW, certificate_days="many", free_bytes="x", intake_open="0")
    silence = Silence(NOW - timedelta(days=1), 12.4, 2.0)
    with journal.write(NOW - timedelta(days=3)) as tx:
        habits.set_silent(tx, "B", silence)
        habits.set_silent(tx, "D", silence)
        reconcile.set_day(tx, "account:ub", "2026-11-20", "up", total=EMPTY, as_of="", run="r")
        gap = FoundGap(
            Key("m1", "B", "up", "A"), "2026-11-20T09", Gap.HUB_NEVER_SAW, "none!", "none"
        )
        reconcile.name_gap(tx, "account:ub", gap)
    directory = Directory(1, {c: unit(c) for c in "ABCE"} | {"D": unit("D", "suspended")})
    reader = journal.reader()
    calm = {"troubles": {}, "intake_open": True, "certificate_days": 300, "waiting": {}}
    found = {a.id: a for a in alarms("hub", reader, calm, NOW, directory)}
    assert set(found) == {
        "FG-ALM-007:C", "FG-ALM-009:B", "FG-ALM-011:A", "FG-ALM-012:A", "FG-ALM-012:E",
        "FG-ALM-013:A", "FG-ALM-014:A", "FG-ALM-016:B", "FG-ALM-020:m1:A:B",
    }, "a suspended unit gives no alarm"  # fmt: skip
    assert "12" in found["FG-ALM-009:B"].text("en")
    assert found["FG-ALM-009:B"].since == "2026-11-23T12:00:00.000Z"
    assert "m1" in found["FG-ALM-020:m1:A:B"].advice("zh")
    assert found["FG-ALM-012:A"].severity == "critical"
    assert {a.unit for a in found.values()} == set("ABCE")
    for alarm in found.values():
        shown = alarm.as_dict()
        assert all(shown[n] for n in ("zh", "en", "advice_zh", "advice_en"))
        assert "?" not in alarm.text("zh") or alarm.id == "FG-ALM-012:E"

    with journal.write(NOW) as tx:
        note(tx, list(found.values()))
    later = {a.id: a for a in alarms("hub", reader, calm, NOW, directory)}
    assert later["FG-ALM-011:A"].since == "2026-11-24T12:00:00.000Z", "since it was seen first"
    with journal.write(NOW + timedelta(hours=1)) as tx:
        note(tx, [a for a in found.values() if a.unit != "A"])
        told = tx.all("SELECT kind, count(*) FROM event WHERE kind LIKE 'alarm-%' GROUP BY 1")
    assert told == [("alarm-cleared", 4), ("alarm-raised", 9)]
    reader.close()
    journal.close()


def test_many_gaps_are_told_as_a_number(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", node="gateway:x")
    with journal.write(NOW) as tx:
        for n in range(120):
            key = Key(f"m{n:03d}", "B", "up", "A")
            reconcile.name_gap(tx, "hub", FoundGap(key, "2026-11-20T09", Gap.DIFFERENT, "a", "b"))
    calm = {"troubles": {}, "intake_open": True, "certificate_days": 300, "waiting": {}}
    reader = journal.reader()
    found = alarms("gateway", reader, calm, NOW)
    assert len(found) == 101
    assert {a.value for a in found if a.code == "FG-ALM-019"} == {"20"}
    reader.close()
    journal.close()
