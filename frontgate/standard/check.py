"""The checker: from the bytes of a message to a report of all that is wrong with it.

Guarantees: the message is parsed once; every layer reports all it finds (up to a bound that is
said); codes, rules and documents are judged only on what the schema accepted, so that one mistake
isn't told five times. A verdict depends on the bytes, the standard and the facts of the files
alone: no clock, no network.
Fails: only for a standard that is itself broken (`CatalogueError` FG-STD-003, 009, 014); what is
wrong with a message is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from functools import cached_property

from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError, XmlError
from frontgate.model.finding import Finding, Report, Severity, finding, finding_of
from frontgate.model.message import MESSAGE_NS, MessageView
from frontgate.standard.catalogue import Catalogue, Standards
from frontgate.standard.codecheck import CodeCheck, record_date
from frontgate.standard.documents import FileFact, check_documents, check_files, check_names
from frontgate.standard.flows import Step
from frontgate.standard.places import Places
from frontgate.standard.plain_types import wanted
from frontgate.standard.quick import QuickSchema, Trust
from frontgate.standard.reading import prefixes
from frontgate.standard.rules import Rules
from frontgate.standard.schema import compile_schema, flood, flooded, validate
from frontgate.standard.tree import line_of
from frontgate.standard.view import body_of, read_view
from frontgate.values import Struct

XSD = "xsd"
CODES = "codes"
RULES = "rules"
DOCUMENTS = "documents"
ALL_LAYERS: frozenset[str] = frozenset({XSD, CODES, RULES, DOCUMENTS})
FLOOD_BYTES = 1 << 16
"""Larger messages are asked first, as a stream, whether they are wrong in very many places."""
QUICK_BYTES = 1 << 17
"""Larger messages go the plain way at once: each complaint of a schema costs libxml2 a count of the
siblings before, and the quick schema complains of wrong codes too, which the plain way counts to 200.
"""
FILE = "message.xml"
"""How findings name the message inside a drop or package."""

_M = f"{{{MESSAGE_NS}}}"


class Checked(Struct, frozen=True):
    """view, root: None if the header cannot be read. root: the parsed message, not to be changed."""

    report: Report
    view: MessageView | None
    root: etree._Element | None = None


class Read(Struct, frozen=True):
    """A message that was parsed and whose header can be read. root: not to be changed."""

    view: MessageView
    root: etree._Element


class _Tools:
    """What one thread needs for one flow; the hub asks for the schema alone."""

    def __init__(self, catalogue: Catalogue, flow: str) -> None:
        self._catalogue = catalogue
        self._flow = flow
        self.places = Places(catalogue.declarations(flow), prefixes(flow))

    @cached_property
    def schema(self) -> etree.XMLSchema:
        return compile_schema(self._catalogue, self._flow)

    @cached_property
    def quick(self) -> QuickSchema:
        return QuickSchema(self._catalogue.quick(self._flow))

    @cached_property
    def codes(self) -> CodeCheck | None:
        return CodeCheck(self._catalogue, self._flow) if self._flow else None

    @cached_property
    def rules(self) -> Rules | None:
        if not self._flow:
            return None
        return Rules(self._catalogue.rule_sets(self._flow), self._catalogue.quick(self._flow))


class Checker:
    """Judges messages. One per thread: compiled schemas and stylesheets are not shared."""

    def __init__(self, standards: Standards) -> None:
        self._standards = standards
        self._tools: dict[tuple[str, str], _Tools] = {}

    def read(self, data: bytes) -> MessageView:
        """Header and documents, without validating them.

        data: strict UTF-8 XML. Raises: XmlError; CatalogueError FG-STD-001 (version), 002 (type),
        004 (not a Message), 005 (no Header or MessageType).
        """
        return self.parse(data).view

    def parse(self, data: bytes) -> Read:
        """`read`, with the tree: whoever checks the same bytes next need not parse them again."""
        root = safexml.parse(data)
        view = read_view(root)
        self._standards.version(view.header.standard).step(view.header.message_type)
        return Read(view, root)

    def check(
        self,
        data: bytes,
        *,
        files: Mapping[str, FileFact] | None,
        layers: frozenset[str] = ALL_LAYERS,
        minted: bool = False,
        parsed: Read | None = None,
    ) -> Checked:
        """Judge a message in the layers asked for.

        files: what lies beside the message, by FileName in NFC; None = files are not judged.
        minted: MessageId and FlowUid must be there, as they are after the gateway's intake.
        parsed: what `parse` made of these very bytes.
        """
        if parsed is not None:
            root, view = parsed.root, parsed.view
        else:
            try:
                root = safexml.parse(data)
                view = read_view(root)
            except (XmlError, CatalogueError) as error:
                return Checked(Report((_in_message(finding_of(error)),)), None)
        found = tuple(map(_in_message, self._judge(root, view, files, layers, minted, data)))
        return Checked(Report(found), view, root)

    def _judge(
        self,
        root: etree._Element,
        view: MessageView,
        files: Mapping[str, FileFact] | None,
        layers: frozenset[str],
        minted: bool,
        data: bytes,
    ) -> Iterator[Finding]:
        try:
            catalogue = self._standards.version(view.header.standard)
        except CatalogueError as error:
            if error.code != "FG-STD-001":
                raise
            yield finding_of(error, line=1)
            return
        try:
            step = catalogue.step(view.header.message_type)
        except CatalogueError as error:
            if error.code != "FG-STD-002":
                raise
            yield finding_of(error, line=_line(root, "MessageType"))
            if XSD in layers:  # the frame can still be judged; its body cannot
                tools = self._tools_of(catalogue, "")
                yield from _flood(tools, root, data) or validate(
                    tools.schema, root, tools.places, skip=view.body_tag
                )
            return
        tools = self._tools_of(catalogue, step.flow)
        on: date | None = None
        if CODES in layers:
            with suppress(ValueError):  # beyond the years that codes know, or no time at all
                on = record_date(view.header.business_time)
        trust = Trust.NOTHING
        if XSD in layers:
            many = _flood(tools, root, data)
            if not many and len(data) <= QUICK_BYTES:
                # Where the codes are not asked about, marks need not be known either.
                trust = tools.quick.judge(root, on, view.body_tag if on is not None else "")
            refused = (*_kind(root, view, catalogue, step, tools.places, minted), *many)
            if trust is Trust.NOTHING and not many:
                refused += validate(tools.schema, root, tools.places)
            yield from refused
            if any(f.severity.refuses for f in refused):
                return
        if CODES in layers and tools.codes is not None:
            if on is None:
                yield _undated(root, view, tools.places)
            else:
                names = tools.codes.left if trust is Trust.CODES else tools.codes.open
                yield from tools.codes.check(
                    root, on, tools.places, names=names if XSD in layers else None
                )
        if RULES in layers and tools.rules is not None:
            body = view.body_tag if trust is Trust.CODES else ""
            yield from tools.rules.check(root, tools.places, body=body)
        if DOCUMENTS in layers:
            yield from check_documents(root, view, step, catalogue)
            yield from check_names(view)
            if files is not None:
                yield from check_files(view, files)

    def _tools_of(self, catalogue: Catalogue, flow: str) -> _Tools:
        key = catalogue.version, flow
        tools = self._tools.get(key)
        if tools is None:
            tools = self._tools[key] = _Tools(catalogue, flow)
        return tools


def _flood(tools: _Tools, root: etree._Element, data: bytes) -> tuple[Finding, ...]:
    """Findings where a large message is wrong in very many places; else none."""
    if len(data) <= FLOOD_BYTES:
        return ()
    complaints = flood(tools.schema, data)
    return flooded(root, complaints, tools.places) if complaints else ()


def _kind(
    root: etree._Element,
    view: MessageView,
    catalogue: Catalogue,
    step: Step,
    places: Places,
    minted: bool,
) -> Iterator[Finding]:
    """What the message says of itself: its type against its body, its parties, its ids."""
    flow = catalogue.flow(step.flow)
    expected = f"{{{flow.namespace}}}{step.element}"
    body = body_of(root) if view.body_tag != expected else None
    if body is not None:
        yield finding(
            "FG-STD-007",
            line=places.line(body),
            xpath=places.xpath(body),
            value=str(body.tag),
            type=step.message_type,
            expected=expected,
        )
    if minted:
        for name, value in (
            ("MessageId", view.header.message_id),
            ("FlowUid", view.header.flow_uid),
        ):
            if not value:
                yield finding("FG-STD-008", xpath="/m:Message/m:Header", value=name)
    parties = [("发件单位", "the sender", view.header.sender, step.from_roles)]
    parties += [
        ("收件单位", "the receiver", address.code, step.to_roles)
        for address in view.header.receivers
        if not address.scheme
    ]
    for zh, en, code, roles in parties:
        usual = catalogue.roles_by_type(code)
        if usual and roles and usual.isdisjoint(roles) and "any" not in roles:
            yield finding(
                "FG-STD-006",
                Severity.WARNING,
                line=_line(root, "Sender"),
                xpath="/m:Message/m:Header",
                value=code,
                party_zh=zh,
                party_en=en,
                type=step.message_type,
                roles=", ".join(roles),
            )


def _undated(root: etree._Element, view: MessageView, places: Places) -> Finding:
    name = f"{_M}BusinessTime"
    zh, en = wanted("dateTime", view.header.business_time)
    return finding(
        "FG-XSD-006",
        line=_line(root, "BusinessTime"),
        xpath="/m:Message/m:Header/m:BusinessTime",
        value=view.header.business_time,
        facet_zh=zh,
        facet_en=en,
        **places.names(name),
    )


def _line(root: etree._Element, name: str) -> int | None:
    return line_of(root.find(f"{_M}Header/{_M}{name}"))


def _in_message(found: Finding) -> Finding:
    """Name the message as the file, where the finding names none."""
    if found.file:
        return found
    return Finding(
        rule=found.rule,
        severity=found.severity,
        zh=found.zh,
        en=found.en,
        file=FILE,
        line=found.line,
        xpath=found.xpath,
        value=found.value,
        basis=found.basis,
        advice_zh=found.advice_zh,
        advice_en=found.advice_en,
    )
