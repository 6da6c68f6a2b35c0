"""A console for tests: a real ledger with two cases of different units, a control socket as the hub
has it, and `frontgate hub console` as a process of its own. Nothing of it is a stand-in."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from ledger import (
    COURT,
    HUB,
    OTHER_POLICE,
    POLICE,
    PROCURATORATE,
    STANDARDS,
    Ledger,
    sample,
)

from frontgate.cases.acts import Acts
from frontgate.console.accounts import Accounts
from frontgate.core.identifiers import case_uid
from frontgate.hub import desk
from frontgate.model.receipt import Kind
from frontgate.pipeline import operate
from frontgate.pipeline.service import ControlSocket
from frontgate.settings import replace

CASE = "C2026520102110000000016"
OTHER_CASE = case_uid(2026, OTHER_POLICE, 77)
OTHER_PROCURATORATE = "52010021003"
PASSWORD = "correct horse battery"
PEOPLE: Mapping[str, tuple[str, str]] = {
    "clerk": ("clerk", POLICE),
    "stranger": ("clerk", COURT),
    "other-clerk": ("clerk", OTHER_POLICE),
    "operator": ("operator", POLICE),
    "other-operator": ("operator", OTHER_POLICE),
    "committee": ("committee", ""),
    "hub-one": ("hub-operator", ""),
    "hub-two": ("hub-operator", ""),
    "auditor": ("auditor", ""),
}


@dataclass
class Ids:
    """What the two cases left behind."""

    request: str = ""
    decided: str = ""
    failed: str = ""
    other_request: str = ""
    other_failed: str = ""


_NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Site:
    """Everything below `home`. `client(login)` is a browser that is logged in."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ledger = Ledger(home)
        self.ids = Ids()
        self._tell()
        settings = replace(self.ledger.settings, file=str(home / "hub" / "hub.toml"))
        with (home / "hub" / "hub.toml").open("a") as file:
            file.write('[console]\nport = 0\nhosts = ["console.test"]\n')
        self.accounts = Accounts(self.ledger.state)
        for login, (role, unit) in PEOPLE.items():
            self.accounts.add(login, f"测试 {login}", role, unit, PASSWORD, must_change=False)
        self.tokens = {
            unit: self.accounts.make_token(unit, "tests", "tests")[1]
            for unit in (POLICE, OTHER_POLICE, COURT)
        }
        self._control = ControlSocket(
            self.ledger.state / "control.sock",
            {
                "status": lambda _: {"version": "test", "troubles": {}},
                **operate.handlers(self.ledger.journal, lambda: None, lambda *_: None),
                **desk.handlers(settings, self.ledger.journal),
                "case-act": Acts(self.ledger.journal, self.ledger.file, STANDARDS).handle,
            },
        )
        self._control.start()
        self.log = home / "console.log"
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "frontgate",
                "-c",
                str(home / "hub" / "hub.toml"),
                "hub",
                "console",
            ],
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            stdin=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log.read_text()
        self.url = str(json.loads(line)["url"])
        # It listens before it says so, however long it takes to serve.
        socket.create_connection(("127.0.0.1", int(json.loads(line)["port"]))).close()
        self._clients: dict[str, httpx.Client] = {}
        self._lock = threading.Lock()

    def _tell(self) -> None:
        """The demo case with a decision and a paused term; another unit's case; something that failed of
        each."""
        ledger, ids = self.ledger, self.ids
        ids.request = ledger.exchange(sample("arrest-request/submit", ledger.at))
        ledger.receipt(ids.request, PROCURATORATE, Kind.HANDED_OVER)
        ledger.at = ledger.at.replace(hour=5)
        ledger.exchange(sample("arrest-request/accept", ledger.at), answers=ids.request)
        ledger.go_to(2026, 11, 13)
        ids.decided = ledger.exchange(
            sample("arrest-request/decide", ledger.at), answers=ids.request
        )
        ids.failed = ledger.send(sample("arrest-request/execute", ledger.at), answers=ids.decided)
        ledger.receipt(ids.failed, PROCURATORATE, Kind.DELIVERY_FAILED)
        ledger.send(
            sample("custody-term-change/submit", ledger.at, ChangeReason="06").replace(
                "<b:NewDue>2027-02-15</b:NewDue>", "<b:SuspendedFrom>2026-11-16</b:SuspendedFrom>"
            )
        )
        text = sample(
            "arrest-request/submit",
            ledger.at,
            Sender=OTHER_POLICE,
            Receiver=OTHER_PROCURATORATE,
        )
        text = _of_others(text)
        ids.other_request = ledger.exchange(text)
        again = _of_others(
            sample(
                "arrest-request/withdraw",
                ledger.at,
                Sender=OTHER_POLICE,
                Receiver=OTHER_PROCURATORATE,
            )
        )
        ids.other_failed = ledger.send(again, answers=ids.other_request)
        ledger.receipt(ids.other_failed, OTHER_PROCURATORATE, Kind.DELIVERY_FAILED)
        ledger.project()

    # -- asking ---------------------------------------------------------------------------------

    def fresh(self, **options: Any) -> httpx.Client:
        # All is plain HTTP here: the roots that a client would load cost more than most requests.
        return httpx.Client(base_url=self.url, timeout=60, verify=_NO_ROOTS, **options)

    def client(self, login: str) -> httpx.Client:
        """A logged-in client, kept for all tests; logged in again where a test ended its session."""
        with self._lock:
            kept = self._clients.get(login)
            if kept is None or kept.get("/account").status_code == 303:
                client = self.fresh(follow_redirects=False)
                answer = self.log_in(client, login)
                assert answer.status_code == 303, answer.text
                self._clients[login] = client
            return self._clients[login]

    def log_in(self, client: httpx.Client, login: str, password: str = PASSWORD) -> httpx.Response:
        page = client.get("/login")
        return client.post(
            "/login", data={"login": login, "password": password, "csrf": csrf_of(page.text)}
        )

    def api(self, unit: str) -> httpx.Client:
        return self.fresh(headers={"Authorization": f"Bearer {self.tokens[unit]}"})

    def transfer(self, message_id: str, state: str = "") -> int:
        rows = self.ledger.query(
            "SELECT t.id FROM transfer t JOIN package p ON p.id = t.package_id WHERE p.message_id = ?"
            " AND (? = '' OR t.state = ?) ORDER BY t.id DESC",
            message_id,
            state,
            state,
        )
        assert rows, message_id
        return int(str(rows[0][0]))

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the audit chain of a kind, oldest first."""
        rows = self.ledger.query("SELECT data FROM event WHERE kind = ? ORDER BY seq", kind)
        return [json.loads(str(r[0])) for r in rows]

    def without_hub(self, act: Callable[[], None]) -> None:
        """Do something while the hub does not answer."""
        path = self.ledger.state / "control.sock"
        path.rename(path.with_suffix(".away"))
        try:
            act()
        finally:
            path.with_suffix(".away").rename(path)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._process.terminate()
        self._process.wait(15)
        self._control.stop()
        self.accounts.close()
        self.ledger.close()


def _of_others(text: str) -> str:
    """The same message about other people, in another case."""
    return text.replace(CASE, OTHER_CASE).replace("罗某", "隔某").replace("杨某", "离某")


def csrf_of(page: str) -> str:
    """The token of a page's first form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page[:2000]
    return found[1]


__all__ = ["CASE", "HUB", "OTHER_CASE", "PASSWORD", "PEOPLE", "Site", "csrf_of"]
