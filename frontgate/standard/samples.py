"""Samples of the standard: found in its folders, written as drops, broken on purpose.

Offers: `Sample`, `samples_of`, `write_drop`, `BREAKS`.
A sample's files are real small files of exactly the stated length, made here: the standard holds
the messages only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError, XmlError
from frontgate.model.message import Carrier, DocumentRef
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.check import Checker
from frontgate.standard.documents import is_safe_name
from frontgate.standard.fields import Field, fields_of
from frontgate.values import Struct

_TYPE = re.compile(rb"<(?:[\w.-]+:)?MessageType>\s*([^<]{1,80}?)\s*<")
_RULE = re.compile(r"FG-[A-Za-z0-9-]+?-\d{3}(?![0-9])")

BREAKS: Mapping[str, tuple[str, str]] = {
    "FG-DOC-002": ("少放一个文件", "leaves a listed file out"),
    "FG-DOC-003": ("一个文件少一个字节", "makes a file one byte too short"),
    "FG-DOC-005": ("多放一个文件", "adds a file that is not listed"),
}
"""Rules that a drop breaks by its files alone: any valid sample can show them."""


class Sample(Struct, frozen=True):
    """A message of the standard. rule: what an invalid one breaks, empty for a valid one."""

    name: str
    message_type: str
    rule: str
    path: Path

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


def rule_of(stem: str) -> str:
    """The rule that an invalid sample is named after: `FG-common-001-2` → `FG-common-001`.

    A name without a number stands for its whole family: `FG-XSD-order` → `FG-XSD`.
    """
    exact = _RULE.match(stem)
    return exact.group(0) if exact else "-".join(stem.split("-")[:2])


def samples_of_flow(catalogue: Catalogue, flow: str) -> tuple[Sample, ...]:
    """All samples of a flow, valid ones first, by name."""
    folder = catalogue.flow(flow).folder / "samples"
    found: list[Sample] = []
    for kind in ("valid", "invalid"):
        for path in sorted((folder / kind).glob("*.xml")):
            hit = _TYPE.search(path.read_bytes())
            kind_of = hit.group(1).decode("utf-8", "replace") if hit else ""
            rule = rule_of(path.stem) if kind == "invalid" else ""
            found.append(Sample(path.stem, kind_of, rule, path))
    return tuple(found)


def pick(catalogue: Catalogue, wanted: str, rule: str = "") -> Sample:
    """A sample of a type: the first valid one, or the first that breaks `rule`.

    wanted: `<flow>.<step>`, or `<flow>.<sample>` for a valid sample of another name. rule: an id,
    or an invalid sample's whole name; one of another step of the flow serves where the type's own
    has none.
    Raises: CatalogueError FG-STD-002 (type), FG-STD-010 (no such sample; names those there are).
    """
    flow, _, name = wanted.partition(".")
    every = samples_of_flow(catalogue, flow) if flow in catalogue.flow_names else ()
    valid = [s for s in every if not s.rule]
    by_name = [s for s in valid if s.name == name]
    message_type = by_name[0].message_type if by_name else wanted
    catalogue.step(message_type)
    if not rule or rule in BREAKS:
        fit = by_name or [s for s in valid if s.message_type == message_type]
    else:
        broken = [s for s in every if s.rule and rule in (s.rule, s.name)]
        fit = [s for s in broken if s.message_type == message_type] or broken
    if not fit:
        known = sorted({s.rule or s.name for s in every} | set(BREAKS))
        raise CatalogueError(
            "FG-STD-010", type=wanted, value=rule or "valid", known=", ".join(known)
        )
    return fit[0]


def commented(data: bytes, catalogue: Catalogue, message_type: str) -> bytes:
    """The message with a comment before the first element of each kind: what it means in both
    languages, how often it may come, its type and code list. The message stays what it was.
    """
    try:
        fields = {f.path: f for f in fields_of(catalogue, message_type)}
        root = safexml.parse(data)
    except (CatalogueError, XmlError):
        return data  # a sample that breaks exactly this
    _comment(root, f"/{etree.QName(root).localname}", fields)
    return etree.tostring(root.getroottree(), xml_declaration=True, encoding="UTF-8") + b"\n"


def _comment(parent: etree._Element, path: str, fields: dict[str, Field]) -> None:
    children = [c for c in parent if isinstance(c.tag, str)]
    for child in children:
        below = f"{path}/{etree.QName(child).localname}"
        _comment(child, below, fields)
        field = fields.pop(below, None)
        if field is None:
            continue
        codes = f" · 代码表 list: {field.codes}" if field.codes else ""
        text = f" {field.zh} {field.en} · {field.occurs} · {field.type_name}{codes} "
        before = child.getprevious()
        space = (parent.text if before is None else before.tail) or ""
        note = etree.Comment(text.replace("--", "- -"))
        note.tail = space
        child.addprevious(note)


def write_drop(
    sample: Sample,
    checker: Checker,
    target: Path,
    broken: str = "",
    *,
    catalogue: Catalogue | None = None,
) -> Path:
    """Write a sample as a folder drop under `target`; returns the folder.

    broken: a key of `BREAKS`, to break the drop by its files. catalogue: comments the message.
    Raises: OSError, FileExistsError where the folder is there already.
    """
    data = sample.data
    name = f"{sample.path.parents[2].name}.{sample.name}"
    folder = target / (f"{name}-{broken}" if broken else name)
    folder.mkdir(parents=True)
    shown = commented(data, catalogue, sample.message_type) if catalogue else data
    (folder / "message.xml").write_bytes(shown)
    view = checker.check(data, files=None, layers=frozenset()).view
    documents = [d for d in view.documents if _brings_file(d)] if view is not None else []
    if broken == "FG-DOC-002" and documents:
        documents.pop()
    for position, document in enumerate(documents):
        size = document.size_bytes or 0
        content = filler(document.file_name, size)
        if broken == "FG-DOC-003" and position == 0:
            content = content[:-1]
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / document.file_name).write_bytes(content)
    if broken == "FG-DOC-005":
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / "未列出.txt").write_bytes("未列出的文件\n".encode())
    return folder


def _brings_file(document: DocumentRef) -> bool:
    """Only small, safely named files are made; the samples of the standard have no others."""
    return (
        document.carrier == Carrier.NETWORK
        and is_safe_name(document.file_name)
        and (document.size_bytes or 0) <= 1 << 20
    )


_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n"
)


def filler(name: str, size: int) -> bytes:
    """Content of exactly `size` bytes that suits the name: an empty PDF page, or plain text."""
    if name.lower().endswith(".pdf"):
        offsets = [_PDF.index(b"%d 0 obj" % n) for n in (1, 2, 3)]
        table = b"xref\n0 4\n0000000000 65535 f \n" + b"".join(
            b"%010d 00000 n \n" % o for o in offsets
        )
        tail = b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        for digits in range(2, 8):  # the tail's length depends on the number it holds
            room = size - len(_PDF) - len(table) - len(tail) + 4 - digits
            start = len(_PDF) + room
            if room >= 2 and len(str(start)) == digits:
                padding = b"%" + b" " * (room - 2) + b"\n"
                return _PDF + padding + table + tail % start
    text = "样例文件 sample file\n".encode()
    return (text * (size // len(text) + 1))[:size]
