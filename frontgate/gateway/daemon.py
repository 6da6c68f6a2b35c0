"""The gateway's composition root: builds every part from the settings and runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from frontgate import __version__
from frontgate.core.lifecycle import TransferEvent
from frontgate.gateway import new_directory, ping
from frontgate.gateway.acts import Acts
from frontgate.gateway.build import (
    build_device,
    build_keeper,
    build_kit,
    build_peer,
    build_posts,
    gateway_signer,
    know_spool,
    reference_files,
)
from frontgate.gateway.delivery import Delivery
from frontgate.gateway.discards import Discards
from frontgate.gateway.inbound import Inbound
from frontgate.gateway.intake import Intake
from frontgate.gateway.known_clock import KnownClock
from frontgate.gateway.link import Connect, Destination, Link
from frontgate.gateway.medium import GatewayMedium
from frontgate.gateway.new_directory import NewDirectory
from frontgate.gateway.pace import Pace
from frontgate.gateway.pick_up import PickUp
from frontgate.gateway.ping import Ping
from frontgate.gateway.receipt_files import ReceiptFiles
from frontgate.gateway.reconcile import GatewayReconcile
from frontgate.gateway.report import Report
from frontgate.gateway.resync import GatewayResync
from frontgate.gateway.rounds import Rounds
from frontgate.gateway.stations import Post
from frontgate.gateway.tend import Tend
from frontgate.gateway.uplink import Fetcher, Sender
from frontgate.heap import give_back, keep_freed, keep_made
from frontgate.journal import audit, queues, transfers
from frontgate.log import get_logger
from frontgate.pipeline import epochs, operate
from frontgate.pipeline.bulk import BulkWorker
from frontgate.pipeline.disk import DiskGate, Limits, Reserve, open_journal
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.loop import Crew, Loop
from frontgate.pipeline.prepare import Kit
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.service import ControlSocket, Handler, Stop, notify
from frontgate.pipeline.watch import AlarmWatch
from frontgate.seal.control import Control
from frontgate.settings import GatewaySettings
from frontgate.spool.receipts import receipt_name
from frontgate.spool.reference import publish_reference
from frontgate.spool.watch import Watcher
from frontgate.standard import Checker, Standards
from frontgate.transports import Transport
from frontgate.transports.sftp import connect_sftp
from frontgate.trust.reference import units_csv
from frontgate.trust.store import TrustStore, load_trust
from frontgate.undo import on_failure

log = get_logger()

SPOOL_RESERVE_BYTES = 16 << 20
LONG_S = 30 * 86400.0
"""A turn that moves one large file has deadlines on every step of its own; the whole has none."""


class Gateway:
    """One running gateway. `run` returns when it was asked to stop.

    Made and started apart: the constructor opens and connects everything and starts nothing;
    `prepare` finishes what a crash cut off; then the loops of `crew` take turns.
    connect: another way to the hub than the settings' SFTP. standards, new_checker: shared by who
    makes many gateways in one process and one thread.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        connect: Connect | None = None,
        standards: Standards | None = None,
        new_checker: Callable[[Standards], Checker] = Checker,
    ) -> None:
        self._settings = settings
        self._state = settings.path(settings.node.state)
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = settings.path(settings.node.keys)
        self._trust_folder = keys / "trust"
        self.trust: TrustStore = load_trust(self._trust_folder)
        unit = settings.unit[0].code
        self.reserve = Reserve(self._state / "reserve", settings.disk.emergency_bytes)
        self.journal = open_journal(self._state / "journal.db", f"gateway:{unit}", self.reserve)
        self._reader = self.journal.reader()
        with on_failure(self.journal.close):  # whoever tries again needs its lock
            epochs.open_if_restored(self.journal, gateway_signer(settings))
            self._known_clock = KnownClock(self.journal)
            self.posts = build_posts(settings, self._known_clock.noted)
            audit.remember_units(self.journal, self.posts.units)
            for post in self.posts.posts:
                know_spool(self.journal, post)
        self.store = SegmentStore(self._state)
        self.store.recover()
        self.store.sweep_orphans(self._reader)
        self._new_checker = new_checker
        self._standards = standards or Standards.load(
            settings.path(settings.node.standards) if settings.node.standards else None
        )
        self._issuers = {
            post.station.unit: Issuer(post.station.signer, "gateway", receipt_name)
            for post in self.posts.posts
        }
        self._peer = build_peer(settings)
        self._device = build_device(settings, self._state, lambda: self._gate.is_open())
        self._connect = connect or (self._device.connect if self._device else None)
        limits = Limits(settings.disk.high_water_percent / 100, settings.disk.reserve_bytes)
        self._gate = DiskGate((self._state,), limits)
        # Intake empties a spool: what counts there is only that receipts and reports can be written.
        spool_limits = Limits(1.0, min(settings.disk.reserve_bytes, SPOOL_RESERVE_BYTES))
        self._gates = {
            post.key: DiskGate((post.paths.root,), spool_limits) for post in self.posts.posts
        }
        self.watcher = Watcher(
            [post.paths.outbound for post in self.posts.posts], lambda: self._intake_loop.wake()
        )
        self.crew = Crew()
        self._compose()

    def _compose(self) -> None:
        settings = self._settings
        relay = settings.relay
        self._files = ReceiptFiles(self.journal, self.posts, lambda: self._files_loop.wake())
        self._files_loop = self.crew.add(Loop("receipt-files", self._files.turn))
        self._discards = Discards(self.posts, lambda: self._discard_loop.wake())
        self._discard_loop = self.crew.add(Loop("discard", self._discards.turn))
        self._intake, self._large_intake = (self._new_intake() for _ in range(2))
        self._rounds = rounds = Rounds(
            self.posts,
            self.watcher,
            self._gate,
            self._gates,
            self._intake,
            self._large_intake,
            rescan_s=settings.intake.rescan_s,
            wake_large=lambda: self._large_loop.wake(),
            publish_reference=self.publish_reference,
            note_clock=self._known_clock.look,
            is_stopping=lambda: self._is_stopping,
        )
        self._intake_loop = self.crew.add(Loop("intake", self._when_told(rounds.turn)))
        self._large_loop = self.crew.add(
            Loop("intake-large", self._when_told(rounds.large_turn), stall_s=6 * 3600.0)
        )
        for post in self.posts.posts:
            post.sweeper.on_swapped = partial(rounds.swapped, post)
        self._destination = Destination(first_s=relay.retry_first_s, most_s=relay.retry_max_s)
        names = ("send", "send-large", "fetch", "fetch-large")
        self.links = {name: self._link(with_bell=name == "fetch") for name in names}
        self.report = Report(
            self._reader,
            self._state,
            lambda: self.trust,
            self.posts,
            self._issuers,
            self.crew,
            rounds,
            self._gate,
            self.reserve,
            self.watcher,
            self._destination,
            self.links,
            self._device,
        )
        pace = Pace(relay.rate_windows(), lambda: self._is_stopping)
        self._senders: list[Loop] = []
        self._tend = tend = Tend(
            self.journal,
            self.posts,
            self._issuers,
            overdue_s=relay.overdue_s,
            relay_limit_s=relay.relay_limit_days * 86400,
            delayed_s=relay.delayed_after_s,
            heartbeat_s=relay.heartbeat_s,
            facts=self.report.facts,
            wake_sender=self._wake_senders,
            wake_files=self._files_loop.wake,
            pending=lambda: fetcher.pending(),
        )
        for name, lane in (
            ("send", Lane(False, relay.bundle_members)),
            ("send-large", Lane(True)),
        ):
            sender = Sender(
                self.journal,
                self.store,
                self.links[name],
                lane,
                lambda: self._is_stopping,
                tend.limits.fail,
                pace=pace if lane.large else None,
                looks=lambda: fetcher.looks,
            )
            loop = Loop(name, sender.turn, stall_s=LONG_S)
            self._senders.append(self.crew.add(loop))
        self._deliveries = [
            Delivery(
                self.journal,
                self.store,
                self.posts,
                self._issuers,
                large=large,
                wake_sender=self._wake_senders,
            )
            for large in (False, True)
        ]
        deliveries = [
            self.crew.add(Loop(name, self._when_told(delivery.turn), stall_s=6 * 3600.0))
            for name, delivery in zip(("deliver", "deliver-large"), self._deliveries, strict=True)
        ]
        self._resync = GatewayResync(
            self.journal,
            self.posts,
            self._issuers[self.posts.units[0]],
            was_admitted_before=self._was_admitted_before(),
            wake_sender=self._wake_senders,
            write_files=self._files.write_again,
        )
        self.crew.add(Loop("resync", self._resync.turn))
        self._inbound = inbound = Inbound(
            self.journal,
            self.store,
            self.posts,
            self._issuers,
            lambda: self.trust,
            self._files,
            wake_delivery=lambda: self._wake_lanes(deliveries),
            wake_sender=self._wake_senders,
            on_control=self._on_control,
            resync=self._resync,
        )
        large_fetcher = Fetcher(
            self.journal,
            self.store,
            self.links["fetch-large"],
            inbound,
            lambda: self._is_stopping,
            self._gate.is_open,
            large=True,
            pace=pace,
        )
        fetch_large = Loop("fetch-large", large_fetcher.turn, stall_s=LONG_S)
        fetcher = Fetcher(
            self.journal,
            self.store,
            self.links["fetch"],
            inbound,
            lambda: self._is_stopping,
            self._gate.is_open,
            wake_large=fetch_large.wake,
        )
        self.crew.add(Loop("fetch", fetcher.turn, stall_s=6 * 3600.0))
        self.crew.add(fetch_large)
        if self._device is not None:
            carry = self.crew.add(Loop("carry", self._device.ferry.turn, stall_s=LONG_S))
            self._device.wake = carry.wake
        pick_up = PickUp(
            self.journal,
            self.posts,
            self._issuers,
            limit_s=relay.handover_limit_days * 86400,
            wake_sender=self._wake_senders,
        )
        self.crew.add(Loop("pick-up", self._when_told(pick_up.turn)))
        self.crew.add(Loop("tend", tend.turn))
        self._new_directory = NewDirectory(
            self._reader, lambda: self.trust, self.use_trust, lambda: self._trust_loop.wake()
        )
        self._trust_loop = self.crew.add(Loop("trust", self._new_directory.turn))
        self._ping = Ping(self.journal, self._issuers[self.posts.units[0]], self._wake_senders)
        self._acts = Acts(self._issuers, tend.limits.cancelled, self._files_loop.wake)
        bulk = BulkWorker(self.journal, self._acts.cancelled, self._wake_all)
        self.crew.add(Loop("bulk", bulk.turn))
        self._keeper = build_keeper(
            settings,
            self.journal,
            self.posts.posts[0].station.signer,
            lambda: self._is_stopping,
        )
        self._medium = GatewayMedium(
            self._keeper.node, self.store, inbound, lambda: self.trust, relay.bundle_members
        )
        self.crew.add(Loop("keep", self._keeper.turn, stall_s=6 * 3600.0))
        self._reconcile = GatewayReconcile(
            self.journal,
            self._issuers[self.posts.units[0]],
            self.posts.units,
            settle_s=relay.tally_settle_s,
            wake_sender=self._wake_senders,
            wake=lambda: self._reconcile_loop.wake(),
        )
        self._reconcile_loop = self.crew.add(Loop("reconcile", self._reconcile.turn))
        watch = AlarmWatch("gateway", self.journal, lambda: self.report.status({}), lambda: None)
        self.crew.add(Loop("alarms", watch.turn))
        self._is_stopping = False

    def _new_intake(self) -> Intake:
        return Intake(
            self.journal,
            self.store,
            self._kit(),
            self._new_checker(self._standards),
            self._issuers,
            self._files,
            discard=self._discards.discard,
            wake_senders=self._wake_senders,
        )

    def _was_admitted_before(self) -> bool:
        """Whether another machine, or this one with another disk, carried our units before."""
        units = (self.trust.directory.units.get(code) for code in self.posts.units)
        return any(unit is not None and len(unit.certificates) > 1 for unit in units)

    def _when_told(self, turn: Callable[[], float | None]) -> Callable[[], float | None]:
        """After a restore: not before the hub has told what was delivered and taken meanwhile."""

        def gated() -> float | None:
            return 0.5 if self._resync.asking.is_holding() else turn()

        return gated

    def _link(self, *, with_bell: bool) -> Link:
        relay = self._settings.relay
        begun: dict[str, int] = {}

        def connect() -> Transport:
            if self._connect is not None:
                return self._connect()
            return connect_sftp(self._peer, with_bell=with_bell, begun=begun)

        return Link(
            connect, self._destination, first_s=relay.retry_first_s, most_s=relay.retry_max_s
        )

    def _kit(self) -> Kit:
        return build_kit(self._settings, self._standards, self.trust.directory, self.journal)

    # -- turns ------------------------------------------------------------------------------

    def _wake_senders(self) -> None:
        self._wake_lanes(self._senders)

    def _wake_lanes(self, lanes: Sequence[Loop]) -> None:
        """The lane of small packages, and the other one where there is something for it."""
        small, large = lanes
        small.wake()
        if queues.has_large(self.journal.look):
            large.wake()

    def _on_control(self, control: Control, _: bytes) -> None:
        """Control messages of the hub; the signature was verified, the number is new."""
        if control.kind == ping.KIND:
            self._ping.came(control)
        if control.kind == new_directory.KIND:
            self._new_directory.came()

    def use_trust(self, trust: TrustStore) -> None:
        """Work with a newer directory from now on. Safe to repeat where it was cut off."""
        if trust.directory.version != self.trust.directory.version:
            trust.save(self._trust_folder)
            self.trust = trust
            self._intake.kit = self._kit()
            self._large_intake.kit = self._kit()
            log.info("directory", version=trust.directory.version)
        self.publish_reference()

    def publish_reference(self, only: Post | None = None) -> None:
        """Fill `reference/` of every spool, or of one."""
        directory = self.trust.directory
        files = {"units.csv": units_csv(directory), **reference_files(self._standards)}
        version = f"{directory.version} {' '.join(self._standards.versions)} {__version__}"
        for post in [only] if only else self.posts.posts:
            post.attempt("reference", partial(publish_reference, post.paths, files, version))

    def _wake_all(self) -> None:
        for loop in self.crew.loops:
            loop.wake()

    # -- life -------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Finish what a crash cut off: deliveries under way, claims, receipt files."""
        self._resync.recover()
        with self.journal.write() as tx:
            rows = tx.all(
                "SELECT id FROM transfer WHERE state = 'SENDING' AND substr(destination, 1, 6) = 'spool:'"
            )
            for (transfer_id,) in rows:
                transfers.apply(tx, int(transfer_id), TransferEvent.LEASE_LOST)
            tx.event("started", version=__version__, resumed=len(rows))
        self._deliveries[0].tidy()
        self._rounds.recover()

    def prepare(self) -> None:
        """What comes before the first turn: finish what was cut off, fill `reference/`."""
        self._recover()
        self.publish_reference()

    def acts(self) -> dict[str, Handler]:
        """What may be asked of it while it runs, by name."""
        return {
            "status": self.report.status,
            "ping": self._ping.ask,
            **operate.handlers(
                self.journal,
                self._wake_all,
                self._acts.cancelled,
                self._acts.tell_again,
                self._acts.heal,
            ),
            **self._keeper.handlers(),
            "medium-write": self._medium.write,
            "medium-read": self._medium.read,
            "reconcile": self._reconcile.ask,
        }

    def run(self, stop: Stop) -> None:
        """Start, serve, stop. On SIGTERM: no new intake, what is under way ends, within 10 s."""
        keep_freed()
        stop.on_reload = self._reload
        self.journal.on_failure = stop.fail
        self.prepare()
        control = ControlSocket(self._state / "control.sock", self.acts())
        control.start()
        self.watcher.start()
        self.crew.add(Loop("reserve", self._hold_reserve))
        self.crew.add(Loop("memory", give_back))
        keep_made()
        self.crew.start()
        notify("READY=1\nSTATUS=running")
        log.info("started", role="gateway", units=list(self.posts.units), version=__version__)
        stop.wait(lambda: self.crew.is_progressing)
        notify("STOPPING=1")
        self._is_stopping = True
        self.watcher.stop()
        control.stop()
        late = self.crew.stop(8.0)
        for link in self.links.values():
            link.close()
        self._discards.turn()
        if not late and self.journal.failure is None:
            with self.journal.write() as tx:
                tx.event("stopped")
            self.journal.close()
        log.info("stopped", late=late)

    def _hold_reserve(self) -> float:
        self.reserve.hold()
        return 10.0

    def _reload(self) -> None:
        self.use_trust(load_trust(self._trust_folder))
