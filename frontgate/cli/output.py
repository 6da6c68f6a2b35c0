"""What every command shares: the global options, and printing as text or JSON.

All that a command prints goes through `say` or `Output.json`: what senders wrote reaches no terminal as
something that it obeys.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click

from frontgate.core.visible import is_hidden, shown

LINES = "\n\t"
"""What `say` keeps where the program itself writes several lines."""
_LOCAL = timezone(timedelta(hours=8))


def locale_language() -> str:
    """`zh` where the environment's locale is Chinese, else `en`."""
    for name in ("FRONTGATE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def say(text: str = "", *, err: bool = False, nl: bool = True, keep: str = "\t") -> None:
    """Print a line, with every control and direction mark in it but those in `keep` as an escape."""
    click.echo(shown(text, keep), err=err, nl=nl)


def progress(text: str) -> None:
    """Numbers that stand over those before them, on standard error."""
    click.echo(f"\r{shown(text)}", nl=False, err=True)


class Existing(click.Path):
    """A path that is there: says in the caller's language where it is not."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(exists=True, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        if not os.path.exists(value):
            given = ctx.find_object(Output) if ctx is not None else None
            out = given or Output()
            self.fail(out.pick(f"{value} 不存在。", f"{value} does not exist."), param, ctx)
        return super().convert(value, param, ctx)


@dataclass(slots=True)
class Output:
    """Global options of one call. `ctx.obj` of every command.

    config: settings file as given, or None. lang: as given, or None for the locale.
    """

    config: str | None = None
    as_json: bool = False
    lang: str | None = None

    @property
    def language(self) -> str:
        return self.lang or locale_language()

    def pick(self, zh: str, en: str) -> str:
        """The text in the wanted language."""
        return zh if self.language == "zh" else en

    def word(self, section: str, value: str, width: int = 0) -> str:
        """A standard word as people read it: in Chinese with its meaning before it, padded to
        `width` columns. section: `state` of a transfer or `receipt` (its kind).
        """
        if self.language == "zh":
            from frontgate.console import texts

            key = f"{section}.{value}"
            if texts.has(key):
                value = f"{texts.text(key, 'zh')} {value}"
        wide = sum(unicodedata.east_asian_width(c) in "WF" for c in value)
        return value.ljust(width - wide)

    def when(self, moment: str) -> str:
        """A moment of the journal (ISO 8601, UTC) in China Standard Time, to the second."""
        try:
            local = datetime.fromisoformat(moment).astimezone(_LOCAL)
        except ValueError:
            return moment
        return local.strftime("%Y-%m-%d %H:%M:%S") + "+08:00"

    def json(self, value: object) -> None:
        """Print one JSON document, UTF-8, keys in the given order; hidden characters as JSON escapes."""
        text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
        if not text.isascii():
            # They stand in strings alone, so that the document says the same.
            hidden = {c for c in set(text) if c > "\x7e" and is_hidden(c)}
            text = text.translate({ord(c): json.dumps(c)[1:-1] for c in hidden})
        click.echo(text)

    def line(self, zh: str, en: str) -> None:
        say(self.pick(zh, en), keep=LINES)

    def emit(self, value: Mapping[str, object], zh: str, en: str) -> None:
        """`value` with --json, else the sentence."""
        if self.as_json:
            self.json(value)
        else:
            self.line(zh, en)
