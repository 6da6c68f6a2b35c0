"""Every page of the console over a large ledger: time and bytes, for each role.

Usage: `python -m benchmarks.pages HOME [--rounds N] [--json FILE]`. HOME is what
`frontgate hub replay-history HOME` left behind. The console runs as its own process, as in
operation; looks are kept in the journal of HOME's hub. From the first page on every link is followed,
three of each kind, and searches are made by number, name, person, unit and stage. A page's weight is its
HTML and the program's own files that it names. Goals: pages 200 ms, searches 300 ms, 300 000 bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx

from frontgate.cases.acts import Acts
from frontgate.console.accounts import Accounts
from frontgate.hub import desk
from frontgate.journal import Journal, Reader
from frontgate.journal.files import open_reading
from frontgate.pipeline import operate
from frontgate.pipeline.service import ControlSocket
from frontgate.settings import HubSettings, load_hub
from frontgate.standard import Standards

PAGE_MS, SEARCH_MS, MOST_BYTES = 200.0, 300.0, 300_000
OF_EACH_KIND = 3
ROLES = ("committee", "clerk", "operator", "hub-operator", "auditor")
_LINK = re.compile(r'<a [^>]*?href="([^"#]+)"')
_OWN = re.compile(r'(?:src|href)="(/static/[^"]+)"')
_ID = re.compile(r"/(?:C\d|D[0-9a-f]{15}|[0-9a-f]{8}-|\d)[^/?]*")


@dataclass(frozen=True, slots=True)
class Page:
    """One page as one role got it. ms: median and longest of the rounds, after a first one."""

    role: str
    url: str
    status: int
    ms: float
    longest_ms: float
    html_bytes: int
    weight_bytes: int

    @property
    def is_search(self) -> bool:
        return self.url.startswith("/cases?")

    @property
    def is_good(self) -> bool:
        limit = SEARCH_MS if self.is_search else PAGE_MS
        return self.status == 200 and self.ms <= limit and self.weight_bytes <= MOST_BYTES


@contextmanager
def console(settings: HubSettings) -> Iterator[tuple[str, Accounts]]:
    """The console's process, and the hub's side of what it asks. Yields: its URL, its accounts."""
    state = settings.path(settings.node.state)
    journal = Journal.open(state / "journal.db", node=f"hub:{settings.unit}")
    accounts = Accounts(state)
    control = ControlSocket(
        state / "control.sock",
        {
            "status": lambda _: {"version": "benchmark", "troubles": {}},
            **operate.handlers(journal, lambda: None, lambda *_: None),
            **desk.handlers(settings, journal),
            "case-act": Acts(journal, state / "cases.db", Standards.load()).handle,
        },
    )
    control.start()
    process = subprocess.Popen(
        [sys.executable, "-m", "frontgate", "-c", settings.file, "hub", "console"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"]), accounts
    finally:
        process.terminate()
        process.wait(15)
        control.stop()
        accounts.close()
        journal.close()


def log_in(url: str, accounts: Accounts, role: str, unit: str) -> httpx.Client:
    """A browser that is logged in as a new account of that role."""
    login, password = f"bench-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    of_unit = unit if role in ("clerk", "operator") else ""
    accounts.add(login, login, role, of_unit, password, must_change=False)
    client = httpx.Client(base_url=url, timeout=120)
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)
    assert token is not None
    form = {"login": login, "password": password, "csrf": token[1]}
    assert client.post("/login", data=form).status_code == 303
    return client


def searches(cases: Reader, unit: str) -> list[str]:
    """Searches by everything that the search field takes, over what is really there."""
    case = cases.one("SELECT case_uid, name, police_no FROM casefile WHERE police_no <> '' LIMIT 1")
    person = cases.one(
        "SELECT name, id_no FROM person WHERE id_no <> '' ORDER BY person_uid LIMIT 1"
    )
    stage = cases.one("SELECT stage FROM casefile WHERE stage <> '' LIMIT 1")
    texts = [*map(str, case or ()), *map(str, person or ())]
    texts += [t[:1] for t in texts if t and not t.isascii()]
    found = [f"/cases?q={quote(t)}" for t in dict.fromkeys([*texts, "no such thing"]) if t]
    stage_code = str(stage[0]) if stage else ""
    found += [
        f"/cases?unit={unit}",
        f"/cases?stage={stage_code}",
        f"/cases?unit={unit}&stage={stage_code}",
    ]
    found += [
        "/cases?since=2025-03-01&until=2025-03-31",
        f"/cases?q={quote('某')}&stage={stage_code}",
    ]
    return found


def crawl(client: httpx.Client, role: str, first: list[str], rounds: int) -> Iterator[Page]:
    """Every page that links lead to, a few of each kind."""
    waiting, seen, kinds, own = list(first), set(first), dict[str, int](), dict[str, int]()
    while waiting:
        url = waiting.pop(0)
        answer = client.get(url)
        if answer.status_code == 303:
            onward = answer.headers.get("location", "")
            if onward.startswith("/handbook") and onward not in seen:
                seen.add(onward)
                waiting.append(onward)
            continue
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            client.get(url)
            times.append((time.perf_counter() - began) * 1000)
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        weight = len(answer.content)
        for name in set(_OWN.findall(answer.text)) if is_page else ():
            if name not in own:
                own[name] = len(client.get(name).content)
            weight += own[name]
        longest, median = round(max(times), 1), round(statistics.median(times), 1)
        size = len(answer.content)
        # A sheet to be saved is no page: only its time is told.
        yield Page(role, url, answer.status_code, median, longest, size, weight if is_page else 0)
        for found in _LINK.findall(answer.text.replace("&amp;", "&")) if is_page else ():
            link = urljoin(url, found).partition("#")[0]
            parts = urlsplit(link)
            if parts.scheme:
                continue
            names = sorted(p.partition("=")[0] for p in parts.query.split("&"))
            kind = _ID.sub("/*", parts.path) + "?" + "&".join(names)
            if link in seen or parts.path.startswith(("/language", "/logout", "/static")):
                continue
            if parts.path.startswith("/handbook") or kinds.get(kind, 0) < OF_EACH_KIND:
                kinds[kind] = kinds.get(kind, 0) + 1
                seen.add(link)
                waiting.append(link)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    file = asked.home / "hub" / "hub.toml"
    if "[console]" not in file.read_text():
        with file.open("a") as out:
            out.write("[console]\nport = 0\n")
    settings = load_hub(file)
    cases = open_reading(settings.path(settings.node.state) / "cases.db")
    busiest = cases.one(
        "SELECT unit FROM party WHERE substr(unit, 7, 2) = '11' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    unit = str(busiest[0]) if busiest else ""
    pages: list[Page] = []
    with console(settings) as (url, accounts):
        for role in ROLES:
            with closing(log_in(url, accounts, role, unit)) as client:
                first = ["/", "/audit", "/approvals", "/users", "/tokens", *searches(cases, unit)]
                pages += [p for p in crawl(client, role, first, asked.rounds) if p.status != 404]
    cases.close()
    allowed = [p for p in pages if p.status != 403]
    for p in sorted(allowed, key=lambda p: p.ms):
        mark = " " if p.is_good else "!"
        print(
            f"{mark} {p.ms:8.1f} {p.longest_ms:8.1f} ms {p.weight_bytes:8d} B  {p.role:13} {p.url}"
        )
    if asked.json:
        asked.json.write_text(
            json.dumps([asdict(p) for p in allowed], ensure_ascii=False, indent=1)
        )
    return 0 if all(p.is_good for p in allowed) else 1


if __name__ == "__main__":
    sys.exit(main())
