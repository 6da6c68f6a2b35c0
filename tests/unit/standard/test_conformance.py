"""The standard under `standards/` keeps its own promises: every version, flow, rule and sample.

Whoever adds a flow runs this; nothing here names one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import xmlschema
from lxml import etree, isoschematron
from second import second_schema, text_of

from frontgate import safexml
from frontgate.core.deadlines import LEGAL_TIME, Custody, due
from frontgate.model.finding import Report
from frontgate.standard import Catalogue, Checker, Flow, Standards, Step, copies, narrow
from frontgate.standard.codecheck import CHECKS
from frontgate.standard.complete import ORDER, complete
from frontgate.standard.fields import fields_of
from frontgate.standard.flows import DocumentRule
from frontgate.standard.reading import prefixes
from frontgate.standard.rules import SCH, RuleSet
from frontgate.standard.samples import Sample, samples_of_flow
from frontgate.standard.schema import driver

XSI = "http://www.w3.org/2001/XMLSchema-instance"
ROOT = Path(__file__).resolve().parents[3] / "standards"
STANDARDS = Standards.load(ROOT)
CHECKER = Checker(STANDARDS)
CATALOGUES = [STANDARDS.version(v) for v in STANDARDS.versions]
FLOWS = [(c, c.flow(name)) for c in CATALOGUES for name in c.flow_names]
STEPS = [(c, step) for c, flow in FLOWS for step in flow.steps.values()]
SAMPLES = [(c, s) for c, flow in FLOWS for s in samples_of_flow(c, flow.name)]
VALID = [(c, s) for c, s in SAMPLES if not s.rule]
INVALID = [(c, s) for c, s in SAMPLES if s.rule]


def named(values: list[tuple[Catalogue, object]]) -> list[str]:
    labels = []
    for catalogue, value in values:
        label = getattr(value, "message_type", "") or getattr(value, "name", "")
        labels.append(f"{catalogue.version}-{label}-{getattr(value, 'name', '')}")
    return labels


each_flow = pytest.mark.parametrize(("catalogue", "flow"), FLOWS, ids=named(FLOWS))
each_step = pytest.mark.parametrize(("catalogue", "step"), STEPS, ids=named(STEPS))
each_valid = pytest.mark.parametrize(("catalogue", "sample"), VALID, ids=named(VALID))
each_invalid = pytest.mark.parametrize(("catalogue", "sample"), INVALID, ids=named(INVALID))
each_version = pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda c: c.version)


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in text)


def is_english(text: str) -> bool:
    return any(c.isascii() and c.isalpha() for c in text)


def report(sample: Sample) -> Report:
    return CHECKER.check(sample.data, files=None).report


def test_there_are_flows_and_samples() -> None:
    assert FLOWS
    assert VALID
    assert INVALID


@each_version
def test_each_role_has_both_names_and_real_unit_types(catalogue: Catalogue) -> None:
    types = catalogue.code_list("unit-type").codes
    for role in catalogue.roles.values():
        assert is_chinese(role.zh)
        assert is_english(role.en)
        assert set(role.unit_types) <= set(types), role.code
        assert role.code in catalogue.code_list("unit-role").codes


@each_version
def test_every_code_has_both_names(catalogue: Catalogue) -> None:
    for name in catalogue.list_names:
        codes = catalogue.code_list(name)
        assert codes.codes, name
        for rows in codes.codes.values():
            for row in rows:
                assert row.zh, (name, row.code)
                assert is_english(row.en), (name, row.code)
                assert not is_chinese(row.en), (name, row.code)
                if row.valid_from and row.valid_to:
                    assert row.valid_from <= row.valid_to, (name, row.code)
                assert not row.parent or row.parent in codes.codes, (name, row.code)


@each_version
def test_the_header_order_that_ids_are_written_in_is_the_schemas(catalogue: Catalogue) -> None:
    declarations = catalogue.declarations("")
    message = declarations.root("{urn:frontgate:message:1}Message")
    assert message is not None
    header = next(c for c in declarations.children(message) if c.local == "Header")
    assert tuple(c.local for c in declarations.children(header)) == ORDER


@each_flow
def test_a_flow_speaks_both_languages(catalogue: Catalogue, flow: Flow) -> None:
    assert is_chinese(flow.zh)
    assert is_english(flow.en)
    assert flow.law
    assert flow.terminal


@each_step
def test_a_step_is_complete(catalogue: Catalogue, step: Step) -> None:
    for zh, en in ((step.zh, step.en), (step.purpose_zh, step.purpose_en)):
        assert is_chinese(zh)
        assert is_english(en)
    roles = set(catalogue.roles) | {"any"}
    assert step.from_roles
    assert step.to_roles
    parties = {*step.from_roles, *step.to_roles, *(c.role for c in step.cc)}
    for variant in step.variants:
        parties |= {*variant.from_roles, *variant.to_roles}
    assert parties <= roles
    assert not step.stage or step.stage in catalogue.code_list("case-stage").codes
    flow = catalogue.flow(step.flow)
    element = f"{{{flow.namespace}}}{step.element}"
    assert catalogue.declarations(step.flow).root(element) is not None
    for copy in step.cc:
        assert not copy.extract or (flow.folder / copy.extract).is_file()


def documents_of(step: Step) -> list[DocumentRule]:
    return [*step.documents, *(d for v in step.variants for d in v.documents)]


@each_step
def test_a_document_is_of_a_known_type_and_says_why(catalogue: Catalogue, step: Step) -> None:
    known = catalogue.code_list("doc-type").codes
    for document in documents_of(step):
        assert set(document.types) <= set(known), document.types
        assert is_chinese(document.zh), document.types
        assert is_english(document.en), document.types


@each_step
def test_every_field_is_explained_in_both_languages(catalogue: Catalogue, step: Step) -> None:
    for field in fields_of(catalogue, step.message_type):
        if not field.name.startswith("@"):
            assert is_chinese(field.zh), field.path
            assert is_english(field.en), field.path


@each_flow
def test_every_list_and_check_that_the_schema_names_exists(
    catalogue: Catalogue, flow: Flow
) -> None:
    assert set(catalogue.declarations(flow.name).named_lists()) <= set(catalogue.list_names)
    marks = catalogue.marks(flow.name)
    used = [*marks.by_name.values(), *(c for t in marks.by_tail.values() for c in t.values())]
    assert {c.check for c in used if c.check} <= set(CHECKS)


@each_step
def test_every_step_has_a_valid_sample(catalogue: Catalogue, step: Step) -> None:
    assert any(c is catalogue and s.message_type == step.message_type for c, s in VALID)


@each_valid
def test_a_valid_sample_is_clean(catalogue: Catalogue, sample: Sample) -> None:
    assert [(f.rule, f.xpath, f.value) for f in report(sample).findings] == []


@each_valid
def test_a_valid_sample_is_valid_for_a_second_processor(
    catalogue: Catalogue, sample: Sample
) -> None:
    flow = sample.message_type.partition(".")[0]
    errors = [
        e.reason for e in second_schema(catalogue, flow).iter_errors(safexml.parse(sample.data))
    ]
    assert errors == []


@each_valid
def test_a_valid_sample_names_its_own_step_and_version(
    catalogue: Catalogue, sample: Sample
) -> None:
    view = CHECKER.read(sample.data)
    assert view.header.standard == catalogue.version
    step = view.header.step
    assert sample.name == step or sample.name.startswith(f"{step}-")


@each_valid
def test_a_valid_sample_can_be_completed(catalogue: Catalogue, sample: Sample) -> None:
    view = CHECKER.read(sample.data)
    ids = {
        "MessageId": "0b5f2f0e-0000-5000-8000-000000000001",
        "FlowUid": "0b5f2f0e-0000-5000-8000-000000000002",
    }
    bare = sample.data
    for name, value in (
        ("MessageId", view.header.message_id),
        ("FlowUid", view.header.flow_uid),
    ):
        bare = bare.replace(f"<{name}>{value}</{name}>".encode(), b"", 1)
    done = complete(bare, ids=ids)
    assert CHECKER.check(done, files=None, minted=True).report.findings == ()


@each_invalid
def test_an_invalid_sample_breaks_its_rule_and_no_other(
    catalogue: Catalogue, sample: Sample
) -> None:
    found = {f.rule for f in report(sample).findings}
    if sample.rule.count("-") == 1:  # a whole family, such as FG-XSD
        assert found
        assert all(rule.startswith(f"{sample.rule}-") for rule in found), found
    else:
        assert found == {sample.rule}


@each_invalid
def test_a_finding_of_an_invalid_sample_helps(catalogue: Catalogue, sample: Sample) -> None:
    for finding in report(sample).findings:
        assert is_chinese(finding.zh)
        assert is_english(finding.en)
        assert finding.xpath
        assert "?" not in finding.en.replace("?>", "")


@each_invalid
def test_a_schema_refusal_is_shared_by_a_second_processor(
    catalogue: Catalogue, sample: Sample
) -> None:
    flow = sample.message_type.partition(".")[0]
    if flow not in catalogue.flow_names:
        flow = sample.path.parents[2].name
    is_valid = second_schema(catalogue, flow).is_valid(safexml.parse(sample.data))
    assert is_valid != sample.rule.startswith("FG-XSD")


def rule_sets() -> list[tuple[Catalogue, Flow, RuleSet]]:
    return [(c, flow, rs) for c, flow in FLOWS for rs in c.rule_sets(flow.name)]


@pytest.mark.parametrize(
    ("catalogue", "flow", "rule_set"),
    rule_sets(),
    ids=[f"{c.version}-{f.name}-{r.file}" for c, f, r in rule_sets()],
)
def test_every_rule_has_texts_a_basis_and_an_invalid_sample(
    catalogue: Catalogue, flow: Flow, rule_set: RuleSet
) -> None:
    shown = {s.rule for c, s in INVALID if c is catalogue}
    for rule in rule_set.rules.values():
        assert is_chinese(rule.zh), rule.id
        assert is_english(rule.en), rule.id
        assert rule.id in shown, f"{rule.id} has no invalid sample"


@pytest.mark.parametrize(
    ("catalogue", "flow", "rule_set"),
    rule_sets(),
    ids=[f"{c.version}-{f.name}-{r.file}" for c, f, r in rule_sets()],
)
def test_our_schematron_agrees_with_the_skeleton_on_every_sample(
    catalogue: Catalogue, flow: Flow, rule_set: RuleSet
) -> None:
    folder = flow.folder if rule_set.file == "rules.sch" else catalogue.folder / "xsd"
    schematron = etree.parse(str(folder / rule_set.file))
    skeleton = isoschematron.Schematron(schematron, store_report=True)
    compared = 0
    for sample in samples_of_flow(catalogue, flow.name):
        ours = report(sample).findings
        if any(f.rule.startswith(("FG-XSD", "FG-STD")) for f in ours):
            continue  # refused before any rule is asked
        skeleton.validate(safexml.parse(sample.data))
        hits = skeleton.validation_report.xpath(
            "//*[local-name()='failed-assert' or local-name()='successful-report']/@id"
        )
        assert sorted(f.rule for f in ours if f.rule in rule_set.rules) == sorted(map(str, hits))
        compared += 1
    assert compared


@each_flow
def test_schematron_files_use_its_namespace_only_for_known_parts(
    catalogue: Catalogue, flow: Flow
) -> None:
    known = {"schema", "title", "ns", "p", "let", "pattern", "rule", "assert", "report", "value-of", "name", "emph"}  # fmt: skip
    for path in (catalogue.folder / "xsd/common.sch", flow.rules):
        if path.is_file():
            root = safexml.parse(path.read_bytes())
            used = {etree.QName(e).localname for e in root.iter(f"{{{SCH}}}*")}
            assert used <= known, used - known


@each_valid
def test_narrowed_copies_are_valid_messages_of_their_own(
    catalogue: Catalogue, sample: Sample
) -> None:
    from frontgate.model.unit import Directory, Unit

    view = CHECKER.read(sample.data)
    step = catalogue.step(sample.message_type)
    names = {"m": "urn:frontgate:message:1", "t": "urn:frontgate:types:1"}
    names["b"] = catalogue.flow(step.flow).namespace
    root = safexml.parse(sample.data)
    units = {}
    for rule in step.cc:
        hits = root.xpath(rule.unit, namespaces=names) if rule.unit else []
        for hit in hits:
            code = (hit.text if isinstance(hit, etree._Element) else str(hit)) or ""
            units[code] = Unit(code=code, name_zh=code, roles=(rule.role,))
    found, _ = copies(catalogue, sample.data, view, Directory(version=1, units=units))
    for copy in found:
        if copy.mode == "narrowed":
            extract = narrow(catalogue, sample.data, copy)
            checked = CHECKER.check(extract, files={}, layers=frozenset({"xsd", "codes", "rules"}))
            assert [(f.rule, f.value) for f in checked.report.findings] == []
            assert checked.view is not None
            assert [r.code for r in checked.view.header.receivers] == [copy.unit]


@each_version
def test_the_handbook_can_be_written(
    catalogue: Catalogue, handbook: Callable[[Catalogue], tuple[Path, ...]]
) -> None:
    pages = handbook(catalogue)
    others = {page.stem for page in pages} - set(catalogue.flow_names)
    assert len(pages) == len(catalogue.flow_names) + len(others)
    long_lists = others - {"index", "start", "codes"}
    assert others > long_lists
    assert {name.removeprefix("codes-") for name in long_lists} <= set(catalogue.list_names)


@each_version
def test_who_may_accept_may_return(catalogue: Catalogue) -> None:
    """Save where law owes an answer of its own: an act of supervision is replied to, not sent back."""
    for name in catalogue.flow_names:
        steps = catalogue.flow(name).steps
        if "accept" in steps and "reply" not in steps:
            assert "return" in steps, name


@each_version
def test_deadlines_name_real_messages_and_count(catalogue: Catalogue) -> None:
    """Every rule was read strictly (messages, XPaths, roles); each says who must act, and why."""
    rules = catalogue.deadlines
    assert len(rules) >= 107
    for rule in rules.values():
        assert is_chinese(rule.zh), rule.id
        assert is_english(rule.en), rule.id
        assert rule.basis, rule.id
        assert rule.warn or all(t.lapses for t in rule.terms), rule.id
        for term in rule.terms:
            assert term.actor, rule.id
            assert term.limit.value != 0 or term.custody is Custody.CUSTODY, rule.id
            begun = datetime(2026, 3, 10, 9, tzinfo=LEGAL_TIME)
            for limit in (term.limit, *(v.limit for v in term.variants)):
                end = due(begun, limit, catalogue.calendar, custody=term.custody)
                assert (end > begun) == (limit.value >= 0), rule.id


@each_version
def test_a_message_that_opens_a_term_can_be_seen_to(catalogue: Catalogue) -> None:
    """Where a term begins with a day that a message states, some sample states it."""
    unseen: list[str] = []
    for rule in catalogue.deadlines.values():
        for term in rule.terms:
            if not (term.start.field or term.start.when):
                continue
            names = dict(prefixes(term.start.message.partition(".")[0]))
            roots = [
                safexml.parse(s.data) for _, s in VALID if s.message_type == term.start.message
            ]
            if term.start.field and not any(
                r.xpath(f"boolean({term.start.field})", namespaces=names) for r in roots
            ):
                unseen.append(f"{rule.id} {term.start.message} {term.start.field}")
    assert len(unseen) <= 6, unseen  # fields of special cases that no sample plays


@pytest.fixture(scope="module")
def xerces(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Catalogue, list[Sample]], set[str]]:
    """Xerces-C over samples of one flow. Returns: the names of those that it finds invalid."""
    folder = tmp_path_factory.mktemp("xerces")

    def judge(catalogue: Catalogue, samples: list[Sample]) -> set[str]:
        flow = samples[0].path.parents[2].name
        schema = folder / f"{catalogue.version}-{flow}.xsd"
        schema.write_bytes(etree.tostring(driver(catalogue, flow)))
        paths = []
        for n, sample in enumerate(samples):
            root = safexml.parse(sample.data)
            root.set(f"{{{XSI}}}noNamespaceSchemaLocation", schema.as_uri())
            path = folder / f"{flow}-{n}.xml"
            path.write_bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True))
            paths.append(path)
        (folder / "list").write_text("\n".join(map(str, paths)) + "\n")
        done = subprocess.run(
            ["DOMCount", "-v=always", "-n", "-s", "-f", "-l", str(folder / "list")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert said.count(str(folder)) >= len(paths), said[-2000:]
        return {
            s.name
            for s, p in zip(samples, paths, strict=True)
            if f'rror at file "{p}"' in said or f"rror at file {p}" in said
        }

    return judge


@each_flow
def test_xerces_agrees_on_every_sample(
    catalogue: Catalogue, flow: Flow, xerces: Callable[[Catalogue, list[Sample]], set[str]]
) -> None:
    samples = [s for s in samples_of_flow(catalogue, flow.name) if not s.rule.startswith("FG-STD")]
    expected = {s.name for s in samples if s.rule.startswith("FG-XSD")}
    assert xerces(catalogue, samples) == expected


@each_flow
def test_a_second_processor_finds_nothing_wrong_in_the_schemas(
    catalogue: Catalogue, flow: Flow
) -> None:
    assert xmlschema.XMLSchema10(text_of(catalogue, flow.name), allow="local").validity == "valid"


@each_version
def test_other_schemas_compile(catalogue: Catalogue) -> None:
    for path in sorted((catalogue.folder / "xsd").glob("*.xsd")):
        etree.XMLSchema(etree.parse(str(path)))
        xmlschema.XMLSchema10(str(path), allow="local")


def test_no_flow_is_named_in_the_program() -> None:
    roles = {role for c in CATALOGUES for role in c.roles}  # `legal-aid` is a role, too
    names = {name for c in CATALOGUES for name in c.flow_names} - roles
    package = Path(__file__).resolve().parents[3] / "frontgate"
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8")
        assert [n for n in names if f'"{n}' in text or f"'{n}" in text] == [], path
