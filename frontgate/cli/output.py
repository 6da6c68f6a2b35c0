"""What every command shares: the global options, and printing as text or JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import click


def locale_language() -> str:
    """`zh` where the environment's locale is Chinese, else `en`."""
    for name in ("FRONTGATE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


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

    def json(self, value: object) -> None:
        """Print one JSON document, UTF-8, keys in the given order."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))

    def line(self, zh: str, en: str) -> None:
        click.echo(self.pick(zh, en))

    def emit(self, value: Mapping[str, object], zh: str, en: str) -> None:
        """`value` with --json, else the sentence."""
        if self.as_json:
            self.json(value)
        else:
            self.line(zh, en)
