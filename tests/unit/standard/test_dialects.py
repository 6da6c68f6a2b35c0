"""A unit's dialect: both ways by one table, and nothing but the message is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontgate import safexml
from frontgate.errors import CatalogueError
from frontgate.standard import Checker, Standards
from frontgate.standard.dialects import read_dialect

ROOT = Path(__file__).resolve().parents[3] / "standards"
SAMPLE = (ROOT / "1.0/flows/arrest-request/samples/valid/submit.xml").read_bytes()
MAPPING = """what,name,theirs,standard
field,,LeiXing,m:MessageType
field,,XingMing,t:Name
field,,RenYuan,t:Person
field,,TiQing,b:Submit
code,t:Sex,M,1
code,t:Sex,F,2
"""


def make(folder: Path, mapping: str = MAPPING, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dialect.toml").write_text('name = "acme"\nversion = "3"\n', "utf-8")
    (folder / "mapping.csv").write_text(mapping, "utf-8")
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.xsl").write_text(text, "utf-8")
    return folder


def canonical(data: bytes) -> bytes:
    return safexml.canonical(safexml.parse(data))


def test_there_and_back_is_the_same_message(tmp_path: Path) -> None:
    dialect = read_dialect(make(tmp_path / "acme"))
    theirs = dialect.from_standard(SAMPLE)
    assert "<XingMing>罗某</XingMing>".encode() in theirs
    assert b">M<" in theirs
    assert b"MessageType" not in theirs
    back = dialect.to_standard(theirs)
    assert canonical(back) == canonical(SAMPLE)
    assert Checker(Standards.load(ROOT)).check(back, files=None).report.findings == ()
    assert dialect.label == "acme 3"


def test_what_is_already_the_standard_stays(tmp_path: Path) -> None:
    dialect = read_dialect(make(tmp_path / "acme"))
    assert canonical(dialect.to_standard(SAMPLE)) == canonical(SAMPLE)


def test_a_stylesheet_does_what_renaming_cannot(tmp_path: Path) -> None:
    wrap = (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        '<xsl:template match="/"><xsl:copy-of select="/{}/*"/></xsl:template></xsl:stylesheet>'
    )
    dialect = read_dialect(make(tmp_path / "acme", to_standard=wrap.format("Wrapper")))
    wrapped = b"<Wrapper>" + SAMPLE.split(b"?>", 1)[1] + b"</Wrapper>"
    assert canonical(dialect.to_standard(wrapped)) == canonical(SAMPLE)
    with pytest.raises(CatalogueError) as caught:
        dialect.to_standard(b"<Other/>")
    assert caught.value.code == "FG-STD-016"


def test_a_stylesheet_reads_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.xml").write_text("<secret/>")
    reach = (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        f'<xsl:template match="/"><xsl:copy-of select="document(\'{tmp_path}/secret.xml\')"/>'
        "</xsl:template></xsl:stylesheet>"
    )
    dialect = read_dialect(make(tmp_path / "acme", to_standard=reach))
    with pytest.raises(CatalogueError) as caught:
        dialect.to_standard(SAMPLE)
    assert caught.value.code == "FG-STD-016"


def test_a_message_without_its_type_is_named(tmp_path: Path) -> None:
    dialect = read_dialect(make(tmp_path / "acme"))
    with pytest.raises(CatalogueError) as caught:
        dialect.to_standard(b"<a/>")
    assert "LeiXing" in caught.value.message("en")


@pytest.mark.parametrize(
    "mapping",
    [
        "what,name\nfield,x",
        "what,name,theirs,standard\nfield,,A,x:Name",
        "what,name,theirs,standard\nfield,,A,t:Name\nfield,,A,t:Sex",
        "what,name,theirs,standard\nfield,,A,t:Name\nfield,,B,t:Name",
        "what,name,theirs,standard\ncode,t:Sex,M,1\ncode,t:Sex,M,2",
        "what,name,theirs,standard\nthing,t:Sex,M,1",
        "what,name,theirs,standard\ncode,t:Sex,,1",
    ],
)
def test_a_mapping_that_cannot_be_used_is_named(tmp_path: Path, mapping: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_dialect(make(tmp_path / "acme", mapping))
    assert caught.value.code == "FG-STD-015"


def test_a_missing_folder_and_a_broken_stylesheet_are_named(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", make(tmp_path / "acme", to_standard="<x/>")):
        with pytest.raises(CatalogueError) as caught:
            read_dialect(folder)
        assert caught.value.code == "FG-STD-015"
