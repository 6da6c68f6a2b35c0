"""The compact form of a message keeps every element and text, and stays small whatever comes."""

from pathlib import Path

import pytest
from ledger import sample
from lxml import etree

from frontgate.errors import XmlError
from frontgate.standard.extract import MOST_BYTES, compact, expand

FLOWS = Path(__file__).parents[3] / "standards" / "1.0" / "flows"


def told(root: etree._Element) -> list[tuple[str, str]]:
    return [(str(e.tag), (e.text or "").strip()) for e in root.iter("*")]


@pytest.mark.parametrize(
    "path", sorted(FLOWS.glob("*/samples/valid/submit.xml")), ids=lambda p: p.parts[-4]
)
def test_nothing_but_white_space_is_lost(path: Path) -> None:
    data = path.read_bytes()
    body = compact(data)
    assert told(expand(body)) == told(etree.fromstring(data))
    assert len(body) < len(data) / 2


def test_a_very_long_message_is_cut_and_then_left_out() -> None:
    text = sample("arrest-request/submit")
    long = text.replace("<t:Facts>", "<t:Facts>" + "长" * MOST_BYTES, 1).encode()
    root = expand(compact(long))
    assert max(len(e.text or "") for e in root.iter("*")) <= 300
    first = text.index("      <b:Suspect>")
    last = text.index("      </b:Suspect>", first) + len("      </b:Suspect>\n")
    many = text[:first] + text[first:last] * 400 + text[last:]
    assert compact(many.encode()) == b""


def test_a_damaged_extract_is_said_to_be_one() -> None:
    with pytest.raises(XmlError):
        expand(b"not zlib")
