"""The standard as a readable handbook: HTML pages in both languages, complete in themselves.

Every page is built as a tree of elements and text, so whatever the standard's data hold is
escaped by construction; no page loads anything from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lxml import etree

from frontgate.standard.catalogue import Catalogue
from frontgate.standard.export import as_data, term_text
from frontgate.standard.fields import Field, fields_of
from frontgate.standard.first_message import SECTIONS
from frontgate.standard.flows import DocumentRule, Flow, Step
from frontgate.standard.markup import Node, both, el, table
from frontgate.standard.picture import sequence
from frontgate.standard.rule_rows import anchor, places, rules_table, shown
from frontgate.standard.rules import Rule
from frontgate.standard.samples import Sample, samples_of_flow
from frontgate.values import Struct

STYLE = """
body{font:15px/1.6 "Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:0 auto;max-width:72rem;padding:1rem 2rem;color:#1a1a1a}
h1,h2,h3{line-height:1.3} h2{border-top:2px solid #335;padding-top:1rem;margin-top:2.5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem} th,td{border:1px solid #bbc;padding:.2rem .5rem;text-align:left;vertical-align:top}
th{background:#eef} td.n{font-family:monospace;white-space:nowrap} .en{color:#555} .w{overflow-wrap:anywhere}
pre{background:#f6f6f9;border:1px solid #ccd;padding:.6rem;overflow:auto;font-size:13px} a{color:#235} svg{max-width:100%;height:auto}
"""


def write_handbook(catalogue: Catalogue, target: Path) -> tuple[Path, ...]:
    """Write `index.html`, one page a flow and `codes.html` into `target`; returns their paths.

    The folder is made if it is not there; pages of the same names are replaced.
    Raises: CatalogueError for a standard that cannot be read, OSError.
    """
    target.mkdir(parents=True, exist_ok=True)
    pages = [
        _save(target / f"{name}.html", _document(content(catalogue, name)))
        for name in page_names(catalogue)
    ]
    data = json.dumps(as_data(catalogue), ensure_ascii=False, indent=1)
    (target / "standard.json").write_text(data + "\n", encoding="utf-8")
    return tuple(pages)


class Content(Struct, frozen=True):
    """One page without its frame. script: what its search box runs, empty without one."""

    title_zh: str
    title_en: str
    nodes: tuple[etree._Element, ...]
    script: str = ""


def page_names(catalogue: Catalogue) -> tuple[str, ...]:
    """The pages of the handbook: links between them are `<name>.html`."""
    return (
        *("index", "start", *catalogue.flow_names, "codes"),
        *(f"{_LIST}{n}" for n in catalogue.list_names if _is_long(catalogue, n)),
    )


_LIST = "codes-"
LONG = 150
"""A list of more codes has a page of its own: no page is heavy."""


def _is_long(catalogue: Catalogue, name: str) -> bool:
    return len(catalogue.code_list(name).codes) > LONG


def _codes_at(catalogue: Catalogue, name: str) -> str:
    """Where a code list stands."""
    return f"{_LIST}{name}.html" if _is_long(catalogue, name) else f"codes.html#{name}"


def content(catalogue: Catalogue, name: str) -> Content:
    """A page by its name. Raises: CatalogueError FG-STD-002 for one that is not there."""
    if name == "index":
        return _index(catalogue)
    if name == "codes":
        return _codes_page(catalogue)
    if name.startswith(_LIST) and name in page_names(catalogue):
        return _long_codes_page(catalogue, name.removeprefix(_LIST))
    if name == "start":
        return _start_page(catalogue)
    return _flow_page(catalogue, catalogue.flow(name))


def _save(path: Path, page: etree._Element) -> Path:
    path.write_bytes(
        etree.tostring(page, method="html", encoding="utf-8", doctype="<!DOCTYPE html>")
    )
    return path


def _document(page: Content) -> etree._Element:
    """A page complete in itself."""
    script = [el("script", page.script)] if page.script else []
    return el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("title", f"{page.title_zh} {page.title_en}"),
            el("style", STYLE),
        ),
        el("body", el("h1", both(page.title_zh, page.title_en)), *page.nodes, *script),
        lang="zh-CN",
    )


def _index(catalogue: Catalogue) -> Content:
    version = catalogue.version
    rows = []
    for name in catalogue.flow_names:
        flow = catalogue.flow(name)
        steps = "、".join(f"{s.name} {s.zh}" for s in flow.steps.values())
        rows.append((el("a", name, href=f"{name}.html"), both(flow.zh, flow.en), steps))
    nodes = (
        el(
            "p",
            el("a", *both("第一份报文", "The first message"), href="start.html"),
            " · ",
            el("a", *both("代码表", "Code lists"), href="codes.html"),
        ),
        _search(catalogue),
        el("h2", both("业务流程", "Flows")),
        table(("流程 flow", "名称 name", "步骤 steps"), rows),
        el("h2", both("角色", "Roles")),
        table(
            ("角色 role", "名称 name", "单位类型 unit types"),
            ((r.code, both(r.zh, r.en), ", ".join(r.unit_types)) for r in catalogue.roles.values()),
        ),
    )
    return Content(f"业务协同数据交换标准 {version}", f"Exchange standard {version}", nodes, SEARCH)


SEARCH = """
const box=document.getElementById('q'),out=document.getElementById('hits');
const all=JSON.parse(document.getElementById('entries').textContent);
box.addEventListener('input',()=>{const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);
out.replaceChildren();if(!words.length)return;
for(const [href,text] of all.filter(e=>words.every(w=>e[1].toLowerCase().includes(w))).slice(0,60)){
const li=document.createElement('li'),a=document.createElement('a');a.href=href;a.textContent=text;li.append(a);out.append(li)}});
"""


def _search(catalogue: Catalogue) -> etree._Element:
    """A box that finds messages, rules and deadlines; without scripts the tables below serve."""
    entries: list[tuple[str, str]] = []
    for name in catalogue.flow_names:
        flow = catalogue.flow(name)
        for step in flow.steps.values():
            entries.append((f"{name}.html#{step.name}", f"{step.message_type} {step.zh} {step.en}"))
        for rule in _rules_of(catalogue, flow):
            entries.append((f"{name}.html#{rule.id}", f"{rule.id} {rule.zh} {rule.en}"))
    for deadline in catalogue.deadlines.values():
        first = next((t.start.message for t in deadline.terms if t.start.message), "")
        page = f"{first.partition('.')[0]}.html#deadlines" if first else "#"
        entries.append((page, f"{deadline.id} {deadline.zh} {deadline.en}"))
    for name in catalogue.list_names:
        entries.append((_codes_at(catalogue, name), name))
    data = json.dumps(list(dict.fromkeys(entries)), ensure_ascii=False).replace("<", "\\u003c")
    return el(
        "div",
        el("label", *both("查找", "Search"), " ", el("input", id="q", type="search")),
        el("ul", id="hits"),
        el("script", data, id="entries", type="application/json"),
    )


def _flow_page(catalogue: Catalogue, flow: Flow) -> Content:
    samples = samples_of_flow(catalogue, flow.name)
    contents = el(
        "ul",
        *(
            el("li", el("a", f"{s.message_type} ", *both(s.zh, s.en), href=f"#{s.name}"))
            for s in flow.steps.values()
        ),
    )
    fields = {s.message_type: fields_of(catalogue, s.message_type) for s in flow.steps.values()}
    common = _common(tuple(fields.values()))
    seen = places(catalogue, flow, fields, len(common))
    linked = shown(seen)
    nodes = (
        el("p", el("a", *both("目录", "Contents"), href="index.html")),
        el("p", both("法律依据：", "Law: "), "；".join(flow.law) or "–"),
        sequence(catalogue, flow),
        contents,
        el("h2", both("各报文共有的字段", "Fields that every message has"), id="common"),
        _fields_table(catalogue, common, "", linked),
        *(
            node
            for step in flow.steps.values()
            for node in _step_section(
                catalogue, step, samples, fields[step.message_type][len(common) :], linked
            )
        ),
        el("h2", both("字段的类型", "Types of fields"), id="types"),
        _types_table(fields.values()),
        el("h2", both("业务规则", "Rules"), id="rules"),
        rules_table(_rules_of(catalogue, flow), seen),
        el("h2", both("办理期限", "Deadlines"), id="deadlines"),
        _deadlines_table(catalogue, flow),
    )
    return Content(f"{flow.number} {flow.zh}".strip(), flow.en, nodes)


def _rules_of(catalogue: Catalogue, flow: Flow) -> tuple[Rule, ...]:
    """The rules that can find anything in some message of the flow, in the order of their files."""
    can = {r.id for s in flow.steps.values() for r in catalogue.rules_of(s.message_type)}
    every = (r for rules in catalogue.rule_sets(flow.name) for r in rules.rules.values())
    return tuple(r for r in every if r.id in can)


def _common(messages: tuple[tuple[Field, ...], ...]) -> tuple[Field, ...]:
    """What all messages of a flow begin with, their header: told once, it is half of many a page."""
    first = messages[0]
    same = 0
    while same < len(first) and all(m[same : same + 1] == (first[same],) for m in messages):
        same += 1
    while same and any(len(m) > same and m[same].depth > 1 for m in messages):
        same -= 1  # never half of an element
    return first[:same]


def _deadlines_table(catalogue: Catalogue, flow: Flow) -> etree._Element:
    """The terms that a message of this flow opens or ends."""
    rows: list[tuple[Node | Iterable[Node], ...]] = []
    for rule in catalogue.deadlines.values():
        for term in rule.terms:
            about = {m.partition(".")[0] for m in (term.start.message, *term.stop_messages)}
            if flow.name not in about:
                continue
            rows.append(
                (
                    rule.id,
                    both(rule.zh, rule.en),
                    f"{term.start.message or term.start.event} → "
                    + " / ".join((*term.stop_messages, *term.stop_events)),
                    both(term_text(term, "zh"), term_text(term, "en")),
                    ", ".join(term.actor),
                    "；".join(rule.basis),
                )
            )
    if not rows:
        return el("p", both("没有期限规则。", "No deadline rule."))
    return table(
        ("规则 rule", "名称 name", "起止 from → to", "期限 limit", "责任 actor", "依据 basis"), rows
    )


def _step_section(
    catalogue: Catalogue,
    step: Step,
    samples: tuple[Sample, ...],
    fields: tuple[Field, ...],
    linked: frozenset[str],
) -> tuple[etree._Element, ...]:
    roles = catalogue.roles
    valid = [s for s in samples if s.message_type == step.message_type and not s.rule]
    valid.sort(key=lambda s: s.name != step.name)  # the plain one before its variants

    def named(codes: Iterable[str], lang: str) -> str:
        return ", ".join(
            (roles[c].zh if lang == "zh" else roles[c].en) if c in roles else c for c in codes
        )

    facts = [
        (
            "发送 from → to",
            f"{named(step.from_roles, 'zh')} → {named(step.to_roles, 'zh')}",
            f"{named(step.from_roles, 'en')} → {named(step.to_roles, 'en')}",
        ),
        (
            "抄送 cc",
            f"{named((c.role for c in step.cc), 'zh')}（由前置机加入，不写进 Receiver）"
            if step.cc
            else "–",
            f"{named((c.role for c in step.cc), 'en')} (added by the gateway, not in Receiver)"
            if step.cc
            else "",
        ),
        ("阶段 stage", step.stage or "–", ""),
        (
            "答复 answers",
            f"{'、'.join(step.answers)}（InReplyTo 写其 MessageId）" if step.answers else "–",
            "InReplyTo names its MessageId" if step.answers else "",
        ),
    ]
    nodes = [
        el("h2", f"{step.message_type} ", *both(step.zh, step.en), id=step.name),
        el("p", both(step.purpose_zh, step.purpose_en)),
        table(("项目 item", "内容 content"), ((k, both(zh, en)) for k, zh, en in facts)),
        el("h3", both("文书", "Documents")),
        _documents_table(catalogue, step),
        el(
            "h3",
            both("字段", "Fields"),
            " ",
            el("a", *both("另有共有字段", "besides the common ones"), href="#common"),
        ),
        _fields_table(catalogue, fields, step.name, linked),
    ]
    if valid:
        text = valid[0].data.decode("utf-8").replace("\r\n", "\n")
        nodes += [el("h3", both("样例", "Sample"), f" {valid[0].name}"), el("pre", text)]
    return tuple(nodes)


def _documents_table(catalogue: Catalogue, step: Step) -> etree._Element:
    titles = catalogue.code_list("doc-type")

    def row(rule: DocumentRule, variant: str) -> tuple[Node | Iterable[Node], ...]:
        zh = " / ".join(f"《{titles.text(t)}》" for t in rule.types)
        en = " / ".join(titles.text(t, "en") for t in rule.types)
        occurs = f"{rule.min}..{rule.max or '*'}"
        return (
            ", ".join(rule.types),
            both(zh, en),
            occurs,
            variant,
            rule.when,
            both(rule.zh, rule.en),
        )

    rows = [row(d, "") for d in step.documents]
    rows += [row(d, v.zh or v.name) for v in step.variants for d in v.documents]
    if not rows:
        return el("p", both("没有必备文书。", "No document is required."))
    return table(
        ("种类 type", "名称 name", "份数 count", "情形 variant", "条件 when", "说明 why"), rows
    )


def _fields_table(
    catalogue: Catalogue, fields: tuple[Field, ...], step: str, linked: frozenset[str]
) -> etree._Element:
    """step: whose fields, empty for the common ones. linked: the rows that need an id."""
    made = table(
        (
            "元素 element",
            "含义 meaning",
            "次数 occurs",
            "类型 type",
            "限制 limits",
            "代码表/校验 codes",
        ),
        (
            (
                "\u2003" * f.depth
                + (f"{f.prefix}:" if f.prefix else "")
                + f.name
                + (" ◇" if f.is_choice else ""),
                (
                    *both(f.zh, f.en),
                    *((el("div", both(f.note_zh, f.note_en)),) if f.note_zh else ()),
                ),
                f.occurs,
                f.type_name,
                f.limits,
                el("a", f.codes, href=_codes_at(catalogue, f.codes)) if f.codes else f.check,
            )
            for f in fields
        ),
    )
    for field, row in zip(fields, list(made)[1:], strict=True):
        if (name := anchor(step, field)) in linked:
            row.set("id", name)
    return made


def _types_table(messages: Iterable[tuple[Field, ...]]) -> etree._Element:
    """What the types say of themselves, each once."""
    texts = {
        f.type_name: both(f.type_zh, f.type_en)
        for fields in messages
        for f in fields
        if f.type_zh or f.type_en
    }
    return table(("类型 type", "含义 meaning"), sorted(texts.items()))


def _start_page(catalogue: Catalogue) -> Content:
    """What a vendor needs before the first message: `first_message.SECTIONS`."""
    nodes: list[etree._Element] = [
        el("p", el("a", *both("目录", "Contents"), href="index.html")),
    ]
    for section in SECTIONS:
        nodes.append(el("h2", both(section.zh, section.en)))
        nodes += [el("p", both(zh, en)) for zh, en in section.lines]
        if section.example:
            nodes.append(el("pre", section.example))
        if section.list in catalogue.list_names:
            nodes.append(_codes_table(catalogue, section.list))
    return Content("第一份报文", "The first message", tuple(nodes))


def _codes_page(catalogue: Catalogue) -> Content:
    """All lists but the long ones, and where those stand."""
    nodes: list[etree._Element] = []
    for name in catalogue.list_names:
        if not _is_long(catalogue, name):
            nodes += [el("h2", name, id=name), _codes_table(catalogue, name)]
    places = [(n, _codes_at(catalogue, n).removeprefix("codes.html")) for n in catalogue.list_names]
    contents = el("ul", *(el("li", el("a", n, href=place)) for n, place in places))
    back = el("p", el("a", *both("目录", "Contents"), href="index.html"))
    return Content("代码表", "Code lists", (back, contents, *nodes))


def _long_codes_page(catalogue: Catalogue, name: str) -> Content:
    back = el("p", el("a", *both("代码表", "Code lists"), href="codes.html"))
    table_ = _codes_table(catalogue, name)
    return Content(f"代码表 {name}", f"Code list {name}", (back, table_))


def _codes_table(catalogue: Catalogue, name: str) -> etree._Element:
    return table(
        ("代码 code", "名称 name", "有效期 valid", "上级 parent", "说明 note"),
        (
            (
                c.code,
                both(c.zh, c.en),
                f"{c.valid_from or ''} – {c.valid_to or ''}".strip(" –"),
                c.parent,
                c.note,
            )
            for rows in catalogue.code_list(name).codes.values()
            for c in rows
        ),
    )
