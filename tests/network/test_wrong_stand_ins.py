"""The judges of bad lines and of large files are judged: each finds a client that is wrong on purpose."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_table import ROWS
from faultproxy import Fault

from frontgate import bundle
from frontgate.errors import TransportError
from frontgate.gateway.link import Link
from frontgate.transports import Transport, sftp, sftp_wire
from frontgate.transports.line import Line, Moved, Patient
from frontgate.transports.sftp import connect_sftp
from network import test_faults, test_resume, test_slow_line
from network.servers import Server, embedded
from network.test_slow_line import pair

__all__ = ["pair"]
Build = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def _no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is begun here shall not end well: it is no row of the table."""
    monkeypatch.delenv(ROWS, raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with embedded(tmp_path_factory.mktemp("server")) as running:
        yield running


# -- sessions over a bad line ---------------------------------------------------------------------


class Client:
    """A transport of SFTP; what a wrong client does otherwise is overwritten."""

    lost: int = 0

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def used_by_sessions(monkeypatch: pytest.MonkeyPatch, kind: type[Client]) -> None:
    monkeypatch.setattr(kind, "lost", 0)
    monkeypatch.setattr(
        test_faults, "connect_sftp", lambda *given, **named: kind(connect_sftp(*given, **named))
    )


def believe_that_it_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload counts as done before its answer is here."""

    class Hasty(Client):
        def put(self, *given: Any) -> None:
            try:
                self._inner.put(*given)
            except TransportError:
                type(self).lost += 1

    used_by_sessions(monkeypatch, Hasty)


def never_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first failure there is no other connection."""
    real = Link.transport
    monkeypatch.setattr(test_faults, "PATIENCE_S", 1.0)
    failed: set[Link] = set()

    def gave_up(self: Link, error: TransportError) -> float:
        failed.add(self)
        return 0.1

    monkeypatch.setattr(Link, "failed", gave_up)
    monkeypatch.setattr(Link, "transport", lambda self: 0.1 if self in failed else real(self))


def wait_for_answers_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that waits begins anew, whether anything moved or not."""
    monkeypatch.setattr(Patient, "_moves", lambda *_: True)


def never_look_at_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that stands still with something under way is never ended."""
    monkeypatch.setattr(Line, "_look", lambda _: None)


def never_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither."""
    wait_for_answers_for_ever(monkeypatch)
    never_look_at_the_line(monkeypatch)
    monkeypatch.setattr(test_faults, "PATIENCE_S", 10.0)


class Unlucky(Client):
    """Right as it is: the first upload arrives, its answer does not, and it is tried again."""

    def put(self, name: str, *given: Any) -> None:
        self._inner.put(self.name_now(name), *given)
        type(self).lost += 1
        if type(self).lost == 1:
            raise TransportError("FG-TRN-005", what="rename")

    def name_now(self, name: str) -> str:
        return name


def upload_under_a_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lost answer the bundle has another number, as if it were another."""

    class Forgetful(Unlucky):
        def name_now(self, name: str) -> str:
            return f"{int(name[:16]) + self.lost:016d}{name[16:]}"

    used_by_sessions(monkeypatch, Forgetful)


CUT_SHORT = Fault("rst", 100_000, True)
HALF_OPEN = Fault("half-open", 100_000, True)
SESSIONS: list[tuple[Build, list[Fault], str]] = [
    (believe_that_it_arrived, [CUT_SHORT], "never came"),
    (never_try_again, [CUT_SHORT], "not done in time"),
    (upload_under_a_new_name, [], "came otherwise as well"),
    (never_give_up, [HALF_OPEN], "not done in time"),
]


def test_a_session_whose_answer_was_lost_is_well(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    used_by_sessions(monkeypatch, Unlucky)
    test_faults.Session(server, 7, []).run()


@pytest.mark.parametrize(
    ("number", "build", "faults", "said"),
    [(n, *case) for n, case in enumerate(SESSIONS, 11)],
    ids=[b.__name__ for b, _, _ in SESSIONS],
)
def test_a_wrong_client_on_a_bad_line_is_found(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    build: Build,
    faults: list[Fault],
    said: str,
) -> None:
    build(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        test_faults.Session(server, number, faults).run()


# -- lines on which nothing moves -----------------------------------------------------------------

STILL: list[tuple[Build, str]] = [
    (wait_for_answers_for_ever, "all-confirmed"),
    (never_look_at_the_line, "cannot-send"),
]
"""Where each of the two clocks is the only one."""
KINDS = ("half-open", "stall") if test_faults.IS_LONG else ("half-open",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("build", "how"), STILL, ids=[b.__name__ for b, _ in STILL])
def test_a_client_that_waits_for_ever_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Build, how: str, kind: str
) -> None:
    build(monkeypatch)
    with pytest.raises(AssertionError, match="nobody noticed"):
        test_slow_line.test_a_line_on_which_nothing_moves_is_noticed(
            kind, how, tmp_path, monkeypatch
        )


def test_a_client_that_takes_signs_of_life_for_progress_is_found(
    pair: tuple[Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Moved, "is_progress", lambda self, before, _: self.payload(before) > 0)
    with pytest.raises(AssertionError, match="nobody noticed"):
        test_slow_line.test_signs_of_life_alone_are_no_progress(pair)


def test_a_client_that_is_content_with_a_byte_now_and_then_is_found(
    pair: tuple[Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Moved, "has_served", lambda *_: True)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_slow_line.test_a_line_that_owes_and_hears_next_to_nothing_ends(pair, monkeypatch)


# -- large files ----------------------------------------------------------------------------------


def go_on_behind_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload goes on a little behind the end of what is there."""
    monkeypatch.setattr(sftp, "_resume_at", lambda have, begun, size: min(have + 512, size))


def go_on_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on from some place is sent from the beginning of the file."""
    real = sftp_wire.Sftp.upload

    def upload(self: Any, handle: Any, source: Any, size: int, *, start: int, moved: Any) -> None:
        class Behind:
            def read(self, count: int) -> bytes:
                return bytes(source.read(count))

            def seek(self, at: int) -> int:
                return int(source.seek(max(0, at - start)))

        real(self, handle, Behind(), size, start=start, moved=moved)

    monkeypatch.setattr(sftp_wire.Sftp, "upload", upload)


def never_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every upload begins anew."""
    monkeypatch.setattr(sftp, "_resume_at", lambda *_: 0)


def fetch_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download begins anew, behind what is there already."""
    real = sftp_wire.Sftp.download
    monkeypatch.setattr(
        sftp_wire.Sftp,
        "download",
        lambda self, path, sink, offset, size: real(self, path, sink, 0, size),
    )


def believe_a_splice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pieced together of two sources is not held against the name it has."""
    monkeypatch.setattr(bundle, "check_id", lambda *_: True)


UPLOAD = test_resume.test_an_upload_goes_on_after_every_cut
DOWNLOAD = test_resume.test_a_download_goes_on_after_every_cut


def splice(_: str, tmp_path: Path) -> None:
    test_resume.test_a_source_that_changed_is_never_spliced(tmp_path)


RESUMES: list[tuple[Build, Callable[[str, Path], None], str]] = [
    (go_on_behind_a_hole, UPLOAD, "other bytes came"),
    (go_on_too_early, UPLOAD, "other bytes came"),
    (never_go_on, UPLOAD, "too much was sent again"),
    (fetch_anew, DOWNLOAD, "what came in pieces does not hold"),
    (believe_a_splice, splice, "a splice was taken"),
]
CHOSEN = RESUMES if test_resume.IS_LONG else RESUMES[::2]
"""One of each kind: a wrong place, too much sent, a splice; all in the long form."""


@pytest.mark.parametrize(("build", "check", "said"), CHOSEN, ids=[b.__name__ for b, _, _ in CHOSEN])
def test_a_client_that_goes_on_wrongly_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: Build,
    check: Callable[[str, Path], None],
    said: str,
) -> None:
    cuts, size = 3, 12_000_000
    monkeypatch.setattr(test_resume, "CUTS", cuts)
    monkeypatch.setattr(test_resume, "SIZE", size)
    monkeypatch.setattr(test_resume, "ALLOWED", int(1.03 * size) + cuts * (1 << 20))
    build(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        check("embedded", tmp_path)
