"""`frontgate send`: a drop by hand, waited for, with its receipts shown."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from frontgate.cli.node import find_node
from frontgate.cli.output import LINES, Existing, Output, say
from frontgate.journal import Reader

_POSITIVE = ("delivered", "handed-over")
_NEGATIVE = ("relay-rejected", "relay-failed", "delivery-failed")


@click.command()
@click.argument("path", type=Existing())
@click.option(
    "--unit", default="", help="Unit (or unit/app) whose outbound/ takes it; else the first."
)
@click.option(
    "--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait for receipts."
)
@click.pass_obj
def send(out: Output, path: Path, unit: str, wait_s: float) -> None:
    """Drop PATH into outbound/ and wait until every receiver has it.

    Exit 0: every receiver has it. 1: refused, or failed for one of them, with the reasons. 4: not
    answered in time; the gateway goes on with it.

    JSON: drop, message, outcome (by receiver), receipts.
    """
    from frontgate.settings import GatewaySettings

    node = find_node(out)
    if not isinstance(node.settings, GatewaySettings):
        raise click.UsageError("send is for a gateway")
    settings = node.settings
    own = next((u for u in settings.unit if unit.partition("/")[0] in ("", u.code)), None)
    if own is None:
        raise click.UsageError(f"unit {unit} is not in the settings")
    spool = settings.path(own.spool)
    app = unit.partition("/")[2] or (own.app[0].name if own.app else "")
    spool = spool / app if app else spool
    name = f"{path.stem}-{secrets.token_hex(4)}{path.suffix.lower()}"
    temporary = spool / "outbound" / (name + ".tmp")
    if path.is_dir():
        shutil.copytree(path, temporary)
    else:
        shutil.copyfile(path, temporary)
    temporary.rename(spool / "outbound" / name)
    reader = node.reader()
    try:
        seen = _follow(out, reader, name, wait_s)
    finally:
        reader.close()
    if out.as_json:
        out.json(
            {
                "drop": name,
                "message": seen.message_id,
                "outcome": seen.outcome,
                "receipts": seen.receipts,
            }
        )
    elif seen.is_refused:
        _report(spool / "rejected" / f"{name}.report.txt")
    if seen.is_refused or (seen.is_ended and not seen.is_delivered):
        raise click.exceptions.Exit(1)
    if not seen.is_ended:
        out.line(
            f"{wait_s:g} 秒内未全部送达；前置机会继续发送：frontgate show {seen.message_id or name}",
            f"not delivered to all within {wait_s:g} s; the gateway goes on:"
            f" frontgate show {seen.message_id or name}",
        )
        raise click.exceptions.Exit(4)


@dataclass(slots=True)
class _Seen:
    """What the journal says of our drop so far. outcome: receiver → last kind for it."""

    message_id: str = ""
    is_refused: bool = False
    outcome: dict[str, str] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_ended(self) -> bool:
        return self.is_refused or (bool(self.outcome) and all(self.outcome.values()))

    @property
    def is_delivered(self) -> bool:
        return all(kind in _POSITIVE for kind in self.outcome.values())


def _follow(out: Output, reader: Reader, name: str, wait_s: float) -> _Seen:
    """Look at the journal until every receiver has an outcome, or the time is over."""
    from frontgate.journal import views

    seen = _Seen()
    end = time.monotonic() + wait_s
    while not seen.is_ended and time.monotonic() < end:
        time.sleep(0.1)
        found = [p for p in views.find_packages(reader, name) if p["drop_name"] == name]
        if not found:
            continue
        if not seen.message_id:
            seen.message_id = str(found[0]["message_id"])
            if not out.as_json:
                say(f"{name}  {seen.message_id}")
                if found[0]["state"] == "DUPLICATE":
                    out.line(
                        "这份报文以前发送过：下面是当时的回执",
                        "this message was sent before: these are its receipts",
                    )
        seen.is_refused = found[0]["state"] == "REJECTED"
        if not seen.outcome:
            seen.outcome = dict.fromkeys(str(found[0]["recipients"]).split(), "")
        told = (
            []
            if seen.is_refused
            else views.receipts_of(reader, seen.message_id, str(found[0]["sender"]))
        )
        for receipt in told[len(seen.receipts) :]:
            seen.receipts.append(receipt)
            kind, receiver = str(receipt["kind"]), str(receipt["receiver"])
            if not out.as_json:
                say(f"  {kind}{' ' + receiver if receiver else ''}")
            if kind in _POSITIVE or kind in _NEGATIVE:
                for code in [receiver] if receiver else list(seen.outcome):
                    seen.outcome[code] = kind
    return seen


def _report(path: Path) -> None:
    """The report beside the refused drop; it follows the journal within a moment."""
    for _ in range(50):
        if path.is_file():
            say(path.read_text("utf-8-sig").replace("\r", ""), keep=LINES)
            return
        time.sleep(0.1)
