"""Every invariant's check finds a node that was broken on purpose, and none finds a sound one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from faults.driver import SameProcess
from faults.scenes import SCENES, CaseSoftware
from faults.world import NAMES, Ground, fast_folder, make_ground
from province import POLICE, PROCURATORATE, message

from frontgate.cli.main import main
from frontgate.core.lifecycle import TransferEvent
from frontgate.inspect import INVARIANTS, examine, stored
from frontgate.journal import Journal, transfers
from frontgate.pipeline import operate


@pytest.fixture(scope="module")
def lived() -> Iterator[Ground]:
    """A province after some lives; one entry stands untaken in the receiver's inbound."""
    root = fast_folder()
    ground = make_ground(root / "base")
    world = SameProcess(ground)
    me = CaseSoftware(world)
    for name in ("plain", "refused", "folder"):
        for _ in SCENES[name](me):
            me.settle()
    me.drop_folder("last", _last())
    me.settle()
    world.close()
    yield ground
    shutil.rmtree(root)


def _last() -> str:
    return message("arrest-request/submit", ref="last")


@pytest.fixture
def ground(lived: Ground) -> Iterator[Ground]:
    root = fast_folder()
    yield lived.copy(root / "copy")
    shutil.rmtree(root)


def broken(ground: Ground, *, settled: bool = True, at: str = "") -> dict[int, list[str]]:
    """What is found, number by number. at: the one node that is looked at; all where it is empty."""
    homes = ground.inspected(settled=settled)
    try:
        found = examine([h for h, name in zip(homes, NAMES, strict=True) if at in ("", name)])
        return {v.number: [b.en for b in v.breaches] for v in found.verdicts if not v.holds}
    finally:
        for home in homes:
            home.close()


def sql(ground: Ground, name: str, *statements: str) -> None:
    db = apsw.Connection(str(ground.home(name) / "state" / "journal.db"))
    for statement in statements:
        db.execute(statement)
    db.close()


def segment(ground: Ground, name: str, *, part: str) -> Path:
    """The segment of the last package of a node that holds `part`."""
    db = apsw.Connection(str(ground.home(name) / "state" / "journal.db"))
    (path,) = next(
        iter(
            db.execute(
                "SELECT s.path FROM package p JOIN segment s ON s.id = p.segment_id"
                " WHERE p.direction = ? AND p.state = 'ADMITTED' ORDER BY p.id DESC LIMIT 1",
                (part,),
            )
        )
    )
    db.close()
    return ground.home(name) / "state" / path


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def entry(ground: Ground) -> Path:
    (path,) = (ground.spool(PROCURATORATE) / "inbound").iterdir()
    return path


LAST = "(SELECT max(id) FROM package WHERE state = 'ADMITTED')"


def forged_package(ground: Ground) -> None:
    """The stored bytes and their digest are changed together: only the seal can tell."""
    path = segment(ground, POLICE, part="out")
    db = apsw.Connection(str(ground.home(POLICE) / "state" / "journal.db"))
    ident, offset, size = next(
        iter(db.execute(f"SELECT id, offset_bytes, size_bytes FROM package WHERE id = {LAST}"))
    )
    data = bytearray(path.read_bytes())
    at = data.find(b"arrest-request", offset)
    assert offset < at < offset + size
    data[at] ^= 1
    path.write_bytes(data)
    digest = hashlib.sha256(data[offset : offset + size]).hexdigest()
    db.execute("UPDATE package SET digest = ? WHERE id = ?", (digest, ident))
    db.close()


def waiting_with_no_bytes(ground: Ground) -> None:
    sql(ground, POLICE, f"UPDATE transfer SET state = 'QUEUED' WHERE package_id = {LAST}")
    path = segment(ground, POLICE, part="out")
    path.write_bytes(path.read_bytes()[:100])


def waiting_and_pruned(ground: Ground) -> None:
    segment(ground, POLICE, part="out").unlink()
    sql(
        ground, POLICE, f"UPDATE transfer SET state = 'QUEUED', bundle_id = '' WHERE package_id = {LAST}",
        f"UPDATE segment SET state = 'gone' WHERE id = (SELECT segment_id FROM package WHERE id = {LAST})",
    )  # fmt: skip


def waiting_without_a_segment(ground: Ground) -> None:
    sql(
        ground, "hub", f"UPDATE transfer SET state = 'QUEUED', bundle_id = '' WHERE package_id = {LAST}",
        f"UPDATE package SET segment_id = NULL WHERE id = {LAST}",
    )  # fmt: skip


def second_entry(ground: Ground) -> None:
    path = entry(ground)
    stamp, rest = path.name.split("-", 1)
    shutil.copytree(path, path.with_name(f"20200101T000000Z-{rest}"))
    assert stamp.endswith("Z")


def delivered_again(ground: Ground) -> None:
    sql(
        ground, PROCURATORATE,
        "INSERT INTO transfer (package_id, destination, receiver, attempt, state, made_at, made_ms,"
        " changed_at, entry) SELECT package_id, destination, receiver, 2, 'ACKNOWLEDGED', made_at,"
        " made_ms, changed_at, entry || 'x' FROM transfer WHERE id = 1",
    )  # fmt: skip


def handed_over_again(ground: Ground) -> None:
    columns = (
        "kind, sender, message_id, receiver, issuer, issuer_node, event_time, attempt, audit_seq,"
        " audit_head, digest, xml, signature_id, package_id, kept_at"
    )
    sql(
        ground, PROCURATORATE,
        f"INSERT INTO receipt (receipt_id, {columns}) SELECT receipt_id || 'x', {columns} FROM receipt"
        " WHERE kind = 'handed-over' LIMIT 1",
    )  # fmt: skip


def overtaken_long_ago(ground: Ground) -> None:
    """The later one was answered, the earlier one never left."""
    sql(
        ground, POLICE, "UPDATE transfer SET flow_uid = 'f'",
        "UPDATE transfer SET state = 'QUEUED', bundle_id = '', failures = 0 WHERE id = 1",
    )  # fmt: skip


def sent_again_in_silence(ground: Ground) -> None:
    sql(
        ground, POLICE,
        "INSERT INTO transfer (package_id, destination, receiver, attempt, state, made_at, made_ms,"
        " changed_at) SELECT package_id, destination, receiver, 2, 'ACKNOWLEDGED', made_at, made_ms,"
        " changed_at FROM transfer WHERE id = 1",
    )  # fmt: skip


def overtaken(ground: Ground) -> None:
    sql(
        ground,
        POLICE,
        "UPDATE transfer SET flow_uid = 'f'",
        "UPDATE transfer SET state = 'QUEUED', bundle_id = '', failures = 0 WHERE id = 1",
        "UPDATE transfer SET state = 'SENT' WHERE id = 2",
    )


def edited_event(ground: Ground) -> None:
    sql(
        ground,
        "hub",
        "DROP TRIGGER event_no_update",
        "UPDATE event SET data = replace(data, 'bundle', 'Bundle') WHERE seq = 5",
    )


def cut_chain(ground: Ground) -> None:
    sql(
        ground, "hub", "DROP TRIGGER event_no_delete",
        "DELETE FROM event WHERE seq > (SELECT max(audit_seq) - 2 FROM receipt WHERE issuer_node = 'hub')",
    )  # fmt: skip


def further_attempt(ground: Ground) -> None:
    sql(
        ground, POLICE,
        "INSERT INTO transfer (package_id, destination, attempt, state, made_at, made_ms, changed_at)"
        " SELECT package_id, destination, 3, 'ACKNOWLEDGED', made_at, made_ms, changed_at FROM transfer"
        " WHERE id = 1",
    )  # fmt: skip


def entry_for_everybody(ground: Ground) -> None:
    entry(ground).chmod(0o777)


def entry_file_for_everybody(ground: Ground) -> None:
    (entry(ground) / "message.xml").chmod(0o664)


def note_in_the_state(ground: Ground) -> None:
    path = ground.home(POLICE) / "state" / "debug.log"
    path.write_text("case data")
    path.chmod(0o644)


def left_in_the_mailbox(name: str) -> Callable[[Ground], object]:
    def leave(ground: Ground) -> None:
        box = ground.home("hub") / "sftp" / f"u{POLICE.lower()}" / "to-hub"
        (box / name).write_bytes(b"x" * 10)

    return leave


def receipt_in_the_folder(ground: Ground) -> None:
    path = sorted((ground.spool(POLICE) / "receipts").glob("*.xml"))[0]
    path.write_bytes(path.read_bytes().replace(b"<Attempt>1", b"<Attempt>2"))


def quarantined(ground: Ground) -> None:
    sql(
        ground, "hub",
        "INSERT INTO quarantine (at, origin, name, code, detail) VALUES ('t', 'o', 'n', 'XX-1', '')",
    )  # fmt: skip


def unexplained(ground: Ground) -> None:
    for path in (ground.spool(POLICE) / "rejected").glob("*.report.txt"):
        path.unlink()


def extra_file(ground: Ground) -> None:
    (entry(ground) / "files" / "more.pdf").write_bytes(b"?")


def as_zip(ground: Ground) -> Path:
    """The entry in the form of one ZIP file."""
    folder = entry(ground)
    made = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(made, "w") as file:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(path, path.relative_to(folder).as_posix())
    shutil.rmtree(folder)
    made.chmod(0o660)
    return made


def as_package(ground: Ground) -> Path:
    """The entry in the form of the sealed package itself."""
    folder = entry(ground)
    db = apsw.Connection(str(ground.home(PROCURATORATE) / "state" / "journal.db"))
    ((path, offset, size),) = db.execute(
        "SELECT s.path, p.offset_bytes, p.size_bytes FROM package p"
        " JOIN segment s ON s.id = p.segment_id WHERE p.message_id = ?",
        (folder.name[-36:],),
    )
    db.close()
    data = (ground.home(PROCURATORATE) / "state" / path).read_bytes()[offset : offset + size]
    made = folder.with_name(f"{folder.name}.asice")
    made.write_bytes(data)
    shutil.rmtree(folder)
    made.chmod(0o660)
    return made


def changed_file(ground: Ground) -> None:
    flip(next(iter((entry(ground) / "files").iterdir())), 10)


DAMAGE: list[tuple[int, str, Callable[[Ground], None]]] = [
    (1, "a transfer is gone", lambda g: sql(g, "hub", f"DELETE FROM transfer WHERE package_id = {LAST}")),
    (1, "failed in silence", lambda g: sql(g, "hub", f"UPDATE transfer SET state = 'FAILED' WHERE package_id = {LAST}")),
    (1, "the hub never had it", lambda g: sql(g, "hub", "UPDATE package SET message_id = 'x' WHERE id = 1")),
    (1, "a refusal without receipt", lambda g: sql(g, POLICE, "UPDATE receipt SET kind = 'relay-delayed' WHERE kind = 'submission-rejected'")),
    (2, "no bytes for what waits", waiting_with_no_bytes),
    (2, "what waits was pruned", waiting_and_pruned),
    (2, "what waits has no segment", waiting_without_a_segment),
    (3, "a bundle is nowhere", lambda g: sql(g, POLICE, "UPDATE transfer SET state = 'SENT', bundle_id = 'x' WHERE id = 1")),
    (3, "placed and nowhere", lambda g: sql(g, "hub", "UPDATE transfer SET state = 'SENT', bundle_id = 'x' WHERE id = 1")),
    (3, "a receipt nobody issued", lambda g: sql(g, "hub", "UPDATE receipt SET receipt_id = 'x' WHERE kind = 'relay-accepted' AND id = (SELECT max(id) FROM receipt WHERE kind = 'relay-accepted')")),
    (4, "a second entry", second_entry),
    (4, "a repeat of nothing", lambda g: sql(g, POLICE, f"UPDATE package SET state = 'DUPLICATE' WHERE id = {LAST}")),
    (4, "handed over twice", handed_over_again),
    (5, "a flipped bit at rest", lambda g: flip(segment(g, "hub", part="in"), 5000)),
    (5, "a flipped bit in inbound", changed_file),
    (5, "another content there", lambda g: sql(g, PROCURATORATE, "UPDATE package SET content_digest = 'x' WHERE id = 1")),
    (6, "a forged package", forged_package),
    (5, "a file of an entry is gone", lambda g: (entry(g) / "message.xml").unlink()),
    (5, "a link to elsewhere in an entry", lambda g: (entry(g) / "files" / "more").symlink_to(g.root)),
    (6, "an unsigned file", extra_file),
    (6, "an unsigned file in a folder below", lambda g: shutil.copytree(entry(g) / "files", entry(g) / "a" / "b")),
    (7, "a readable key", lambda g: (g.home(POLICE) / "keys" / f"{POLICE}.key").chmod(0o644)),
    (7, "a readable state folder", lambda g: (g.home("hub") / "state").chmod(0o755)),
    (7, "a folder of keys for everybody", lambda g: (g.home(POLICE) / "keys").chmod(0o777)),
    (7, "whom we trust, for everybody", lambda g: (g.home("hub") / "keys" / "trust").chmod(0o777)),
    (7, "a readable file in the state", note_in_the_state),
    (7, "an entry for everybody", entry_for_everybody),
    (7, "a file of an entry for everybody", entry_file_for_everybody),
    (8, "an edited receipt", lambda g: sql(g, POLICE, "UPDATE receipt SET xml = CAST(replace(CAST(xml AS TEXT), '<Attempt>1', '<Attempt>2') AS BLOB) WHERE id = 1")),
    (8, "a row that says else", lambda g: sql(g, POLICE, "UPDATE receipt SET receiver = 'x' WHERE id = 1")),
    (8, "an edited receipt file", receipt_in_the_folder),
    (9, "an edited event", edited_event),
    (9, "a chain that was cut", cut_chain),
    (10, "overtaken in its flow", overtaken),
    (10, "overtaken, and answered since", overtaken_long_ago),
    (11, "a temporary file", lambda g: (g.home(POLICE) / "state" / "tmp" / "x.tmp").write_bytes(b"")),
    (11, "a segment without a row", lambda g: shutil.copy(segment(g, POLICE, part="out"), segment(g, POLICE, part="out").with_name("orphan.bundle"))),
    (11, "junk in a mailbox", left_in_the_mailbox("junk")),
    (11, "a part that nobody uploads", left_in_the_mailbox(".0000000000000001-x.bundle.part")),
    (12, "quarantined without a reason", quarantined),
    (12, "refused without a report", unexplained),
    (13, "still open", lambda g: sql(g, "hub", "UPDATE transfer SET state = 'QUEUED' WHERE id = 1")),
    (14, "an unfinished claim", lambda g: (g.spool(POLICE) / ".frontgate" / "claims" / "0").mkdir()),
    (15, "an attempt out of order", further_attempt),
    (15, "sent again in silence", sent_again_in_silence),
]  # fmt: skip


@pytest.mark.parametrize("most", [stored._CHUNK, 100])
def test_a_sound_province_has_nothing_broken_whatever_is_read_at_once(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(stored, "_CHUNK", most)
    assert broken(ground) == {}
    flip(segment(ground, "hub", part="in"), 5000)
    assert list(broken(ground)) == [5]


@pytest.mark.parametrize(
    ("number", "what", "damage"), DAMAGE, ids=[f"{n}-{w}" for n, w, _ in DAMAGE]
)
def test_damage_is_found(
    ground: Ground, number: int, what: str, damage: Callable[[Ground], object]
) -> None:
    damage(ground)
    assert number in broken(ground), what


@pytest.mark.parametrize("form", [as_zip, as_package])
def test_the_other_forms_of_an_entry_are_compared_as_well(
    ground: Ground, form: Callable[[Ground], Path]
) -> None:
    path = form(ground)
    assert broken(ground) == {}
    flip(path, path.stat().st_size // 2)
    assert list(broken(ground)) == [5]


ODD = os.fsdecode(b"\xff")


def odd_part(ground: Ground) -> None:
    box = ground.home("hub") / "sftp" / f"u{POLICE.lower()}" / "to-hub"
    (box / f".{ODD}.bundle.part").write_bytes(b"PK")
    os.utime(box / f".{ODD}.bundle.part", (0, 0))


def odd_entry(ground: Ground) -> None:
    name = f"20260101T000000Z-{ODD}-00000000-0000-0000-0000-000000000000"
    (ground.spool(PROCURATORATE) / "inbound" / name).write_bytes(b"")


@pytest.mark.parametrize("leave", [odd_part, odd_entry])
def test_a_name_that_is_no_text_is_nothing_of_ours(
    ground: Ground, leave: Callable[[Ground], None]
) -> None:
    """Accounts and case software may give any bytes for a name."""
    leave(ground)
    assert broken(ground, settled=False) == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: (folder / f"{ODD}.xml").write_bytes(b"<a/>"),
        lambda folder: (folder / "a.xml").mkdir(),
        lambda folder: os.mkfifo(folder / "a.xml"),
        lambda folder: (folder / "a.xml").symlink_to("/dev/zero"),
    ],
    ids=["no text", "folder", "pipe", "link"],
)
@pytest.mark.timeout(30)
def test_whatever_stands_for_a_receipt_is_told(
    ground: Ground, make: Callable[[Path], object]
) -> None:
    make(ground.spool(POLICE) / "receipts")
    assert list(broken(ground)) == [8]


@pytest.mark.parametrize(
    "make",
    [lambda path: os.mkfifo(path, 0o600), lambda path: path.symlink_to("/dev/zero")],
    ids=["pipe", "link"],
)
@pytest.mark.timeout(30)
def test_what_has_no_end_in_an_entry_is_told(
    ground: Ground, make: Callable[[Path], object]
) -> None:
    make(entry(ground) / "files" / "more")
    assert list(broken(ground)) == [5]


def test_a_second_delivery_is_found_at_the_receiver_alone(ground: Ground) -> None:
    delivered_again(ground)
    assert broken(ground, at=PROCURATORATE)[4] == [f"delivered 2 times to {PROCURATORATE}"]


def test_the_bytes_of_what_waits_are_missed_at_its_holder_alone(ground: Ground) -> None:
    waiting_and_pruned(ground)
    assert "QUEUED without bytes" in broken(ground, settled=False, at=POLICE)[2][0]


def test_a_later_one_may_overtake_what_an_operator_held(ground: Ground) -> None:
    overtaken_long_ago(ground)
    assert 10 in broken(ground, settled=False, at=POLICE)
    journal = Journal.open(ground.home(POLICE) / "state" / "journal.db", node=f"gateway:{POLICE}")
    with journal.write() as tx:
        for act in (TransferEvent.HOLD, TransferEvent.RELEASE):
            operate.apply_to(tx, [1], act, actor="test", reason="test", cancelled=None)
    journal.close()
    assert 10 not in broken(ground, settled=False, at=POLICE)


def test_an_attempt_that_a_replay_made_is_told(ground: Ground) -> None:
    journal = Journal.open(ground.home(POLICE) / "state" / "journal.db", node=f"gateway:{POLICE}")
    with journal.write() as tx:
        assert transfers.replay(tx, 1, actor="test", reason="lost", is_lost=True)
        assert transfers.replay(tx, 2, actor="test", reason="lost", is_lost=True)
    journal.close()
    assert broken(ground, settled=False, at=POLICE) == {}
    sql(
        ground, POLICE, "DROP TRIGGER event_no_delete",
        "DELETE FROM event WHERE kind = 'replay' AND json_extract(data, '$.transfer') = 1",
    )  # fmt: skip
    assert len(broken(ground, settled=False, at=POLICE)[15]) == 1


def test_every_invariant_has_its_damage() -> None:
    assert {number for number, _, _ in DAMAGE} == set(INVARIANTS)


def test_what_a_start_will_finish_is_no_breach_of_a_node_that_is_down(ground: Ground) -> None:
    temporary = ground.home(POLICE) / "state" / "tmp" / "x.tmp"
    temporary.touch(mode=0o600)
    (ground.spool(POLICE) / ".frontgate" / "claims" / "0").mkdir()
    left_in_the_mailbox(".0000000000000001-x.bundle.part")(ground)
    assert broken(ground, settled=False) == {}


def test_a_part_may_rest_at_a_running_hub_until_its_sender_is_back(ground: Ground) -> None:
    left_in_the_mailbox(".0000000000000001-x.bundle.part")(ground)
    box = ground.home("hub") / "sftp" / f"u{POLICE.lower()}" / "to-hub"
    for path in box.iterdir():
        os.utime(path, (0, 0))
    hub = ground.inspected(settled=False)[1]
    hub.is_running = True
    try:
        assert [v.number for v in examine([hub]).verdicts if not v.holds] == []
        left_in_the_mailbox("junk")(ground)
        os.utime(box / "junk", (0, 0))
        assert [v.number for v in examine([hub]).verdicts if not v.holds] == [11]
    finally:
        hub.close()


def test_nothing_is_written(ground: Ground) -> None:
    def shot() -> dict[str, tuple[int, int]]:
        return {
            str(p): (p.stat().st_size, p.stat().st_mtime_ns)
            for p in ground.root.rglob("*")
            if not p.name.endswith(("-shm", "-wal")) and p.name != "state"
        }

    before = shot()
    assert broken(ground) == {}
    assert shot() == before


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_command_says_it_in_both_languages(
    ground: Ground, lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    homes = [str(ground.home(name)) for name in ("hub", POLICE, PROCURATORATE)]
    code = run(["--lang", lang, "audit", "verify", "--settled", *homes])
    told = capsys.readouterr().out
    assert code == 0
    assert told.count("INV-") == 15
    assert INVARIANTS[1][0 if lang == "zh" else 1] in told


@pytest.mark.parametrize(("lang", "said"), [("zh", "INV-13  未判断"), ("en", "INV-13  not judged")])
def test_convergence_is_judged_of_what_is_at_rest_only(
    ground: Ground, lang: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(ground, "hub", "UPDATE transfer SET state = 'QUEUED', bundle_id = '' WHERE id = 1")
    home = str(ground.home("hub"))
    assert run(["--lang", lang, "audit", "verify", home]) == 0
    assert said in capsys.readouterr().out
    assert run(["--json", "audit", "verify", home]) == 0
    told = {row["id"]: row for row in json.loads(capsys.readouterr().out)["invariants"]}
    assert (told["INV-13"]["judged"], told["INV-13"]["checked"]) == (False, 0)
    assert told["INV-1"]["judged"] is True
    assert run(["--lang", lang, "audit", "verify", "--settled", home]) == 1
    assert said not in capsys.readouterr().out


def test_the_command_names_what_is_broken(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_file(ground)
    assert run(["--json", "audit", "verify", str(ground.home(PROCURATORATE))]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] is False
    bad = {row["id"]: row["breaches"] for row in told["invariants"] if row["broken"]}
    assert list(bad) == ["INV-5"]
    assert "differs from the signed part" in bad["INV-5"][0]["en"]


def run(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
