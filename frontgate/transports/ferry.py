"""The ferry: one end of a way that a gap device serves, between two folders of ours and two of its.

    outgoing/ ─► out/ ··· device ··· in/ ─► incoming/        and the same the other way round

It numbers what lies in `outgoing/`, writes it into the device's `out/`, and removes it from
`outgoing/` only when the far end's acknowledgement says that it is durable there; until then it is
written again, later and later. What comes in `in/` is judged by its content alone (`carried`), put
into `incoming/` durably, remembered and acknowledged, in any order and any number of times. A
number that stays missing is reported. Gateway and hub run the same ferry, mirrored.

Guarantees: a name in `incoming/` is whole and carries the digest it came with; what is acknowledged,
by number and digest, is durable here. The same name may come twice (the far end lost its memory, or
ours did): who takes from `incoming/` recognises bundles by their id.

A device that lies, and can make digests, can still bring bundles that nobody sent (whoever takes from
`incoming/` knows them by their signatures), acknowledge what did not arrive (the copy here is gone;
the journal sends the bundle again when its receipts do not come) and hide gaps. It cannot make us
acknowledge what did not come, nor overwrite what did.
Fails: OSError of our own folders goes up; whatever the device does never raises.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from frontgate import clock, durable
from frontgate.core.backoff import delay_s
from frontgate.errors import TransportError
from frontgate.log import get_logger
from frontgate.transports import carried
from frontgate.transports.carried import ACK, CHUNK, DATA, Trailer
from frontgate.transports.ferry_in import Arrivals
from frontgate.transports.ferry_memory import Memory
from frontgate.transports.ferry_way import Counts, Way

log = get_logger()

MOST_RESEND_S = 3600.0
KEEP_ACKS = 4
SNATCHED_TRIES = 5
"""So often a file that the device took half written is written again soon."""


@dataclass(slots=True)
class _Due:
    """When a file is written again, by the monotonic clock."""

    at: float
    first: float
    tries: int = 0


class Ferry:
    """`turn` is the body of a loop; everything else may be called by any thread."""

    def __init__(
        self,
        way: Way,
        *,
        on_news: Callable[[], None] = lambda: None,
        may_take: Callable[[], bool] = lambda: True,
    ) -> None:
        self.way = way
        self.counts = Counts()
        durable.make_dir(way.state)
        carried.sync_folder(way.state.parent)
        self._laid_out: set[Path] = set()
        self._memory = Memory.load(way.state / "carry.json")
        self._arrivals = Arrivals(
            way, self._memory, self.counts, on_news, self._acknowledged, may_take
        )
        self._due: dict[str, _Due] = {}
        self._digests: dict[str, str] = {}
        self._strange: dict[tuple[int, str], float] = {}
        self._damaged_there = (0, 0.0)
        self._missing: dict[tuple[str, int], float] = {}
        self._trouble: dict[str, TransportError] = {}

    # -- being asked ------------------------------------------------------------------------

    @property
    def troubles(self) -> list[TransportError]:
        return list(self._trouble.values())

    def gaps(self) -> list[int]:
        """Numbers that are missing for too long."""
        late = clock.monotonic() - self.way.gap_after_s
        return sorted(number for (_, number), since in list(self._missing.items()) if since <= late)

    def status(self) -> dict[str, object]:
        return {
            "account": self.way.account,
            "waiting": len(self._memory.numbers),
            "gaps": self.gaps()[:100],
            **{name: getattr(self.counts, name) for name in Counts.__slots__},
        }

    def lay_out(self) -> None:
        """Our own folders are there; at first use their names are made durable. Raises: OSError."""
        for folder in (self.way.outgoing, self.way.incoming):
            if folder not in self._laid_out or not folder.is_dir():
                durable.make_dir(folder)
                carried.sync_folder(folder.parent)
                self._laid_out.add(folder)

    # -- turns ------------------------------------------------------------------------------

    def turn(self) -> float | None:
        """Take what the device brought, write what is to go, acknowledge, look for gaps."""
        try:
            self.lay_out()
            is_more = self._arrivals.receive()
            self._number()
            self._write_due()
            if self._arrivals.owes_ack:
                self._acknowledge()
        except OSError as error:
            if not self._is_devices(error):
                path = str(error.filename or self.way.state)
                raise TransportError("FG-TRN-024", path=path, detail=str(error)) from error
            self._say("folder", TransportError("FG-TRN-020", path=str(error.filename or "")))
            return max(5.0, self.way.poll_s)
        self._trouble.pop("folder", None)
        self._look_at_arrivals()
        self._look_for_gaps()
        return 0.0 if is_more else self.way.poll_s

    def _is_devices(self, error: OSError) -> bool:
        """Whether it is one of the device's folders that failed, not one of our own."""
        name = os.fsdecode(error.filename) if error.filename else ""
        return any(name.startswith(str(folder)) for folder in (self.way.out, self.way.into))

    def _acknowledged(self, data: bytes) -> None:
        """The far end has these for good: the copies that were kept for another try may go."""
        answer = self._memory.acknowledged(data, self._digest_of)
        for name in answer.names:
            durable.unlink(self.way.outgoing / name)
            self._forget(name)
        self._memory.save()
        now = clock.monotonic()
        known = self._strange
        self._strange = {pair: known.get(pair, now) for pair in answer.strange}
        self._damaged_there = (answer.damaged, now)

    def _forget(self, name: str) -> None:
        number = self._memory.forget(name)
        self._due.pop(name, None)
        self._digests.pop(name, None)
        self._clear_out(number, keep=-1)

    def _digest_of(self, name: str) -> str:
        """Of one that waits; empty where it was taken back."""
        digest = self._digests.get(name)
        if digest is None:
            try:
                digest = self._digests[name] = carried.digest_of(self.way.outgoing / name)
            except FileNotFoundError:
                return ""
        return digest

    # -- to the device ------------------------------------------------------------------------

    def _number(self) -> None:
        """Give every new file a number; remembered before the device sees it."""
        names = {
            entry.name
            for entry in os.scandir(self.way.outgoing)
            if carried.NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        }
        gone = [name for name in self._memory.numbers if name not in names]
        fresh = sorted(name for name in names if name not in self._memory.numbers)
        for name in gone:
            self._forget(name)
        for name in fresh:
            self._memory.number(name)
        if gone or fresh:
            self._memory.save()

    def _write_due(self) -> None:
        now = clock.monotonic()
        lying = self._lying()
        for name, number in sorted(self._memory.numbers.items(), key=lambda pair: pair[1]):
            due = self._due.get(name)
            if due is None:
                # After a start: what lies in `out` from before gets its time.
                at = now + self.way.resend_s if number in lying else now
                due = self._due[name] = _Due(at, now)
            if due.at > now:
                continue
            self._write(name, number, due)
        oldest = min((due.first for due in self._due.values()), default=now)
        if now - oldest > self.way.gap_after_s:
            minutes = int((now - oldest) / 60)
            count = len(self._due)
            self._say("unacknowledged", TransportError("FG-TRN-021", value=count, minutes=minutes))
        else:
            self._trouble.pop("unacknowledged", None)

    def _lying(self) -> set[int]:
        """Numbers of our files in `out`."""
        found: set[int] = set()
        for entry in os.scandir(self.way.out):
            if entry.name != (plain := carried.plain(entry.name)):
                if DATA.fullmatch(plain) or ACK.fullmatch(plain):
                    # Was being written when we were stopped.
                    durable.unlink(entry.path)
                continue
            match = DATA.fullmatch(entry.name)
            if match and match[2] == self._memory.epoch:
                found.add(int(match[1]))
        return found

    def _write(self, name: str, number: int, due: _Due) -> None:
        way = self.way

        def trailer(size_bytes: int, digest: str) -> Trailer:
            self._digests[name] = digest
            return Trailer(
                "data",
                way.side,
                way.account,
                self._memory.epoch,
                number,
                self._memory.floor,
                name,
                size_bytes,
                digest,
            )

        # A device may carry each name once: a new start or a new try has a new name.
        label = self._memory.starts * 10_000 + due.tries
        file_name = f"d{number:016d}.{self._memory.epoch}.{label}.fg"
        try:
            chunks = _chunks(way.outgoing / name)
            is_whole = carried.write_carried(way.out, file_name, chunks, trailer)
        except FileNotFoundError as error:
            if self._is_devices(error):
                raise
            return  # taken back meanwhile; the next turn forgets it
        self._clear_out(number, keep=label)
        if due.tries:
            self.counts.resent += 1
            log.warning("carry-again", account=way.account, number=number, tries=due.tries)
        else:
            self.counts.sent += 1
        due.tries += 1
        is_soon = not is_whole and due.tries <= SNATCHED_TRIES
        due.at = clock.monotonic() + delay_s(
            due.tries,
            first_s=2 * way.poll_s if is_soon else 2 * way.resend_s,
            most_s=max(MOST_RESEND_S, 2 * way.resend_s),
            luck=random.random(),  # noqa: S311 (jitter, not a secret)
        )

    def _clear_out(self, number: int, *, keep: int) -> None:
        """Remove our files of one number but the one of try `keep`."""
        for entry in os.scandir(self.way.out):
            match = DATA.fullmatch(entry.name)
            mine = match and match[2] == self._memory.epoch and int(match[1]) == number
            if mine and match and int(match[3]) != keep:
                with contextlib.suppress(OSError):
                    durable.unlink(entry.path)

    def _acknowledge(self) -> None:
        way, memory = self.way, self._memory
        damaged = self._arrivals.damaged() + len(self._arrivals.doubtful())
        serial = memory.next_ack()
        memory.save()

        def trailer(size_bytes: int, digest: str) -> Trailer:
            return Trailer(
                "ack",
                way.side,
                way.account,
                memory.epoch,
                serial,
                memory.floor,
                "",
                size_bytes,
                digest,
            )

        name = f"a{serial:016d}.{memory.epoch}.fg"
        carried.write_carried(way.out, name, [memory.acknowledgement(damaged)], trailer)
        self._arrivals.owes_ack = False
        old = sorted(e.name for e in os.scandir(way.out) if ACK.fullmatch(e.name))
        for name in old[:-KEEP_ACKS]:
            with contextlib.suppress(OSError):
                durable.unlink(way.out / name)

    # -- what is wrong ---------------------------------------------------------------------------------

    def _look_at_arrivals(self) -> None:
        """Tell what came and cannot be used."""
        if astray := self._arrivals.astray():
            self._say("astray", TransportError("FG-TRN-023", value=astray))
        else:
            self._trouble.pop("astray", None)
        since = clock.monotonic() - self.way.remember_s
        damaged_there, told_at = self._damaged_there
        for what, code, count in (
            ("damaged", "FG-TRN-025", self._arrivals.damaged()),
            ("damaged-there", "FG-TRN-026", damaged_there if told_at > since else 0),
        ):
            if count:
                self._say(what, TransportError(code, value=count))
            else:
                self._trouble.pop(what, None)
        doubts = self._arrivals.doubtful()
        doubts += [f"No. {number}" for (number, _), at in self._strange.items() if at > since]
        if doubts:
            shown = ", ".join(doubts[:3]) + (" …" if len(doubts) > 3 else "")
            self._say("doubtful", TransportError("FG-TRN-027", value=shown))
        else:
            self._trouble.pop("doubtful", None)

    def _look_for_gaps(self) -> None:
        now = clock.monotonic()
        missing = set(self._memory.missing())
        self._missing = {key: self._missing.get(key, now) for key in missing}
        gaps = self.gaps()
        if gaps:
            shown = ", ".join(map(str, gaps[:20])) + (" …" if len(gaps) > 20 else "")
            self._say("gap", TransportError("FG-TRN-022", value=shown, count=len(gaps)))
        elif self._trouble.pop("gap", None) is not None:
            log.info("carry-gap-closed", account=self.way.account)

    def _say(self, what: str, error: TransportError) -> None:
        old = self._trouble.get(what)
        is_counted = error.code in ("FG-TRN-025", "FG-TRN-026")  # each has a line of its own
        is_news = old is None or old.params.get("value") != error.params.get("value")
        if old is None or (is_news and not is_counted):
            log.warning(
                "carry-trouble", account=self.way.account, code=error.code, text=error.message("en")
            )
        self._trouble[what] = error


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
