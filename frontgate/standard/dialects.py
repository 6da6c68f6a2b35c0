"""A unit's own dialect of the standard: names and codes mapped by a table, with optional XSLT 1.0.

Offers: `Dialect`, `read_dialect`. A dialect is a folder: `dialect.toml` (name, version, standard),
`mapping.csv` (what, name, theirs, standard), `to-standard.xsl` and `from-standard.xsl` if wanted.
Guarantees: the same mapping serves both ways; nothing outside the document is read; what it makes
is checked like any other message, so a wrong mapping refuses and never lies.
Fails: `CatalogueError` FG-STD-015 for a dialect that cannot be used, FG-STD-016 for a message that
it cannot convert.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError
from frontgate.model.message import MESSAGE_NS
from frontgate.standard.reading import TYPES_NS
from frontgate.standard.tree import NO_ACCESS
from frontgate.values import Struct

_BODY_PREFIX = "b"
_PREFIXES = {"m": MESSAGE_NS, "t": TYPES_NS}


class Dialect(Struct, frozen=True):
    """names: element of the dialect → element of the standard, as `m:`, `t:` or `b:Name`. codes:
    (element of the standard, code of the dialect) → code of the standard."""

    name: str
    version: str
    names: Mapping[str, str]
    codes: Mapping[tuple[str, str], str]
    to_xsl: etree.XSLT | None
    from_xsl: etree.XSLT | None

    @property
    def label(self) -> str:
        """As receipts name it."""
        return f"{self.name} {self.version}"

    def to_standard(self, data: bytes) -> bytes:
        """A message of the standard from one of the dialect. Returns: UTF-8 with declaration.

        Raises: XmlError; CatalogueError FG-STD-016.
        """
        root = safexml.parse(data)
        if self.to_xsl is not None:
            root = _transform(self.to_xsl, root)
        flow = _flow_of(root, self.names)
        for node in root.iter("*"):
            qname = etree.QName(node)
            standard = self.names.get(qname.localname)
            if standard is not None:
                node.tag = _tag(standard, flow)
        for node in root.iter("*"):
            text = (node.text or "").strip()
            code = self.codes.get((_short(node), text)) if text else None
            if code is not None:
                node.text = code
        etree.cleanup_namespaces(root, top_nsmap={**_PREFIXES, _BODY_PREFIX: _body(flow)})
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")

    def from_standard(self, data: bytes) -> bytes:
        """A message of the dialect from one of the standard. Raises: as `to_standard`."""
        root = safexml.parse(data)
        codes = {(name, ours): theirs for (name, theirs), ours in self.codes.items()}
        names = {standard: local for local, standard in self.names.items()}
        for node in root.iter("*"):
            text = (node.text or "").strip()
            theirs = codes.get((_short(node), text)) if text else None
            if theirs is not None:
                node.text = theirs
        for node in root.iter("*"):
            local = names.get(_short(node))
            if local is not None:
                node.tag = local
        if self.from_xsl is not None:
            root = _transform(self.from_xsl, root)
        etree.cleanup_namespaces(root)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _body(flow: str) -> str:
    return f"urn:frontgate:{flow}:1"


def _flow_of(root: etree._Element, wanted: Mapping[str, str]) -> str:
    """The flow that MessageType names, whatever the dialect calls that element."""
    local = next((k for k, v in wanted.items() if v == "m:MessageType"), "MessageType")
    for node in root.iter("*"):
        if etree.QName(node).localname in (local, "MessageType"):
            return (node.text or "").strip().partition(".")[0]
    raise CatalogueError("FG-STD-016", reason=f"no element {local} (MessageType)")


def _tag(standard: str, flow: str) -> str:
    prefix, _, local = standard.partition(":")
    return f"{{{_PREFIXES.get(prefix, _body(flow))}}}{local}"


def _short(node: etree._Element) -> str:
    qname = etree.QName(node)
    prefix = next((p for p, ns in _PREFIXES.items() if ns == qname.namespace), _BODY_PREFIX)
    return f"{prefix}:{qname.localname}"


def _transform(xslt: etree.XSLT, root: etree._Element) -> etree._Element:
    try:
        result = xslt(root).getroot()
    except etree.XSLTError as error:
        raise CatalogueError("FG-STD-016", reason=str(error)[:200]) from None
    if result is None:
        raise CatalogueError("FG-STD-016", reason="the XSLT made nothing")
    return result


def read_dialect(folder: Path) -> Dialect:
    """Read a dialect's folder. Raises: CatalogueError FG-STD-015 with the reason."""
    try:
        head = tomllib.loads((folder / "dialect.toml").read_text("utf-8"))
        rows = list(csv.DictReader(io.StringIO((folder / "mapping.csv").read_text("utf-8-sig"))))
        names: dict[str, str] = {}
        codes: dict[tuple[str, str], str] = {}
        for number, row in enumerate(rows, 2):
            what, name = row["what"].strip(), (row["name"] or "").strip()
            theirs, ours = row["theirs"].strip(), row["standard"].strip()
            prefixed = ours if what == "field" else name
            if prefixed.partition(":")[0] not in ("m", "t", "b") or not theirs or not ours:
                raise ValueError(f"mapping.csv line {number}: prefix m:, t: or b: and both values")
            if what == "field" and names.setdefault(theirs, ours) != ours:
                raise ValueError(f"mapping.csv line {number}: {theirs} stands for two elements")
            if what == "code" and codes.setdefault((name, theirs), ours) != ours:
                raise ValueError(f"mapping.csv line {number}: {theirs} stands for two codes")
            if what not in ("field", "code"):
                raise ValueError(f"mapping.csv line {number}: what is field or code")
        if len(set(names.values())) != len(names):
            raise ValueError("mapping.csv: two names for one element")
        return Dialect(
            str(head["name"]),
            str(head["version"]),
            names,
            codes,
            _stylesheet(folder / "to-standard.xsl"),
            _stylesheet(folder / "from-standard.xsl"),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, ValueError, AttributeError) as error:
        raise CatalogueError("FG-STD-015", path=str(folder), reason=str(error)[:300]) from None


def _stylesheet(path: Path) -> etree.XSLT | None:
    if not path.is_file():
        return None
    try:
        return etree.XSLT(safexml.parse(path.read_bytes()), access_control=NO_ACCESS)
    except etree.XSLTParseError as error:
        raise ValueError(f"{path.name}: {error}") from None
