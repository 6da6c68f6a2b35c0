"""The next message of a case: all that is known filled in, what is new left open and named.

Offers: `Draft`, `write_draft`. A draft is valid but for the places it lists: there an empty element
stands, with a comment before it that says what belongs there.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from datetime import datetime

from lxml import etree

from frontgate.model.message import MESSAGE_NS, MessageView
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.codecheck import LEGAL_ZONE
from frontgate.standard.declarations import Declaration, Declarations
from frontgate.standard.documents import holds
from frontgate.standard.flows import Step
from frontgate.standard.known import PERSON, PERSON_UID, Known, lasting_of, library_type
from frontgate.standard.places import Places
from frontgate.standard.reading import prefixes
from frontgate.values import Struct

_M = f"{{{MESSAGE_NS}}}"
_MAX_DEPTH = 24
_STAGE = "CaseStage"
"""The stage of the case: of the message's own step, whatever an earlier one said."""


class Open(Struct, frozen=True):
    """A place that is left to be filled. xpath: with the standard's prefixes. codes: a code list."""

    xpath: str
    zh: str
    en: str
    type_name: str
    codes: str


class Draft(Struct, frozen=True):
    """data: UTF-8 XML. answers: MessageId of the message that it replies to, empty if none."""

    data: bytes
    to_fill: tuple[Open, ...]
    answers: str


def write_draft(
    catalogue: Catalogue,
    message_type: str,
    known: Known,
    *,
    sender: str,
    case_uid: str,
    now: datetime,
    persons: tuple[str, ...] = (),
    reply_to: str = "",
) -> Draft:
    """Draft a message of `message_type` for a case.

    known: what the case's messages said. sender: our unit's code. persons: whom it is about; all
    of the case if empty. reply_to: MessageId of the message it answers; empty: the newest that it
    may answer. Raises: CatalogueError FG-STD-002.
    """
    step = catalogue.step(message_type)
    return _Writer(catalogue, step, known, persons or tuple(known.persons)).write(
        sender, case_uid, now, reply_to
    )


class _Writer:
    def __init__(
        self, catalogue: Catalogue, step: Step, known: Known, persons: tuple[str, ...]
    ) -> None:
        self._catalogue = catalogue
        self._step = step
        self._known = known
        self._persons = persons
        self._declarations: Declarations = catalogue.declarations(step.flow)
        self._lasting = lasting_of(catalogue)
        self._open: list[tuple[etree._Element, Declaration | None, str, str]] = []
        self._names = dict(prefixes(step.flow))
        self._stage = step.stage or self._last_stage()

    def write(self, sender: str, case_uid: str, now: datetime, reply_to: str) -> Draft:
        root = etree.Element(f"{_M}Message", nsmap=self._names, standard=self._catalogue.version)
        asked = self._asked(sender, reply_to)
        header = etree.SubElement(root, f"{_M}Header")
        body = etree.SubElement(root, f"{_M}Body")
        top = self._declarations.root(
            f"{{{self._catalogue.flow(self._step.flow).namespace}}}{self._step.element}"
        )
        assert top is not None, "a step names an element of its flow's schema"
        content = etree.SubElement(body, top.name)
        single = any(d.local == PERSON_UID for d in self._declarations.children(top))
        person = self._persons[0] if single and self._persons else ""
        about = (person,) if person else self._persons
        self._fill(content, top, person, 0)
        self._header(header, sender, case_uid, about, now, asked)
        self._documents(root)
        etree.cleanup_namespaces(root, top_nsmap=self._names)
        etree.indent(root)
        places = Places(self._declarations, self._names)
        to_fill = tuple(self._told(places))
        self._comment()
        data = etree.tostring(root, xml_declaration=True, encoding="UTF-8") + b"\n"
        return Draft(data, to_fill, asked.header.message_id if asked is not None else "")

    # -- the frame -----------------------------------------------------------------------------

    def _asked(self, sender: str, reply_to: str) -> MessageView | None:
        """The message that this one answers: the one named, else the newest that it may answer."""
        for view in reversed(self._known.messages):
            flow, _, name = view.header.message_type.partition(".")
            if reply_to:
                if view.header.message_id == reply_to:
                    return view
            elif (
                flow == self._step.flow
                and name in self._step.answers
                and view.header.sender != sender
            ):
                return view
        return None

    def _instance(self, asked: MessageView | None) -> MessageView | None:
        """The newest message of the instance that this one goes on with."""
        if asked is not None or self._step.opens:
            return asked
        for view in reversed(self._known.messages):
            if view.header.message_type.partition(".")[0] == self._step.flow:
                return view
        return None

    def _header(
        self,
        header: etree._Element,
        sender: str,
        case_uid: str,
        persons: tuple[str, ...],
        now: datetime,
        asked: MessageView | None,
    ) -> None:
        def put(name: str, text: str) -> None:
            if text:
                etree.SubElement(header, _M + name).text = text

        instance = self._instance(asked)
        put("MessageType", self._step.message_type)
        put("FlowUid", instance.header.flow_uid if instance is not None else "")
        put("InReplyTo", asked.header.message_id if asked is not None else "")
        put("Sender", sender)
        receiver = self._receiver(sender, instance)
        if receiver:
            put("Receiver", receiver)
        else:
            self._leave(header, f"{_M}Receiver", "收件单位代码", "code of the receiving unit")
        put("CaseUid", case_uid)
        put(_STAGE, self._stage)
        for person in persons:
            put("PersonUid", person)
        put("BusinessTime", now.astimezone(LEGAL_ZONE).isoformat(timespec="seconds"))
        put("Urgency", "1")
        last = self._known.messages[-1].header if self._known.messages else None
        put("Confidentiality", last.confidentiality if last is not None else "2")

    def _last_stage(self) -> str:
        stages = [v.header.case_stage for v in self._known.messages if v.header.case_stage]
        return stages[-1] if stages else ""

    def _receiver(self, sender: str, instance: MessageView | None) -> str:
        """Who is at the other end of the instance; else the last party that may receive it."""
        parties: list[str] = []
        for view in ([instance] if instance is not None else []) + self._known.messages[::-1]:
            parties += [
                view.header.sender,
                *(a.code for a in view.header.receivers if not a.scheme),
            ]
        for code in parties:
            roles = self._catalogue.roles_by_type(code)
            if code != sender and (
                "any" in self._step.to_roles or roles & set(self._step.to_roles)
            ):
                return code
        return ""

    # -- the body ------------------------------------------------------------------------------

    def _fill(self, parent: etree._Element, declared: Declaration, person: str, depth: int) -> None:
        chosen = False  # whether the run of alternatives just passed has one already
        children = self._declarations.children(declared)
        for position, child in enumerate(children):
            if not child.choice:
                chosen = False
            elif chosen:
                continue
            is_last = position + 1 == len(children) or not children[position + 1].choice
            made = self._child(
                parent, child, person, depth, must=child.min > 0 and not child.choice
            )
            if child.choice:
                chosen = made
                if is_last and not made and child.min > 0:
                    self._child(parent, child, person, depth, must=True)

    def _child(
        self, parent: etree._Element, child: Declaration, person: str, depth: int, *, must: bool
    ) -> bool:
        """Write what is known of one element; leave it open where it must be. Whether any stands."""
        group = library_type(child)
        if group in self._lasting.groups:
            found = self._known.group(group, person)
            if group == PERSON and not person:
                found = [e for p in self._persons for e in self._known.group(PERSON, p)[:1]]
            for element in found[: child.max if child.max > 0 else len(found)]:
                taken = etree.SubElement(parent, child.name)  # not a copy: it keeps old prefixes
                taken.extend(copy.deepcopy(inner) for inner in element.iterchildren("*"))
                for inner in taken:
                    if self._stage and etree.QName(inner).localname == _STAGE:
                        inner.text = self._stage
            if found:
                return True
        elif self._is_per_person(child):
            for one in self._persons[: child.max if child.max > 0 else None]:
                self._fill(etree.SubElement(parent, child.name), child, one, depth + 1)
            if self._persons:
                return True
        inside = self._declarations.children(child)
        value = "" if inside else self._value(child, person)
        if value:
            etree.SubElement(parent, child.name).text = value
            return True
        if not must:
            return False
        if inside and depth < _MAX_DEPTH:
            self._fill(etree.SubElement(parent, child.name), child, person, depth + 1)
        else:
            self._leave(parent, child.name, child.zh, child.en, child)
        return True

    def _is_per_person(self, child: Declaration) -> bool:
        """Whether the element repeats for each person: it holds a PersonUid or a Person."""
        return child.max != 1 and any(
            d.local == PERSON_UID or library_type(d) == PERSON
            for d in self._declarations.children(child)
        )

    def _value(self, child: Declaration, person: str) -> str:
        if child.local == PERSON_UID and person:
            return person
        if child.local == _STAGE:
            return self._stage
        if child.local in self._lasting.within:
            return self._known.value(f"{self._step.flow}/{child.local}", person)
        return self._known.value(child.local, person) if child.local in self._lasting.fields else ""

    # -- documents -----------------------------------------------------------------------------

    def _documents(self, root: etree._Element) -> None:
        """A place for each document that the step asks for."""
        titles = self._catalogue.code_list("doc-type")
        wanted = [
            rule
            for rule in self._step.documents
            if rule.min and holds(rule.when, root, self._names)
        ]
        if not wanted:
            return
        documents = etree.SubElement(root, f"{_M}Documents")
        for rule in wanted:
            for _ in range(rule.min):
                document = etree.SubElement(documents, f"{_M}Document")
                kind = rule.types[0]
                for name, text in (
                    ("DocUid", str(uuid.uuid4())),
                    ("DocType", kind),
                    ("Title", titles.text(kind) or kind),
                    ("Carrier", "network"),
                ):
                    etree.SubElement(document, _M + name).text = text
                self._leave(document, f"{_M}FileName", "files/ 下的文件名", "its name under files/")
                self._leave(document, f"{_M}Bytes", "字节数", "its size in bytes")

    # -- what is open --------------------------------------------------------------------------

    def _leave(
        self,
        parent: etree._Element,
        name: str,
        zh: str,
        en: str,
        declared: Declaration | None = None,
    ) -> None:
        self._open.append((etree.SubElement(parent, name), declared, zh, en))

    def _told(self, places: Places) -> Iterator[Open]:
        for element, declared, zh, en in self._open:
            yield Open(
                places.xpath(element),
                zh,
                en,
                declared.type_name if declared is not None else "",
                declared.checks.list if declared is not None else "",
            )

    def _comment(self) -> None:
        """A comment before each open place."""
        for element, declared, zh, en in self._open:
            kind = f" · {declared.type_name}" if declared is not None else ""
            codes = declared.checks.list if declared is not None else ""
            text = f" 待填 TO FILL: {zh} {en}{kind}" + (f" · {codes}" if codes else "") + " "
            note = etree.Comment(text.replace("--", "- -"))
            before = element.getprevious()
            parent = element.getparent()
            assert parent is not None
            note.tail = (parent.text if before is None else before.tail) or ""
            element.addprevious(note)
