"""A spool in trouble is its own trouble; the order of drop holds; nothing leads outside a spool."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_hand import ByHand
from province import PROCURATORATE, Province, wait_for

from frontgate import clock
from frontgate.gateway.daemon import Gateway
from frontgate.gateway.stations import Post
from frontgate.settings import load_gateway
from frontgate.spool import sweep
from frontgate.spool.claiming import Claim, Refused
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import Sweeper


class TwoApps:
    """A gateway by hand with two spools of one unit."""

    def __init__(self, home: Path) -> None:
        self.province = Province(home)
        settings = home / PROCURATORATE / "gateway.toml"
        text = settings.read_text().replace(
            "\n[intake]",
            '\n[[unit.app]]\nname = "one"\nflows = ["arrest-request"]\n'
            '[[unit.app]]\nname = "two"\n\n[intake]',
            1,
        )
        settings.write_text(text)
        self.settings = settings
        self.open()

    def open(self) -> None:
        self.gateway = Gateway(load_gateway(self.settings), connect=lambda: pytest.fail("no link"))
        self.gateway.prepare()
        self.one, self.two = self.gateway.posts.posts

    def turn(self, loop: str) -> float | None:
        return next(x for x in self.gateway.crew.loops if x.name == loop)._turn()

    def take(self, post: Post, *drops: str) -> None:
        """Turns of intake until these drops of one spool were answered."""

        def is_done() -> bool:
            self.turn("intake")
            return answered(post) == sorted(f"{name}.report.txt" for name in drops)

        assert wait_for(is_done, 20), self.gateway.report.troubles()

    def drop(self, post: Post, name: str, text: str = "<a/>") -> None:
        path = post.paths.outbound / (name + ".tmp")
        path.write_text(text)
        path.rename(post.paths.outbound / name)

    def close(self) -> None:
        self.gateway.journal.close()


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[TwoApps]:
    made = TwoApps(tmp_path)
    yield made
    made.close()


def answered(post: Post) -> list[str]:
    return sorted(p.name for p in post.paths.rejected.glob("*.report.txt"))


def test_a_spool_that_is_gone_stops_no_other(apps: TwoApps) -> None:
    away = apps.one.paths.root.with_name("away")
    apps.one.paths.root.rename(away)
    apps.drop(apps.two, "x.xml")
    apps.take(apps.two, "x.xml")
    apps.turn("receipt-files")
    assert len(list(apps.two.paths.receipts.glob("*.xml"))) == 1
    codes = {e.code for w, e in apps.gateway.report.troubles().items() if apps.one.key in w}
    assert codes == {"FG-SPL-031"}
    # It comes back by itself, with what was dropped meanwhile.
    away.rename(apps.one.paths.root)
    apps.drop(apps.one, "y.xml")
    apps.take(apps.one, "y.xml")
    apps.turn("receipt-files")
    assert apps.gateway.report.troubles() == {}


def test_receipts_of_a_spool_that_is_gone_wait_for_it(apps: TwoApps) -> None:
    apps.drop(apps.one, "a.xml")
    apps.drop(apps.two, "b.xml")
    apps.take(apps.one, "a.xml")
    apps.take(apps.two, "b.xml")
    away = apps.one.paths.receipts.with_name("receipts-away")
    apps.one.paths.receipts.rename(away)
    apps.turn("receipt-files")
    assert len(list(apps.two.paths.receipts.glob("*.xml"))) == 1
    assert f"receipts {apps.one.key}" in apps.gateway.report.troubles()
    away.rename(apps.one.paths.receipts)
    apps.turn("receipt-files")
    assert len(list(apps.one.paths.receipts.glob("*.xml"))) == 1


def test_a_gateway_starts_without_one_of_its_spools_and_makes_none_in_its_place(
    apps: TwoApps,
) -> None:
    apps.drop(apps.one, "before.xml")
    apps.close()
    root = apps.one.paths.root
    away = root.with_name("away")
    root.rename(away)
    root.mkdir()  # the mount point, empty
    apps.open()
    apps.drop(apps.two, "x.xml")
    apps.take(apps.two, "x.xml")
    assert list(root.iterdir()) == []
    assert apps.gateway.report.troubles()[f"intake {apps.one.key}"].code == "FG-SPL-031"
    root.rmdir()
    away.rename(root)
    apps.take(apps.one, "before.xml")


def test_a_replaced_spool_is_used_when_somebody_says_so(apps: TwoApps) -> None:
    root = apps.one.paths.root
    root.rename(root.with_name("old"))
    root.mkdir()
    apps.turn("intake")
    assert f"intake {apps.one.key}" in apps.gateway.report.troubles()
    (root / ".frontgate-adopt").touch()
    apps.turn("intake")
    apps.drop(apps.one, "x.xml")
    apps.take(apps.one, "x.xml")
    assert not (root / ".frontgate-adopt").exists()


def test_one_entry_that_cannot_be_removed_keeps_no_other_from_being_picked_up(
    tmp_path: Path,
) -> None:
    by_hand = ByHand(tmp_path)
    for _ in range(3):
        by_hand.admit()
    by_hand.relay()
    by_hand.turn(PROCURATORATE, "deliver")
    inbound = by_hand.province.spool(PROCURATORATE) / "inbound"
    entries = by_hand.province.entries(PROCURATORATE)
    stubborn = inbound / entries[0]
    subprocess.run(["chattr", "+i", str(stubborn)], check=True)
    try:
        for name in entries:
            (inbound / f"{name}.done").touch()
        by_hand.turn(PROCURATORATE, "pick-up")
        assert sorted(map(str, by_hand.states(PROCURATORATE, "spool:"))) == [
            "ACKNOWLEDGED",
            "ACKNOWLEDGED",
            "SENT",
        ]
        assert any(
            w.startswith("pick-up") for w in by_hand.gateways[PROCURATORATE].report.troubles()
        )
    finally:
        subprocess.run(["chattr", "-i", str(stubborn)], check=True)
    by_hand.turn(PROCURATORATE, "pick-up")
    assert set(by_hand.states(PROCURATORATE, "spool:")) == {"ACKNOWLEDGED"}
    assert by_hand.gateways[PROCURATORATE].report.troubles() == {}
    by_hand.close()


# -- order ----------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> SpoolPaths:
    made = SpoolPaths(tmp_path / "spool")
    prepare(made)
    return made


def names(found: list[Claim | Refused]) -> list[str]:
    return [(i.claim if isinstance(i, Refused) else i).name.decode() for i in found]


def put(paths: SpoolPaths, name: str, age_s: float) -> None:
    path = paths.outbound / name
    path.write_text("<a/>")
    at = clock.now().timestamp() - age_s
    os.utime(path, (at, at))


def test_what_is_hinted_at_waits_for_what_was_dropped_before(paths: SpoolPaths) -> None:
    for n in range(150):
        put(paths, f"{n:03d}.xml", 1000 - n)
    sweeper = Sweeper(paths, settle_s=0.0)
    sweeper.start_scan(catch_up=True)
    put(paths, "new.xml", 0)
    hints = [(b"new.xml", True)]

    def give(limit: int) -> list[tuple[bytes, bool]]:
        given, hints[:] = hints[:limit], hints[limit:]
        return given

    order: list[str] = []
    while True:
        found = sweeper.sweep(give, 64)
        if not found:
            break
        order += names(found)
    assert order == [*(f"{n:03d}.xml" for n in range(150)), "new.xml"]


def test_hints_wait_while_a_scan_has_not_come_to_its_end(
    paths: SpoolPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep looks at so many entries at most: what it has not reached was dropped before too."""
    monkeypatch.setattr(sweep, "LOOKED_AT", 10)
    for n in range(30):
        path = paths.outbound / f"{n:02d}.xml"
        path.write_text("<half")
        os.utime(path, (n, n))
    put(paths, "old.xml", 1000)
    put(paths, "new.xml", 0)
    sweeper = Sweeper(paths, settle_s=0.0, incomplete_after_s=3600.0)
    sweeper.start_scan(catch_up=True)
    hints = [(b"new.xml", True)]
    order: list[str] = []
    for _ in range(6):
        order += names(sweeper.sweep(lambda _: [hints.pop()] if hints else []))
    assert order == ["old.xml", "new.xml"]


def test_entries_that_have_yet_to_settle_after_a_scan_come_before_new_hints(
    paths: SpoolPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a start everything is too fresh to be taken; what is renamed in then must not overtake it."""
    at = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: at[0])
    put(paths, "old.xml", 0)
    sweeper = Sweeper(paths, settle_s=2.0)
    sweeper.start_scan(catch_up=True)
    hints = [(b"new.xml", True)]
    put(paths, "new.xml", 0)
    assert sweeper.sweep(lambda _: hints) == []
    at[0] += 1.0
    assert sweeper.sweep(lambda _: hints) == []
    at[0] += 1.5
    assert names(sweeper.sweep(lambda _: hints)) == ["old.xml", "new.xml"]


# -- nothing leads outside --------------------------------------------------------------------


def test_removing_follows_no_folder_that_becomes_a_link(
    paths: SpoolPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer swaps `files/` for a link between our looking and our removing."""
    from frontgate.spool import beneath

    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    drop = paths.claims / "c1" / "case"
    (drop / "files").mkdir(parents=True)
    (drop / "files" / "precious").write_text("bait")
    inner = beneath.Folder.inner
    swapped: list[bool] = []

    def swap_first(self: beneath.Folder, *way: str | bytes) -> beneath.Folder:
        if not swapped and way and os.fsencode(way[-1]) == b"files":
            swapped.append(True)
            (drop / "files").rename(drop / "files2")
            (drop / "files").symlink_to(outside)
        return inner(self, *way)

    monkeypatch.setattr(beneath.Folder, "inner", swap_first)
    with beneath.Folder.at(paths.claims) as claims:
        beneath.remove(claims, "c1")
    assert swapped
    assert (outside / "precious").read_text() == "x"
    assert list(paths.claims.iterdir()) == []


@pytest.mark.parametrize("what", ["outbound", "inbound", "receipts", "rejected"])
def test_a_shared_folder_that_is_a_link_is_not_used(
    apps: TwoApps, tmp_path: Path, what: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = apps.one.paths.root / what
    shutil.rmtree(folder)
    folder.symlink_to(outside)
    if what == "outbound":
        (outside / "theirs.xml").write_text("<a/>")
    else:
        apps.drop(apps.one, "x.xml")
    apps.turn("intake")
    apps.turn("receipt-files")
    assert sorted(p.name for p in outside.iterdir()) == (
        ["theirs.xml"] if what == "outbound" else []
    )


def test_a_drop_is_not_read_through_a_folder_that_became_a_link(
    paths: SpoolPaths, tmp_path: Path
) -> None:
    """The writer still holds its folder open after the claim, and points `files` at our keys."""
    from frontgate.errors import SpoolError
    from frontgate.spool.drop import DropLimits, open_drop

    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "a.pdf").write_text("secret")
    claim = paths.claims / "c1" / "case"
    (claim / "files").mkdir(parents=True)
    (claim / "message.xml").write_text("<a/>")
    (claim / "files" / "a.pdf").write_text("mine")
    with open_drop(Claim("c1", claim, b"case", "folder", 0), limits=DropLimits()) as drop:
        shutil.rmtree(claim / "files")
        (claim / "files").symlink_to(keys)
        with pytest.raises(SpoolError):
            list(drop.files["a.pdf"].read())
        assert drop.changed()
    # And from the beginning: the link is an entry that is refused, never a folder.
    with (
        pytest.raises(SpoolError) as caught,
        open_drop(Claim("c1", claim, b"case", "folder", 0), limits=DropLimits()),
    ):
        pass
    assert caught.value.code == "FG-SPL-012"


def test_a_very_deep_drop_is_removed_without_a_descriptor_for_each_level(
    paths: SpoolPaths,
) -> None:
    from frontgate.spool import beneath

    fd = os.open(paths.claims, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    with beneath.Folder.at(paths.claims) as claims:
        beneath.remove(claims, "d")
    assert list(paths.claims.iterdir()) == []
