"""The play behind `frontgate demo`: sets nodes up as their administrators would, then is the case
software of each unit: it writes files into `outbound/` and reads what comes, nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frontgate.errors import InternalError
from frontgate.standard import Standards

POLICE, PROCURATORATE, COURT = "5201021100X", "52010221005", "52010231000"
DETENTION, PRISON = "52010213005", "52010052010"
UNITS: dict[str, tuple[str, str, str]] = {
    POLICE: ("贵阳市公安局南明分局", "Nanming police", "police"),
    PROCURATORATE: ("南明区人民检察院", "Nanming procuratorate", "procuratorate"),
    COURT: ("南明区人民法院", "Nanming court", "court"),
    DETENTION: ("南明区看守所", "Nanming detention centre", "detention"),
    PRISON: ("贵阳某监狱", "A prison in Guiyang", "prison"),
}
HUB = "52000090005"
PATIENCE_S = 60.0
NOBODY = 65534

Say = Callable[[str, str, str], None]


class Play:
    """One run of the demo. `passed` and `failed` hold every expectation that was checked."""

    def __init__(self, home: Path, say: Say, *, console: bool = False) -> None:
        self.home = home
        self.console_port = _free_port() if console else 0
        self._say = say
        self._processes: list[subprocess.Popen[bytes]] = []
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.course: list[dict[str, Any]] = []
        self.bulk: dict[str, Any] = {}
        self._sent: list[tuple[str, str, list[str]]] = []
        self._other_account = _nobody_can_reach(home)
        standards = Standards.load()
        folder = standards.version(standards.newest).folder
        self._flows = folder / "flows"
        self._script = tomllib.loads((folder / "demo.toml").read_text("utf-8"))

    # -- the administrators -------------------------------------------------------------------

    def set_up(self) -> None:
        """Hub, directory, requests, admission, enrolment: with the commands they would use."""
        self._say("▸", "建立省级平台与五个单位", "Setting up the hub and five units")
        port = _free_port()
        extra = ("--console-port", str(self.console_port)) if self.console_port else ()
        self._frontgate("hub", "init", str(self.home / "hub"), "--port", str(port), *extra)
        table = self.home / "units.csv"
        rows = ["code,name_zh,name_en,roles"]
        rows += [f"{code},{zh},{en},{role}" for code, (zh, en, role) in UNITS.items()]
        table.write_text("\n".join(rows) + "\n", encoding="utf-8")
        hub = ("-c", str(self.home / "hub" / "hub.toml"))
        self._frontgate(*hub, "hub", "units", "import", str(table))
        requests = self.home / "requests"
        requests.mkdir()
        for code in UNITS:
            self._frontgate("init", str(self.home / code), "--unit", code)
            shutil.copy(self.home / code / "request.json", requests / f"{code}.json")
        self._frontgate(
            *hub,
            "hub",
            "admit",
            "--batch",
            str(requests),
            "-o",
            str(self.home / "bundles"),
            "--yes",
        )
        for code in UNITS:
            self._frontgate(
                "-c",
                str(self.home / code / "gateway.toml"),
                "enrol",
                str(self.home / "bundles" / f"{code}.bundle"),
            )
            self._open_for_case_software(code)
        self._start("hub", *hub, "hub", "run")
        for code in UNITS:
            self._start(code, "-c", str(self.home / code / "gateway.toml"), "run")
        for code in UNITS:
            version = self._spool(code) / "reference" / "VERSION"
            self._wait(f"{code}: reference/ is filled", version.is_file)

    def open_console(self) -> tuple[str, list[tuple[str, str, str, str]]]:
        """Accounts of every role, and the address. Returns: it, and (login, password, zh, en)."""
        from frontgate.console.accounts import Accounts, first_password
        from frontgate.console.texts import text

        accounts = Accounts(self.home / "hub" / "state")
        made = []
        for login, role, unit in (
            ("committee", "committee", ""),
            ("police", "clerk", POLICE),
            ("operator", "operator", POLICE),
            ("hub", "hub-operator", ""),
            ("hub2", "hub-operator", ""),
            ("auditor", "auditor", ""),
        ):
            password = first_password()
            name = text(f"role.{role}", "zh")
            accounts.add(login, name, role, unit, password, must_change=False)
            made.append((login, password, name, text(f"role.{role}", "en")))
        accounts.close()
        url = f"http://127.0.0.1:{self.console_port}"
        self._wait("the console answers", lambda: _answers(self.console_port))
        return url, made

    def _open_for_case_software(self, code: str) -> None:
        """Where we are root, the case software of the demo is another account (nobody)."""
        if not self._other_account:
            return
        os.chmod(self.home / code, 0o755)
        spool = self._spool(code)
        os.chmod(spool, 0o755)
        for name in ("outbound", "inbound", "receipts", "rejected", "reference"):
            os.chown(spool / name, -1, NOBODY)
            os.chmod(spool / name, 0o2770)

    def _frontgate(self, *args: str) -> None:
        command = [sys.executable, "-m", "frontgate", *args]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode != 0:
            raise InternalError("FG-INT-001", what=" ".join(args), detail=result.stderr[-2000:])

    def _start(self, name: str, *args: str) -> None:
        with (self.home / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(  # noqa: S603 (our own module)
                    [sys.executable, "-m", "frontgate", *args],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        """SIGTERM to all, and wait."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    # -- the case software ----------------------------------------------------------------------

    def _spool(self, code: str) -> Path:
        return self.home / code / "spool"

    def _as_case_software(self, act: Callable[[], None]) -> None:
        """Do it as the case software's account: in a child, because an account cannot be taken back."""
        if not self._other_account:
            act()
        elif not _as_nobody(act):
            raise InternalError("FG-INT-001", what="case software")

    def _drop_folder(self, code: str, name: str, message: str) -> None:
        """Write a folder under an unfinished name, then rename it: the writer's rule."""

        def act() -> None:
            folder = self._spool(code) / "outbound" / f"{name}.tmp"
            (folder / "files").mkdir(parents=True)
            for file, size in re.findall(
                r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", message, re.DOTALL
            ):
                (folder / "files" / file).write_bytes(b"%PDF-1.7\n" + b"." * (int(size) - 9))
            (folder / "message.xml").write_text(message, encoding="utf-8")
            folder.rename(folder.with_name(name))

        self._as_case_software(act)

    def _drop_file(self, code: str, name: str, data: bytes) -> None:
        def act() -> None:
            path = self._spool(code) / "outbound" / f"{name}.tmp"
            path.write_bytes(data)
            path.rename(path.with_name(name))

        self._as_case_software(act)

    def _collect(self, code: str, entry: Path) -> None:
        """The case software takes an entry: it reads it and removes it."""

        def act() -> None:
            (entry / "message.xml").read_bytes()
            shutil.rmtree(entry)

        self._as_case_software(act)
        self._say("✓", f"  {UNITS[code][0]} 已取走", f"  {UNITS[code][1]} took it")

    def _sample(self, path: str) -> str:
        """A valid sample of the standard, `<flow>/<name>`, without the ids that a gateway mints."""
        flow, _, name = path.partition("/")
        text = (self._flows / flow / "samples" / "valid" / f"{name}.xml").read_text("utf-8")
        return re.sub(r"\s*<m:(MessageId|FlowUid|InReplyTo)>[^<]*</m:\1>", "", text)

    # -- expectations ---------------------------------------------------------------------------

    def _expect(self, text: str, holds: bool) -> bool:
        (self.passed if holds else self.failed).append(text)
        if not holds:
            self._say("✗", text, text)
        return holds

    def _wait(self, text: str, test: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if test():
                return self._expect(text, True)
            time.sleep(0.01)
        return self._expect(text, False)

    def _exchange(self, sample: str, sender: str, receivers: list[str], reply_to: str = "") -> str:
        """Send one message, see it delivered to each receiver, collect it. Returns: its MessageId."""
        message = self._sample(sample)
        kind = re.search(r"<m:MessageType>([^<]*)", message)
        assert kind is not None
        if reply_to:
            message = message.replace(
                "    <m:Sender>", f"    <m:InReplyTo>{reply_to}</m:InReplyTo>\n    <m:Sender>", 1
            )
        names = ", ".join(UNITS[r][0] for r in receivers), ", ".join(UNITS[r][1] for r in receivers)
        self._say(
            "▸",
            f"{UNITS[sender][0]} → {names[0]}：{kind[1]}",
            f"{UNITS[sender][1]} → {names[1]}: {kind[1]}",
        )
        known = {r: self._entries(r) for r in receivers}
        before = self._receipts(sender)
        self._drop_folder(sender, sample.replace("/", "-"), message)
        began = time.monotonic()
        message_id = ""
        for receiver in receivers:
            found: list[Path] = []

            def arrived(r: str = receiver, box: list[Path] = found) -> bool:
                box[:] = [e for e in self._entries(r) - known[r] if f"-{kind[1]}-" in e.name]
                return bool(box)

            if not self._wait(f"{kind[1]} reaches {receiver}", arrived):
                continue
            message_id = found[0].name[-36:]
            ms = int((time.monotonic() - began) * 1000)
            self._say(
                "→",
                f"  已送达 {UNITS[receiver][0]}，{ms} 毫秒",
                f"  delivered to {UNITS[receiver][1]}, {ms} ms",
            )
            self._collect(receiver, found[0])
        wanted = {"submission-accepted", "relay-accepted"}
        wanted |= {f"{k}-{r}" for r in receivers for k in ("delivered", "handed-over")}

        def complete() -> bool:
            return wanted <= {
                self._kind(p)
                for p in self._receipts(sender) - before
                if p.name.startswith(message_id)
            }

        self._wait(f"{kind[1]}: all {len(wanted)} signed receipts are back", complete)
        self._say("✓", f"  回执齐全：{len(wanted)} 份", f"  all {len(wanted)} receipts are back")
        self._sent.append((message_id, sender, receivers))
        return message_id

    def _entries(self, code: str) -> set[Path]:
        return {p for p in (self._spool(code) / "inbound").iterdir() if not p.name.startswith(".")}

    def _receipts(self, code: str) -> set[Path]:
        return {p for p in (self._spool(code) / "receipts").iterdir() if p.suffix == ".xml"}

    @staticmethod
    def _kind(path: Path) -> str:
        return path.name.split(".", 1)[1].removesuffix(".xml").split("-", 1)[1]

    # -- the acts -------------------------------------------------------------------------------

    def run_case(self) -> None:
        """The exchanges of the standard's `demo.toml`, in order."""
        codes = {role: code for code, (_, _, role) in UNITS.items()}
        named: dict[str, str] = {}
        for act in self._script["exchange"]:
            copy = act.get("copy")
            known = self._entries(codes[copy["unit"]]) if copy else set()
            message_id = self._exchange(
                act["sample"],
                codes[act["from"]],
                [codes[role] for role in act["to"]],
                named.get(act.get("answers", ""), ""),
            )
            named[act.get("name", "")] = message_id
            if copy:
                self._expect_copy(codes[copy["unit"]], known, copy["without"])
        self._read_course()

    def _read_course(self) -> None:
        """The case as the hub's journal tells it."""
        from frontgate.journal import open_reader, views

        reader = open_reader(self.home / "hub" / "state" / "journal.db")
        case = self._case_uid(reader)
        self.course = [s for s in views.course(reader, case) if s["what"] != "admitted"]
        reader.close()

    def _expect_copy(self, unit: str, known: set[Path], secret: str) -> None:
        """A narrowed copy came, and the word that it must not hold is not in it."""
        self._wait(f"{unit} gets the narrowed copy", lambda: self._entries(unit) - known)
        for entry in self._entries(unit) - known:
            text = (entry / "message.xml").read_text("utf-8")
            self._expect("the narrowed copy holds no more than it should", secret not in text)
            self._collect(unit, entry)

    def run_bad_drops(self) -> None:
        """Schema violation, unknown receiver, a ZIP with a traversal name: each answered."""
        self._say("▸", "三个有问题的投放", "Three bad drops")
        bad = self._sample(self._script["plain"])
        schema = bad.replace(
            "<t:WithdrawnOn>2026-11-10</t:WithdrawnOn>", "<t:WithdrawnOn>昨天</t:WithdrawnOn>"
        )
        receiver = bad.replace(f"<m:Receiver>{PROCURATORATE}", "<m:Receiver>52010321003")
        archive = self.home / "traversal.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("message.xml", bad)
            file.writestr("../../etc/evil.txt", "x")
        self._drop_file(POLICE, "坏报文.xml", schema.encode())
        self._drop_file(POLICE, "unknown-receiver.xml", receiver.encode())
        self._drop_file(POLICE, "traversal.zip", archive.read_bytes())
        for name, rule in (
            ("坏报文.xml", "FG-XSD"),
            ("unknown-receiver.xml", "FG-RTE-001"),
            ("traversal.zip", "FG-CNT-014"),
        ):
            report = self._spool(POLICE) / "rejected" / f"{name}.report.txt"
            self._wait(f"{name} is refused with a report", report.is_file)
            if report.is_file():
                text = report.read_bytes().decode("utf-8-sig").replace("\r", "")
                self._expect(f"the report of {name} names {rule}", rule in text)
                self._expect(f"{name} itself was kept", (report.parent / name).exists())
                first = next((line for line in text.splitlines() if line.startswith("1. ")), "")
                english = text.partition("-" * 60)[2]
                second = next((line for line in english.splitlines() if line.startswith("1. ")), "")
                self._say("✓", f"  {name}：{first[3:]}", f"  {name}: {second[3:]}")
        self._wait(
            "three signed submission-rejected receipts",
            lambda: sum("submission-rejected" in p.name for p in self._receipts(POLICE)) == 3,
        )

    def run_bulk(self, count: int) -> None:
        """Send `count` generated messages to three receivers; measure drop to delivered."""
        self._say("▸", f"批量发送 {count} 件", f"Sending {count} packages")
        template = self._sample(self._script["plain"])
        outbound = self._spool(POLICE) / "outbound"
        began = time.time()
        for n in range(count):
            message = template.replace(
                "    <m:Sender>", f"    <m:SenderRef>bulk-{n}</m:SenderRef>\n    <m:Sender>", 1
            )
            path = outbound / f"bulk-{n:06d}.xml.tmp"
            path.write_text(message, encoding="utf-8")
            path.rename(path.with_suffix(""))
        self._wait(
            f"{count} bulk packages are delivered",
            lambda: len(self._entries(PROCURATORATE)) >= count,
            max(PATIENCE_S, count / 20),
        )
        seconds = time.time() - began
        self.bulk = {"packages": count, "per_second": count / seconds, **self._latencies(count)}

    def _latencies(self, count: int) -> dict[str, float]:
        """Drop (admitted at the sender's gateway) to delivered, from the two journals."""
        from frontgate.journal import open_reader

        sender = open_reader(self.home / POLICE / "state" / "journal.db")
        receiver = open_reader(self.home / PROCURATORATE / "state" / "journal.db")
        admitted = dict(
            sender.all("SELECT message_id, made_at FROM package WHERE sender_ref LIKE 'bulk-%'")
        )
        delivered = dict(
            receiver.all("SELECT message_id, event_time FROM receipt WHERE kind = 'delivered'")
        )
        sender.close()
        receiver.close()
        waits = sorted(
            (_seconds(delivered[m]) - _seconds(at)) * 1000
            for m, at in admitted.items()
            if m in delivered
        )
        if not waits:
            return {"p50_ms": 0.0, "p99_ms": 0.0}
        return {"p50_ms": waits[len(waits) // 2], "p99_ms": waits[int(len(waits) * 0.99)]}

    # -- the end --------------------------------------------------------------------------------

    def conclude(self) -> bool:
        """Check what an auditor would: chains, signatures, nothing open. Returns: all came true."""
        from frontgate.cli.verify import _against
        from frontgate.journal import audit, open_reader
        from frontgate.seal.receipts import read_receipt_file

        verified = 0
        for code in UNITS:
            for path in self._receipts(code):
                _, certificate, _ = read_receipt_file(path.read_bytes())
                _against(certificate, self.home / "hub" / "keys" / "ca.pem")
                verified += 1
        self._expect(f"{verified} receipt files verify against the CA", verified >= 40)
        for code in ("hub", *UNITS):
            reader = open_reader(self.home / code / "state" / "journal.db")
            walked, breaks = audit.verify(reader)
            self._expect(
                f"audit chain of {code} holds ({walked} entries)", walked > 0 and not breaks
            )
            if code == "hub":
                left = reader.one(
                    "SELECT count(*) FROM transfer WHERE state IN ('QUEUED', 'SENDING')"
                )
                self._expect("nothing is left open at the hub", left == (0,))
            reader.close()
        return not self.failed

    @staticmethod
    def _case_uid(reader: Any) -> str:
        row = reader.one("SELECT case_uid FROM package WHERE case_uid <> '' ORDER BY id LIMIT 1")
        return str(row[0]) if row else ""

    def result(self) -> dict[str, Any]:
        """For --json."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "course": self.course,
            "bulk": self.bulk,
        }


def _nobody_can_reach(home: Path) -> bool:
    """Whether the case software can be another account here: we are root, and it can get in."""
    if os.geteuid() != 0:
        return False
    os.chmod(home, 0o755)
    return _as_nobody(lambda: os.listdir(home))


def _as_nobody(act: Callable[[], object]) -> bool:
    """Do it in a child as `nobody`. Returns: whether it worked."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.umask(0o007)
            act()
            status = 0
        except OSError:
            status = 1
        finally:
            os._exit(status)
    _, state = os.waitpid(pid, 0)
    return state == 0


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()
