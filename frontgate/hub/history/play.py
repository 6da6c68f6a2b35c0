"""The run: units make their bundles, the hub takes them, projections follow; with what each took.

Real are seals, verification, XSD, context, dedupe, routing, signed receipts, fsync, ledger and
projections; as in a running hub, projections are made by a process of their own beside the intake.
Virtual is the clock alone. The SFTP wire and the placing of bundles are not played: an upload is
renamed into its mailbox, as an SFTP server does last.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from datetime import time as of_day
from fractions import Fraction
from pathlib import Path

from frontgate import clock
from frontgate.cases import stats
from frontgate.cases.project import rebuild
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.errors import InternalError, JournalError
from frontgate.hub.history.plan import Volumes, days, scaled
from frontgate.hub.history.province import Province, found
from frontgate.hub.history.units import Units
from frontgate.hub.intake import HubIntake
from frontgate.hub.mailboxes import Mailboxes
from frontgate.hub.resync import HubResync
from frontgate.journal import Journal, Reader, extracts, open_reader
from frontgate.journal.files import open_reading
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.segments import SegmentStore
from frontgate.settings import HubSettings
from frontgate.standard import Checker, Standards
from frontgate.suites import load_signer
from frontgate.trust.store import load_trust
from frontgate.values import Struct

LOOK_S = 0.2


class Figures(Struct, frozen=True):
    """messages, receipts: of units and hub together. Seconds of the clock on the wall, `cpu` those of
    the processor. making: by the units, before. whole: from the first upload to the last projection;
    ledger: of that, until the hub had taken the last upload.
    """

    share: str
    units: int
    exchanges: int
    messages: int
    receipts: int
    bundles: int
    making_s: float
    whole_s: float
    ledger_s: float
    ledger_cpu_s: float
    project_cpu_s: float
    rebuild_s: float
    refused: int


class _Made(Struct, frozen=True):
    """A bundle that lies ready below `uploads/`."""

    path: Path
    account: str
    name: str
    at: datetime
    messages: int
    receipts: int


def play(
    home: Path,
    volumes: Volumes,
    standards: Standards,
    *,
    share: Fraction = Fraction(1),
    begin: date | None = None,
    answers: float = 0.0,
    seed: int = 1,
    with_rebuild: bool = False,
    said: Callable[[int, int], None] = lambda *_: None,
) -> Figures:
    """Play the volumes' share into a new hub at `home`. said: (exchanges so far, all)."""
    counts = scaled(volumes.counts, share)
    first = begin or volumes.begin
    moment = [datetime.combine(first, of_day(8), LEGAL_TIME)]
    clock.use(lambda: moment[0], lambda: moment[0].timestamp())
    try:
        catalogue = standards.version(standards.newest)
        province = found(home, catalogue, moment[0])
        units = Units(province, standards, answers=answers, seed=seed)
        # A share is a stretch of the two years at their full density, so that its cost scales.
        length = max(7, round(volumes.days * share))
        began = time.perf_counter()
        made = list(_made(home / "uploads", units, days(counts, first, length, seed)))
        making_s = time.perf_counter() - began
        settings = province.settings
        state = settings.path(settings.node.state)
        journal, cases = state / "journal.db", state / "cases.db"
        with (
            closing(Journal.open(journal, node=f"hub:{settings.unit}")) as opened,
            opened.write() as tx,
        ):
            tx.set_meta(stats.SPREAD, " ".join(sorted(volumes.spread)))
        began = time.perf_counter()
        with _projecting(journal, cases, settings) as projected:
            ledger_cpu_s = _take(province, standards, made, moment, sum(counts.values()), said)
            ledger_s = time.perf_counter() - began
            projected.wait_until_even()
            whole_s = time.perf_counter() - began
        began = time.perf_counter()
        if with_rebuild:
            rebuild(journal, cases, standards)
        rebuild_s = time.perf_counter() - began if with_rebuild else 0.0
        refused = _refused(journal)
    finally:
        clock.use(None, None)
    messages = sum(m.messages for m in made)
    return Figures(
        share=str(share),
        units=len(province.directory.units),
        exchanges=sum(counts.values()),
        messages=messages,
        receipts=sum(m.receipts for m in made) + messages,
        bundles=len(made),
        making_s=round(making_s, 1),
        whole_s=round(whole_s, 1),
        ledger_s=round(ledger_s, 1),
        ledger_cpu_s=round(ledger_cpu_s, 1),
        project_cpu_s=round(projected.cpu_s, 1),
        rebuild_s=round(rebuild_s, 1),
        refused=refused,
    )


def _made(folder: Path, units: Units, plan: Iterable[object]) -> Iterator[_Made]:
    """Let the units make all their bundles, so that what is measured then is the hub's work alone."""
    folder.mkdir()
    number = 0
    for day in plan:
        for upload in units.day(day):  # type: ignore[arg-type]
            number += 1
            path = folder / f"{number:08d}"
            path.write_bytes(upload.data)
            yield _Made(
                path, upload.account, upload.name, upload.at, upload.messages, upload.receipts
            )


def _take(
    province: Province,
    standards: Standards,
    made: Iterable[_Made],
    moment: list[datetime],
    total: int,
    said: Callable[[int, int], None],
) -> float:
    """Let the hub's intake take every bundle at its own time. Returns: seconds of the processor."""
    settings = province.settings
    keys = settings.path(settings.node.keys)
    state = settings.path(settings.node.state)
    trust = load_trust(keys / "trust")
    signer = load_signer(keys / "hub.key", keys / "hub.pem", settings.unit)
    journal = Journal.open(state / "journal.db", node=f"hub:{settings.unit}")
    root = settings.path(settings.sftp.root)
    mailboxes = Mailboxes(root, root / ".staging", lambda: trust.directory, None)
    issuer = Issuer(signer, "hub", lambda *_: "")
    intake = HubIntake(
        journal, SegmentStore(state), mailboxes, issuer, lambda: trust,
        lambda: (trust.directory,), standards, Checker(standards), wake_placer=lambda: None,
        resync=HubResync(journal, mailboxes, issuer, lambda: trust, wake_placer=lambda: None),
    )  # fmt: skip
    messages = 0
    used = time.process_time()
    for upload in made:
        moment[0] = upload.at
        os.rename(upload.path, root / upload.account / "to-hub" / f"{upload.name}.bundle")
        intake.turn()
        messages += upload.messages
        said(min(messages, total), total)
    used = time.process_time() - used
    mailboxes.close()
    journal.close()
    return used


class _Projected:
    """The projector's process, as the hub starts it. cpu_s: what it used, once it has ended."""

    def __init__(self, journal: Path, cases: Path, settings: HubSettings) -> None:
        self._journal, self._cases = journal, cases
        of = settings.node.standards
        config = {
            "journal": str(journal),
            "cases": str(cases),
            "standards": str(settings.path(of)) if of else "",
        }
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "frontgate.cases.process", "--config", json.dumps(config)],
            stdin=subprocess.PIPE,
        )
        self.cpu_s = 0.0

    def wait_until_even(self) -> None:
        """Until the rows of the journal's last entry are there."""
        journal = open_reader(self._journal)
        newest = extracts.newest(journal)
        journal.close()
        cases: Reader | None = None
        while True:
            if self._process.poll() is not None:
                raise InternalError("FG-INT-001", what="replay-history: the projector ended")
            try:
                cases = cases or open_reading(self._cases)
                cursor = (cases.meta("cursor") or "0").partition(" ")[0]
            except JournalError:
                cursor = "0"  # it makes its file when it starts
            if newest is None or int(cursor) >= newest[0]:
                break
            time.sleep(LOOK_S)
        if cases is not None:
            cases.close()

    def end(self) -> None:
        self._process.terminate()
        _, _, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        self.cpu_s = usage.ru_utime + usage.ru_stime


@contextmanager
def _projecting(journal: Path, cases: Path, settings: HubSettings) -> Iterator[_Projected]:
    projected = _Projected(journal, cases, settings)
    try:
        yield projected
    finally:
        projected.end()


def _refused(journal: Path) -> int:
    reader = open_reader(journal)
    row = reader.one("SELECT count(*) FROM package WHERE state <> 'ADMITTED'")
    reader.close()
    return int(row[0]) if row is not None else 0
