"""Templates: Jinja2 with escaping always on and undefined names an error."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from frontgate import __version__, clock
from frontgate.cases.times import last_of_term
from frontgate.console import approvals, menu, texts
from frontgate.console.access import Right
from frontgate.console.desk import Desk
from frontgate.console.web import Html, Visit, link
from frontgate.errors import FrontgateError, all_codes

LEGAL_TIME = timezone(timedelta(hours=8))
"""Legal days and what people read: UTC+08:00."""


class Renderer:
    """One environment for a process; templates are compiled once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("frontgate.console", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            link=link, static=_static_urls(), version=__version__, Right=Right, has_text=texts.has
        )
        self._environment.filters.update(
            when=when, last_of_term=last_of_term, day=day, size=size, thousands=thousands
        )

    def render(self, visit: Visit, template: str, data: Mapping[str, Any], path: str = "/") -> str:
        return self._environment.get_template(template).render(**self._frame(visit, path), **data)

    def wrap(self, visit: Visit, page: Html, path: str) -> str:
        """A page whose body was built as a tree of escaped elements elsewhere (the handbook)."""
        data = {"title": page.title, "body": Markup(page.body), "script": page.script}  # noqa: S704
        return self.render(visit, "wrap.html", data, path)

    def error(self, visit: Visit, error: FrontgateError) -> str:
        row = error.text
        data = {
            "code": error.code,
            "message": error.message(visit.language),
            "advice": visit.pick(row.advice_zh, row.advice_en),
        }
        return self.render(visit, "error.html", data)

    def _frame(self, visit: Visit, path: str) -> dict[str, Any]:
        """What every template may use."""
        desk, language = self._desk, visit.language
        person = visit.person
        return {
            "visit": visit,
            "person": person,
            "lang": language,
            "t": visit.t,
            "pick": visit.pick,
            "may": visit.may,
            "path": path,
            "now": clock.now(),
            "csrf": visit.session.csrf if visit.session else "",
            "menu": menu.for_person(person) if person.login else (),
            "waiting_requests": approvals.waiting(desk.accounts.file)
            if person.may(Right.APPROVE)
            else 0,
            "unit_name": lambda code: desk.unit_name(code, language),
            "type_name": lambda kind: desk.type_name(kind, language),
            "step_name": lambda kind: desk.step_name(kind, language),
            "flow_name": lambda flow: desk.flow_name(flow, language),
            "reason_name": lambda reason: desk.reason_name(reason, language),
            "code_name": lambda code_list, code: desk.code_name(code_list, code, language),
            "reason_text": lambda code: _reason(code, language),
            "reason_advice": lambda code: _advice(code, language),
        }


def _reason(code: str, language: str) -> str:
    row = all_codes().get(code)
    if row is None:
        return code
    return _without_fields(row.zh if language == "zh" else row.en)


def _advice(code: str, language: str) -> str:
    row = all_codes().get(code)
    return "" if row is None else row.advice_zh if language == "zh" else row.advice_en


def _without_fields(text: str) -> str:
    """A code's text where the occurrence's values are not at hand."""
    return text.format_map(_Dots())


class _Dots(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "…"


def when(stamp: str | datetime | None) -> str:
    """An instant for people: legal time, to the minute."""
    at = _instant(stamp)
    return "" if at is None else at.astimezone(LEGAL_TIME).strftime("%Y-%m-%d %H:%M")


def day(stamp: str | datetime | None) -> str:
    at = _instant(stamp)
    return "" if at is None else at.astimezone(LEGAL_TIME).strftime("%Y-%m-%d")


def _instant(stamp: str | datetime | None) -> datetime | None:
    if not stamp:
        return None
    if isinstance(stamp, datetime):
        return stamp
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=LEGAL_TIME)


def size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u2009")


def _static_urls() -> dict[str, str]:
    """name → URL with its digest, so that browsers may keep it for ever."""
    folder = resources.files("frontgate.console").joinpath("static")
    return {
        entry.name: f"/static/{entry.name}?v={hashlib.sha256(entry.read_bytes()).hexdigest()[:12]}"
        for entry in folder.iterdir()
        if entry.is_file()
    }
