"""The hub's composition root: mailboxes, intake, placing, the SFTP server's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from frontgate import __version__, clock
from frontgate.cases.acts import Acts
from frontgate.cases.publish import Publisher
from frontgate.errors import said
from frontgate.heap import give_back, keep_freed, keep_made
from frontgate.hub import desk
from frontgate.hub.acts import HubActs
from frontgate.hub.admin import lay_out_mailboxes
from frontgate.hub.build import build_keeper, hub_signer
from frontgate.hub.console_process import ConsoleProcess
from frontgate.hub.habits import Habits
from frontgate.hub.intake import HubIntake
from frontgate.hub.mailboxes import Mailboxes
from frontgate.hub.medium import HubMedium
from frontgate.hub.notices import Notices
from frontgate.hub.placer import Placer
from frontgate.hub.projector import ProjectorProcess
from frontgate.hub.quota import Quotas
from frontgate.hub.reconcile import HubReconcile
from frontgate.hub.resync import HubResync
from frontgate.hub.tend import HubTend
from frontgate.hub.uploads import Uploads, UploadWatch
from frontgate.journal import queues
from frontgate.log import get_logger
from frontgate.model.unit import Directory
from frontgate.pipeline import epochs, operate
from frontgate.pipeline.bulk import BulkWorker
from frontgate.pipeline.disk import DiskGate, Limits, Reserve, open_journal
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.loop import Crew, Loop
from frontgate.pipeline.resync import shown
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.service import ControlSocket, Handler, Stop, notify
from frontgate.pipeline.watch import AlarmWatch
from frontgate.settings import HubDirectory, HubSettings
from frontgate.standard import Checker, Standards
from frontgate.standard.calendars import days_off
from frontgate.transports.ferry import Ferry
from frontgate.transports.ferry_way import Way
from frontgate.trust.store import TrustStore, certificate_days, earlier_directories, load_trust
from frontgate.undo import on_failure

log = get_logger()


class SftpProcess:
    """The embedded SFTP server as a child process, started again when it ends."""

    def __init__(self, settings: HubSettings) -> None:
        sftp = settings.sftp
        self._config = {
            "host": sftp.host,
            "port": sftp.port,
            "host_key": str(settings.path(settings.node.keys) / "ssh_host_ed25519"),
            "root": str(settings.path(sftp.root)),
            "keys": str(settings.path(sftp.keys)),
            "bell": str(settings.path(settings.node.state) / "bell.sock"),
            "account_bytes": settings.limits.account_waiting_bytes,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self.port = 0

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._lock:
            if self._stopping:
                return
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [
                    sys.executable,
                    "-m",
                    "frontgate.hub.sftp_server",
                    "--config",
                    json.dumps(self._config),
                ],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
            )
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        if line:
            self.port = int(json.loads(line)["port"])
            self._config["port"] = self.port
            log.info("sftp-listening", port=self.port)

    def turn(self) -> float | None:
        """The body of a loop: see that it runs."""
        process = self._process
        if process is not None and process.poll() is not None and not self._stopping:
            log.warning("sftp-ended", code=process.returncode)
            time.sleep(0.2)
            self.start()
        return 1.0

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Hub:
    """One running hub. `run` returns when it was asked to stop.

    Made and started apart, as the gateway is: see there.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        standards: Standards | None = None,
        new_checker: Callable[[Standards], Checker] = Checker,
    ) -> None:
        self._settings = settings
        self._state = settings.path(settings.node.state)
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = settings.path(settings.node.keys)
        self._trust_folder = keys / "trust"
        self._trust_stamp = self._stamp()  # before it is read: what changes from now on is seen
        self.trust: TrustStore = load_trust(self._trust_folder)
        self._trust_lock = threading.Lock()
        self._earlier_s = settings.relay.delivery_limit_days * 86400
        self._earlier = self._earlier_directories()
        signer = hub_signer(settings)
        self.reserve = Reserve(self._state / "reserve", settings.disk.emergency_bytes)
        self.journal = open_journal(
            self._state / "journal.db", f"hub:{settings.unit}", self.reserve
        )
        self._certificate = signer.certificate
        with on_failure(self.journal.close):  # whoever tries again needs its lock
            epochs.open_if_restored(self.journal, signer)
        self._reader = self.journal.reader()
        limits = Limits(settings.disk.high_water_percent / 100, settings.disk.reserve_bytes)
        self._gate = DiskGate((self._state, settings.path(settings.sftp.root)), limits)
        self.store = SegmentStore(self._state)
        self.store.recover()
        self.store.sweep_orphans(self._reader)
        standards = standards or Standards.load(
            settings.path(settings.node.standards) if settings.node.standards else None
        )
        embedded = settings.sftp.server == "embedded"
        if embedded:
            lay_out_mailboxes(settings, self.trust.directory)
        root = settings.path(settings.sftp.root)
        staging = root / ".staging"
        self.mailboxes = Mailboxes(
            root,
            staging,
            lambda: self.trust.directory,
            self._state / "bell.sock" if embedded else None,
        )
        self.uploads = UploadWatch(self.mailboxes, self._wake_intake)
        self.sftp = SftpProcess(settings) if embedded else None
        issuer = Issuer(signer, "hub", _no_file)
        self.crew = Crew()
        self._is_stopping = False
        relay = settings.relay
        self._tend = tend = HubTend(
            self.journal,
            self.mailboxes,
            issuer,
            lambda: self.trust,
            delivery_limit_s=relay.delivery_limit_days * 86400,
            delayed_s=relay.delayed_after_s,
            overdue_s=relay.overdue_s,
            wake_placer=self._wake_placers,
        )
        self._placers = [
            self.crew.add(
                Loop(
                    "place-large" if lane.large else "place",
                    Placer(
                        self.journal,
                        self.store,
                        self.mailboxes,
                        lane,
                        is_stopping=lambda: self._is_stopping,
                        fail=tend.limits.fail,
                    ).turn,
                    stall_s=30 * 86400.0 if lane.large else 3600.0,
                )
            )
            for lane in (Lane(False, relay.bundle_members), Lane(True))
        ]
        self._resync = HubResync(
            self.journal,
            self.mailboxes,
            issuer,
            lambda: self.trust,
            wake_placer=self._wake_placers,
        )
        self.crew.add(Loop("resync", self._resync.turn))
        self.quotas = Quotas(
            self.journal.reader(),
            lambda: self.trust.directory,
            settings.limits.account_waiting_bytes,
        )
        self._intakes = [
            self.crew.add(
                Loop(
                    "intake-large" if is_large else "intake",
                    HubIntake(
                        self.journal,
                        self.store,
                        Uploads(self.mailboxes, self.uploads, is_large=is_large),
                        issuer,
                        lambda: self.trust,
                        lambda: (self.trust.directory, *self._earlier),
                        standards,
                        new_checker(standards),
                        resync=self._resync,
                        wake_placer=self._wake_placers,
                        use_newest_directory=self._use_newest_directory,
                        may_take=self._gate.is_open,
                        max_message_bytes=settings.limits.message_bytes,
                        quotas=self.quotas,
                    ).turn,
                    stall_s=30 * 86400.0 if is_large else 3600.0,
                )
            )
            for is_large in (False, True)
        ]
        self.crew.add(Loop("tend", tend.turn))
        self.crew.add(Loop("trust", self._trust_turn))
        bulk = BulkWorker(self.journal, tend.limits.cancelled, self._wake_placers)
        self.crew.add(Loop("bulk", bulk.turn))
        self._keeper = build_keeper(settings, self.journal, signer, lambda: self._is_stopping)
        self._medium = HubMedium(
            self._keeper.node, self.mailboxes, lambda: self.trust, self._wake_intakes
        )
        self.crew.add(Loop("keep", self._keeper.turn, stall_s=6 * 3600.0))
        self._reconcile = HubReconcile(
            self.journal,
            issuer,
            lambda: self.trust.directory,
            settle_s=relay.tally_settle_s,
            wake_placer=self._wake_placers,
        )
        self.crew.add(Loop("reconcile", self._reconcile.turn, stall_s=3600.0))
        calendars = standards.version(standards.newest).folder / "calendars"
        habits = Habits(self.journal, lambda: self.trust.directory, days_off(calendars))
        self.crew.add(Loop("habits", habits.turn))
        watch = AlarmWatch(
            "hub", self.journal, lambda: self.status({}), lambda: self.trust.directory
        )
        self.crew.add(Loop("alarms", watch.turn))
        if self.sftp is not None:
            self.crew.add(Loop("sftp", self.sftp.turn))
        self._acts = Acts(self.journal, self._state / "cases.db", standards)
        if settings.cases.notices:
            notices = Notices(
                self.journal,
                self.store,
                issuer,
                lambda: self.trust,
                standards.version(standards.newest),
                self._state / "cases.db",
                self._wake_placers,
            )
            self.crew.add(Loop("notices", notices.turn))
        self._publisher = Publisher(
            self.journal, self._state / "cases.db", self._state / "published", signer, standards
        )
        self.projector = ProjectorProcess(settings) if settings.cases.project else None
        if self.projector is not None:
            self.crew.add(Loop("project", self.projector.turn))
        self.console = ConsoleProcess(settings) if settings.console.enabled else None
        if self.console is not None:
            self.crew.add(Loop("console", self.console.turn))
        self.ferries = [self._ferry(folders) for folders in settings.directory]
        for ferry in self.ferries:
            name = f"carry-{ferry.way.account}"
            self.crew.add(Loop(name, ferry.turn, stall_s=30 * 86400.0))

    def _ferry(self, folders: HubDirectory) -> Ferry:
        """The other end of a gap device: it carries between its folders and the unit's mailbox."""
        settings = self._settings
        mailbox = self.mailboxes.of_account("u" + folders.unit.lower())
        (self._state / "carry").mkdir(mode=0o700, exist_ok=True)
        way = Way(
            side="hub",
            account=mailbox.account,
            outgoing=mailbox.from_hub,
            incoming=mailbox.to_hub,
            out=settings.path(folders.out),
            into=settings.path(folders.into),
            state=self._state / "carry" / mailbox.account,
            resend_s=folders.resend_s,
            gap_after_s=folders.gap_after_s,
            poll_s=folders.poll_s,
        )
        return Ferry(way, on_news=self._wake_intakes, may_take=self._gate.is_open)

    def _stamp(self) -> tuple[int, int]:
        info = os.stat(self._trust_folder / "directory.json")
        return info.st_ino, info.st_mtime_ns

    def _earlier_directories(self) -> tuple[Directory, ...]:
        """Those that a package which is still under way may have been sealed under."""
        since = clock.now() - timedelta(seconds=self._earlier_s)
        return earlier_directories(self._trust_folder, since=since)

    def _trust_turn(self) -> float | None:
        self._use_newest_directory()
        return 0.5

    def _use_newest_directory(self) -> None:
        """The administrator's commands change the directory's file: go by it from now on."""
        with self._trust_lock:
            stamp = self._stamp()
            if stamp == self._trust_stamp:
                return
            trust = load_trust(self._trust_folder)
            if trust.directory.version >= self.trust.directory.version:
                self._tend.announce(trust)
                self.trust = trust
                self._earlier = self._earlier_directories()
                if self.sftp is not None:
                    lay_out_mailboxes(self._settings, trust.directory)
                log.info("directory", version=trust.directory.version)
            self._trust_stamp = stamp

    def _hold_reserve(self) -> float:
        self.reserve.hold()
        return 10.0

    def status(self, _: dict[str, Any]) -> dict[str, Any]:
        """The live half of `frontgate status` on a hub."""
        troubles = dict(self.crew.troubles)
        troubles.update({f"account {a}": e for a, e in list(self.quotas.troubles.items())})
        for ferry in self.ferries:
            for error in ferry.troubles:
                troubles[f"carry-{ferry.way.account}-{error.code[-3:]}"] = error
        return {
            "pid": os.getpid(),
            "version": __version__,
            "directory": self.trust.directory.version,
            "intake_open": self._gate.is_open(),
            "read_only": self._gate.is_read_only(),
            "reserve_held": self.reserve.is_held,
            "certificate_days": certificate_days(self._certificate),
            "resync": shown(self._reader),
            "sftp_port": self.sftp.port if self.sftp else 0,
            "troubles": {name: error.code for name, error in troubles.items()},
            "said": {name: said(error) for name, error in troubles.items()},
            "carry": [ferry.status() for ferry in self.ferries],
            "console": "running" if self.console and self.console.is_running else "off",
        }

    def _wake_placers(self) -> None:
        small, large = self._placers
        small.wake()
        if queues.has_large(self.journal.look):
            large.wake()

    def _wake_intake(self, is_large: bool) -> None:
        self._intakes[is_large].wake()

    def _wake_intakes(self) -> None:
        for loop in self._intakes:
            loop.wake()

    def _wake_all(self) -> None:
        for loop in self.crew.loops:
            loop.wake()

    def prepare(self) -> None:
        """What comes before the first turn."""
        with self.journal.write() as tx:
            tx.event("started", version=__version__)

    def acts(self) -> dict[str, Handler]:
        """What may be asked of it while it runs, by name."""
        return {
            "status": self.status,
            **self._keeper.handlers(),
            "medium-write": self._medium.write,
            "medium-read": self._medium.read,
            "case-act": self._acts.handle,
            **operate.handlers(
                self.journal,
                self._wake_all,
                self._tend.limits.cancelled,
                heal=HubActs(lambda: self.trust.directory).heal,
            ),
            "reconcile": self._reconcile.ask,
            "stats-publish": self._publisher.handle,
            **desk.handlers(self._settings, self.journal),
        }

    def run(self, stop: Stop) -> None:
        """Start, serve, stop. On SIGTERM what is under way ends, within 10 s."""
        keep_freed()
        self.journal.on_failure = stop.fail
        self.prepare()
        if self.sftp is not None:
            self.sftp.start()
        if self.projector is not None:
            self.projector.start()
        self.uploads.start()
        self.crew.add(Loop("uploads", self.uploads.turn))
        control = ControlSocket(self._state / "control.sock", self.acts())
        control.start()
        self.crew.add(Loop("reserve", self._hold_reserve))
        self.crew.add(Loop("memory", give_back))
        keep_made()
        self.crew.start()
        notify("READY=1\nSTATUS=running")
        log.info("started", role="hub", unit=self._settings.unit, version=__version__)
        stop.wait(lambda: self.crew.is_progressing)
        notify("STOPPING=1")
        self._is_stopping = True
        if self.console is not None:
            self.console.stop()
        if self.sftp is not None:
            self.sftp.stop()
        if self.projector is not None:
            self.projector.stop()
        self.uploads.stop()
        control.stop()
        late = self.crew.stop(8.0)
        self.mailboxes.close()
        if not late and self.journal.failure is None:
            with self.journal.write() as tx:
                tx.event("stopped")
            self.journal.close()
        log.info("stopped", late=late)


def _no_file(stem: str, number: int, kind: str, receiver: str) -> str:
    raise AssertionError("the hub has no spool")
