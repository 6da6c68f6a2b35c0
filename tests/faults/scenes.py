"""Lives of messages: what case software does, step by step, and what it must see in the end."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from province import POLICE, PROCURATORATE, ROLES, message

from faults.world import Ground
from frontgate.hub.admin import Administration
from frontgate.settings import load_hub

_REF = re.compile(rb"<m:SenderRef>([^<]*)</m:SenderRef>")


@dataclass(slots=True)
class History:
    """What case software on both sides did and saw. accepted, refused: SenderRefs and drop names
    that were dropped so; picked: SenderRefs taken from `inbound/`, as often as they were.
    """

    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    picked: Counter[str] = field(default_factory=Counter)
    unsettled: int = 0


class Playground(Protocol):
    """What runs the nodes."""

    ground: Ground

    def settle(self) -> bool: ...

    def drop_hint(self, name: str, entry: str) -> None: ...


class CaseSoftware:
    """Drops and picks up, by files alone."""

    def __init__(self, world: Playground) -> None:
        self._settle = world.settle
        self._hint = world.drop_hint
        self.ground: Ground = world.ground
        self.history = History()

    def drop(self, name: str, text: str, *, good: bool = True, again: bool = False) -> None:
        path = self.ground.spool(POLICE) / "outbound" / (name + ".tmp")
        path.write_text(text, encoding="utf-8")
        path.rename(path.with_name(name))
        self._dropped(name, text, good=good, again=again)

    def drop_folder(self, name: str, text: str, files: dict[str, bytes] | None = None) -> None:
        folder = self.ground.spool(POLICE) / "outbound" / (name + ".tmp")
        (folder / "files").mkdir(parents=True)
        found = re.findall(r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL)
        for file, size in found:
            data = (files or {}).get(file) or b"x" * int(size)
            (folder / "files" / file).write_bytes(data)
        (folder / "message.xml").write_text(text, encoding="utf-8")
        folder.rename(folder.with_name(name))
        self._dropped(name, text, good=True, again=False)

    def _dropped(self, name: str, text: str, *, good: bool, again: bool) -> None:
        ref = _REF.search(text.encode())
        if not good:
            self.history.refused.append(name)
        elif not again and ref is not None:
            self.history.accepted.append(ref.group(1).decode())
        self._hint(POLICE, name)

    def rename_a_unit(self) -> None:
        """What the hub's administrator does: a new version of the directory."""
        hub = Administration(load_hub(self.ground.home("hub") / "hub.toml"))
        rows = [f"{code},新名,New name,{role}" for code, role in ROLES.items()]
        hub.import_units("\n".join(["code,name_zh,name_en,roles", *rows]).encode(), "units.csv")

    def settle(self) -> None:
        if not self._settle():
            self.history.unsettled += 1

    def pick_up(self, *, by_mark: bool = False) -> None:
        """Take all that stands in the receiver's `inbound/`, by removing it or by a `.done`."""
        inbound = self.ground.spool(PROCURATORATE) / "inbound"
        if not inbound.is_dir():
            return  # the gateway died before it laid its spool out: there is nothing yet
        for entry in sorted(inbound.iterdir()):
            if entry.name.startswith(".") or entry.name.endswith(".done"):
                continue
            self.history.picked[ref_of(entry)] += 1
            if by_mark:
                entry.with_name(entry.name + ".done").touch()
            else:
                gone = entry.with_name("." + entry.name)
                entry.rename(gone)
                shutil.rmtree(gone)


def ref_of(entry: Path) -> str:
    """The SenderRef of an entry in `inbound/`."""
    ref = _REF.search((entry / "message.xml").read_bytes())
    return ref.group(1).decode() if ref else "?"


Scene = Callable[[CaseSoftware], Iterator[None]]
"""Acts of case software; at every `yield` the world runs until it is quiet."""


def plain(me: CaseSoftware) -> Iterator[None]:
    """One XML from drop to the last receipt."""
    me.drop("plain.xml", message(ref="p1"))
    yield
    me.pick_up()
    yield


def folder(me: CaseSoftware) -> Iterator[None]:
    """A folder with files, taken by a `.done` mark."""
    me.drop_folder("folder", message("arrest-request/submit", ref="f1"))
    yield
    me.pick_up(by_mark=True)
    yield


def refused(me: CaseSoftware) -> Iterator[None]:
    """A drop that is refused, and the corrected one under the same name."""
    me.drop("bad.xml", message(ref="b1", BusinessTime="gestern"), good=False)
    yield
    me.drop("bad.xml", message(ref="b1"))
    yield
    me.pick_up()
    yield


def repeat(me: CaseSoftware) -> Iterator[None]:
    """The same message twice: the first receipts again, no second entry."""
    me.drop("once.xml", message(ref="r1"))
    yield
    me.pick_up()
    yield
    me.drop("twice.xml", message(ref="r1"), again=True)
    yield
    me.pick_up()
    yield


def batch(me: CaseSoftware) -> Iterator[None]:
    """Six at once, one of them bad: one segment, one bundle, one sync for all entries."""
    for n in range(5):
        me.drop(f"g{n}.xml", message(ref=f"m{n}"))
    me.drop("wrong.xml", "<a>", good=False)
    yield
    me.pick_up()
    yield


def directory(me: CaseSoftware) -> Iterator[None]:
    """A new signed directory reaches every gateway, and then a message goes its way."""
    me.rename_a_unit()
    yield
    me.drop("plain.xml", message(ref="d1"))
    yield
    me.pick_up()
    yield


def ferry(me: CaseSoftware) -> Iterator[None]:
    """There and back through a gap device that loses, repeats, cuts, changes bytes and keeps no order."""
    me.drop("plain.xml", message(ref="x1"))
    me.drop("second.xml", message(ref="x2"))
    yield
    me.pick_up()
    yield


_ONE_LOST = ("lose", "", "")
"""In each direction: what came after it, and is acknowledged, says nothing of the first."""


def prepared(scene: str, ground: Ground) -> Ground:
    """The ground as a scene needs it, before nodes are made."""
    if scene == ferry.__name__:
        ground.put_device_between(POLICE, seed=20261125, first=_ONE_LOST)
    return ground


SCENES: dict[str, Scene] = {
    s.__name__: s for s in (plain, folder, refused, repeat, batch, directory, ferry)
}
