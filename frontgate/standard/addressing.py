"""Sender and receivers of a message against a unit directory, offline, as its gateway would judge them.

Guarantees: says what a gateway says when it prepares the message, in its order, each with its place in
the message; reads no clock and no network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from lxml import etree

from frontgate.core import routing
from frontgate.model.envelope import Envelope
from frontgate.model.finding import Finding, finding
from frontgate.model.message import MESSAGE_NS, Address, MessageView
from frontgate.model.unit import Directory
from frontgate.standard.catalogue import Standards
from frontgate.standard.copies import copies
from frontgate.standard.tree import line_of, text_of
from frontgate.values import replace

_M = f"{{{MESSAGE_NS}}}"
FILE = "message.xml"


def check_parties(
    standards: Standards,
    root: etree._Element,
    view: MessageView,
    directory: Directory,
    homes: Collection[str] = (),
    *,
    refused: bool = False,
) -> Iterator[Finding]:
    """FG-RTE-001 to 010 and FG-STD-012: what the directory says of sender, receivers and copies.

    homes: the units whose folder may take the message; empty = not known. refused: the other checks
    refuse it, so that a gateway would not ask for rights and copies.
    """
    yield from (_placed(f, root) for f in _judge(standards, root, view, directory, homes, refused))


def _judge(
    standards: Standards,
    root: etree._Element,
    view: MessageView,
    directory: Directory,
    homes: Collection[str],
    refused: bool,
) -> Sequence[Finding]:
    header = view.header
    found: list[Finding] = []
    if homes and header.sender not in homes:
        found.append(finding("FG-RTE-010", value=header.sender, unit=", ".join(homes)))
    receivers, misses = routing.resolve_all(header.receivers, directory)
    found += misses
    if refused or found:
        return found
    catalogue = standards.version(header.standard)
    step = catalogue.step(header.message_type)
    full = replace(header, receivers=tuple(Address(code) for code in receivers))
    copied, unmade = copies(catalogue, root, replace(view, header=full), directory)
    envelope = Envelope(header=full, receivers=tuple(receivers), copies=copied)
    roles = routing.StepRoles(step.from_roles, step.to_roles)
    return [*unmade, *routing.judge(envelope, directory, roles)]


def _placed(found: Finding, root: etree._Element) -> Finding:
    """With the line of the sender or receiver that it speaks of, where one has that code."""
    number = 0
    for element in root.iterfind(f"{_M}Header/*"):
        name = str(element.tag).removeprefix(_M)
        number += name == "Receiver"
        if name in ("Sender", "Receiver") and text_of(element) == found.value:
            step = "Sender" if name == "Sender" else f"Receiver[{number}]"
            xpath = f"/m:Message/m:Header/m:{step}"
            return replace(found, file=FILE, line=line_of(element), xpath=xpath)
    return replace(found, file=FILE)
