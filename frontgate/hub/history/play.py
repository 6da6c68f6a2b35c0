"""The run: bundles into mailboxes, the hub's intake, then projections; with what each of it took.

Real are seals, verification, XSD, context, dedupe, routing, signed receipts, fsync, ledger and
projections. Virtual is the clock alone. The SFTP wire and the placing of bundles are not played.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as of_day
from fractions import Fraction
from pathlib import Path
from queue import Empty
from typing import Any

from frontgate import clock
from frontgate.cases.project import Projector, rebuild
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.errors import InternalError
from frontgate.hub.history.plan import Volumes, days, scaled
from frontgate.hub.history.province import Province, found
from frontgate.hub.history.units import Units, Upload
from frontgate.hub.intake import HubIntake
from frontgate.hub.mailboxes import Mailboxes
from frontgate.hub.resync import HubResync
from frontgate.journal import Journal
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.segments import SegmentStore
from frontgate.standard import Checker, Standards
from frontgate.suites import load_signer
from frontgate.trust.store import load_trust

AHEAD = 40
"""Bundles that wait between the makers and the hub."""


@dataclass(frozen=True, slots=True)
class Figures:
    """messages, receipts: of units and hub together. Seconds are real ones, `cpu` those of the processor; making: waiting for units
    to make their bundles, which is no work of a hub."""

    share: str
    units: int
    exchanges: int
    messages: int
    receipts: int
    ledger_s: float
    ledger_cpu_s: float
    making_s: float
    project_s: float
    project_cpu_s: float
    rebuild_s: float
    refused: int


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
        plan = days(counts, first, length, seed)
        stream = _made_apart(units, plan)
        ledger_s, ledger_cpu_s, making_s, messages, receipts = _take(
            province, standards, stream, moment, sum(counts.values()), said
        )
        end = datetime.combine(first + timedelta(days=length), of_day(8), LEGAL_TIME)
        moment[0] = end
        state = province.settings.path(province.settings.node.state)
        journal, cases = state / "journal.db", state / "cases.db"
        began, cpu = time.perf_counter(), time.process_time()
        projector = Projector(journal, cases, standards)
        with closing(projector):
            projector.catch_up()
        project_s, project_cpu_s = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        if with_rebuild:
            rebuild(journal, cases, standards)
        rebuild_s = time.perf_counter() - began if with_rebuild else 0.0
        refused = _refused(journal)
    finally:
        clock.use(None, None)
    return Figures(
        share=str(share),
        units=len(province.directory.units),
        exchanges=sum(counts.values()),
        messages=messages,
        receipts=receipts + messages,
        ledger_s=round(ledger_s, 1),
        ledger_cpu_s=round(ledger_cpu_s, 1),
        making_s=round(making_s, 1),
        project_s=round(project_s, 1),
        project_cpu_s=round(project_cpu_s, 1),
        rebuild_s=round(rebuild_s, 1),
        refused=refused,
    )


def _take(
    province: Province,
    standards: Standards,
    stream: Iterator[Upload],
    moment: list[datetime],
    total: int,
    said: Callable[[int, int], None],
) -> tuple[float, float, float, int, int]:
    """Let the hub's intake take every bundle at its own time."""
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
    spent = making = cpu = 0.0
    messages = receipts = 0
    began = time.perf_counter()
    for upload in stream:
        making += time.perf_counter() - began
        moment[0] = upload.at
        (root / upload.account / "to-hub" / f"{upload.name}.bundle").write_bytes(upload.data)
        began, used = time.perf_counter(), time.process_time()
        intake.turn()
        spent += time.perf_counter() - began
        cpu += time.process_time() - used
        messages += upload.messages
        receipts += upload.receipts
        said(min(messages, total), total)
        began = time.perf_counter()
    mailboxes.close()
    journal.close()
    return spent, cpu, making, messages, receipts


def _made_apart(units: Units, plan: Iterator[Any]) -> Iterator[Upload]:
    """Bundles from a process of their own. The keys are inherited, so it is a fork."""
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue(AHEAD)
    work = list(plan)

    def make() -> None:
        for day in work:
            for upload in units.day(day):
                queue.put(upload)
        queue.put(None)

    maker = context.Process(target=make, daemon=True)
    maker.start()
    while True:
        try:
            upload = queue.get(timeout=2)
        except Empty:
            if not maker.is_alive():
                raise InternalError("FG-INT-001", what="replay-history") from None
            continue
        if upload is None:
            break
        yield upload
    maker.join()


def _refused(journal: Path) -> int:
    from frontgate.journal import open_reader

    reader = open_reader(journal)
    row = reader.one("SELECT count(*) FROM package WHERE state <> 'ADMITTED'")
    reader.close()
    return int(row[0]) if row is not None else 0
