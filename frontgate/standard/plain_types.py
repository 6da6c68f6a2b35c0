"""What a value should have been, in words: for findings about values of the wrong type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T|$)", re.ASCII)
_WORDS: Mapping[str, tuple[str, str]] = {
    "date": ("日期，写作“年-月-日”，如 2026-03-02", "a day, written as 2026-03-02"),
    "dateTime": (
        "日期和时间，带时区，如 2026-03-02T09:30:00+08:00",
        "a date and time with its offset, as 2026-03-02T09:30:00+08:00",
    ),
    "boolean": ("true 或 false", "true or false"),
    "decimal": (
        "数字，小数点用“.”，不带千位分隔符和单位，如 1200.50",
        "a number with a point and without separators or unit, as 1200.50",
    ),
    "nonNegativeInteger": ("不小于 0 的整数，如 12", "a whole number from 0, as 12"),
    "positiveInteger": ("大于 0 的整数，如 12", "a whole number above 0, as 12"),
}
_WHOLE = (
    "整数，不带小数点、千位分隔符和单位，如 12",
    "a whole number without point or unit, as 12",
)
_INTEGERS = frozenset({"integer", "int", "long", "short", "byte", "unsignedInt", "unsignedLong"})


def wanted(builtin: str, value: str) -> tuple[str, str]:
    """Words (zh, en) for a value of XSD's type `builtin`; the type's name where there are none.

    A day of the right form that no calendar has is told as that.
    """
    if builtin in ("date", "dateTime"):
        day = _DAY.match(value.strip())
        if day is not None and not _exists(day[1]):
            return (
                f"真实存在的日期，而 {day[1]} 这一天不存在",
                f"a day that exists; there is no {day[1]}",
            )
    if builtin in _INTEGERS:
        return _WHOLE
    return _WORDS.get(builtin, (builtin or "规定的类型", builtin or "of the declared type"))


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
