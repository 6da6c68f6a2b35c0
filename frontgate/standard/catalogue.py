"""The catalogue: all versions of the standard that live, read from their folder on demand.

Offers: `Standards` (versions), `Catalogue` (one version: flows, code lists, declarations).
Guarantees: nothing of a flow is read before that flow is asked for; what was read never changes
and may be shared between threads. No flow, step or code list is named in the program.
Fails: `CatalogueError`: FG-STD-001 version, 002 flow or step, 003 unusable file, 009 code list,
013 no such folder.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from frontgate.core.deadlines import Calendar
from frontgate.errors import CatalogueError
from frontgate.model.message import MESSAGE_NS
from frontgate.standard import marks
from frontgate.standard.calendars import read_calendar
from frontgate.standard.codelists import Code, CodeList, read_codes
from frontgate.standard.deadlines import Rule as DeadlineRule
from frontgate.standard.deadlines import read_deadlines
from frontgate.standard.declarations import Declaration, Declarations, XsdFile
from frontgate.standard.flows import Flow, Step, read_flow
from frontgate.standard.quick import QuickTexts, Rewriter
from frontgate.standard.reading import Table
from frontgate.standard.rules import Rule, RuleSet, applying, compile_rules
from frontgate.values import Struct

MESSAGE = f"{{{MESSAGE_NS}}}Message"
BODY = f"{{{MESSAGE_NS}}}Body"
MESSAGE_TYPES = "message-type"
"""The one code list that is not a file: it follows from the flows."""


class Role(Struct, frozen=True):
    """A role that units play. unit_types: the types (digits 7 and 8 of a unit code) that have it
    by nature; the directory may give it to others too."""

    code: str
    zh: str
    en: str
    unit_types: tuple[str, ...]


class Standards:
    """All versions of the standard under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._catalogues: dict[str, Catalogue] = {}
        self.versions: tuple[str, ...] = tuple(
            sorted(
                (entry.name for entry in root.iterdir() if (entry / "standard.toml").is_file()),
                key=_order,
            )
        )

    @classmethod
    def load(cls, root: Path | None = None) -> Standards:
        """The standard installed with the program, or the one under `root`.

        Raises: CatalogueError FG-STD-013 if there is no such folder or no version in it.
        """
        chosen = root if root is not None else _installed()
        if not chosen.is_dir():
            raise CatalogueError("FG-STD-013", path=str(chosen))
        standards = cls(chosen)
        if not standards.versions:
            raise CatalogueError("FG-STD-013", path=str(chosen / "<version>" / "standard.toml"))
        return standards

    @property
    def newest(self) -> str:
        return self.versions[-1]

    def version(self, v: str) -> Catalogue:
        """The catalogue of version `v` (`major.minor`).

        Raises: CatalogueError FG-STD-001 for a version that does not live here, FG-STD-003.
        """
        if v not in self.versions:  # also keeps a version from a message out of any path
            raise CatalogueError("FG-STD-001", value=v[:40], known=", ".join(self.versions))
        catalogue = self._catalogues.get(v)
        if catalogue is None:
            catalogue = self._catalogues[v] = Catalogue(self.root / v)
        return catalogue


class Catalogue:
    """One version of the standard. folder: `standards/<major.minor>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "standard.toml"
        try:
            content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None
        table = Table(content, path.name)
        self.version: str = table.text("version")
        if self.version != folder.name:
            raise table.wrong(f"version is '{self.version}' but the folder is '{folder.name}'")
        self.roles: Mapping[str, Role] = MappingProxyType(
            {role.code: role for role in map(_role, table.tables("role"))}
        )
        self.draft: Mapping[str, Any] = content.get("draft", {})
        self.notice_type: str = content.get("notice", {}).get("type", "")
        self._roles_of_type: Mapping[str, frozenset[str]] = MappingProxyType(
            {
                kind: frozenset(r.code for r in self.roles.values() if kind in r.unit_types)
                for kind in {kind for role in self.roles.values() for kind in role.unit_types}
            }
        )
        self._flows: dict[str, Flow] = {}
        self._lists: dict[str, CodeList] = {}
        self._declarations: dict[str, Declarations] = {}
        self._xsd_files: dict[Path, XsdFile] = {}
        self._marks: dict[str, marks.Marks] = {}
        self._rules: dict[Path, RuleSet] = {}
        self._rewriter = Rewriter(self.code_list)
        self._quick: dict[str, QuickTexts] = {}

    @cached_property
    def flow_names(self) -> tuple[str, ...]:
        """Names of all flows, sorted; found by their folders, without reading them."""
        flows = self.folder / "flows"
        if not flows.is_dir():
            return ()
        return tuple(sorted(e.name for e in flows.iterdir() if (e / "flow.toml").is_file()))

    @cached_property
    def deadlines(self) -> Mapping[str, DeadlineRule]:
        """Deadline rules by id; reads all flows. Empty where the version has none."""
        path = self.folder / "deadlines.toml"
        return read_deadlines(path, self.message_types, self.roles) if path.is_file() else {}

    @cached_property
    def context(self) -> Path:
        """Where the version's context checks stand; `standard.context` reads them."""
        return self.folder / "context.toml"

    @cached_property
    def calendar(self) -> Calendar:
        """Days off of all years that the version knows."""
        days: dict[date, bool] = {}
        for path in sorted((self.folder / "calendars").glob("*.toml")):
            days.update(read_calendar(path))
        return Calendar(days)

    @cached_property
    def message_types(self) -> tuple[str, ...]:
        """Every `<flow>.<step>`, in the order of flows and their steps; reads all flows."""
        return tuple(s.message_type for n in self.flow_names for s in self.flow(n).steps.values())

    def flow(self, name: str) -> Flow:
        """The flow of that name. Raises: CatalogueError FG-STD-002, FG-STD-003."""
        flow = self._flows.get(name)
        if flow is None:
            if name not in self.flow_names:
                raise CatalogueError(
                    "FG-STD-002", value=name[:80], near=_near(name, self.flow_names)
                )
            flow = self._flows[name] = read_flow(self.folder / "flows" / name)
        return flow

    def step(self, message_type: str) -> Step:
        """The step of `<flow>.<step>`. Raises: CatalogueError FG-STD-002, FG-STD-003."""
        name, _, step = message_type.partition(".")
        if name in self.flow_names:
            steps = self.flow(name).steps
            if step in steps:
                return steps[step]
            near = _near(message_type, [s.message_type for s in steps.values()])
        else:
            near = _near(message_type, [f"{n}.{step}" for n in self.flow_names])
        raise CatalogueError("FG-STD-002", value=message_type[:80], near=near)

    def has_message_type(self, message_type: str) -> bool:
        """Whether `<flow>.<step>` exists; reads that flow alone."""
        name, _, step = message_type.partition(".")
        return name in self.flow_names and step in self.flow(name).steps

    @cached_property
    def list_names(self) -> tuple[str, ...]:
        """Names of all code lists, sorted."""
        codes = self.folder / "codes"
        found = {e.stem for e in codes.iterdir() if e.suffix == ".csv"} if codes.is_dir() else set()
        return tuple(sorted(found | {MESSAGE_TYPES}))

    def code_list(self, name: str) -> CodeList:
        """A code list. Raises: CatalogueError FG-STD-009 if there is none of that name."""
        codes = self._lists.get(name)
        if codes is None:
            if name not in self.list_names:
                raise CatalogueError("FG-STD-009", value=name[:80], version=self.version)
            if name == MESSAGE_TYPES:
                codes = self._message_types()
            else:
                codes = read_codes(self.folder / "codes" / f"{name}.csv")
            self._lists[name] = codes
        return codes

    def _message_types(self) -> CodeList:
        rows: dict[str, tuple[Code, ...]] = {}
        for name in self.flow_names:
            flow = self.flow(name)
            for step in flow.steps.values():
                text = Code(step.message_type, f"{flow.zh}：{step.zh}", f"{flow.en}: {step.en}")
                rows[step.message_type] = (text,)
        return CodeList(MESSAGE_TYPES, MappingProxyType(rows))

    def roles_by_type(self, unit_code: str) -> frozenset[str]:
        """Roles that a unit has by its type; empty where the type says nothing."""
        return self._roles_of_type.get(unit_code[6:8], frozenset())

    def schema_files(self, flow: str) -> tuple[Path, ...]:
        """The XSD files a message of `flow` is judged by; flow empty = the frame alone."""
        frame = self.folder / "xsd" / "message.xsd"
        return (frame, self.flow(flow).schema) if flow else (frame,)

    def declarations(self, flow: str) -> Declarations:
        """What the XSD files of a flow declare; flow empty = the frame alone."""
        found = self._declarations.get(flow)
        if found is None:
            found = self._declarations[flow] = Declarations(
                self.schema_files(flow), self._xsd_files
            )
        return found

    def marks(self, flow: str) -> marks.Marks:
        """Where code lists and check characters apply in messages of a flow."""
        found = self._marks.get(flow)
        if found is None:
            namespace = f"{{{self.flow(flow).namespace}}}"
            declarations = self.declarations(flow)
            bodies = tuple(
                (name, BODY) for name in declarations.global_elements if name.startswith(namespace)
            )
            found = self._marks[flow] = marks.build(
                declarations, ((MESSAGE, ""), *bodies), self._is_settled
            )
        return found

    def quick(self, flow: str) -> QuickTexts:
        """The documents of the quick schema for messages of a flow."""
        found = self._quick.get(flow)
        if found is None:
            types = [step.message_type for step in self.flow(flow).steps.values()]
            found = self._quick[flow] = QuickTexts(
                self._rewriter,
                self.declarations(flow),
                self.schema_files(flow),
                MESSAGE_TYPES,
                types,
                lambda: self.marks(flow).paths,
            )
        return found

    def _is_settled(self, declaration: Declaration) -> bool:
        """Whether its type allows no other values than codes that are in force on every day."""
        checks = declaration.checks
        allowed = [value for name, value in declaration.facets if name == "enumeration"]
        if not (checks.list and allowed) or checks.check:
            return False
        codes = self.code_list(checks.list).codes
        return all(
            any(row.valid_from is None and row.valid_to is None for row in codes.get(value, ()))
            for value in allowed
        )

    def rule_sets(self, flow: str) -> tuple[RuleSet, ...]:
        """The rules for all messages, then those of the flow; a file that is absent has none."""
        found: list[RuleSet] = []
        for path in (self.folder / "xsd" / "common.sch", self.flow(flow).rules):
            if path not in self._rules:
                if not path.is_file():
                    continue
                self._rules[path] = compile_rules(path)
            found.append(self._rules[path])
        return tuple(found)

    def rules_of(self, message_type: str) -> tuple[Rule, ...]:
        """The rules that can find anything in messages of `<flow>.<step>`, those for all first.

        Raises: CatalogueError FG-STD-002, FG-STD-003.
        """
        step = self.step(message_type)
        body = f"{{{self.flow(step.flow).namespace}}}{step.element}"
        straight = self.quick(step.flow).straight(body)
        return tuple(r for s in self.rule_sets(step.flow) for r in applying(s, straight))


def step_of(catalogue: Catalogue, message_type: str) -> Step:
    """The step of `<flow>.<step>`. Raises: CatalogueError FG-STD-002."""
    return catalogue.step(message_type)


def _role(table: Table) -> Role:
    return Role(
        code=table.text("code"),
        zh=table.text("zh"),
        en=table.text("en"),
        unit_types=table.texts("unit_types"),
    )


def _installed() -> Path:
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_standards"
    return packaged if packaged.is_dir() else package.parent / "standards"


def _near(name: str, known: Iterable[str]) -> str:
    return ", ".join(difflib.get_close_matches(name[:80], list(known), n=3, cutoff=0.4)) or "-"


def _order(version: str) -> tuple[tuple[int, ...], str]:
    parts = version.split(".")
    return (tuple(int(p) for p in parts) if all(p.isdigit() for p in parts) else (), version)
