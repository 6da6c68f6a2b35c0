"""When the hub puts bundles before its units: packages at once, receipts alone after a moment."""

import errno
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger import POLICE, PROCURATORATE, Ledger, sample

from frontgate.hub import mailboxes, placer
from frontgate.hub.placer import Placer
from frontgate.pipeline.dispatch import GATHER_S, Lane
from frontgate.pipeline.segments import SegmentStore


class Hub(Ledger):
    """A ledger with the placing of small packages."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.placer = Placer(
            self.journal,
            SegmentStore(self.state),
            self.mailboxes,
            Lane(large=False),
            is_stopping=lambda: False,
            fail=lambda rows, error: pytest.fail(str(error)),
        )

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def empty(self, unit: str) -> None:
        """Its gateway fetched everything."""
        for path in (self.root / self.directory.units[unit].account / "from-hub").glob("*.bundle"):
            path.unlink()

    def placed(self, unit: str) -> list[list[str]]:
        """The names in each bundle that lies before a unit."""
        folder = self.root / self.directory.units[unit].account / "from-hub"
        found = []
        for path in sorted(folder.glob("*.bundle")):
            with tarfile.open(path) as bundle:
                found.append(bundle.getnames())
        return found


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path)
    yield made
    made.close()


def test_a_package_goes_at_once_and_receipts_alone_gather(hub: Hub) -> None:
    sent = hub.send(sample("arrest-request/submit"))
    pause = hub.placer.turn()
    assert pause == pytest.approx(GATHER_S)
    assert hub.placed(POLICE) == []
    assert len(hub.placed(PROCURATORATE)) == 1

    hub.receipt(sent, PROCURATORATE)
    hub.at -= timedelta(seconds=1)  # an upload moves the clock on
    hub.wait(GATHER_S / 2)
    assert hub.placer.turn() == pytest.approx(GATHER_S / 2)
    assert hub.placed(POLICE) == []

    hub.wait(GATHER_S / 2)
    assert hub.placer.turn() is None
    assert hub.placed(POLICE) == [["0001-receipts.xml"]], "the hub's and the receiver's, in one"
    assert hub.query("SELECT count(*) FROM receipt_out WHERE bundle_id = ''") == [(0,)]

    hub.send(sample("arrest-request/submit"))
    assert hub.placer.turn() == pytest.approx(GATHER_S), "each first receipt begins anew"


def test_receipts_ride_at_once_with_what_goes_there_anyway(hub: Hub) -> None:
    sent = hub.send(sample("arrest-request/submit"))
    hub.send(sample("arrest-request/accept"), answers=sent)
    hub.placer.turn()
    names = hub.placed(POLICE)
    assert len(names) == 1
    assert names[0][-1] == "0001-receipts.xml"
    assert len(names[0]) == 2


def test_receipts_that_fill_a_bundle_wait_for_no_more(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placer, "MOST_RECEIPTS", 2)
    hub.send(sample("arrest-request/submit"))
    hub.placer.turn()
    assert hub.placed(POLICE) == []
    hub.at -= timedelta(seconds=1)
    hub.send(sample("arrest-request/submit"))
    hub.at -= timedelta(seconds=1)
    hub.placer.turn()
    assert hub.placed(POLICE) == [["0001-receipts.xml"]]


def full(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two accounts one has no room: its unit fetches nothing."""
    monkeypatch.setattr(mailboxes, "MOST_PLACED", 1)
    hub.send(sample("arrest-request/submit"))
    hub.placer.turn()
    hub.wait(5)
    hub.placer.turn()
    assert [len(hub.placed(unit)) for unit in (POLICE, PROCURATORATE)] == [1, 1]


def test_an_account_without_room_makes_no_other_wait_longer(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(hub, monkeypatch)
    hub.empty(POLICE)
    hub.send(sample("arrest-request/submit"))
    assert hub.placer.turn() == pytest.approx(GATHER_S)


def test_receipts_that_have_gathered_go_as_soon_as_there_is_room(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(hub, monkeypatch)
    hub.send(sample("arrest-request/submit"))
    for _ in range(4):
        hub.wait(hub.placer.turn() or 0)
    hub.empty(POLICE)
    hub.placer.turn()
    assert hub.placed(POLICE) == [["0001-receipts.xml"]]


def test_an_account_whose_folder_is_broken_is_tried_no_more_often(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = hub.directory.units[POLICE].account
    place = mailboxes.Mailboxes.place

    def refuse(
        self: mailboxes.Mailboxes, box: mailboxes.Mailbox, name: str, source: object
    ) -> None:
        if box.account == broken:
            raise OSError(errno.EIO, "injected")
        place(self, box, name, source)  # type: ignore[arg-type]

    monkeypatch.setattr(mailboxes.Mailboxes, "place", refuse)
    hub.send(sample("arrest-request/submit"))
    hub.wait(hub.placer.turn() or 0)
    hub.placer.turn()
    hub.send(sample("arrest-request/submit"))
    pauses = []
    for _ in range(4):
        pauses.append(hub.placer.turn())
        hub.wait(pauses[-1] or 0)
    assert pauses[-2:] == [placer.BROKEN_S] * 2
