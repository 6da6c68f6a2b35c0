"""Flows and their steps, read from `flow.toml`.

Offers: `Flow`, `Step` and what hangs on them, and `read_flow`.
Guarantees: every key of the file is known and of the right type, every XPath compiles, and every
step that another step names exists; a flow is data alone, so a new folder is a new flow.
Fails: `CatalogueError` FG-STD-003 with file and reason.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from frontgate.errors import CatalogueError
from frontgate.model.message import MESSAGE_NS
from frontgate.standard.reading import Table, prefixes
from frontgate.values import Struct


class DocumentRule(Struct, frozen=True):
    """A document that a step must carry. min, max: how many; max 0 = without limit.

    types: the doc-type code and those accepted in its place. when: XPath over the message, empty
    = always.
    """

    types: tuple[str, ...]
    min: int
    max: int
    when: str
    zh: str
    en: str


class CopyRule(Struct, frozen=True):
    """Who gets a copy. mode: `full` or `narrowed` (through the XSLT named by `extract`).

    unit: XPath that names the units in the message; empty = the units of `role` in the division
    of sender or receiver. nearest: a division without such a unit is served by that of its city, or
    else of the province.
    """

    role: str
    mode: str
    extract: str
    unit: str
    when: str
    nearest: bool = False


class Variant(Struct, frozen=True):
    """A form of a step that differs by sender, receiver or content, with documents of its own."""

    name: str
    zh: str
    en: str
    from_roles: tuple[str, ...]
    to_roles: tuple[str, ...]
    when: str
    documents: tuple[DocumentRule, ...]


class Step(Struct, frozen=True):
    """One message type of a flow.

    stage: the case stage it leads to, empty where it leaves it. opens: it begins an instance.
    after: steps that may precede it. answers: steps that its InReplyTo may name.
    """

    flow: str
    name: str
    element: str
    zh: str
    en: str
    purpose_zh: str
    purpose_en: str
    from_roles: tuple[str, ...]
    to_roles: tuple[str, ...]
    stage: str
    opens: bool
    after: tuple[str, ...]
    answers: tuple[str, ...]
    jurisdiction: str
    cc: tuple[CopyRule, ...]
    documents: tuple[DocumentRule, ...]
    variants: tuple[Variant, ...]

    @property
    def message_type(self) -> str:
        return f"{self.flow}.{self.name}"


class Flow(Struct, frozen=True):
    """One flow with its folder. law: articles. business_key: XPaths relative to the message."""

    name: str
    number: str
    zh: str
    en: str
    law: tuple[str, ...]
    business_key: tuple[str, ...]
    terminal: tuple[str, ...]
    steps: Mapping[str, Step]
    folder: Path

    @property
    def namespace(self) -> str:
        return f"urn:frontgate:{self.name}:1"

    @property
    def schema(self) -> Path:
        return self.folder / f"{self.name}.xsd"

    @property
    def rules(self) -> Path:
        return self.folder / "rules.sch"


def read_flow(folder: Path) -> Flow:
    """Read `folder/flow.toml`. The folder's name is the flow's name.

    Raises: CatalogueError FG-STD-003.
    """
    path = folder / "flow.toml"
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError("FG-STD-003", file=_shown(path), reason=str(error)) from None
    top = Table(content, _shown(path))
    name = top.text("flow")
    if name != folder.name:
        raise top.wrong(f"flow is '{name}' but the folder is '{folder.name}'")
    names = prefixes(name)
    steps = [_step(table, name, names) for table in top.tables("step")]
    flow = Flow(
        name=name,
        number=top.text("number", ""),
        zh=top.text("zh"),
        en=top.text("en"),
        law=top.texts("law"),
        business_key=tuple(_xpath(top, x, names) for x in top.texts("business_key")),
        terminal=top.texts("terminal"),
        steps={step.name: step for step in steps},
        folder=folder,
    )
    top.close()
    if not steps:
        raise top.wrong("no [[step]]")
    if len(flow.steps) != len(steps):
        raise top.wrong("a step is named twice")
    for step in steps:
        for other in (*step.after, *step.answers):
            if other not in flow.steps:
                raise top.wrong(f"step '{step.name}' names the unknown step '{other}'")
    for other in flow.terminal:
        if other not in flow.steps:
            raise top.wrong(f"terminal names the unknown step '{other}'")
    return flow


def _step(table: Table, flow: str, names: Mapping[str, str]) -> Step:
    step = Step(
        flow=flow,
        name=table.text("name"),
        element=table.text("element"),
        zh=table.text("zh"),
        en=table.text("en"),
        purpose_zh=table.text("purpose_zh", ""),
        purpose_en=table.text("purpose_en", ""),
        from_roles=table.texts("from"),
        to_roles=table.texts("to"),
        stage=table.text("stage", ""),
        opens=table.flag("opens"),
        after=table.texts("after"),
        answers=table.texts("answers"),
        jurisdiction=table.text("jurisdiction", "none"),
        cc=tuple(_copy(t, names) for t in table.tables("cc")),
        documents=tuple(_document(t, names) for t in table.tables("document")),
        variants=tuple(_variant(t, names) for t in table.tables("variant")),
    )
    table.close()
    return step


def _copy(table: Table, names: Mapping[str, str]) -> CopyRule:
    rule = CopyRule(
        role=table.text("role"),
        mode=table.text("mode", "full"),
        extract=table.text("extract", ""),
        unit=_xpath(table, table.text("unit", ""), names),
        when=_xpath(table, table.text("when", ""), names),
        nearest=table.flag("nearest"),
    )
    table.close()
    if rule.mode not in ("full", "narrowed"):
        raise table.wrong(f"mode '{rule.mode}' is neither full nor narrowed")
    if (rule.mode == "narrowed") != bool(rule.extract):
        raise table.wrong("a narrowed copy, and only that, names its extract")
    if rule.extract and (Path(rule.extract).name != rule.extract or "\\" in rule.extract):
        raise table.wrong(f"extract '{rule.extract}' must lie in the flow's folder")
    return rule


def _document(table: Table, names: Mapping[str, str]) -> DocumentRule:
    rule = DocumentRule(
        types=(table.text("type"), *table.texts("or_types")),
        min=table.number("min", 1),
        max=table.number("max", 1),
        when=_xpath(table, table.text("when", ""), names),
        zh=table.text("zh", ""),
        en=table.text("en", ""),
    )
    table.close()
    if rule.min < 0 or rule.max < 0 or (rule.max and rule.max < rule.min):
        raise table.wrong(f"min {rule.min} and max {rule.max} do not agree")
    return rule


def _variant(table: Table, names: Mapping[str, str]) -> Variant:
    variant = Variant(
        name=table.text("name"),
        zh=table.text("zh", ""),
        en=table.text("en", ""),
        from_roles=table.texts("from"),
        to_roles=table.texts("to"),
        when=_xpath(table, table.text("when", ""), names),
        documents=tuple(_document(t, names) for t in table.tables("document")),
    )
    table.close()
    return variant


_STUB = etree.Element(f"{{{MESSAGE_NS}}}Message")
"""An empty message, to run every XPath once: unknown prefixes and functions show only then."""


def _xpath(table: Table, expression: str, names: Mapping[str, str]) -> str:
    if expression:
        try:
            etree.XPath(f"({expression})", namespaces=dict(names))(_STUB)
        except etree.XPathError as error:
            raise table.wrong(f"XPath {expression!r}: {error}") from None
    return expression


def _shown(path: Path) -> str:
    return "/".join(path.parts[-3:])
