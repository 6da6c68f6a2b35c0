"""Daemon and case software under different accounts, with the rights of the contract."""

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from frontgate.errors import SpoolError
from frontgate.model.finding import Report, finding
from frontgate.spool import beneath
from frontgate.spool.claiming import Claim, Refused
from frontgate.spool.drop import DropLimits, discard, open_drop
from frontgate.spool.inbound import DeliveryPart, deliver, is_collected
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.receipts import write_receipt
from frontgate.spool.rejected import reject
from frontgate.spool.sweep import Sweeper
from frontgate.spool.tryout import try_rights

pytestmark = pytest.mark.needs_root
UNREADABLE = finding("FG-SPL-014", value="secret.xml")
"""Made here: the accounts of the tests may not read the interpreter's own files."""
"".encode("utf-8-sig")  # the codec, for the same reason
GROUP, DAEMON, CASE = "frontgate-t1", "fgt-daemon", "fgt-case"


@dataclass
class Accounts:
    paths: SpoolPaths
    daemon: int
    case: int
    gid: int

    def run(self, uid: int, act: Callable[[], None]) -> None:
        """Do it in a child under that account, with the shared group; failures fail the test."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setgroups([self.gid])
                os.setgid(pwd.getpwuid(uid).pw_gid)
                os.setuid(uid)
                os.umask(0o022)
                act()
                status = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        _, state = os.waitpid(pid, 0)
        assert state == 0


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    assert os.geteuid() == 0, "these tests make two accounts: run them as root"
    subprocess.run(["groupadd", "--force", GROUP], check=True)
    for name in (DAEMON, CASE):
        subprocess.run(["useradd", "--system", "--no-create-home", "-G", GROUP, name], check=False)
    gid = grp.getgrnam(GROUP).gr_gid
    base = Path("/var/lib/frontgate-spool-test") / str(os.getpid())
    base.mkdir(parents=True, mode=0o755)
    os.chmod(base.parent, 0o755)
    daemon = pwd.getpwnam(DAEMON).pw_uid
    os.chown(base, daemon, gid)
    made = Accounts(SpoolPaths(base / "spool"), daemon, pwd.getpwnam(CASE).pw_uid, gid)
    made.run(daemon, lambda: prepare(made.paths, group=GROUP))
    yield made
    subprocess.run(["rm", "-rf", str(base)], check=False)
    for name in (DAEMON, CASE):
        subprocess.run(["userdel", name], check=False, capture_output=True)
    subprocess.run(["groupdel", GROUP], check=False, capture_output=True)


def claim_all(paths: SpoolPaths) -> list[Claim | Refused]:
    sweeper = Sweeper(paths, settle_s=0.0, incomplete_after_s=0.0)
    sweeper.start_scan()
    return sweeper.sweep([])


def test_folders_have_the_rights_of_the_contract(accounts: Accounts) -> None:
    for name in ("outbound", "inbound", "receipts", "rejected", "reference"):
        info = (accounts.paths.root / name).stat()
        assert info.st_mode & 0o7777 == 0o2770
        assert info.st_gid == accounts.gid
    assert accounts.paths.private.stat().st_mode & 0o7777 == 0o700

    def peep() -> None:
        try:
            os.listdir(accounts.paths.private)
        except PermissionError:
            return
        raise AssertionError("the case software sees .frontgate/")

    accounts.run(accounts.case, peep)


def test_a_file_of_the_other_account_is_claimed_and_read(accounts: Accounts) -> None:
    def drop() -> None:
        path = accounts.paths.outbound / "a.xml.tmp"
        path.write_text("<a/>")
        path.rename(accounts.paths.outbound / "a.xml")

    def take() -> None:
        (claim,) = claim_all(accounts.paths)
        assert isinstance(claim, Claim)
        with open_drop(claim, limits=DropLimits()) as opened:
            assert opened.message == b"<a/>"
        discard(accounts.paths, claim)

    accounts.run(accounts.case, drop)
    accounts.run(accounts.daemon, take)
    assert list(accounts.paths.outbound.iterdir()) == []


def test_a_folder_of_the_other_account_is_claimed_by_copy(accounts: Accounts) -> None:
    """Its owner alone may give a folder a new parent: the rename to .frontgate/ fails with EACCES."""

    def drop() -> None:
        folder = accounts.paths.outbound / "case.tmp"
        (folder / "files").mkdir(parents=True)
        (folder / "message.xml").write_text("<a/>")
        (folder / "files" / "x.pdf").write_bytes(b"pdf")
        folder.chmod(0o755)
        (folder / "files").chmod(0o755)
        folder.rename(accounts.paths.outbound / "case")

    def take() -> None:
        found = claim_all(accounts.paths)
        assert len(found) == 1, found
        claim = found[0]
        assert isinstance(claim, Claim)
        assert claim.name == b"case"
        with open_drop(claim, limits=DropLimits()) as opened:
            assert opened.message == b"<a/>"
            assert b"".join(opened.files["x.pdf"].read()) == b"pdf"
        discard(accounts.paths, claim)
        assert claim_all(accounts.paths) == []

    accounts.run(accounts.case, drop)
    accounts.run(accounts.daemon, take)


def test_what_the_gateway_writes_the_case_software_can_take(accounts: Accounts) -> None:
    part = DeliveryPart("message.xml", lambda: iter([b"<a/>"]), 4)
    inner = DeliveryPart("files/x.pdf", lambda: iter([b"pdf"]), 3)

    def write() -> None:
        deliver(accounts.paths, "entry", [part, inner])
        write_receipt(accounts.paths, "r.01-delivered.xml", b"<r/>")

    def take() -> None:
        entry = accounts.paths.inbound / "entry"
        assert (entry / "files" / "x.pdf").read_bytes() == b"pdf"
        with beneath.Folder.at(accounts.paths.inbound) as inbound:
            beneath.remove(inbound, "entry")
        (accounts.paths.receipts / "r.01-delivered.xml").unlink()

    accounts.run(accounts.daemon, write)
    accounts.run(accounts.case, take)

    def look() -> None:
        assert is_collected(accounts.paths, "entry")

    accounts.run(accounts.daemon, look)


def test_a_done_mark_of_the_other_account_ends_with_both_gone(accounts: Accounts) -> None:
    part = DeliveryPart("message.xml", lambda: iter([b"<a/>"]), 4)
    accounts.run(accounts.daemon, lambda: deliver(accounts.paths, "entry", [part]) and None)
    accounts.run(accounts.case, lambda: (accounts.paths.inbound / "entry.done").touch())

    def look() -> None:
        assert is_collected(accounts.paths, "entry")

    accounts.run(accounts.daemon, look)
    assert list(accounts.paths.inbound.iterdir()) == []


def test_an_unreadable_drop_is_answered(accounts: Accounts) -> None:
    def drop() -> None:
        path = accounts.paths.outbound / "secret.xml"
        path.write_text("<a/>")
        path.chmod(0o600)
        os.chown(path, -1, pwd.getpwuid(accounts.case).pw_gid)

    def take() -> None:
        (item,) = claim_all(accounts.paths)
        claim = item.claim if isinstance(item, Refused) else item
        report = Report((UNREADABLE,))
        reject(accounts.paths, claim, report, now=datetime.now(UTC))

    accounts.run(accounts.case, drop)
    accounts.run(accounts.daemon, take)

    def read() -> None:
        text = (accounts.paths.rejected / "secret.xml.report.txt").read_text("utf-8-sig")
        assert "FG-SPL-014" in text
        assert (accounts.paths.rejected / "secret.xml").read_text() == "<a/>"

    accounts.run(accounts.case, read)


def test_the_rights_are_tried_from_both_sides(accounts: Accounts) -> None:
    before = sorted(os.listdir(accounts.paths.inbound)), sorted(os.listdir(accounts.paths.outbound))
    assert try_rights(accounts.paths, CASE) == []
    after = sorted(os.listdir(accounts.paths.inbound)), sorted(os.listdir(accounts.paths.outbound))
    assert after == before
    accounts.paths.outbound.chmod(0o750)
    assert {step for step, _ in try_rights(accounts.paths, CASE)} >= {"drop", "claim"}
    accounts.paths.outbound.chmod(0o2770)
    accounts.paths.private.chmod(0o755)
    assert [step for step, _ in try_rights(accounts.paths, CASE)] == ["private"]


def test_an_unknown_account_is_named(accounts: Accounts) -> None:
    with pytest.raises(SpoolError) as caught:
        try_rights(accounts.paths, "no-such-account")
    assert caught.value.code == "FG-SPL-003"


def test_a_folder_that_may_not_be_read_keeps_its_name_and_shows(accounts: Accounts) -> None:
    """Neither hidden under a mark of ours nor in the way of a start."""

    def drop() -> None:
        folder = accounts.paths.outbound / "closed"
        folder.mkdir()
        (folder / "message.xml").write_text("<a/>")
        os.chown(folder, -1, pwd.getpwuid(accounts.case).pw_gid)
        folder.chmod(0o700)

    def take() -> None:
        sweeper = Sweeper(accounts.paths, settle_s=0.0, incomplete_after_s=0.0)
        for _ in range(2):
            assert list(sweeper.recover()) == []
            sweeper.start_scan()
            for item in sweeper.sweep([]):
                # Refused with a report is as good an answer as being shown.
                assert isinstance(item, Refused)
        assert os.listdir(accounts.paths.claims) == []

    accounts.run(accounts.case, drop)
    accounts.run(accounts.daemon, take)
    assert os.listdir(accounts.paths.outbound) == ["closed"]
