"""Layer `rules`: the standard's ISO Schematron, run as XSLT 1.0.

Offers: `compile_rules` (once a flow, the text of a stylesheet that all threads share) and `Rules`
(the compiled stylesheets of one thread).
Guarantees: a stylesheet can neither read nor write anything outside the document (no `document()`,
no files, no network).
Source: ISO/IEC 19757-3:2006; the `fg:` attributes are the standard's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lxml import etree, isoschematron  # type: ignore[attr-defined]  # not in lxml-stubs

from frontgate import safexml
from frontgate.errors import CatalogueError, XmlError
from frontgate.model.finding import Finding, Severity
from frontgate.standard.places import Places
from frontgate.standard.reading import SCHEMA_NS
from frontgate.standard.tree import NO_ACCESS, all_text, select

SCH = "http://purl.oclc.org/dsdl/schematron"
SVRL = "http://purl.oclc.org/dsdl/svrl"
MAX_FINDINGS = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """One assertion of the standard. severity: what a breach means. basis: law article."""

    id: str
    severity: Severity
    zh: str
    en: str
    basis: str
    test: str
    context: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One `.sch` file. stylesheet: XSLT 1.0 that makes an SVRL report."""

    file: str
    rules: Mapping[str, Rule]
    stylesheet: bytes


def compile_rules(path: Path) -> RuleSet:
    """Read and compile one Schematron file.

    Raises: CatalogueError FG-STD-003: not well formed, an assertion without id, texts or basis of
    the standard, an unknown role, a query the processor refuses.
    """
    try:
        root = safexml.parse(path.read_bytes())
    except (OSError, XmlError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None
    rules: dict[str, Rule] = {}
    for node in root.iter(f"{{{SCH}}}assert", f"{{{SCH}}}report"):
        rule = _rule(node, path.name)
        if rule.id in rules:
            raise CatalogueError("FG-STD-003", file=path.name, reason=f"{rule.id} stands twice")
        rules[rule.id] = rule
    try:
        compiled = isoschematron.Schematron(root, store_xslt=True, validate_schema=False)
    except (etree.LxmlError, TypeError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)[:400]) from None
    return RuleSet(path.name, rules, etree.tostring(compiled.validator_xslt))


def _rule(node: etree._Element, file: str) -> Rule:
    identity = node.get("id", "")
    zh = " ".join("".join(_pieces(node)).split())
    en = node.get(f"{{{SCHEMA_NS}}}en", "").strip()
    if not (identity and zh and en):
        reason = f"line {node.sourceline}: an assertion needs id, text and fg:en"
        raise CatalogueError("FG-STD-003", file=file, reason=reason)
    try:
        severity = Severity(node.get("role") or "error")
    except ValueError:
        reason = f"{identity}: role '{node.get('role')}' is none of the severities"
        raise CatalogueError("FG-STD-003", file=file, reason=reason) from None
    parent = node.getparent()
    return Rule(
        id=identity,
        severity=severity,
        zh=zh,
        en=en,
        basis=node.get(f"{{{SCHEMA_NS}}}basis", "").strip(),
        test=node.get("test", ""),
        context=parent.get("context", "") if parent is not None else "",
    )


def _pieces(node: etree._Element) -> Iterator[str]:
    yield node.text or ""
    for child in node:
        if child.tag == f"{{{SCH}}}value-of":
            yield f"〔{child.get('select', '')}〕"
        elif isinstance(child.tag, str):
            yield all_text(child)
        yield child.tail or ""


class Rules:
    """Compiled rule sets of one thread."""

    def __init__(self, sets: tuple[RuleSet, ...]) -> None:
        self._sets = tuple(
            (s, etree.XSLT(safexml.parse(s.stylesheet), access_control=NO_ACCESS)) for s in sets
        )

    def check(self, root: etree._Element, places: Places) -> Iterator[Finding]:
        """Findings of all rules, file by file, in the order of the report.

        root: a message that the schema accepted. Raises: CatalogueError FG-STD-014 where a rule
        fails while it runs.
        """
        for rule_set, transform in self._sets:
            try:
                report = transform(root)
            except etree.XSLTApplyError as error:
                raise CatalogueError(
                    "FG-STD-014", file=rule_set.file, reason=str(error)[:200]
                ) from None
            top = report.getroot()
            if top is None:
                raise CatalogueError("FG-STD-014", file=rule_set.file, reason="no report")
            seen: set[tuple[str, str]] = set()
            for hit in top.iter(f"{{{SVRL}}}failed-assert", f"{{{SVRL}}}successful-report"):
                key = hit.get("id", ""), hit.get("location", "")
                if key not in seen and len(seen) < MAX_FINDINGS:
                    seen.add(key)
                    yield _finding(rule_set.rules[key[0]], hit, root, places)


def _finding(rule: Rule, hit: etree._Element, root: etree._Element, places: Places) -> Finding:
    text = hit.find(f"{{{SVRL}}}text")
    zh = all_text(text) if text is not None else ""
    found = select(root, hit.get("location", "/"), {})
    place = found[0] if found else root
    element = place if isinstance(place, etree._Element) else root
    leaf = len(element) == 0
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        zh=zh or rule.zh,
        en=rule.en,
        line=places.line(element),
        xpath=places.xpath(element),
        value=(element.text or "").strip()[:200] if leaf else "",
        basis=rule.basis,
    )
