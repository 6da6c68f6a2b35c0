"""Documents that a step asks for only where its message says so: the flow table's conditions."""

import re
from pathlib import Path

import pytest

from frontgate.standard import Checker, Standards

ROOT = Path(__file__).resolve().parents[3] / "standards"
CHECKER = Checker(Standards.load(ROOT))


@pytest.mark.parametrize(
    ("sample", "change", "missing"),
    [
        ("arrest-request/accept", ("<m:DocType>2101<", "<m:DocType>7107<"), "2101"),
        ("case-record/submit", ("<m:DocType>1101<", "<m:DocType>7107<"), "1101"),
        (
            "prosecution-transfer/execute",
            ("PropertyReleased>false", "PropertyReleased>true"),
            "1149",
        ),
        ("sentence-delivery/accept", ("<m:DocType>1155<", "<m:DocType>3130<"), "1155"),
        ("appeal/extend", ("<m:DocType>3103<", "<m:DocType>7107<"), "3103"),
        ("appeal/extend", ("<m:DocType>3107<", "<m:DocType>7107<"), "3107"),
        (
            "public-prosecution/submit",
            (
                "</b:Charge>",
                "</b:Charge><b:Custody><t:CustodyStatus>03</t:CustodyStatus>"
                "<t:DetentionUnit>52010213005</t:DetentionUnit>"
                "<t:CustodyDue>2027-02-15</t:CustodyDue></b:Custody>",
            ),
            "1129",
        ),
    ],
)
def test_a_document_is_asked_for_where_the_message_says_so(
    sample: str, change: tuple[str, str], missing: str
) -> None:
    flow, _, name = sample.partition("/")
    path = ROOT / "1.0/flows" / flow / "samples/valid" / f"{name}.xml"
    text = path.read_text("utf-8")
    assert change[0] in text
    text = re.sub(re.escape(change[0]), change[1], text, count=1)
    found = CHECKER.check(text.encode(), files=None).report.findings
    assert [(f.rule, f.value[:4]) for f in found] == [("FG-DOC-001", missing)]
