"""Drops read offline, samples written and broken, the handbook."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import html
from toy_standard import message, write_standard

from frontgate.errors import CatalogueError
from frontgate.standard import Catalogue, Checker, Standards
from frontgate.standard.drops import find_drops, is_ignored, read_drop
from frontgate.standard.fields import fields_of
from frontgate.standard.handbook import content, write_handbook
from frontgate.standard.markup import el
from frontgate.standard.samples import BREAKS, filler, pick, rule_of, samples_of_flow, write_drop


def a_folder(base: Path, name: str = "drop") -> Path:
    folder = base / name
    (folder / "files").mkdir(parents=True)
    (folder / "message.xml").write_bytes(message())
    (folder / "files" / "茶单.pdf").write_bytes(b"x" * 1200)
    return folder


def judged(checker: Checker, path: Path) -> list[str]:
    drop = read_drop(path)
    found = list(drop.findings)
    if drop.data is not None:
        found += checker.check(drop.data, files=drop.files).report.findings
    return [f.rule for f in found]


def test_a_folder_drop(checker: Checker, tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    drop = read_drop(folder)
    assert drop.files["茶单.pdf"].digest == hashlib.sha256(b"x" * 1200).hexdigest()
    assert judged(checker, folder) == []


def test_a_zip_drop(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "drop.ZIP"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("message.xml", message())
        archive.writestr("files/茶单.pdf", bytes(range(240)) * 5)
    assert judged(checker, path) == []


def test_a_zip_without_message_and_a_damaged_zip(checker: Checker, tmp_path: Path) -> None:
    empty = tmp_path / "a.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("files/茶单.pdf", b"x" * 1200)
    assert "FG-DOC-010" in judged(checker, empty)
    broken = tmp_path / "b.zip"
    broken.write_bytes(empty.read_bytes()[:-30])
    assert [r[:6] for r in judged(checker, broken)] == ["FG-CNT"]


def test_an_xml_drop_brings_no_files(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"\xef\xbb\xbf" + message())
    assert judged(checker, path) == ["FG-DOC-011", "FG-DOC-002"]


def test_links_and_strangers_in_a_folder(checker: Checker, tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret", "utf-8")
    (folder / "files" / "link.pdf").symlink_to(secret)
    os.mkfifo(folder / "files" / "pipe")
    (folder / "notes.txt").write_text("?", "utf-8")
    (folder / "files" / "Thumbs.db").write_text("?", "utf-8")
    assert sorted(judged(checker, folder)) == ["FG-DOC-005", "FG-DOC-009", "FG-DOC-009"]


def test_a_link_as_message_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    (tmp_path / "elsewhere.xml").write_bytes(message())
    (folder / "message.xml").symlink_to(tmp_path / "elsewhere.xml")
    drop = read_drop(folder)
    assert drop.data is None
    assert [f.rule for f in drop.findings] == ["FG-DOC-009", "FG-DOC-010"]


def test_unfinished_names_are_left_alone() -> None:
    for name in (
        ".x.xml",
        "~$x.xml",
        "x.xml.part",
        "X.TMP",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX",
    ):
        assert is_ignored(name)
    assert not is_ignored("x.xml")


def test_drops_are_found_in_a_folder_of_drops(tmp_path: Path) -> None:
    a_folder(tmp_path, "b")
    (tmp_path / "a.xml").write_bytes(message())
    (tmp_path / "c.zip").write_bytes(b"")
    (tmp_path / "d.xml.part").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    assert [p.name for p in find_drops(tmp_path)] == ["a.xml", "b", "c.zip"]
    assert list(find_drops(tmp_path / "b")) == [tmp_path / "b"]


@pytest.mark.parametrize("size", [0, 1, 20, 400, 450, 1000, 9999, 10_000, 10_020, 123_456])
@pytest.mark.parametrize("name", ["x.pdf", "x.txt"])
def test_sample_files_have_exactly_the_stated_length(name: str, size: int) -> None:
    content = filler(name, size)
    assert len(content) == size
    if name.endswith(".pdf") and size >= 1000:
        start = int(content.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
        assert content[start : start + 4] == b"xref"
        assert content.endswith(b"%%EOF\n")


def test_rules_are_read_from_sample_names() -> None:
    assert rule_of("FG-arrest-request-001") == "FG-arrest-request-001"
    assert rule_of("FG-DOC-001-2") == "FG-DOC-001"
    assert rule_of("FG-COD-001-crime") == "FG-COD-001"
    assert rule_of("FG-XSD-missing-sender") == "FG-XSD"


def test_a_written_sample_is_clean_and_each_break_shows(
    standards: Standards, checker: Checker, tmp_path: Path
) -> None:
    catalogue = standards.version("1.0")
    chosen = pick(catalogue, "tea-time.submit")
    assert judged(checker, write_drop(chosen, checker, tmp_path / "out")) == []
    for rule in BREAKS:
        assert judged(checker, write_drop(chosen, checker, tmp_path / "out", rule)) == [rule]
    invalid = pick(catalogue, "tea-time.submit", "FG-tea-time-001")
    assert judged(checker, write_drop(invalid, checker, tmp_path / "out")) == ["FG-tea-time-001"]
    with pytest.raises(FileExistsError):
        write_drop(chosen, checker, tmp_path / "out")


def test_a_sample_that_is_not_there_names_those_that_are(standards: Standards) -> None:
    catalogue = standards.version("1.0")
    with pytest.raises(CatalogueError, match=r"FG-STD-010.*FG-tea-time-001"):
        pick(catalogue, "tea-time.submit", "FG-XYZ-001")
    with pytest.raises(CatalogueError, match="FG-STD-010"):
        pick(catalogue, "tea-time.notify")
    assert [s.rule for s in samples_of_flow(catalogue, "tea-time")] == ["", "FG-tea-time-001"]


def test_the_handbook_is_complete_in_itself_and_escaped(tmp_path: Path) -> None:
    root = write_standard(tmp_path / "std")
    toml = root / "1.0/flows/tea-time/flow.toml"
    attack = toml.read_text("utf-8").replace("Invites to tea", "<script>alert(1)</script>")
    toml.write_text(attack, "utf-8")
    pages = write_handbook(Standards.load(root).version("1.0"), tmp_path / "book")
    assert [p.name for p in pages] == ["index.html", "start.html", "tea-time.html", "codes.html"]
    for page in pages:
        tree = html.fromstring(page.read_bytes().decode("utf-8"))
        scripts = [node.text or "" for node in tree.xpath("//script")]
        assert len(scripts) == (2 if page.name == "index.html" else 0)
        assert not [text for text in scripts if "<script>" in text]
        assert tree.xpath("//@src") == []
        for target in tree.xpath("//@href"):
            name, _, anchor = target.partition("#")
            other = html.fromstring((page.parent / (name or page.name)).read_text("utf-8"))
            assert not anchor or other.xpath("//*[@id=$a]", a=anchor), target
    text = (tmp_path / "book/tea-time.html").read_text("utf-8")
    for part in ("请茶", "Invitation", "&lt;script&gt;", "茶单", "FG-tea-time-001", "茶法 第2条", "sending unit", "tea-time.submit"):  # fmt: skip
        assert part in text


def test_a_variant_is_picked_by_its_name_and_the_plain_step_comes_first(toy: Path) -> None:
    folder = toy / "1.0/flows/tea-time/samples/valid"
    (folder / "submit-big.xml").write_bytes(message())
    catalogue = Standards.load(toy).version("1.0")
    assert pick(catalogue, "tea-time.submit").name == "submit"
    assert pick(catalogue, "tea-time.submit-big").name == "submit-big"
    with pytest.raises(CatalogueError, match="FG-STD-002"):
        pick(catalogue, "tea-time.submit-small")


def test_a_message_in_capitals_is_the_message(checker: Checker, tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in")
    (folder / "message.xml").rename(folder / "MESSAGE.XML")
    assert list(find_drops(tmp_path / "in")) == [folder]
    assert judged(checker, folder) == []


Handbook = Callable[[Catalogue], tuple[Path, ...]]


def test_no_page_of_the_handbook_is_heavy_and_every_link_leads_somewhere(
    handbook: Handbook,
) -> None:
    """Long code lists have pages of their own."""
    pages = handbook(Standards.load().version("1.0"))
    texts = {p.name: p.read_text("utf-8") for p in pages}
    assert max(len(t.encode()) for t in texts.values()) < 230_000
    assert "codes-crime.html" in texts
    for text in texts.values():
        for name, anchor in re.findall(r'href="([a-z-]+\.html)(?:#([^"]*))?"', text):
            assert name in texts
            assert not anchor or f'id="{anchor}"' in texts[name], (name, anchor)
        own = set(re.findall(r' id="([^"]*)"', text))
        assert set(re.findall(r'href="#([^"]*)"', text)) <= own


def test_a_flows_page_says_all_of_its_fields_types_and_rules() -> None:
    catalogue = Standards.load().version("1.0")
    page = el("body", *content(catalogue, "sentence-delivery").nodes)
    (field,) = page.xpath("//tr[@id='submit/Body/Submit/Convict/TermTo']")
    assert "无期徒刑、死刑没有刑期止日" in "".join(field.itertext())
    assert "which have no end of term" in "".join(field.itertext())
    types = "".join(page.xpath("//h2[@id='types']/following-sibling::table[1]")[0].itertext())
    assert "日期，不带时区" in types
    rows = {row.get("id"): row for row in page.xpath("//tr[starts-with(@id,'FG-')]")}
    row = rows["FG-sentence-delivery-011"]
    assert [cell.text for cell in row[:2]] == ["FG-sentence-delivery-011", "error"]
    for part in ("必须写明刑期止日", "need the end of the term", "刑法 第四十一条", "Give TermTo"):
        assert part in "".join(row.itertext())
    assert row.xpath(".//a/@href") == [
        "#submit/Body/Submit/Convict/Sentence/PrincipalPenalty",
        "#submit/Body/Submit/Convict/TermTo",
    ]
    can = {
        r.id
        for t in catalogue.message_types
        if t.startswith("sentence-delivery.")
        for r in catalogue.rules_of(t)
    }
    assert rows.keys() == can
    assert "FG-common-018" not in can  # no message of the flow has a measure


def test_each_rule_of_a_page_leads_to_a_field(handbook: Handbook) -> None:
    catalogue = Standards.load().version("1.0")
    pages = {page.stem: page for page in handbook(catalogue)}
    for flow in catalogue.flow_names:
        rows = html.parse(pages[flow]).xpath("//tr[starts-with(@id,'FG-')]")
        assert rows
        assert [r.get("id") for r in rows if not r.xpath(".//a")] == []


def test_the_first_page_explains_unit_codes_copies_and_follow_ups(handbook: Handbook) -> None:
    texts = {p.name: p.read_text("utf-8") for p in handbook(Standards.load().version("1.0"))}
    start = texts["start.html"]
    for part in (
        "520102 11 00 X",
        "看守所",
        "units.csv",
        "--message-only",
        "InReplyTo",
        "scheme of Receiver",
        "added by the gateway",
    ):
        assert part in " ".join(start.split()), part
    flow = texts["arrest-request.html"]
    assert "由前置机加入，不写进 Receiver" in flow
    assert "InReplyTo 写其 MessageId" in flow


def test_attributes_have_meanings_too() -> None:
    catalogue = Standards.load().version("1.0")
    bare = {
        f.path
        for name in catalogue.flow_names
        for step in catalogue.flow(name).steps.values()
        for f in fields_of(catalogue, step.message_type)
        if f.name.startswith("@") and not (f.zh and f.en)
    }
    assert bare == set()
