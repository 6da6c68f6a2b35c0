"""Copies: who gets one by the standard, and the extract that a narrowed copy is.

Source: exchange standard 1.0, rule on copies: cc without a right to decide; detention gets
custody data only.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from frontgate import safexml
from frontgate.core import minting
from frontgate.errors import CatalogueError
from frontgate.model.envelope import Copy
from frontgate.model.finding import Finding, Severity, finding
from frontgate.model.message import MESSAGE_NS, Address, MessageView
from frontgate.model.unit import ACTIVE, Directory, Unit
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.documents import holds
from frontgate.standard.flows import CopyRule, Step
from frontgate.standard.reading import prefixes
from frontgate.standard.tree import NO_ACCESS, select, text_of
from frontgate.standard.view import read_view

_M = f"{{{MESSAGE_NS}}}"
NARROWED = "narrowed"


def copies(
    catalogue: Catalogue, message: bytes | etree._Element, view: MessageView, directory: Directory
) -> tuple[tuple[Copy, ...], tuple[Finding, ...]]:
    """The copies that the message's step asks for, and warnings for those that cannot be made.

    message: its bytes, or parsed. Units come from the rule's XPath, or are the active units of the
    rule's role in the division of sender or receivers (or the nearest above, by the rule). Each unit once, a full copy before a
    narrowed one; receivers and the sender get none. A test message is copied to test units only,
    a real one to no test unit by its role.
    Findings: FG-STD-012 for a named unit that the directory does not know or that is not active.
    """
    step = catalogue.step(view.header.message_type)
    if not step.cc:
        return (), ()
    root = safexml.parse(message) if isinstance(message, bytes) else message
    names = dict(prefixes(step.flow))
    chosen: dict[str, Copy] = {}
    missing: list[Finding] = []
    excluded = {a.code for a in view.header.receivers if not a.scheme} | {view.header.sender}
    for rule in sorted(step.cc, key=lambda r: r.mode):  # "full" sorts before "narrowed"
        if not holds(rule.when, root, names):
            continue
        for unit in _units(rule, root, names, view, directory):
            if isinstance(unit, str):
                missing.append(
                    finding(
                        "FG-STD-012", Severity.WARNING, value=unit, type=view.header.message_type
                    )
                )
            elif unit.code not in excluded and (unit.is_test or not view.header.test_flag):
                chosen.setdefault(unit.code, Copy(unit.code, rule.mode))
    return tuple(chosen.values()), tuple(dict.fromkeys(missing))


def _units(
    rule: CopyRule,
    root: etree._Element,
    names: dict[str, str],
    view: MessageView,
    directory: Directory,
) -> Iterator[Unit | str]:
    """The units of a rule; a string is a code that leads to no active unit."""
    if rule.unit:
        for code in _named(rule, root, names):
            unit = _current(directory, code)
            yield unit if unit is not None and unit.status == ACTIVE else code
        return
    # What the hub writes happens where its receivers are.
    parties = [] if view.header.sender == directory.hub else [view.header.sender]
    for address in view.header.receivers:
        found = directory.find(address.code, address.scheme)
        if found is not None:
            parties.append(found.code)
    # A role leads from real traffic to real units: a trial unit never sees it unless it is named.
    sender = directory.units.get(view.header.sender)
    is_trial = view.header.test_flag or (sender is not None and sender.is_test)
    able = sorted(
        (
            unit
            for unit in directory.units.values()
            if rule.role in unit.roles and unit.status == ACTIVE and not unit.successor
            if is_trial or not unit.is_test
        ),
        key=lambda unit: unit.code,
    )
    served = {_division(unit) for unit in able}
    divisions = {code[:6] for code in parties}
    if rule.nearest:
        divisions = {next((d for d in _upwards(place) if d in served), "") for place in divisions}
    yield from (unit for unit in able if _division(unit) in divisions)


def _division(unit: Unit) -> str:
    return unit.division or unit.code[:6]


def _upwards(division: str) -> tuple[str, str, str]:
    """A division, its city's and its province's: GB/T 2260."""
    return division, f"{division[:4]}00", f"{division[:2]}0000"


def _current(directory: Directory, code: str) -> Unit | None:
    """The unit of that code, or the one that took its place."""
    seen: set[str] = set()
    unit = directory.units.get(code)
    while unit is not None and unit.successor and unit.code not in seen:
        seen.add(unit.code)
        unit = directory.units.get(unit.successor)
    return unit


def _named(rule: CopyRule, root: etree._Element, names: dict[str, str]) -> tuple[str, ...]:
    codes = (
        text_of(hit) if isinstance(hit, etree._Element) else str(hit)
        for hit in select(root, rule.unit, names)
    )
    return tuple(dict.fromkeys(code.strip() for code in codes if code.strip()))


def narrow(catalogue: Catalogue, data: bytes, copy: Copy) -> bytes:
    """The extract of a message for one narrowed copy, by the flow's declared XSLT 1.0.

    data: the completed message. The stylesheet gets the parameter `unit` (unit code of the copy).
    Whatever it writes, the extract has that unit as its only receiver and a MessageId of its own,
    derived from the original's and the unit, so that the same is the same again.
    Returns: UTF-8 with declaration. Raises: CatalogueError FG-STD-011 if the step declares no such
    extract or the stylesheet does not make a message; XmlError.
    """
    root = safexml.parse(data)
    view = read_view(root)
    step = catalogue.step(view.header.message_type)
    rule = _rule_for(step, root, copy, catalogue)
    path = catalogue.flow(step.flow).folder / rule.extract
    try:
        transform = etree.XSLT(safexml.parse(path.read_bytes()), access_control=NO_ACCESS)
        result = transform(root, unit=etree.XSLT.strparam(copy.unit))
    except (OSError, etree.XSLTError) as error:
        raise CatalogueError("FG-STD-011", unit=copy.unit, reason=str(error)[:200]) from None
    top = result.getroot()
    header = top.find(f"{_M}Header") if top is not None and top.tag == f"{_M}Message" else None
    if top is None or header is None:
        raise CatalogueError("FG-STD-011", unit=copy.unit, reason="the XSLT made no Message")
    _readdress(header, view.header.message_id, copy.unit)
    return etree.tostring(top, xml_declaration=True, encoding="UTF-8")


def _rule_for(step: Step, root: etree._Element, copy: Copy, catalogue: Catalogue) -> CopyRule:
    rules = [rule for rule in step.cc if rule.mode == NARROWED]
    names = dict(prefixes(step.flow))
    for rule in rules:
        if rule.unit and copy.unit in _named(rule, root, names):
            return rule
    kinds = catalogue.roles_by_type(copy.unit)
    for rule in rules:
        if rule.role in kinds:
            return rule
    if rules:  # a successor, or a role given by the directory: one extract serves
        return rules[0]
    raise CatalogueError("FG-STD-011", unit=copy.unit, reason="the step declares no extract")


def _readdress(header: etree._Element, original: str, unit: str) -> None:
    receivers = list(header.iterchildren(f"{_M}Receiver"))
    for extra in receivers[1:]:
        header.remove(extra)
    if not receivers:
        raise CatalogueError("FG-STD-011", unit=unit, reason="the XSLT made no Receiver")
    receivers[0].text = unit
    receivers[0].attrib.clear()
    identity = header.find(f"{_M}MessageId")
    if original:
        if identity is None:
            identity = etree.Element(f"{_M}MessageId")
            identity.tail = header.text
            header.insert(0, identity)
        identity.text = extract_id(original, unit)


def extract_id(original: str, unit: str) -> str:
    """The MessageId of the narrowed copy of `original` for `unit`."""
    return minting.message_id(unit, "narrowed", sender_ref=original, revision="", content_digest="")


def resolve_key(address: Address) -> str:
    """The key of an external receiver in `complete`'s ids."""
    return f"{address.scheme}:{address.code}"
