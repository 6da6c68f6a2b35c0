"""The quick schema gives the verdicts, places and words of the plain way, on messages bent at random.

FRONTGATE_MUTANTS sets how many (`./dev mutants`: 100 000), FRONTGATE_SEED the luck.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from lxml import etree

from frontgate import safexml
from frontgate.model.message import MESSAGE_NS
from frontgate.standard import Catalogue, Checker, Standards
from frontgate.standard.codecheck import CodeCheck
from frontgate.standard.codelists import pattern_of
from frontgate.standard.quick import QuickSchema, Trust
from frontgate.standard.reading import TYPES_NS
from frontgate.standard.samples import Sample, samples_of_flow
from frontgate.standard.schema import compile_schema

LONG = ("Facts", "Grounds", "Description", "Reason", "Finding")
"""Elements of type `t:Text2000`."""
MUTANTS = int(os.environ.get("FRONTGATE_MUTANTS", "1500"))
SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
STANDARDS = Path(__file__).resolve().parents[2] / "standards"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
DAYS = [date(2019, 1, 1), date(2025, 7, 1), date(2026, 3, 2), date(2026, 11, 10)]
"""On these, in the copy of the standard, codes begin or end to be in force."""
BLANKS = (
    " ",
    "\n\t ",
    "　",
    "　" * 300,
    " " * 300,
    " " * 250 + "有",
    "\n  有\n",
    "有" * 8000,
    "有" * 8001,
    "有" * 2001,
)
VALUES = ("", "x", "0", "01", "999", "L9", " 01", "01 ", "1", "true", "5201021100X", "520221", "2026-03-02")  # fmt: skip


@pytest.fixture(scope="module")
def standards(tmp_path_factory: pytest.TempPathFactory) -> Standards:
    """A copy of the standard in which one code in thirty is not in force on every day."""
    folder = tmp_path_factory.mktemp("standards") / "1.0"
    shutil.copytree(STANDARDS / "1.0", folder)
    luck = random.Random(SEED)
    for path in sorted((folder / "codes").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if luck.random() < 1 / 30:
                key = luck.choice(("valid_from", "valid_to"))
                row[key] = (luck.choice(DAYS) + timedelta(days=luck.randint(-1, 1))).isoformat()
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return Standards.load(folder.parent)


class Never(QuickSchema):
    """Says nothing of any message, so that all go the plain way."""

    def judge(self, root: etree._Element, on: date | None, body: str = "") -> Trust:
        return Trust.NOTHING


def plain_checker(standards: Standards, catalogue: Catalogue) -> Checker:
    checker = Checker(standards)
    for flow in catalogue.flow_names:
        tools = checker._tools_of(catalogue, flow)
        tools.quick = Never(catalogue.quick(flow))
        assert tools.rules is not None
        tools.rules._is_suspect = None
    return checker


class Bender:
    """Changes a message in ways that the quick and the plain way could take differently."""

    def __init__(self, catalogue: Catalogue, luck: random.Random) -> None:
        self._luck = luck
        self._codes = {n: list(catalogue.code_list(n).codes) for n in catalogue.list_names}
        self._dated = {
            n: [
                c
                for c, rows in catalogue.code_list(n).codes.items()
                if rows[0].valid_from or rows[0].valid_to
            ]
            for n in catalogue.list_names
        }
        self._long = {flow: catalogue.quick(flow).long for flow in catalogue.flow_names}
        self._list_of = {
            flow: {
                name: checks.list
                for name, checks in catalogue.marks(flow).by_name.items()
                if checks.list
            }
            for flow in catalogue.flow_names
        }
        self._ways = [
            (self.code, 6),
            (self.day, 4),
            (self.text, 3),
            (self.split, 2),
            (self.extend, 2),
            (self.value, 2),
            (self.typed, 1),
            (self.attribute, 1),
            (self.structure, 1),
        ]

    def bend(self, sample: Sample) -> tuple[bytes, set[str]]:
        """The message changed once or twice, and the names of the changes."""
        root = safexml.parse(sample.data)
        flow = sample.message_type.partition(".")[0]
        done: set[str] = set()
        ways, weights = zip(*self._ways, strict=True)
        for way in self._luck.choices(ways, weights, k=self._luck.choice((0, 1, 1, 2))):
            elements = [e for e in root.iter("*") if e is not root]
            way(root, elements, flow)
            done.add(way.__name__)
        return etree.tostring(root, encoding="UTF-8", xml_declaration=True), done

    def code(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        """Another code of the same list, in force or not; or of any list; or nearly a code."""
        lists = self._list_of[flow]
        coded = [e for e in elements if e.tag in lists] or elements
        element = self._luck.choice(coded)
        if len(element):
            return
        own = lists.get(element.tag) or self._luck.choice(list(self._codes))
        name = own if self._luck.random() < 0.75 else self._luck.choice(list(self._codes))
        dated = self._dated[name]
        kind = self._luck.random()
        code = self._luck.choice(dated if dated and kind > 0.5 else self._codes[name])
        if kind < 0.1:
            code = code[:-1] or "0"
        elif kind < 0.2:
            code += self._luck.choice("0X -")
        elif kind < 0.25:
            code = f"L{code}"
        element.text = code

    def day(self, root: etree._Element, _: list[etree._Element], flow: str) -> None:
        time = next(root.iter(f"{{{MESSAGE_NS}}}BusinessTime"), None)
        if time is not None:
            on = self._luck.choice((*DAYS, date(1, 1, 1), date(2021, 1, 1), date(9999, 12, 31)))
            if 1 < on.year < 9999:
                on += timedelta(days=self._luck.randint(-2, 2))
            hour = self._luck.choice(("09:30:00", "00:00:00", "23:59:59.5", "24:00:00"))
            time.text = f"{on.isoformat()}T{hour}{self._luck.choice(('+08:00', 'Z', '-05:00'))}"

    def text(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        leaves = [e for e in elements if not len(e)]
        long = [e for e in leaves if e.tag in self._long[flow]]
        self._luck.choice(long or leaves).text = self._luck.choice(BLANKS)

    def split(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        """A comment or instruction inside a value, or before it."""
        element = self._luck.choice([e for e in elements if not len(e)])
        text = element.text or ""
        at = self._luck.randint(0, len(text))
        node = self._luck.choice((etree.Comment("x"), etree.PI("x", "y")))
        element.text, node.tail = text[:at], text[at:]
        element.append(node)

    def extend(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        """Data of others, some of it in the standard's own names."""
        if root.find(f"{{{MESSAGE_NS}}}Extension") is not None:
            return
        extension = etree.SubElement(root, f"{{{MESSAGE_NS}}}Extension")
        kind = self._luck.randrange(5)
        other = etree.SubElement(extension, "{urn:example}Other")
        if kind == 1:
            etree.SubElement(other, f"{{{TYPES_NS}}}CrimeCode").text = self._luck.choice(VALUES)
        elif kind == 2:
            etree.SubElement(extension, f"{{{TYPES_NS}}}Sex").text = self._luck.choice(VALUES)
        elif kind == 3:
            other.append(etree.fromstring(etree.tostring(self._luck.choice(elements))))
        elif kind == 4:
            body = root.find(f"{{{MESSAGE_NS}}}Body")
            if body is not None and len(body):
                extension.append(etree.fromstring(etree.tostring(body[0])))

    def value(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        leaves = [e for e in elements if not len(e)]
        other = self._luck.choice(leaves).text or ""
        self._luck.choice(leaves).text = self._luck.choice((*VALUES, other, other, other))

    def typed(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        kinds = (
            "t:Code",
            "t:Text8000",
            "t:Text2000",
            "t:Sex",
            "xs:string",
            "t:Nothing",
            "t:Person",
        )
        # Half of them where one of the kinds is right, and half of these state it: by luck alone a
        # seed may meet none that passes.
        long = [e for e in elements if etree.QName(e).localname in LONG]
        at_long = bool(long) and self._luck.random() < 0.5
        element = self._luck.choice(long if at_long else elements)
        kind = "t:Text2000" if at_long and self._luck.random() < 0.5 else self._luck.choice(kinds)
        wrapped = etree.Element(
            element.tag,
            dict(element.attrib),
            nsmap={**element.nsmap, "t": TYPES_NS, "xs": "http://www.w3.org/2001/XMLSchema"},
        )
        wrapped.text, wrapped.tail = element.text, element.tail
        wrapped.extend(list(element))
        wrapped.set(f"{{{XSI}}}type", kind)
        parent = element.getparent()
        assert parent is not None
        parent.replace(element, wrapped)

    def attribute(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        name = self._luck.choice(("odd", "scheme", f"{{{XSI}}}nil", "{urn:example}x"))
        self._luck.choice(elements).set(name, self._luck.choice(("1", "true")))

    def structure(self, root: etree._Element, elements: list[etree._Element], flow: str) -> None:
        element = self._luck.choice(elements)
        parent = element.getparent()
        assert parent is not None
        if self._luck.random() < 0.5:
            parent.remove(element)
        else:
            parent.insert(parent.index(element), etree.fromstring(etree.tostring(element)))


def test_the_quick_way_says_what_the_plain_way_says(standards: Standards) -> None:
    luck = random.Random(SEED)
    catalogue = standards.version("1.0")
    quick, plain = Checker(standards), plain_checker(standards, catalogue)
    samples = [s for f in catalogue.flow_names for s in samples_of_flow(catalogue, f)]
    valid = [s for s in samples if not s.rule]
    bender = Bender(catalogue, luck)
    trusts: Counter[Trust] = Counter()
    seen: Counter[tuple[str, bool]] = Counter()
    for number in range(MUTANTS):
        sample = luck.choice(valid if luck.random() < 0.8 else samples)
        data, done = bender.bend(sample)
        told = quick.check(data, files=None)
        expected = plain.check(data, files=None)
        assert told.report == expected.report, (
            f"FRONTGATE_SEED={SEED}, mutant {number} of {sample.message_type}: {done}"
        )
        for way in done:
            seen[way, told.report.is_refused] += 1
        if told.view is not None and told.root is not None:
            trusts[_trust(quick, catalogue, told.view.header.message_type, told.root)] += 1
    # Shown to be no empty comparison: each answer was given, and most kinds of change both pass and fail.
    assert min(trusts[t] for t in Trust) > MUTANTS / 100, trusts
    both = {way for way, _ in seen if seen[way, True] and seen[way, False]}
    assert both >= {"code", "day", "text", "split", "extend", "value", "typed"}, seen


def _trust(
    checker: Checker, catalogue: Catalogue, message_type: str, root: etree._Element
) -> Trust:
    flow = message_type.partition(".")[0]
    if not catalogue.has_message_type(message_type):
        return Trust.NOTHING
    return checker._tools_of(catalogue, flow).quick.judge(root, date(2026, 11, 10))


def near(code: str, luck: random.Random) -> Iterator[str]:
    """Values that are nearly that code."""
    at = luck.randrange(len(code))
    yield code[:at] + code[at + 1 :]
    yield code[:at] + luck.choice("0123456789ABXZ-._") + code[at:]
    yield code[:at] + luck.choice("0123456789ABXZ-._") + code[at + 1 :]
    yield from (code + code, f" {code}", f"{code}\n", code.lower(), code.upper())


def test_the_expression_of_a_list_fits_its_codes_and_nothing_near(standards: Standards) -> None:
    luck = random.Random(SEED)
    catalogue = standards.version("1.0")
    xs = "http://www.w3.org/2001/XMLSchema"
    for name in catalogue.list_names:
        codes = catalogue.code_list(name)
        for on in DAYS:
            valid = {code for code in codes.codes if codes.has(code, on)}
            pattern = catalogue._rewriter.pattern(name, on)
            schema = etree.XMLSchema(
                etree.fromstring(
                    f'<xs:schema xmlns:xs="{xs}"><xs:element name="c"><xs:simpleType>'
                    f'<xs:restriction base="xs:string"><xs:pattern value="{pattern}"/>'
                    "</xs:restriction></xs:simpleType></xs:element></xs:schema>"
                )
            )
            element = etree.Element("c")
            for code in codes.codes:
                for value in (code, *near(code, luck)):
                    element.text = value
                    assert schema.validate(element) == (value in valid), (name, on, value)


def test_codes_of_unusual_characters_are_left_out_of_the_expression() -> None:
    assert pattern_of(["a b", "国", "", "x" * 41, "(", "|"]) == ""
    assert pattern_of(["a.b", "a-b"]) == r"a(\.b|\-b)" or pattern_of(["a.b", "a-b"]) == r"a[\.\-]b"


@pytest.mark.parametrize("flow", Standards.load(STANDARDS).version("1.0").flow_names)
def test_every_valid_sample_is_judged_by_the_quick_schema_alone(flow: str) -> None:
    catalogue = Standards.load(STANDARDS).version("1.0")
    quick = QuickSchema(catalogue.quick(flow))
    left = set(CodeCheck(catalogue, flow).left)
    lists = {n: c.list for n, c in catalogue.marks(flow).by_name.items() if c.list}
    assert not left & set(lists), "no code list is left to be asked in Python"
    plain = compile_schema(catalogue, flow)
    for sample in samples_of_flow(catalogue, flow):
        root = safexml.parse(sample.data)
        trust = quick.judge(root, date(2026, 11, 10))
        if not sample.rule:
            assert trust is not Trust.NOTHING, sample.message_type
        assert trust is Trust.NOTHING or plain.validate(root)


def test_dates_that_change_with_each_message_have_few_schemas_compiled(
    standards: Standards, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = standards.version("1.0").quick("arrest-request")
    days = [date(2018, 1, 1), *sorted(day + timedelta(days=n) for day in DAYS for n in (0, 2))]
    assert len({texts.span(day) for day in days}) > QuickSchema.MOST_SPANS
    compiled: list[date | None] = []
    compile_ = texts.compile

    def count(on: date | None) -> etree.XMLSchema | None:
        compiled.append(on)
        return compile_(on)

    monkeypatch.setattr(texts, "compile", count)
    quick = QuickSchema(texts)
    root = etree.Element("x")
    for number in range(QuickSchema.PATIENCE):
        quick.judge(root, days[number % len(days)])
    assert len(compiled) == QuickSchema.MOST_SPANS
    for _ in range(QuickSchema.PATIENCE):  # one that stays has its schema in the end
        quick.judge(root, days[-1])
    assert compiled[-1] == days[-1]
    assert len(quick._schemas) == QuickSchema.MOST_SPANS
