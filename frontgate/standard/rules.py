"""Layer `rules`: the standard's ISO Schematron, run as XSLT 1.0.

Offers: `compile_rules` (once a flow: the rules, a stylesheet's text and one XPath, shared by all
threads) and `Rules` (both compiled, for one thread).
Running a stylesheet copies the document first, which costs more than all rules together. So the
XPath is asked first: is there any node that any rule refuses? Only where it says yes does the
stylesheet run, for the verdict and its words. The XPath may say yes too often (it ignores that a
node is judged by the first rule that fits), never too seldom.
The stylesheet is made here and not by the skeleton of the standard's authors: theirs walks the
whole tree once for every pattern (3.2 ms for ten patterns over 500 elements), this one goes
straight to each rule's context (0.2 ms). Both give the same verdicts; the tests compare them.
Guarantees: a stylesheet can neither read nor write anything outside the document.
Source: ISO/IEC 19757-3:2006 with query binding `xslt`; the `fg:` attributes are the standard's own.
Not supported, and refused by name: abstract patterns and rules, `extends`, `include`, phases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError, XmlError
from frontgate.model.finding import Finding, Severity
from frontgate.standard.compared import compared
from frontgate.standard.places import Places
from frontgate.standard.reading import SCHEMA_NS
from frontgate.standard.straight import Straight, Ways
from frontgate.standard.tree import NO_ACCESS, all_text, select, text_of
from frontgate.values import Struct

SCH = "http://purl.oclc.org/dsdl/schematron"
XSL = "http://www.w3.org/1999/XSL/Transform"
MAX_FINDINGS = 200
"""Findings shown of one rule file."""

_UNSUPPORTED = ("include", "extends", "phase")


class Rule(Struct, frozen=True):
    """One assertion of the standard. severity: what a breach means. basis: law article.

    at: XPath from the context to the element that a breach points at (`fg:at`); empty = where the
    test itself looks, if that is one element. advice_zh, advice_en: what to do (`fg:advice-zh`,
    `fg:advice-en`); empty = a general advice.
    """

    id: str
    severity: Severity
    zh: str
    en: str
    basis: str
    test: str
    context: str
    at: str = ""
    advice_zh: str = ""
    advice_en: str = ""


class RuleSet(Struct, frozen=True):
    """One `.sch` file. stylesheet: XSLT 1.0 that writes one `hit` (id, path, text) a breach.

    suspect: XPath 1.0 that is true of every document in which some rule may be broken; empty
    where the rules use what XPath alone does not know (variables, keys, `current()`). conditions:
    the same in parts, each the paths of a context and the breaches of a node there.
    """

    file: str
    rules: Mapping[str, Rule]
    stylesheet: bytes
    suspect: str
    conditions: tuple[tuple[tuple[str, ...], str], ...]
    names: Mapping[str, str]


def compile_rules(path: Path) -> RuleSet:
    """Read and compile one Schematron file.

    Raises: CatalogueError FG-STD-003: not well formed, an assertion without id or texts, an unknown
    role, a construct that is not supported, an expression that does not compile.
    """
    try:
        root = safexml.parse(path.read_bytes())
    except (OSError, XmlError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None
    _refuse_unsupported(root, path.name)
    rules: dict[str, Rule] = {}
    for node in root.iter(f"{{{SCH}}}assert", f"{{{SCH}}}report"):
        rule = _rule(node, path.name)
        if rule.id in rules:
            raise CatalogueError("FG-STD-003", file=path.name, reason=f"{rule.id} stands twice")
        rules[rule.id] = rule
    stylesheet = _stylesheet(root)
    try:
        etree.XSLT(stylesheet, access_control=NO_ACCESS)
    except etree.XSLTParseError as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)[:400]) from None
    names = {node.get("prefix", ""): node.get("uri", "") for node in root.iter(f"{{{SCH}}}ns")}
    conditions = tuple(_conditions(root))
    suspect = _suspect(root, conditions)
    if suspect:
        try:
            etree.XPath(suspect, namespaces=names)
        except etree.XPathSyntaxError as error:
            raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)[:400]) from None
    return RuleSet(path.name, rules, etree.tostring(stylesheet), suspect, conditions, names)


def _refuse_unsupported(root: etree._Element, file: str) -> None:
    for node in root.iter(f"{{{SCH}}}*"):
        local = etree.QName(node).localname
        if local in _UNSUPPORTED or node.get("abstract") == "true" or node.get("is-a"):
            reason = f"line {node.sourceline}: {local} of this kind is not supported"
            raise CatalogueError("FG-STD-003", file=file, reason=reason)
    binding = root.get("queryBinding", "xslt")
    if binding != "xslt":
        reason = f"queryBinding '{binding}' is not xslt"
        raise CatalogueError("FG-STD-003", file=file, reason=reason)


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
        at=node.get(f"{{{SCHEMA_NS}}}at", "").strip(),
        advice_zh=node.get(f"{{{SCHEMA_NS}}}advice-zh", "").strip(),
        advice_en=node.get(f"{{{SCHEMA_NS}}}advice-en", "").strip(),
    )


def _pieces(node: etree._Element) -> Iterator[str]:
    """The text for readers of the rule itself; values that only a message has show as 〔…〕."""
    yield node.text or ""
    for child in node:
        if child.tag == f"{{{SCH}}}value-of":
            yield "〔…〕"
        elif isinstance(child.tag, str):
            yield all_text(child)
        yield child.tail or ""


def applying(rule_set: RuleSet, straight: Straight | None) -> tuple[Rule, ...]:
    """The rules whose context can stand in messages of one kind; all where its places are unknown."""
    return tuple(
        rule
        for rule in rule_set.rules.values()
        if straight is None or straight.context(_parts(rule.context), rule_set.names)
    )


# -- Schematron to XSLT ----------------------------------------------------------------------------


def _stylesheet(schema: etree._Element) -> etree._Element:
    names = {
        node.get("prefix", ""): node.get("uri", "") for node in schema.iterchildren(f"{{{SCH}}}ns")
    }
    top = etree.Element(f"{{{XSL}}}stylesheet", nsmap={**names, "xsl": XSL}, version="1.0")
    for key in schema.iterchildren(f"{{{XSL}}}key"):
        _xsl(top, "key", **{name: key.get(name, "") for name in ("name", "match", "use")})
    start = _xsl(top, "template", match="/")
    hits = etree.SubElement(start, "hits")
    _lets(schema, hits)
    for pattern in schema.iterchildren(f"{{{SCH}}}pattern"):
        # for-each over the document node: a scope of its own for the pattern's variables
        scope = _xsl(hits, "for-each", select="/")
        _lets(pattern, scope)
        earlier: list[str] = []
        for number, rule in enumerate(pattern.iterchildren(f"{{{SCH}}}rule")):
            name = f"fg-rule-{number}"
            _xsl(scope, "variable", name=name, select=_everywhere(rule.get("context", "")))
            # ISO 19757-3, 6.5: within a pattern a node is judged by the first rule that fits it
            fresh = "".join(f"[count(. | $fg-rule-{n}) != count($fg-rule-{n})]" for n in earlier)
            each = _xsl(scope, "for-each", select=f"${name}{fresh}")
            _lets(rule, each)
            for node in rule.iterchildren(f"{{{SCH}}}assert", f"{{{SCH}}}report"):
                _assertion(node, each)
            earlier.append(str(number))
    return top


def _assertion(node: etree._Element, each: etree._Element) -> None:
    test = node.get("test", "")
    is_assert = node.tag == f"{{{SCH}}}assert"
    breach = _xsl(each, "if", test=f"not({test})" if is_assert else test)
    hit = etree.SubElement(breach, "hit", id=node.get("id", ""))
    path = etree.SubElement(hit, "path")
    steps = _xsl(path, "for-each", select="ancestor-or-self::*")
    _xsl(steps, "text").text = "/*["
    _xsl(steps, "value-of", select="count(preceding-sibling::*) + 1")
    _xsl(steps, "text").text = "]"
    text = etree.SubElement(hit, "text")
    _say(text, node.text)
    for child in node:
        if child.tag == f"{{{SCH}}}value-of":
            _xsl(text, "value-of", select=child.get("select", "."))
        elif child.tag == f"{{{SCH}}}name":
            _xsl(text, "value-of", select=f"local-name({child.get('path', '.')})")
        elif isinstance(child.tag, str):
            _say(text, all_text(child))
        _say(text, child.tail)


def _say(parent: etree._Element, content: str | None) -> None:
    if content:
        _xsl(parent, "text").text = content


def _lets(holder: etree._Element, target: etree._Element) -> None:
    for let in holder.iterchildren(f"{{{SCH}}}let"):
        _xsl(target, "variable", name=let.get("name", ""), select=let.get("value", ""))


def _xsl(parent: etree._Element, local: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{XSL}}}{local}", attributes)


_BY_PLACE = re.compile(r"\b(?:position|last)\s*\(")
_BEYOND_XPATH = re.compile(r"\$|\b(?:current|key|document|generate-id|format-number)\s*\(")


def _conditions(schema: etree._Element) -> Iterator[tuple[tuple[str, ...], str]]:
    """See `RuleSet.conditions`: one a rule."""
    for rule in schema.iter(f"{{{SCH}}}rule"):
        breaches = [
            f"not({node.get('test', '')})"
            if node.tag == f"{{{SCH}}}assert"
            else f"boolean({node.get('test', '')})"
            for node in rule.iterchildren(f"{{{SCH}}}assert", f"{{{SCH}}}report")
        ]
        if breaches:
            yield _parts(rule.get("context", "")), " or ".join(breaches)


def _suspect(schema: etree._Element, conditions: tuple[tuple[tuple[str, ...], str], ...]) -> str:
    """See `RuleSet.suspect`: the conditions joined by `or`, so that the first breach ends it."""
    whole = " or ".join(f"boolean(({'|'.join(p)})[{breach}])" for p, breach in conditions)
    uses_more = next(schema.iter(f"{{{SCH}}}let", f"{{{XSL}}}key"), None) is not None
    return "" if uses_more or _BEYOND_XPATH.search(whole) else whole


_OPENERS = re.compile(r"\"[^\"]*\"|'[^']*'|[\[\]()|]")


def _everywhere(context: str) -> str:
    """The XPath that finds every node a match pattern fits: `a|b/c` → `//a|//b/c`."""
    return "|".join(_parts(context))


def _parts(context: str) -> tuple[str, ...]:
    depth = 0
    parts: list[str] = []
    start = 0
    for token in _OPENERS.finditer(context):
        sign = token.group(0)
        if sign in "[(":
            depth += 1
        elif sign in "])":
            depth -= 1
        elif sign == "|" and depth == 0:
            parts.append(context[start : token.start()])
            start = token.end()
    parts.append(context[start:])
    stripped = [part.strip() for part in parts]
    return tuple(p if p.startswith("/") else f"//{p}" for p in stripped)


# -- running ---------------------------------------------------------------------------------------


class Rules:
    """Compiled rule sets of one thread. ways: where elements stand in messages of the flow."""

    def __init__(
        self,
        sets: tuple[RuleSet, ...],
        ways: Ways | None = None,
    ) -> None:
        self._ways = ways
        self._of_body: dict[str, etree.XPath | None] = {}
        self._sets = tuple(
            (s, etree.XSLT(safexml.parse(s.stylesheet), access_control=NO_ACCESS)) for s in sets
        )
        self._is_suspect = _one_question(sets)

    def check(self, root: etree._Element, places: Places, *, body: str = "") -> Iterator[Finding]:
        """Findings of all rules, file by file, in the order of the rules.

        root: a message that the schema accepted. body: the name of its body, if nothing in the
        message is undeclared (`Trust.CODES`). Raises: CatalogueError FG-STD-014 where a rule
        fails while it runs.
        """
        if not self._may_be_broken(root, body):
            return
        for rule_set, transform in self._sets:
            try:
                report = transform(root)
            except etree.XSLTApplyError as error:
                reason = str(error)[:200]
                raise CatalogueError("FG-STD-014", file=rule_set.file, reason=reason) from None
            top = report.getroot()
            if top is None:
                raise CatalogueError("FG-STD-014", file=rule_set.file, reason="no report")
            for hit in list(top)[:MAX_FINDINGS]:
                rule = rule_set.rules[hit.get("id", "")]
                yield _finding(rule, hit, root, places, rule_set.names)

    def _may_be_broken(self, root: etree._Element, body: str) -> bool:
        if self._is_suspect is None:
            return True
        question = self._straight(body) if body else None
        try:
            return bool((question or self._is_suspect)(root))
        except etree.XPathError:
            return True  # the stylesheet fails in the same way and says which file

    def _straight(self, body: str) -> etree.XPath | None:
        """The one question for messages of that body alone; None where it cannot be asked so."""
        if body not in self._of_body:
            straight = self._ways.straight(body) if self._ways is not None else None
            sets = tuple(s for s, _ in self._sets)
            self._of_body[body] = _straight_question(sets, straight) if straight else None
        return self._of_body[body]


def _straight_question(sets: tuple[RuleSet, ...], straight: Straight) -> etree.XPath:
    """As `_one_question`, without the rules that can find nothing in messages of that body."""
    names: dict[str, str] = {}
    asked: list[str] = []
    for rule_set in sets:
        names.update(rule_set.names)
        for parts, breach in rule_set.conditions:
            if _BY_PLACE.search(breach):  # places are counted over all parts together
                asked.append(f"boolean(({'|'.join(parts)})[{breach}])")
                continue
            ways = straight.context(parts, rule_set.names)
            asked += [f"boolean(({way})[{breach}])" for way in ways]
    question = " or ".join(asked) or "false()"
    return etree.XPath(question, namespaces={**names, **straight.names}, regexp=False)


def _one_question(sets: tuple[RuleSet, ...]) -> etree.XPath | None:
    """The suspicions of all sets as one XPath; None where one cannot be asked so."""
    names: dict[str, str] = {}
    for rule_set in sets:
        for prefix, uri in rule_set.names.items():
            if names.setdefault(prefix, uri) != uri:
                return None  # one prefix, two namespaces
    if not all(s.suspect for s in sets):
        return None
    question = " or ".join(s.suspect for s in sets) or "false()"
    return etree.XPath(question, namespaces=names, regexp=False)


ADVICE = (
    "请核对“值”中列出的各元素（[L行号]，– 表示没有填）是否合乎该要求；说明见 frontgate explain 加编号，或手册该流程页的“业务规则”。",
    "Compare the elements named in the value ([L line]; – means not there) with what is asked; see"
    " frontgate explain with this id, or Rules on the flow's page of the handbook.",
)


def _finding(
    rule: Rule,
    hit: etree._Element,
    root: etree._Element,
    places: Places,
    names: Mapping[str, str],
) -> Finding:
    path, text = hit
    found = select(root, path.text or "/*", {})
    context = found[0] if found and isinstance(found[0], etree._Element) else root
    seen = compared(context, rule.test, names)
    element = seen.element if seen.element is not None else context
    if rule.at:
        named = select(context, rule.at, dict(names))
        element = named[0] if named and isinstance(named[0], etree._Element) else context
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        zh=" ".join((text.text or "").split()) or rule.zh,
        en=rule.en,
        line=places.line(element),
        xpath=places.xpath(element),
        value=(seen.text or (text_of(context) if not len(context) else ""))[:200],
        basis=rule.basis,
        advice_zh=rule.advice_zh or ADVICE[0],
        advice_en=rule.advice_en or ADVICE[1],
    )
