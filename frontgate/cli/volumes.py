"""`frontgate volumes`: case files that came in several packages, complete or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from frontgate.cli.archive import MOST_MESSAGE_BYTES, packages_of
from frontgate.cli.node import find_node
from frontgate.cli.output import Output
from frontgate.seal import Package

FACT = "volume-package"
"""The fact that the standard keeps of one package of several: key `<FlowUid> <n>`, value m."""


@dataclass(slots=True)
class _Set:
    """The packages of one instance. came: number → MessageId."""

    count: int = 0
    came: dict[int, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        return [n for n in range(1, self.count + 1) if n not in self.came]


@click.command()
@click.argument("about", required=False, default="", metavar="[FLOW|CASE]")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Put the files of complete sets together here, a folder an instance.",
)
@click.pass_obj
def volumes(out: Output, about: str, output: Path | None) -> None:
    """List case files that came as n of m packages, and which packages are missing.

    JSON: flow, of, came, missing, messages. Exit 1 if a set is incomplete.
    """
    from frontgate import safexml
    from frontgate.cli.looks import keep_look
    from frontgate.standard import Checker, Standards
    from frontgate.standard.context import read_context

    node = find_node(out)
    root = node.settings.node.standards
    standards = Standards.load(node.settings.path(root) if root else None)
    checker = Checker(standards)
    kinds: set[str] = set()
    contexts = {v: read_context(standards.version(v).context) for v in standards.versions}
    for context in contexts.values():
        kinds |= {t for rule in context.facts if rule.name == FACT for t in rule.types}
    sets: dict[str, _Set] = {}
    for message_id, package in packages_of(node.state, direction="in", kinds=kinds, about=about):
        data = package.read("message.xml", MOST_MESSAGE_BYTES)
        header = checker.read(data).header
        catalogue = standards.version(header.standard)
        step = catalogue.step(header.message_type)
        facts = contexts[header.standard].facts_of(
            catalogue.flow(step.flow), step, safexml.parse(data)
        )
        for fact in facts:
            flow_uid, _, number = fact.key.rpartition(" ")
            if fact.name == FACT and number.isdigit() and fact.value.isdigit():
                known = sets.setdefault(flow_uid, _Set())
                known.count = max(known.count, int(fact.value))
                known.came[int(number)] = message_id
    keep_look(node, "volumes", about=about, hits=len(sets), written=output or "")
    if output is not None:
        complete = {m for s in sets.values() if not s.missing for m in s.came.values()}
        for message_id, package in packages_of(
            node.state, direction="in", kinds=kinds, about=about
        ):
            if message_id in complete:
                flow_uid = next(f for f, s in sets.items() if message_id in s.came.values())
                _write(package, output / flow_uid)
    if out.as_json:
        out.json(
            [
                {
                    "flow": flow_uid,
                    "of": known.count,
                    "came": sorted(known.came),
                    "missing": known.missing,
                    "messages": [known.came[n] for n in sorted(known.came)],
                }
                for flow_uid, known in sorted(sets.items())
            ]
        )
    else:
        _tell(out, sets)
    if any(known.missing for known in sets.values()):
        raise click.exceptions.Exit(1)


def _tell(out: Output, sets: dict[str, _Set]) -> None:
    for flow_uid, known in sorted(sets.items()):
        missing = ", ".join(map(str, known.missing))
        out.line(
            f"{flow_uid}  {len(known.came)}/{known.count}  {'缺 ' + missing if missing else '完整'}",
            f"{flow_uid}  {len(known.came)} of {known.count}  "
            + (f"missing {missing}" if missing else "complete"),
        )
    if not sets:
        out.line("没有分包送达的卷宗", "No case file came in several packages")


def _write(package: Package, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in package.envelope.parts:
        if part.path.startswith("files/"):
            with (folder / Path(part.path).name).open("wb") as file:
                for chunk in package.chunks(part.path):
                    file.write(chunk)
