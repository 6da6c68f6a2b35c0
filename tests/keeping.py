"""Helpers for tests of archives, backups and restores: the command line and case software that takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

from forked import command
from province import Province, wait_for

from frontgate.cli.node import Node
from frontgate.errors import FrontgateError
from frontgate.settings import load_gateway, load_hub


def frontgate(province: Province, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command about a node, as JSON."""
    role = "hub" if name == "hub" else "gateway"
    config = str(province.home / name / f"{role}.toml")
    return command(["-c", config, "--json", *arguments])


def node_of(province: Province, name: str) -> Node:
    if name == "hub":
        hub = load_hub(province.home / "hub" / "hub.toml")
        return Node("hub", hub, hub.path(hub.node.state))
    gateway = load_gateway(province.home / name / "gateway.toml")
    return Node("gateway", gateway, gateway.path(gateway.node.state))


def counts(province: Province, name: str, sql: str, *values: object) -> int:
    """One number of a node's journal; -1 while there is none."""
    try:
        return int(str(province.query(name, sql, *values)[0][0]))
    except FrontgateError:
        return -1


def is_up(province: Province, name: str) -> bool:
    """Whether the daemon answers."""
    return wait_for(lambda: frontgate(province, name, "status").returncode in (0, 1) and
                    (province.home / name / "state" / "control.sock").exists(), 60)  # fmt: skip


class CaseSoftware:
    """Takes every entry out of an `inbound/` folder as soon as it appears, and keeps count of ids."""

    def __init__(self, spool: Path) -> None:
        self._inbound = spool / "inbound"
        self.taken: list[str] = []
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            time.sleep(0.05)
            if not self._pause.is_set():
                self.take()

    def take(self) -> None:
        try:
            found = sorted(p for p in self._inbound.iterdir() if not p.name.startswith("."))
        except FileNotFoundError:
            return
        for path in found:
            ident = message_id(path)
            if ident:
                self.taken.append(ident)
                shutil.rmtree(path)

    def pause(self) -> None:
        self._pause.set()
        time.sleep(0.2)

    def go_on(self) -> None:
        self._pause.clear()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def message_id(entry: Path) -> str:
    """The MessageId of a delivered entry; empty where it cannot be read."""
    try:
        text = (entry / "message.xml").read_text("utf-8")
    except OSError:
        return ""
    found = re.search(r"<m:MessageId>([^<]*)", text)
    return found[1] if found else ""
