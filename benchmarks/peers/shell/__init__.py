"""A tuned shell pipeline that does the same job with other people's tools.

inotifywait, batched `xmllint --schema`, `xmlsec1` (P-256, one signature a message), one lasting
`sftp` connection a role, fsync at each step, signed receipts: three scripts, one a role.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from lxml import etree

from benchmarks.peers.sshd import Server
from frontgate.standard import Standards
from frontgate.standard.schema import driver

HERE = Path(__file__).parent
FLOW = "arrest-request"


class Pipeline:
    """Three running scripts below `folder`."""

    def __init__(self, server: Server, folder: Path, *, batch: int = 256) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self.outbound = folder / "sender" / "outbound"
        self.inbound = folder / "receiver" / "inbound"
        self.receipts = folder / "hub" / "sender" / "receipts"
        keys = folder / "keys"
        keys.mkdir(parents=True)
        schema = keys / "schema.xsd"
        standard = Standards.load(HERE.parents[2] / "standards").version("1.0")
        schema.write_bytes(etree.tostring(driver(standard, FLOW)))
        for name in ("sender", "hub", "receiver"):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                 "-keyout", keys / f"{name}.key", "-out", keys / f"{name}.pem"],
                check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        for part in ("sender/to-hub", "sender/receipts", "receiver/from-hub", "receiver/receipts"):
            (folder / "hub" / part).mkdir(parents=True)
        common = {
            **os.environ,
            "BATCH": str(batch),
            "SSH_CONFIG": str(server.config),
            "SCHEMA": str(schema),
            "TEMPLATE": str(HERE / "template.xml"),
            "LC_ALL": "C.UTF-8",
        }
        for name in ("sender", "hub", "receiver"):
            base = folder / name
            base.mkdir(exist_ok=True)
            own = {
                "B": str(base if name != "hub" else folder / "hub" / "own"),
                "REMOTE": str(folder / "hub" / name),
                "HOME_IN": str(folder / "hub" / "sender"),
                "HOME_OUT": str(folder / "hub" / "receiver"),
                "KEY": str(keys / f"{name}.key"),
                "CERT": str(keys / "sender.pem"),
            }
            Path(own["B"]).mkdir(exist_ok=True)
            self._processes.append(
                subprocess.Popen(
                    ["dash", str(HERE / f"{name}.sh")],
                    env={**common, **own},
                    start_new_session=True,
                    stderr=(folder / f"{name}.log").open("wb"),
                )
            )
        end = time.monotonic() + 10
        while not (self.outbound.is_dir() and self.inbound.is_dir()):
            if time.monotonic() > end:
                raise RuntimeError("the shell pipeline did not start")
            time.sleep(0.02)

    def run(self, count: int, data: bytes, timeout_s: float) -> float:
        """Drop `count` messages at once. Returns: seconds until all are in `inbound/`.

        Raises: RuntimeError where they are not in time: such a run doesn't count.
        """
        for number in range(count):
            (self.outbound / f"{number:06d}.tmp").write_bytes(data)
        began = time.perf_counter()
        for number in range(count):
            path = self.outbound / f"{number:06d}.tmp"
            path.rename(path.with_suffix(".xml"))
        while sum(1 for _ in os.scandir(self.inbound)) < count:
            if time.perf_counter() - began > timeout_s:
                raise RuntimeError("the shell pipeline did not deliver all")
            time.sleep(0.02)
        return time.perf_counter() - began

    def close(self) -> None:
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
