"""Statistics: rows for tables, charts and exports, from the counts that the projector keeps.

Offers: `exchanges`, `outcomes`, `on_time`, `rejects`, `service`, `seed_table`. An exchange is an instance
of a flow, counted in the legal month in which the hub relayed the message that opened it, under its
sender and first receiver. Prefecture: the first four digits of a unit's code. Test traffic, narrowed
copies and refused messages are no exchanges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from frontgate.cases.times import legal_month, month_begins, stored
from frontgate.journal import Reader
from frontgate.standard import Catalogue

_DIMENSIONS = {
    "month": "month",
    "flow": "flow",
    "step": "step",
    "unit": "unit",
    "other": "other",
    "prefecture": "substr(unit, 1, 4) || '00'",
}
MOST = 20_000
SPREAD = "statistics_spread"
"""Meta key of a journal that was played from a table of volumes: its flows, parted by blanks, whose
counts are a share of what the table does not name. Whoever shows counts says so."""


def exchanges(
    reader: Reader,
    by: Sequence[str] = ("flow",),
    *,
    since: str = "",
    until: str = "",
    unit: str = "",
) -> list[dict[str, Any]]:
    """Counts by any of month, flow, step, unit, other, prefecture. since, until: months, both included.

    Raises: KeyError for another dimension.
    """
    names = list(dict.fromkeys(by))
    columns = ", ".join(f"{_DIMENSIONS[n]} AS {n}" for n in names)
    group = ", ".join(str(n + 1) for n in range(len(names)))
    rows = reader.all(
        f"SELECT {columns}, sum(exchanges), sum(messages) FROM tally"  # noqa: S608 (known names)
        " WHERE (? = '' OR month >= ?) AND (? = '' OR month <= ?) AND (? = '' OR unit = ?)"
        f" GROUP BY {group} ORDER BY {group}",
        since, since, until, until, unit, unit,
    )  # fmt: skip
    return [dict(zip((*names, "exchanges", "messages"), r, strict=True)) for r in rows]


def outcomes(
    reader: Reader, catalogue: Catalogue, *, since: str = "", until: str = "", unit: str = ""
) -> list[dict[str, Any]]:
    """Results by flow and code, in persons that messages name."""
    rows = reader.all(
        "SELECT flow, field, list, code, sum(persons) FROM tally_outcome"
        " WHERE (? = '' OR month >= ?) AND (? = '' OR month <= ?) AND (? = '' OR unit = ?)"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4",
        since, since, until, until, unit, unit,
    )  # fmt: skip
    found = []
    for flow, field, codes, code, persons in rows:
        texts = catalogue.code_list(codes) if codes in catalogue.list_names else None
        zh, en = (texts.text(code, "zh"), texts.text(code, "en")) if texts else (code, code)
        found.append(
            {"flow": flow, "field": field, "code": code, "zh": zh, "en": en, "persons": persons}
        )
    return found


_RATE = {
    "rule": "rule",
    "unit": "unit",
    "prefecture": "substr(unit, 1, 4) || '00'",
    "flow": "flow",
    "month": "month",
}


def on_time(
    reader: Reader,
    now: datetime,
    by: str = "rule",
    *,
    since: str = "",
    until: str = "",
    unit: str = "",
) -> list[dict[str, Any]]:
    """Terms kept, kept late and overdue, and the rate of those kept in time among the three.

    by: rule, unit, prefecture, flow, month (of the end). since, until: legal months of the last moment,
    both included: a term to the last of a month ends in it. Terms whose end makes nobody late do not
    count; nor do those that were superseded. A paused term runs on.
    """
    key, then = _RATE[by], stored(now)
    present = legal_month(then)
    chosen = "(? = '' OR month >= ?) AND (? = '' OR month <= ?)"
    span = (since, since, until, until)
    # The sums know months. Of the present one, terms that are overdue already are looked up.
    by_unit = unit == "" and by in ("unit", "prefecture")
    rows = reader.all(
        f"SELECT {key}, CASE WHEN state = 'open' AND month < ? THEN 'overdue' ELSE state END, sum(terms)"  # noqa: S608 (known names)
        f" FROM tally_term WHERE {'unit <> ?' if by_unit else 'unit = ?'} AND {chosen} GROUP BY 1, 2",
        present, unit, *span,
    )  # fmt: skip
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, state, terms in rows:
        counts[str(name)][str(state)] += int(terms)
    for name, terms in reader.all(
        f"SELECT {key}, count(*) FROM (SELECT rule, unit, flow, ? AS month FROM deadline"  # noqa: S608 (known names)
        " WHERE state = 'open' AND due_at > ? AND due_at <= ? AND is_lapsing = 0)"
        f" WHERE (? = '' OR unit = ?) AND {chosen} GROUP BY 1",
        present, month_begins(present), then, unit, unit, *span,
    ):  # fmt: skip
        counts[str(name)].update(open=-int(terms), overdue=int(terms))
    found = []
    for name, of_name in sorted(counts.items()):
        met, late, overdue = of_name["met"], of_name["met-late"], of_name["overdue"]
        ended, running = met + late + overdue, of_name["open"] + of_name["paused"]
        if ended or running:
            found.append(
                {
                    by: name, "met": met, "met_late": late, "overdue": overdue, "running": running,
                    "rate": round(met / ended, 4) if ended else None,
                }
            )  # fmt: skip
    return found


def rejects(
    reader: Reader, *, since: str = "", until: str = "", unit: str = ""
) -> list[dict[str, Any]]:
    """Refusals by the hub, by software and rule, most first. What a sender's own gateway refuses stays
    there. Software is what senders say it is: beyond `MOST` rows the rest is one row, called `…`."""
    rows = reader.all(
        "SELECT vendor, product, rule, flow, sum(messages) FROM tally_reject"
        " WHERE (? = '' OR month >= ?) AND (? = '' OR month <= ?) AND (? = '' OR unit = ?)"
        " GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4",
        since, since, until, until, unit, unit,
    )  # fmt: skip
    if len(rows) > MOST:
        rest = sum(int(r[4]) for r in rows[MOST - 1 :])
        rows = [*rows[: MOST - 1], (*("…",) * 4, rest)]
    names = ("vendor", "product", "rule", "flow", "messages")
    return [dict(zip(names, r, strict=True)) for r in rows]


def seed_table(
    reader: Reader,
    catalogue: Catalogue,
    *,
    since: str = "",
    until: str = "",
    spread: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Exchanges by flow in the order of the flow catalogue, the total last (flow empty).

    spread: flows whose count is no number of the source; they are marked.
    """
    counts = {
        str(r["flow"]): int(r["exchanges"]) for r in exchanges(reader, since=since, until=until)
    }
    rows = []
    for name in sorted(catalogue.flow_names, key=lambda n: catalogue.flow(n).number):
        if counts.get(name):
            flow = catalogue.flow(name)
            rows.append(
                {"flow": name, "number": flow.number, "zh": flow.zh, "en": flow.en,
                 "exchanges": counts[name], "is_spread": name in spread}
            )  # fmt: skip
    total = sum(counts.values())
    rows.append(
        {
            "flow": "",
            "number": "",
            "zh": "合计",
            "en": "total",
            "exchanges": total,
            "is_spread": False,
        }
    )
    return rows
