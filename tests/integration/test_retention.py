"""Archive, prune, verify: what is kept, what goes, and what a changed byte does."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest
from by_hand import ByHand
from province import POLICE, PROCURATORATE, Province, message, wait_for
from smalldisk import fill, small_disk

from frontgate import clock
from frontgate.cli.keep import keeper_of
from frontgate.cli.node import Node
from frontgate.errors import FrontgateError
from frontgate.journal import open_reader
from frontgate.pipeline import chains, prune
from frontgate.pipeline.evidence import check_archive
from frontgate.settings import load_gateway, load_hub
from frontgate.trust.store import load_trust

COUNT = 6


def frontgate(province: Province, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    role = "hub" if name == "hub" else "gateway"
    return subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", str(province.home / name / f"{role}.toml"),
         "--json", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def node_of(province: Province, name: str) -> Node:
    if name == "hub":
        hub = load_hub(province.home / "hub" / "hub.toml")
        return Node("hub", hub, hub.path(hub.node.state))
    gateway = load_gateway(province.home / name / "gateway.toml")
    return Node("gateway", gateway, gateway.path(gateway.node.state))


def exchange(province: Province, count: int = COUNT, prefix: str = "m") -> None:
    """`count` messages, each delivered, taken by the case software, and fully receipted."""
    before = len(province.entries(PROCURATORATE))
    for n in range(count):
        province.drop(POLICE, f"{prefix}{n}.xml", message(ref=f"{prefix}{n}"))
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == before + count), province.log(
        POLICE
    )
    for entry in province.entries(PROCURATORATE):
        shutil.rmtree(province.spool(PROCURATORATE) / "inbound" / entry)
    done = f"SELECT count(*) FROM receipt WHERE kind = 'handed-over' AND message_id IN (SELECT message_id FROM package WHERE sender_ref LIKE '{prefix}%')"
    assert wait_for(lambda: province.query(POLICE, done) == [(count,)]), province.log("hub")


def files_of(state: Path) -> list[str]:
    return sorted(p.name for p in (state / "segments").rglob("*.bundle"))


@pytest.mark.timeout(400)
def test_a_node_is_archived_pruned_and_still_proves_its_whole_past(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    exchange(province)
    made = frontgate(province, POLICE, "archive")
    assert made.returncode == 0, made.stderr
    (first,) = json.loads(made.stdout)["archives"]
    assert first["packages"] == COUNT
    exchange(province, 2, "n")
    assert json.loads(frontgate(province, POLICE, "archive").stdout)["archives"][0]["packages"] == 2
    assert json.loads(frontgate(province, POLICE, "prune").stdout)["segments"] == 0
    province.stop()
    for name in (POLICE, PROCURATORATE, "hub"):
        _prune_later(province, name)
    # The exchange goes on, and the same message is still the same message.
    province.start()
    province.drop(POLICE, "again.xml", message(ref="m1"))
    assert wait_for(
        lambda: (
            province.query(POLICE, "SELECT count(*) FROM package WHERE state = 'DUPLICATE'")
            == [(1,)]
        )
    ), province.log(POLICE)
    exchange(province, 1, "later")
    assert not province.entries(PROCURATORATE)
    verified = frontgate(province, POLICE, "audit", "verify")
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["begins_at"] > 1
    whole = frontgate(
        province, POLICE, "audit", "verify", "--archives", str(tmp_path / POLICE / "state/archive")
    )
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert json.loads(whole.stdout)["begins_at"] == 1
    assert json.loads(whole.stdout)["entries"] > json.loads(verified.stdout)["entries"]
    province.stop()


def _prune_later(province: Province, name: str) -> None:
    """As if 31 days, then 500 days had gone by."""
    state = province.home / name / "state"
    now = datetime.now(UTC)
    with keeper_of(node_of(province, name)) as keeper:
        keeper.archive(now, now)
        before = files_of(state)
        assert before
        assert keeper.prune(now + timedelta(days=29))["segments"] == 0
        assert keeper.prune(now + timedelta(days=31))["segments"] > 0
        kept = {Path(str(p)).name for (p,) in province.query(
            name, "SELECT path FROM segment WHERE state = 'kept'")}  # fmt: skip
        assert files_of(state) == sorted(kept)
        assert keeper.prune(now + timedelta(days=500))["events"] > 0
    assert province.query(name, "SELECT count(*) FROM receipt") > [(0,)]
    assert province.query(name, "SELECT count(*) FROM package WHERE state = 'ADMITTED'") > [(0,)]


def test_what_is_not_delivered_or_not_archived_stays(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start("hub", POLICE)
    for n in range(3):
        province.drop(POLICE, f"w{n}.xml", message(ref=f"w{n}"))
    relayed = "SELECT count(*) FROM receipt WHERE kind = 'relay-accepted'"
    assert wait_for((tmp_path / POLICE / "state" / "control.sock").exists), province.log(POLICE)
    assert wait_for(lambda: province.query(POLICE, relayed) == [(3,)]), province.log(POLICE)
    province.stop()
    later = datetime.now(UTC) + timedelta(days=3000)
    with keeper_of(node_of(province, POLICE)) as keeper:
        assert keeper.prune(later)["events"] == 0  # nothing is archived
        packages = len(files_of(tmp_path / POLICE / "state"))
        keeper.archive(datetime.now(UTC), datetime.now(UTC))
        keeper.prune(datetime.now(UTC) + timedelta(days=300))
        assert len(_package_files(province, POLICE)) >= 1  # not delivered: 400 days
        assert packages
    with keeper_of(node_of(province, "hub")) as keeper:
        keeper.archive(datetime.now(UTC), datetime.now(UTC))
        keeper.prune(later)
        assert _package_files(province, "hub")  # still waiting to be delivered, however long
    province.start()
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 3), province.log("hub")
    province.stop()


def _package_files(province: Province, name: str) -> list[str]:
    rows = province.query(
        name,
        "SELECT DISTINCT s.path FROM segment s JOIN package p ON p.segment_id = s.id"
        " WHERE s.state = 'kept' AND p.state = 'ADMITTED'",
    )
    found = [str(path) for (path,) in rows]
    assert all((province.home / name / "state" / path).is_file() for path in found)
    return found


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that was archived three times, stopped; tests copy what they change."""
    province = Province(tmp_path_factory.mktemp("archived"))
    province.start()
    for n in range(3):
        exchange(province, 2, f"a{n}-")
        assert frontgate(province, "hub", "archive").returncode == 0
    province.stop()
    return province.home


def test_archives_verify_offline_and_every_changed_byte_is_found(
    archived: Path, tmp_path: Path
) -> None:
    source = sorted((archived / "hub/state/archive").glob("*.archive"))[1]
    with source.open("rb") as file:
        content = check_archive(file)
    assert (content.packages, content.receipts >= 8, content.events > 10) == (2, True, True)
    shown = subprocess.run(
        [sys.executable, "-m", "frontgate", "--json", "verify", str(source)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(shown.stdout)["holds"] is True
    data = source.read_bytes()
    bad = tmp_path / "bad.archive"
    for at in range(0, len(data), max(1, len(data) // 150)):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        _is_refused(bad, archived / "hub/keys")
    for cut in (1, 511, 512, 1024, 1025, 5000, len(data) // 2):
        bad.write_bytes(data[:-cut])
        _is_refused(bad, archived / "hub/keys")
    bad.write_bytes(data + b"\0")
    _is_refused(bad, archived / "hub/keys")


def test_a_member_that_is_missing_moved_or_added_is_found(archived: Path, tmp_path: Path) -> None:
    from frontgate import bundle
    from frontgate.pipeline.parcel import members_of

    source = sorted((archived / "hub/state/archive").glob("*.archive"))[1]
    data = source.read_bytes()
    with source.open("rb") as file:
        members = list(members_of(file))
    pieces = [
        data[m.offset - 512 : m.offset + m.size_bytes + (-m.size_bytes % 512)] for m in members
    ]
    end = bundle.TRAILER
    bad = tmp_path / "bad.archive"
    bad.write_bytes(b"".join(pieces) + end)
    with bad.open("rb") as file:
        check_archive(file)  # the pieces are the file
    for n in range(len(pieces)):
        bad.write_bytes(b"".join(pieces[:n] + pieces[n + 1 :]) + end)
        _is_refused(bad, archived / "hub/keys")
        bad.write_bytes(b"".join([*pieces[:n], pieces[n], *pieces[n:]]) + end)
        _is_refused(bad, archived / "hub/keys")
    for n in range(len(pieces) - 1):
        bad.write_bytes(b"".join([*pieces[:n], pieces[n + 1], pieces[n], *pieces[n + 2 :]]) + end)
        _is_refused(bad, archived / "hub/keys")


def _is_refused(path: Path, keys: Path) -> None:
    """As `frontgate verify FILE --trust CA`: the file holds, and its signer is the node's."""
    with path.open("rb") as file, pytest.raises(FrontgateError):
        control = check_archive(file).manifest.control
        load_trust(keys / "trust").judge_hub(control.certificate, control.issued_at)


def test_an_archive_that_is_missing_or_exchanged_breaks_the_series(
    archived: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archives"
    shutil.copytree(archived / "hub/state/archive", folder)
    names = sorted(p.name for p in folder.iterdir())
    reader = open_reader(archived / "hub/state/journal.db")
    keys = archived / "hub/keys"
    assert not chains.examine(reader, keys, folder).breaks
    (folder / names[1]).rename(tmp_path / "away")
    with pytest.raises(FrontgateError):
        chains.examine(reader, keys, folder)
    shutil.copy(folder / names[0], folder / names[1])
    with pytest.raises(FrontgateError):
        chains.examine(reader, keys, folder)
    reader.close()


def test_events_go_only_behind_a_checkpoint_and_a_forged_checkpoint_is_found(
    archived: Path, tmp_path: Path
) -> None:
    home = tmp_path / "hub"
    shutil.copytree(archived / "hub", home, ignore=shutil.ignore_patterns("*.sock"))
    db = apsw.Connection(str(home / "state/journal.db"))
    (newest,) = next(iter(db.execute("SELECT max(event_to) FROM archive")))
    with pytest.raises(apsw.ConstraintError):
        db.execute("DELETE FROM event WHERE seq = ?", (newest + 1,))
    with pytest.raises(apsw.ConstraintError):
        db.execute("DELETE FROM archive")
    with pytest.raises(apsw.ConstraintError):
        db.execute("UPDATE archive SET event_to = event_to + 1")
    # Somebody with the file adds a border of his own and removes what is before it.
    head, seq = next(
        iter(db.execute("SELECT head, seq FROM event ORDER BY seq DESC LIMIT 1 OFFSET 1"))
    )
    db.execute(
        "INSERT INTO archive SELECT number + 1, 'x', 1, digest, package_to, quarantine_to, receipt_to,"
        " ?, ?, epoch, xml, made_at FROM archive ORDER BY number DESC LIMIT 1", (seq, head),
    )  # fmt: skip
    db.execute("DELETE FROM event WHERE seq <= ?", (seq,))
    db.close()
    reader = open_reader(home / "state/journal.db")
    breaks = chains.examine(reader, home / "keys").breaks
    reader.close()
    assert any("checkpoint that does not hold" in b.what for b in breaks)


def test_an_archive_that_does_not_read_back_removes_nothing(
    archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frontgate.pipeline import archive

    home = tmp_path / "hub"
    shutil.copytree(archived / "hub", home, ignore=shutil.ignore_patterns("*.sock"))
    hub = load_hub(home / "hub.toml")
    node = Node("hub", hub, hub.path(hub.node.state))
    names = sorted((home / "state/archive").iterdir())
    real = archive.durable.fsync_file

    def rot(file: object) -> None:
        real(file)  # type: ignore[arg-type]
        name = getattr(file, "name", -1)
        if isinstance(name, int) and ".archive.part" in os.readlink(
            f"/proc/self/fd/{file.fileno()}"
        ):  # type: ignore[attr-defined]
            os.pwrite(file.fileno(), b"\xff", 700)  # type: ignore[attr-defined]

    monkeypatch.setattr(archive.durable, "fsync_file", rot)
    now = datetime.now(UTC)
    with keeper_of(node) as keeper, pytest.raises(FrontgateError) as error:
        keeper.archive(now, now)
    assert error.value.code == "FG-KEP-005"
    assert sorted((home / "state/archive").iterdir()) == names


@pytest.mark.needs_root
def test_on_a_nearly_full_disk_archives_are_smaller_and_pruning_makes_room(
    archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one: room for one package and what goes along with it, then for none."""
    from frontgate.pipeline import archive

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with small_disk(tmp_path / "disk", "size=48m") as disk:
        home = disk / "hub"
        shutil.copytree(archived / "hub", home, ignore=shutil.ignore_patterns("*.sock", "reserve"))
        hub = load_hub(home / "hub.toml")
        state = hub.path(hub.node.state)
        db = apsw.Connection(str(state / "journal.db"))
        db.execute("DROP TRIGGER archive_no_delete")
        db.execute("DELETE FROM archive")
        (largest,) = next(iter(db.execute("SELECT max(size_bytes) FROM package")))
        db.close()
        shutil.rmtree(state / "archive")
        now = datetime.now(UTC)
        monkeypatch.setattr(archive, "FLOOR_BYTES", 4 << 20)
        with keeper_of(Node("hub", hub, state)) as keeper:
            before = files_of(state)
            fill(disk / "none", archive.FLOOR_BYTES + 100)
            with pytest.raises(FrontgateError) as refused:
                keeper.archive(now, now)
            assert refused.value.code == "FG-KEP-006"
            assert list((state / "archive").iterdir()) == [], "nothing half-written stays"
            assert files_of(state) == before, "nor is anything lost"
            (disk / "none").unlink()
            fill(disk / "little", archive.FLOOR_BYTES + largest + 30_000)
            pruned = 0
            for _ in range(10):
                try:
                    is_done = keeper.archive(now, now) == []
                except FrontgateError as error:
                    assert error.code == "FG-KEP-006", error
                    is_done = False
                for file in (state / "archive").iterdir():  # as whoever keeps archives elsewhere
                    shutil.move(file, elsewhere / file.name)
                pruned += keeper.prune(now + timedelta(days=31))["segments"]
                if is_done:
                    break
            assert is_done
            assert len(list(elsewhere.iterdir())) >= 2
            assert pruned >= COUNT
        reader = open_reader(state / "journal.db")
        assert not chains.examine(reader, home / "keys", elsewhere).breaks
        reader.close()


@pytest.mark.parametrize("at", range(1, 60, 2))
def test_archive_and_prune_can_die_at_any_step(archived: Path, tmp_path: Path, at: int) -> None:
    """Killed at the n-th durable step of archive and prune, then done again: nothing is missing."""
    home = tmp_path / "hub"
    shutil.copytree(archived / "hub", home, ignore=shutil.ignore_patterns("*.sock"))
    script = f"""
import os, sys
from datetime import UTC, datetime, timedelta
from frontgate import durable
from frontgate import clock
from frontgate.cli.keep import keeper_of
from frontgate.cli.node import Node
from frontgate.settings import load_hub
hub = load_hub(__import__("pathlib").Path(sys.argv[1]) / "hub.toml")
left = {at}
def probe(when, name, places):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
with keeper_of(Node("hub", hub, hub.path(hub.node.state))) as keeper:
    durable.probe = probe
    now = datetime.now(UTC)
    keeper.archive(now, now)
    keeper.prune(now + timedelta(days=31))
    keeper.prune(now + timedelta(days=500))
"""
    died = subprocess.run([sys.executable, "-c", script, str(home)], check=False, timeout=60)
    assert died.returncode in (0, 9)
    hub = load_hub(home / "hub.toml")
    state = hub.path(hub.node.state)
    now = datetime.now(UTC)
    reader = open_reader(state / "journal.db")
    assert not chains.examine(reader, home / "keys").breaks
    kept = [str(r[0]) for r in reader.all("SELECT path FROM segment WHERE state = 'kept'")]
    assert all((state / path).is_file() for path in kept)
    reader.close()
    with keeper_of(Node("hub", hub, state)) as keeper:
        keeper.archive(now, now)
        keeper.prune(now + timedelta(days=500))
    reader = open_reader(state / "journal.db")
    assert not chains.examine(reader, home / "keys", state / "archive").breaks
    ids = {str(r[0]) for r in reader.all("SELECT message_id FROM package WHERE state = 'ADMITTED'")}
    gone = [str(r[0]) for r in reader.all("SELECT path FROM segment WHERE state <> 'kept'")]
    assert not any((state / path).exists() for path in gone)
    reader.close()
    held = set()
    for path in (state / "archive").glob("*.archive"):
        from frontgate.pipeline.parcel import members_of

        with path.open("rb") as file:
            held |= {m.name[-42:-6] for m in members_of(file) if m.name.endswith(".asice")}
    assert ids <= held


def test_terms_never_go_below_what_the_contract_sets() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    over = prune.terms(now, payload_days=1, sent_days=1, audit_days=1)
    assert over.audit.startswith("2026-05-29")


def test_an_archive_without_entries_of_the_chain_is_a_checkpoint_that_holds(
    tmp_path: Path,
) -> None:
    """A clock that went back: what came then is old enough to be archived, the entries before it,
    by their times, are not.
    """
    by_hand = ByHand(tmp_path)
    now = datetime.now(UTC)
    clock.use(lambda: now - timedelta(days=60), None)
    try:
        by_hand.admit()
    finally:
        clock.use(None, None)
    by_hand.gateways[POLICE].journal.close()
    with keeper_of(node_of(by_hand.province, POLICE)) as keeper:
        (made,) = keeper.archive(now, now - timedelta(days=30))
    assert made.packages == 1
    reader = open_reader(by_hand.province.home / POLICE / "state" / "journal.db")
    assert reader.all("SELECT event_to FROM archive") == [(0,)]
    assert chains.examine(reader, by_hand.province.home / POLICE / "keys").breaks == ()
    reader.close()
