"""Copies by the standard, and the narrowed extract."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree
from toy_standard import CENTRE, COURT, DOCUMENT, POLICE, message

from frontgate.core.identifiers import unit_code
from frontgate.errors import CatalogueError
from frontgate.model.envelope import Copy
from frontgate.model.message import MessageView
from frontgate.model.unit import REVOKED, Directory, Unit
from frontgate.standard import Catalogue, Checker, Standards, complete, copies, extract_id, narrow

OTHER_COURT = unit_code("5201021101")
FAR_COURT = unit_code("5202012100")
MESSAGE_ID = "0b5f2f0e-0000-5000-8000-000000000001"


def unit(code: str, *roles: str, **more: object) -> Unit:
    return Unit(code=code, name_zh=code, roles=roles, **more)  # type: ignore[arg-type]


def directory(*units: Unit) -> Directory:
    every = (unit(POLICE, "police"), unit(COURT, "court"), unit(CENTRE, "detention"), *units)
    return Directory(version=1, units={u.code: u for u in every})


def asked(catalogue: Catalogue, data: bytes, units: Directory) -> tuple[list[Copy], list[str]]:
    view: MessageView = Checker(Standards(catalogue.folder.parent)).read(data)
    found, findings = copies(catalogue, data, view, units)
    return list(found), [f.rule for f in findings]


@pytest.fixture
def catalogue(standards: Standards) -> Catalogue:
    return standards.version("1.0")


def with_centre(code: str = CENTRE) -> bytes:
    return message(centre=f"<b:Centre>{code}</b:Centre>")


def test_a_named_unit_gets_a_narrowed_copy(catalogue: Catalogue) -> None:
    assert asked(catalogue, with_centre(), directory()) == ([Copy(CENTRE, "narrowed")], [])


def test_units_of_a_role_in_the_division_get_a_full_copy(catalogue: Catalogue) -> None:
    units = directory(unit(OTHER_COURT, "court"), unit(FAR_COURT, "court"))
    assert asked(catalogue, message(), units) == ([Copy(OTHER_COURT)], [])


def test_receivers_sender_and_dead_units_get_none(catalogue: Catalogue) -> None:
    units = directory(unit(OTHER_COURT, "court", status=REVOKED))
    assert asked(catalogue, message(), units) == ([], [])


def test_a_full_copy_goes_before_a_narrowed_one(catalogue: Catalogue) -> None:
    units = directory(unit(OTHER_COURT, "court"))
    assert asked(catalogue, with_centre(OTHER_COURT), units) == ([Copy(OTHER_COURT)], [])


def test_an_unknown_centre_is_a_warning(catalogue: Catalogue) -> None:
    assert asked(catalogue, with_centre(FAR_COURT), directory()) == ([], ["FG-STD-012"])


def test_a_successor_gets_the_copy(catalogue: Catalogue) -> None:
    old = unit_code("5201021301")
    units = directory(unit(old, "detention", successor=CENTRE))
    assert asked(catalogue, with_centre(old), units) == ([Copy(CENTRE, "narrowed")], [])


def test_test_traffic_is_copied_to_test_units_only(catalogue: Catalogue) -> None:
    data = with_centre().replace(b"</BusinessTime>", b"</BusinessTime><TestFlag>true</TestFlag>")
    assert asked(catalogue, data, directory())[0] == []
    trial = unit_code("5201021390")
    data = data.replace(f"<b:Centre>{CENTRE}".encode(), f"<b:Centre>{trial}".encode())
    assert asked(catalogue, data, directory(unit(trial, "detention")))[0] == [
        Copy(trial, "narrowed")
    ]


def test_real_traffic_is_not_copied_to_a_test_unit_by_its_role(catalogue: Catalogue) -> None:
    trial = unit(unit_code("5201021190"), "court")
    assert trial.is_test
    units = directory(unit(OTHER_COURT, "court"), trial)
    assert asked(catalogue, message(), units) == ([Copy(OTHER_COURT)], [])
    data = message().replace(b"</BusinessTime>", b"</BusinessTime><TestFlag>true</TestFlag>")
    assert asked(catalogue, data, units) == ([Copy(trial.code)], [])


def test_the_extract_is_a_valid_message_to_that_unit_alone(
    catalogue: Catalogue, checker: Checker
) -> None:
    data = complete(with_centre(), ids={"MessageId": MESSAGE_ID, "FlowUid": MESSAGE_ID})
    extract = narrow(catalogue, data, Copy(CENTRE, "narrowed"))
    checked = checker.check(
        extract, files={}, layers=frozenset({"xsd", "codes", "rules"}), minted=True
    )
    assert checked.report.findings == ()
    assert checked.view is not None
    header = checked.view.header
    assert [r.code for r in header.receivers] == [CENTRE]
    assert header.message_type == "tea-time.notify"
    assert header.message_id == extract_id(MESSAGE_ID, CENTRE) != MESSAGE_ID
    assert checked.view.documents == ()
    assert "绿" not in extract.decode()
    assert narrow(catalogue, data, Copy(CENTRE, "narrowed")) == extract


def test_two_units_get_two_ids() -> None:
    assert extract_id(MESSAGE_ID, CENTRE) != extract_id(MESSAGE_ID, COURT)


def test_a_stylesheet_reads_nothing_from_outside(toy: Path, standards: Standards) -> None:
    secret = toy / "secret.xml"
    secret.write_text("<s>hidden</s>", "utf-8")
    path = toy / "1.0/flows/tea-time/pot.xsl"
    reads = f"<xsl:value-of select=\"document('{secret.as_uri()}')\"/>"
    text = path.read_text("utf-8").replace('<xsl:copy-of select="b:Pot"/>', reads)
    path.write_text(text, "utf-8")
    with pytest.raises(CatalogueError, match="FG-STD-011"):
        narrow(standards.version("1.0"), with_centre(), Copy(CENTRE, "narrowed"))


def test_a_step_without_extract_is_refused(catalogue: Catalogue) -> None:
    data = message().replace(b"tea-time.submit", b"tea-time.notify")
    with pytest.raises(CatalogueError, match="FG-STD-011"):
        narrow(catalogue, data, Copy(CENTRE, "narrowed"))


@pytest.mark.parametrize("output", ["<nothing/>", "<m:Message><m:Header/></m:Message>", ""])
def test_a_stylesheet_that_makes_no_message_is_refused(
    toy: Path, standards: Standards, output: str
) -> None:
    sheet = (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" '
        f'xmlns:m="urn:frontgate:message:1"><xsl:template match="/">{output}</xsl:template></xsl:stylesheet>'
    )
    (toy / "1.0/flows/tea-time/pot.xsl").write_text(sheet, "utf-8")
    with pytest.raises(CatalogueError, match="FG-STD-011"):
        narrow(standards.version("1.0"), with_centre(), Copy(CENTRE, "narrowed"))


def test_the_extract_keeps_no_document(catalogue: Catalogue) -> None:
    extract = narrow(catalogue, with_centre(), Copy(CENTRE, "narrowed"))
    assert etree.fromstring(extract).find("{*}Documents") is None
    assert DOCUMENT.encode() not in extract
