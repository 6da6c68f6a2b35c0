"""The case software of a unit: drops of many manners, good and bad, and taking what came.

It keeps its own book of what it did and saw. The judge compares that with what the gateways say.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .province import COURT, DETENTION, POLICE, PROCURATORATE, SMALL_SIZES, Province
from .world import World

FLOWS = Path(__file__).parents[2] / "standards" / "1.0" / "flows"
_SPACE = uuid.UUID("6f1d3f0e-0000-5000-8000-000000000000")


@dataclass(slots=True)
class Dropped:
    """One drop. what: good, bad, repeat, clash. ordered: it keeps its place in its flow."""

    number: int
    unit: str
    name: str
    what: str
    ref: str
    flow: str
    receivers: tuple[str, ...]
    at: float
    body: bytes = b""
    files: dict[str, str] = field(default_factory=dict)
    original: bytes = b""
    ordered: bool = False
    is_large: bool = False


@dataclass(slots=True)
class Taken:
    """One entry that was found and taken out of `inbound/`."""

    unit: str
    entry: str
    message_id: str
    at: float
    body: bytes
    files: dict[str, str]


@dataclass
class Book:
    """What all programs of all units did and saw."""

    drops: list[Dropped] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    """(unit, entry name) → when it was first seen in `inbound/`."""


class Software:
    """The program of one unit."""

    def __init__(self, world: World, province: Province, unit: str, book: Book) -> None:
        self.world = world
        self.province = province
        self.unit = unit
        self.book = book
        self.spool = province.spool(unit)
        self.is_lazy = False
        self._unfinished: set[str] = set()
        self.has_overflowed = False

    # -- writing ----------------------------------------------------------------------------

    def single(self, *, urgency: int = 1) -> None:
        """One message without files, in an instance of its own."""
        self._put(self._message("arrest-request/withdraw", urgency=urgency), (PROCURATORATE,))

    def chain(self, length: int) -> None:
        """Messages of one instance, one after the other: their order must be kept."""
        flow = str(uuid.uuid5(_SPACE, f"flow {len(self.book.drops)}"))
        for n in range(length):
            text = self._message("arrest-request/supplement", flow=flow, urgency=1)
            if n and self.world.luck.random() < 0.3:
                text = _sized(text, self.world.luck.choice((100, 70_000)))
            self._put(text, (PROCURATORATE,), flow=flow)

    def several(self) -> None:
        """One message with files to two receivers."""
        self._put(self._message("custody-transfer/submit"), (DETENTION, PROCURATORATE))

    def request(self) -> None:
        """A large message with files."""
        self._put(self._message("arrest-request/submit"), (PROCURATORATE,))

    def answer(self, message_id: str) -> None:
        """An answer to something that came."""
        text = self._message("arrest-request/accept", reply=message_id)
        self._put(text, (POLICE,))

    def bad(self) -> None:
        """Something that must come back with a report."""
        kind = self.world.luck.randrange(5)
        text = self._message("arrest-request/withdraw")
        if kind == 0:
            data = re.sub("<m:BusinessTime>[^<]*", "<m:BusinessTime>gestern", text).encode()
        elif kind == 1:
            data = text.encode("utf-16")
        elif kind == 2:
            data = re.sub("<m:Sender>[^<]*", f"<m:Sender>{COURT}", text).encode()
        elif kind == 3:
            data = text.encode()[: len(text) // 2]
        else:
            data = b"<other/>"
        name = self._name("xml")
        self._book("bad", name, text, (), data)
        self._rename_in(name, data)

    def again(self) -> None:
        """Something good once more, or with its key and another content."""
        mine = [
            d
            for d in self.book.drops
            if d.unit == self.unit
            and d.what == "good"
            and d.original
            and d.name not in self._unfinished  # else which of the two comes first is anybody's
        ]
        if not mine:
            return
        old = self.world.luck.choice(mine)
        if not old.original.startswith(b"<?xml") or self.world.luck.random() < 0.6:
            data, what = old.original, "repeat"
        else:
            data, what = old.original.replace(b"<m:Product>", b"<m:Product>X"), "clash"
        name = self._name("zip" if data.startswith(b"PK") else "xml")
        self._book(what, name, "", old.receivers, data, ref=old.ref)
        self._rename_in(name, data)

    def _message(self, sample: str, *, flow: str = "", reply: str = "", urgency: int = 0) -> str:
        name, _, step = sample.partition("/")
        text = (FLOWS / name / "samples" / "valid" / f"{step}.xml").read_text("utf-8")
        text = re.sub(r"\s*<m:(MessageId|FlowUid|InReplyTo)>[^<]*</m:\1>", "", text)
        ref = f"r{len(self.book.drops)}"
        head = f"    <m:SenderRef>{ref}</m:SenderRef>\n    <m:Sender>"
        if reply:
            head = f"    <m:InReplyTo>{reply}</m:InReplyTo>\n" + head
        if flow:
            head = f"    <m:FlowUid>{flow}</m:FlowUid>\n" + head
        text = text.replace("    <m:Sender>", head, 1)
        if urgency:
            text = re.sub("<m:Urgency>[^<]*", f"<m:Urgency>{urgency}", text)
        return text

    def _name(self, ending: str) -> str:
        return f"d{len(self.book.drops):03d}.{ending}" if ending else f"d{len(self.book.drops):03d}"

    def _book(
        self,
        what: str,
        name: str,
        text: str,
        receivers: tuple[str, ...],
        data: bytes,
        *,
        ref: str = "",
        flow: str = "",
        files: dict[str, bytes] | None = None,
    ) -> Dropped:
        found = re.search("<m:SenderRef>([^<]*)", text)
        drop = Dropped(
            number=len(self.book.drops),
            unit=self.unit,
            name=name,
            what=what,
            ref=ref or (found.group(1) if found else ""),
            flow=flow,
            receivers=receivers,
            at=self.world.time,
            body=body_of(text.encode()),
            files=_digests((files or {}).values()),
            original=data,
            ordered=bool(flow),
            is_large=len(data) > SMALL_SIZES["LARGE_BYTES"] - 4000,
        )
        self.book.drops.append(drop)
        self.world.tell(f"drop {what} {self.unit[-4:]} {name}")
        return drop

    def _put(self, text: str, receivers: tuple[str, ...], *, flow: str = "") -> None:
        """Drop a good message in one of the allowed manners."""
        pairs = re.findall(r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL)
        files = {n: _content(text, n, int(size)) for n, size in pairs}
        manner = self.world.luck.random()
        if files and manner < 0.4 and not flow:
            name = self._name("")
            self._book("good", name, text, receivers, b"", files=files)
            self._folder_in(name, text, files)
            return
        data = _zip(text, files) if files else text.encode()
        name = self._name("zip" if files else "xml")
        self._book("good", name, text, receivers, data, flow=flow, files=files)
        if manner > 0.8 and not flow:
            self._write_slowly(name, data)
        else:
            self._rename_in(name, data)

    def _stamp(self, path: Path) -> None:
        ns = int((1_000_000_000 + self.world.time) * 1e9)
        os.utime(path, ns=(ns, ns))

    def _rename_in(self, name: str, data: bytes) -> None:
        path = self.spool / "outbound" / f"{name}.tmp"
        path.write_bytes(data)
        self._stamp(path)
        path.rename(path.with_name(name))
        self._hint(name, is_ready=True)

    def _folder_in(self, name: str, text: str, files: dict[str, bytes]) -> None:
        folder = self.spool / "outbound" / f"{name}.tmp"
        (folder / "files").mkdir(parents=True)
        for file, data in files.items():
            (folder / "files" / file).write_bytes(data)
        (folder / "message.xml").write_text(text, encoding="utf-8")
        self._stamp(folder)
        folder.rename(folder.with_name(name))
        self._hint(name, is_ready=True)

    def _write_slowly(self, name: str, data: bytes) -> None:
        """A careless writer: under the final name at once, in two pieces."""
        path = self.spool / "outbound" / name
        self._unfinished.add(name)
        cut = int(self.world.luck.random() * len(data))
        path.write_bytes(data[:cut])
        self._stamp(path)
        self._hint(name, is_ready=False)

        def finish() -> None:
            self._unfinished.discard(name)
            # Whoever took it meanwhile took the name: the writer goes on in the same file.
            if path.exists():
                with path.open("ab") as file:
                    file.write(data[cut:])
                self._stamp(path)
                self._hint(name, is_ready=True)

        self.world.at(self.world.luck.uniform(0.1, 6.0), f"finish {name}", finish)

    def _hint(self, name: str, *, is_ready: bool) -> None:
        """What inotify would say, if the queue did not overflow and the daemon is up."""
        node = self.province.gateways[self.unit]
        if not node.is_up or node.daemon is None:
            return
        watcher = node.daemon.watcher  # type: ignore[union-attr]
        if self.world.luck.random() < self.world.dangers.hint_lost:
            self.has_overflowed = True
            watcher.overflowed()
        else:
            watcher.hint(self.spool / "outbound", name.encode(), is_ready=is_ready)

    # -- taking -----------------------------------------------------------------------------

    def take(self, *, all_of_it: bool = False) -> None:
        """Look at `inbound/` and take some or all entries; answer some of them."""
        inbound = self.spool / "inbound"
        for name in sorted(p.name for p in inbound.iterdir()):
            if name.startswith(".") or name.endswith(".done"):
                continue
            self.book.seen.setdefault((self.unit, name), self.world.time)
            if (inbound / f"{name}.done").exists():
                continue  # told already; the gateway clears it away
            if not all_of_it and (self.is_lazy or self.world.luck.random() < 0.4):
                continue
            self._take_one(inbound / name)

    def _take_one(self, entry: Path) -> None:
        message = (entry / "message.xml").read_bytes()
        folder = entry / "files"
        files = _digests(p.read_bytes() for p in folder.iterdir()) if folder.is_dir() else {}
        found = re.search(rb"<m:MessageId>([^<]*)", message)
        message_id = found.group(1).decode() if found else ""
        self.book.taken.append(
            Taken(self.unit, entry.name, message_id, self.world.time, body_of(message), files)
        )
        self.world.tell(f"taken {self.unit[-4:]} {entry.name[:16]}")
        if self.world.luck.random() < 0.4:
            (entry.parent / f"{entry.name}.done").write_bytes(b"")
        else:
            shutil.rmtree(entry)
        luck = self.world.luck.random()
        if self.unit == PROCURATORATE and b"arrest-request.submit" in message and luck < 0.7:
            self.answer(message_id)


def body_of(message: bytes) -> bytes:
    """The body of a message: what no gateway may change."""
    found = re.search(rb"<m:Body>.*</m:Body>", message, re.DOTALL)
    return found.group(0) if found else b""


def _digests(contents: object) -> dict[str, str]:
    """Digest → digest: names differ between drop and delivery, contents must not."""
    found: dict[str, str] = {}
    for data in contents:  # type: ignore[attr-defined]
        digest = hashlib.sha256(data).hexdigest()
        found[digest] = digest
    return found


def _content(text: str, name: str, size: int) -> bytes:
    seed = hashlib.sha256((name + text[:900]).encode()).digest()
    return (b"%PDF-1.7\n" + seed * (size // 32 + 1))[:size]


def _sized(text: str, size: int) -> str:
    return re.sub(r"<m:Bytes>\d+", f"<m:Bytes>{size}", text)


def _zip(text: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("message.xml", text)
        for name, data in files.items():
            archive.writestr(f"files/{name}", data)
    return buffer.getvalue()


Act = Callable[[], None]
