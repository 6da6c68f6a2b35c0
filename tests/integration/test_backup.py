"""Backup of a running node and its restore: nothing of it missing, a fork never silent."""

import json
import shutil
from pathlib import Path

import pytest
from keeping import CaseSoftware, counts, frontgate, node_of
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.errors import FrontgateError, KeepError
from frontgate.journal import open_reader
from frontgate.pipeline import backup, chains
from frontgate.pipeline.parcel import MANIFEST

HANDED = "SELECT count(DISTINCT message_id) FROM receipt WHERE kind = 'handed-over'"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_node_is_backed_up_under_traffic_destroyed_restored_and_goes_on(
    tmp_path: Path, form: str
) -> None:
    """The drill, for each node in turn, with nothing lost between backup and end."""
    province = Province(tmp_path)
    province.start()
    software = CaseSoftware(province.spool(PROCURATORATE))
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    sent = 0
    for name in ("hub", POLICE, PROCURATORATE):
        for n in range(3):
            province.drop(POLICE, f"{name}-{n}.xml", message(ref=f"{name}-{n}"))
        sent += 3
        assert wait_for(lambda sent=sent: counts(province, POLICE, HANDED) == sent), province.log(
            "hub"
        )
        target = tmp_path / f"backup-{name}"
        more = ("--file",) if form == "file" else ()
        done = frontgate(
            province, name, "backup", "-o", str(target), *more, "--with-keys", str(secret)
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["missing"] == []
        again = frontgate(province, name, "backup", "-o", str(target), *more)
        assert (again.returncode, "FG-KEP-001" in again.stderr) == (3, True)
        province.kill(name)
        home = province.home / name
        shutil.rmtree(home / "state")
        shutil.rmtree(home / "keys")
        back = frontgate(province, name, "restore", str(target), str(home), "--keys", str(secret))
        assert back.returncode == 0, back.stderr
        assert json.loads(back.stdout)["has_keys"] is True
        province.start(name)
    province.drop(POLICE, "end.xml", message(ref="end"))
    assert wait_for(lambda: counts(province, POLICE, HANDED) == sent + 1, 60), province.log("hub")
    software.stop()
    assert len(software.taken) == len(set(software.taken)) == sent + 1
    for name in ("hub", POLICE, PROCURATORATE):
        found = json.loads(frontgate(province, name, "audit", "verify").stdout)
        assert (found["breaks"], len(found["epochs"])) == ([], 2)
    province.stop()


def test_keys_stay_at_home_unless_asked_and_never_in_clear(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start("hub")
    assert wait_for((tmp_path / "hub/state/control.sock").exists)
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery")
    key = (tmp_path / "hub/keys/hub.key").read_bytes().splitlines()[1]
    frontgate(province, "hub", "backup", "-o", str(tmp_path / "plain"))
    frontgate(province, "hub", "backup", "-o", str(tmp_path / "with"), "--with-keys", str(secret))
    province.stop()
    assert not (tmp_path / "plain/keys.enc").exists()
    for path in (*(tmp_path / "plain").iterdir(), *(tmp_path / "with").iterdir()):
        assert key not in path.read_bytes(), path
        assert path.stat().st_mode & 0o077 == 0, path
    wrong = b"correct horse staple"
    with pytest.raises(KeepError) as error:
        backup.restore(tmp_path / "with", tmp_path / "new", passphrase=wrong)
    assert error.value.code == "FG-KEP-004"
    assert not (tmp_path / "new/state").exists()
    backup.restore(tmp_path / "with", tmp_path / "new", passphrase=b"correct horse battery")
    assert (tmp_path / "new/keys/hub.key").read_bytes() == (
        tmp_path / "hub/keys/hub.key"
    ).read_bytes()
    assert (tmp_path / "new/keys/hub.key").stat().st_mode & 0o777 == 0o600


def test_a_restore_never_overwrites_and_takes_no_damaged_backup(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    province.drop(POLICE, "a.xml", message(ref="a"))
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log("hub")
    good = tmp_path / "good"
    frontgate(province, POLICE, "backup", "-o", str(good))
    province.stop()
    with pytest.raises(KeepError) as error:
        backup.restore(good, tmp_path / POLICE)
    assert error.value.code == "FG-KEP-001"
    assert backup.check_folder(good).kind == "backup"
    for path in sorted(good.iterdir()):
        bad = tmp_path / "bad"
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        data = path.read_bytes()
        place = 300 if path.name == MANIFEST else len(data) // 2
        (bad / path.name).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(FrontgateError):
            backup.restore(bad, tmp_path / "new")
        assert not (tmp_path / "new/state").exists(), path
        (bad / path.name).unlink()
        with pytest.raises(FrontgateError):
            backup.restore(bad, tmp_path / "new")
    backup.restore(good, tmp_path / "new")
    assert (tmp_path / "new/state/journal.db").is_file()


def test_a_fork_shows_even_where_the_chain_itself_holds(tmp_path: Path) -> None:
    """A forged epoch entry, without the node's key, is a break; a real one tells what it cut off."""
    import apsw

    from frontgate.core import chain

    province = Province(tmp_path)
    province.start("hub")
    assert wait_for((tmp_path / "hub/state/control.sock").exists)
    frontgate(province, "hub", "backup", "-o", str(tmp_path / "b"))
    province.stop()
    shutil.rmtree(tmp_path / "hub/state")
    backup.restore(tmp_path / "b", tmp_path / "hub")
    province.start("hub")
    assert wait_for((tmp_path / "hub/state/control.sock").exists)
    province.stop()
    path = tmp_path / "hub/state/journal.db"
    reader = open_reader(path)
    found = chains.examine(reader, tmp_path / "hub/keys")
    reader.close()
    assert not found.breaks
    assert len(found.epochs) == 2
    db = apsw.Connection(str(path))
    seq, head, epoch = next(iter(db.execute(
        "SELECT max(seq), head, (SELECT value FROM meta WHERE key = 'epoch') FROM event")))  # fmt: skip
    data = chain.canonical(
        {"epoch": int(epoch) + 1, "previous_epoch": int(epoch), "previous_seq": seq,
         "previous_head": head, "backup": "", "document": "<x/>"}
    )  # fmt: skip
    start = chain.genesis(f"hub:{node_of(province, 'hub').settings.unit}", int(epoch) + 1)  # type: ignore[union-attr]
    db.execute(
        "INSERT INTO event VALUES (?, 't', 'epoch', ?, ?)",
        (seq + 1, data, chain.head_after(start, seq + 1, "t", "epoch", data)),
    )
    db.close()
    reader = open_reader(path)
    assert any("signature" in b.what for b in chains.examine(reader, tmp_path / "hub/keys").breaks)
    reader.close()
