"""A real province for tests: a hub and gateways as processes, real SFTP, real folders."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from forked import Forked, Spawned

from frontgate.gateway.setup import make_home, take_bundle
from frontgate.hub.admin import Administration, set_up
from frontgate.journal import open_reader
from frontgate.settings import load_hub
from frontgate.trust.unit_bundle import read_unit_bundle

POLICE, PROCURATORATE, COURT = "5201021100X", "52010221005", "52010231000"
DETENTION = "52010213005"
HUB = "52000090005"
ROLES = {
    POLICE: "police",
    PROCURATORATE: "procuratorate",
    COURT: "court",
    DETENTION: "detention",
}
SAMPLES = Path(__file__).parents[1] / "standards" / "1.0" / "flows"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def message(sample: str = "arrest-request/withdraw", ref: str = "", **replace: str) -> str:
    """A valid sample without the ids that a gateway mints; `ref` becomes its SenderRef."""
    flow, _, name = sample.partition("/")
    text = (SAMPLES / flow / "samples" / "valid" / f"{name}.xml").read_text("utf-8")
    text = re.sub(r"\s*<m:(MessageId|FlowUid|InReplyTo)>[^<]*</m:\1>", "", text)
    if ref:
        text = text.replace(
            "    <m:Sender>", f"    <m:SenderRef>{ref}</m:SenderRef>\n    <m:Sender>", 1
        )
    for old, new in replace.items():
        text = re.sub(f"<m:{old}>[^<]*", f"<m:{old}>{new}", text)
    return text


def wait_for(test: Callable[[], object], seconds: float = 30.0, pause_s: float = 0.02) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return True
        time.sleep(pause_s)
    return bool(test())


@contextmanager
def unsynced() -> Iterator[None]:
    """What this process sets up before a test begins need not outlast a power cut."""
    real = os.fsync
    os.fsync = lambda fd: None
    try:
        yield
    finally:
        os.fsync = real


class Province:
    """Set up below `home`; processes are started by name: `hub` or a unit code."""

    @unsynced()
    def __init__(
        self,
        home: Path,
        units: tuple[str, ...] = (POLICE, PROCURATORATE),
        *,
        port: int = 0,
        suites: dict[str, str] | None = None,
        server: str = "embedded",
        extra: str = "",
        rescan_s: float = 1,
        daemon: type[Forked] | type[Spawned] = Forked,
        relay: str = "retry_first_s = 0.1\nretry_max_s = 0.5\noverdue_s = 5\n",
    ) -> None:
        self.home = home
        self.units = units
        self.port = port or free_port()
        self.processes: dict[str, Forked | Spawned] = {}
        self._daemon = daemon
        set_up(home / "hub", HUB, "省级交换平台")
        (home / "hub" / "hub.toml").write_text(
            f'unit = "{HUB}"\n[sftp]\nserver = "{server}"\nhost = "127.0.0.1"\nport = {self.port}\n'
            f"[cases]\nproject = false\n[relay]\n{relay}"
        )
        table = ["code,name_zh,name_en,roles"]
        table += [f"{code},{role},{role},{role}" for code, role in ROLES.items()]
        self.administration = Administration(load_hub(home / "hub" / "hub.toml"))
        self.administration.import_units("\n".join(table).encode(), "units.csv")
        requests = [
            make_home(home / code, [code], (suites or {}).get(code, "ecdsa-p256-sha256"))
            for code in units
        ]
        results = self.administration.admit(requests, home / "bundles")
        assert all(r.error is None for r in results)
        for code in units:
            settings = home / code / "gateway.toml"
            bundle = read_unit_bundle((home / "bundles" / f"{code}.bundle").read_bytes())
            take_bundle(home / code, settings, bundle)
            with settings.open("a") as file:
                file.write(
                    f"\n[intake]\nsettle_s = 0.3\nrescan_s = {rescan_s}\nincomplete_after_s = 2\n[relay]\n{relay}{extra}"
                )

    def spool(self, code: str) -> Path:
        return self.home / code / "spool"

    def start(self, *names: str) -> None:
        for name in names or ("hub", *self.units):
            arguments = (
                ["-c", str(self.home / "hub" / "hub.toml"), "hub", "run"]
                if name == "hub"
                else ["-c", str(self.home / name / "gateway.toml"), "run"]
            )
            self.processes[name] = self._daemon(arguments, self.home / f"{name}.log")

    def kill(self, name: str) -> None:
        """SIGKILL to the process and its children: nothing gets a chance to tidy up."""
        process = self.processes.pop(name)
        process.kill_all()
        process.wait()

    def stop(self) -> dict[str, int]:
        """SIGTERM to all. Returns: exit codes."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in self.processes.items():
            try:
                codes[name] = process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill_all()
                codes[name] = -9
        self.processes.clear()
        return codes

    def drop(self, code: str, name: str, text: str | bytes) -> None:
        path = self.spool(code) / "outbound" / (name + ".tmp")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.rename(path.with_name(name))

    def drop_folder(
        self, code: str, name: str, text: str, files: dict[str, bytes] | None = None
    ) -> None:
        folder = self.spool(code) / "outbound" / (name + ".tmp")
        (folder / "files").mkdir(parents=True)
        if files is None:
            pairs = re.findall(
                r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL
            )
            files = {file: b"x" * int(size) for file, size in pairs}
        for file, data in files.items():
            (folder / "files" / file).write_bytes(data)
        (folder / "message.xml").write_text(text, encoding="utf-8")
        folder.rename(folder.with_name(name))

    def entries(self, code: str) -> list[str]:
        return sorted(
            p.name for p in (self.spool(code) / "inbound").iterdir() if not p.name.startswith(".")
        )

    def receipts(self, code: str) -> list[str]:
        return sorted(p.name for p in (self.spool(code) / "receipts").glob("*.xml"))

    def rejected(self, code: str) -> list[str]:
        return sorted(p.name for p in (self.spool(code) / "rejected").iterdir())

    def outcome(self, code: str, name: str) -> str:
        """The text of a refused drop's report."""
        path = self.spool(code) / "rejected" / f"{name}.report.txt"
        assert wait_for(path.is_file), f"{name} was not answered: {self.log(code)}"
        return path.read_bytes().decode("utf-8-sig")

    def query(self, name: str, sql: str, *values: object) -> list[tuple[object, ...]]:
        reader = open_reader(self.home / name / "state" / "journal.db")
        try:
            return reader.all(sql, *values)
        finally:
            reader.close()

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text("utf-8", "replace")[-4000:]

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
