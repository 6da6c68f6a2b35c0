"""`frontgate hub ask`: the questions of supervision, with count and list."""

from __future__ import annotations

from typing import Any

import click

from frontgate.cli.cases import hub_settings, hub_standards, open_cases
from frontgate.cli.output import Output, say


@click.command()
@click.argument("name", default="")
@click.option("--unit", default="", help="Only cases that this unit is a party of.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many rows."
)
@click.pass_obj
def ask(out: Output, name: str, unit: str, limit: int) -> None:
    """Ask a saved question of supervision; without NAME list all with their counts.

    Exit 1 if a named question has rows.
    """
    from frontgate import clock
    from frontgate.cases.questions import Questions
    from frontgate.cases.times import last_of_term
    from frontgate.cli.case_texts import Words, local, pad
    from frontgate.cli.looks import keep_look
    from frontgate.cli.node import hub_node

    settings = hub_settings(out)
    standards = hub_standards(settings)
    source = open_cases(settings, standards)
    questions = Questions(standards.version(standards.newest), source.reader)
    now = clock.now()
    if not name:
        counts = [(q, questions.count(q.name, now, unit=unit)) for q in questions.all]
        source.close()
        if out.as_json:
            out.json(
                {
                    "questions": [
                        {"name": q.name, "zh": q.zh, "en": q.en, "basis": q.basis, "count": n}
                        for q, n in counts
                    ]
                }
            )
            return
        for q, n in counts:
            say(f"{n:>7}  {q.name:<22} {out.pick(q.zh, q.en)}  ({'、'.join(q.basis)})")
        return
    question = questions.question(name)
    total = questions.count(name, now, unit=unit)
    rows = list[dict[str, Any]]()
    while len(rows) < limit:
        page = questions.rows(name, now, unit=unit, offset=len(rows), limit=limit - len(rows))
        if not page:
            break
        rows += page
    source.close()
    keep_look(hub_node(settings), "question", question=name, unit=unit, hits=len(rows))
    if out.as_json:
        out.json({"question": name, "count": total, "rows": rows})
    else:
        say(f"{out.pick(question.zh, question.en)}: {total}")
        say(f"  {out.pick(question.note_zh, question.note_en)}")
        say("  ".join(pad(out.pick(c.zh, c.en), 24) for c in question.columns))
        words = Words(standards.version(standards.newest), out.language)
        told = {"rule": words.rule, "reason": words.reason, "due_at": last_of_term}
        for row in rows:
            cells = [
                told.get(c.name, str)(str(row[c.name])) if row[c.name] else "-"
                for c in question.columns
            ]
            say("  ".join(pad(local(v) if "T" in v[10:11] else v, 24) for v in cells))
        if total > len(rows):
            out.line(
                f"（另有 {total - len(rows)} 项未列出：加大 --limit）",
                f"({total - len(rows)} more are not listed: a larger --limit)",
            )
    if total:
        raise click.exceptions.Exit(1)
