"""Days and times that options of commands take.

A day is the legal one, and so is a time without an offset: UTC+08:00, whatever the machine's own zone is
set to. Where a span ends with a day, it ends as that day begins.
"""

from __future__ import annotations

import click

SPAN = "A day (UTC+08:00, as it begins) or RFC 3339 / 日期（北京时间零时）或 RFC 3339 时间"


def moment_of(_: click.Context | None, __: click.Parameter | None, value: str) -> str:
    """The option's time as journal and projections store it; empty for none. Raises: BadParameter."""
    from frontgate.cases.times import moment, stored

    if not value:
        return ""
    at = moment(value)
    if at is None:
        raise click.BadParameter("2026-11-25 或/or 2026-11-25T08:00:00+08:00")
    return stored(at)
