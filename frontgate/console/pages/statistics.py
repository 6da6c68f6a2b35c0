"""Statistics: counts, outcomes, on-time rates, refusals; as tables, charts, CSV and XLSX.

A unit sees its own numbers. Every table is one function, and page, sheet and API tell the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from frontgate import clock
from frontgate.cases import sheets, stats
from frontgate.cases.publish import Published, published_sheets
from frontgate.console.access import Right
from frontgate.console.charts import bars
from frontgate.console.pages.cases import own_unit
from frontgate.console.web import Answer, Endpoint, Page, Sheet, Visit
from frontgate.errors import ConsoleError

Rows = list[dict[str, Any]]
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
SHOWN = 200
"""So many rows a table on the page; the sheets have all."""
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def span(visit: Visit) -> dict[str, str]:
    """The months asked for, both included, and the unit they are narrowed to. Raises: FG-CON-015."""
    found = {"since": visit.word("since", most=10), "until": visit.word("until", most=10)}
    for name, value in found.items():
        if value and not _MONTH.fullmatch(value):
            raise ConsoleError("FG-CON-015", what=name)
    return {**found, "unit": own_unit(visit.person)}


def flows(visit: Visit) -> Rows:
    """Exchanges by flow, in the order of the catalogue, and the total."""
    asked, catalogue = span(visit), visit.desk.catalogue
    counts = {
        str(r["flow"]): (int(r["exchanges"]), int(r["messages"]))
        for r in stats.exchanges(visit.desk.cases().reader, ("flow",), **asked)
    }
    spread = spread_flows(visit)
    order = sorted(
        (f for f in counts if f in catalogue.flow_names), key=lambda f: catalogue.flow(f).number
    )
    rows = [
        {
            "flow": visit.desk.flow_name(f, visit.language) + (" *" if f in spread else ""),
            "exchanges": counts[f][0],
            "messages": counts[f][1],
        }
        for f in order
    ]
    total = {
        "flow": visit.t("word.total"),
        "exchanges": sum(c[0] for c in counts.values()),
        "messages": sum(c[1] for c in counts.values()),
    }
    return [*rows, total] if rows else []


def spread_flows(visit: Visit) -> frozenset[str]:
    """Flows of a played journal whose counts are a share of a remainder; empty for real traffic."""
    return frozenset((visit.desk.journal().meta(stats.SPREAD) or "").split())


def published(visit: Visit) -> list[Published]:
    """Signed sheets of months; they tell of all units, so only to who sees the province."""
    return [] if own_unit(visit.person) else published_sheets(_published_folder(visit))


def _published_folder(visit: Visit) -> Path:
    settings = visit.desk.settings
    return settings.path(settings.node.state) / "published"


def _by(visit: Visit, dimension: str, name: Callable[[str], str]) -> Rows:
    rows = stats.exchanges(visit.desk.cases().reader, (dimension,), **span(visit))
    return [
        {
            dimension: name(str(r[dimension])),
            "exchanges": r["exchanges"],
            "messages": r["messages"],
        }
        for r in rows
    ]


def months(visit: Visit) -> Rows:
    return _by(visit, "month", str)


def prefectures(visit: Visit) -> Rows:
    return _by(visit, "prefecture", lambda c: visit.desk.code_name("division", c, visit.language))


def units(visit: Visit) -> Rows:
    return _by(visit, "unit", lambda c: visit.desk.unit_name(c, visit.language))


def outcomes(visit: Visit) -> Rows:
    desk, language = visit.desk, visit.language
    rows = stats.outcomes(desk.cases().reader, desk.catalogue, **span(visit))
    return [
        {
            "flow": desk.flow_name(str(r["flow"]), language),
            "outcome": str(r[language] or r["code"]),
            "persons": r["persons"],
        }
        for r in rows
    ]


def rates(visit: Visit) -> Rows:
    desk = visit.desk
    rows = stats.on_time(desk.cases().reader, clock.now(), "rule", **span(visit))
    return [
        {
            "rule": desk.rule_name(str(r["rule"]), "", visit.language),
            "met": r["met"],
            "late": r["met_late"],
            "overdue": r["overdue"],
            "running": r["running"],
            "rate": "" if r["rate"] is None else f"{r['rate'] * 100:.1f}%",
        }
        for r in rows
    ]


def rejects(visit: Visit) -> Rows:
    rows = stats.rejects(visit.desk.cases().reader, **span(visit))
    return [
        {
            "vendor": r["vendor"],
            "product": r["product"],
            "rule": r["rule"],
            "flow": visit.desk.flow_name(str(r["flow"]), visit.language),
            "messages": r["messages"],
        }
        for r in rows
    ]


TABLES: Mapping[str, Callable[[Visit], Rows]] = {
    "flows": flows,
    "months": months,
    "prefectures": prefectures,
    "units": units,
    "outcomes": outcomes,
    "rates": rates,
    "rejects": rejects,
}
_WORDS = {"flow": "word.flow", "unit": "word.unit", "month": "word.month"}


def title(visit: Visit, column: str) -> str:
    """A column's name in words."""
    return visit.t(_WORDS.get(column, f"statistics.{column}"))


def show(visit: Visit) -> Answer:
    tables = [
        (name, visit.t(f"statistics.{name}"), function(visit)) for name, function in TABLES.items()
    ]
    by_name = {name: rows for name, _, rows in tables}
    visit.look("look-statistics", **{k: v for k, v in span(visit).items() if v})
    data = {
        "tables": [(n, t, rows[:SHOWN], len(rows)) for n, t, rows in tables],
        "chart": bars(
            [(str(r["flow"]), int(r["exchanges"])) for r in by_name["flows"][:-1]][:20],
            visit.t("statistics.flows"),
        ),
        "title": lambda column: title(visit, column),
        "span": span(visit),
        "published": published(visit),
        "has_spread": any(str(r["flow"]).endswith(" *") for r in by_name["flows"]),
        "as_of": visit.desk.cases().as_of()[1],
    }
    return Page("statistics.html", data)


def sheet(visit: Visit) -> Answer:
    """One table as CSV, all of them as one workbook, or a published month as it was signed.

    Raises: ConsoleError FG-CON-014.
    """
    name, _, form = visit.path["sheet"].partition(".")
    if visit.path["sheet"] in {p.name for p in published(visit)}:
        path = _published_folder(visit) / visit.path["sheet"]
        answer = Sheet(path.read_bytes(), "application/json", path.name)
    elif name == "all" and form == "xlsx":
        pages = [(visit.t(f"statistics.{n}"), _titled(visit, f(visit))) for n, f in TABLES.items()]
        answer = Sheet(sheets.to_xlsx(pages), XLSX, "statistics.xlsx")
    elif name in TABLES and form == "csv":
        rows = _titled(visit, TABLES[name](visit))
        answer = Sheet(sheets.to_csv(rows), "text/csv; charset=utf-8", f"{name}.csv")
    else:
        raise ConsoleError("FG-CON-014")
    visit.look("look-statistics", sheet=f"{name}.{form}")
    return answer


def _titled(visit: Visit, rows: Rows) -> Rows:
    return [{title(visit, c): value for c, value in row.items()} for row in rows]


ENDPOINTS = (
    Endpoint("/statistics", show, Right.STATISTICS),
    Endpoint("/statistics/{sheet}", sheet, Right.STATISTICS),
)
