"""Completing a header changes what it must and not one byte more."""

from __future__ import annotations

import pytest
from lxml import etree
from toy_standard import CASE, COURT, message

from frontgate.errors import CatalogueError
from frontgate.standard import Checker, complete
from frontgate.standard.complete import ORDER
from frontgate.standard.view import read_view

IDS = {
    "MessageId": "0b5f2f0e-0000-5000-8000-000000000001",
    "FlowUid": "0b5f2f0e-0000-5000-8000-000000000002",
    "CaseUid": CASE,
}


def test_missing_ids_are_written_where_the_schema_wants_them(checker: Checker) -> None:
    data = complete(message(), ids=IDS)
    assert checker.check(data, files=None, minted=True).report.findings == ()
    view = checker.read(data)
    assert view.header.message_id == IDS["MessageId"]
    assert view.header.flow_uid == IDS["FlowUid"]
    assert view.header.case_uid == CASE


def test_all_other_bytes_stay(checker: Checker) -> None:
    before = message()
    after = complete(before, ids=IDS)
    for name, value in IDS.items():
        after = after.replace(f"<{name}>{value}</{name}>\n  ".encode(), b"")
    assert after == before


def test_nothing_to_do_gives_the_same_object() -> None:
    data = complete(message(), ids=IDS)
    assert complete(data, ids=IDS) is data
    assert complete(data, ids={}) is data
    untouched = message()
    assert complete(untouched, ids={}) is untouched


def test_what_is_there_is_never_changed(checker: Checker) -> None:
    data = complete(message(), ids=IDS)
    other = complete(data, ids={"MessageId": "0b5f2f0e-0000-5000-8000-00000000000f"})
    assert other is data


def test_it_is_the_same_again() -> None:
    assert complete(message(), ids=IDS) == complete(message(), ids=IDS)


def test_an_external_receiver_becomes_a_unit_code(checker: Checker) -> None:
    data = message(
        receiver='<Receiver scheme="court-word">黔&amp;0102</Receiver><Receiver>'
        + COURT
        + "</Receiver>"
    )
    done = complete(data, ids={"court-word:黔&0102": COURT})
    receivers = checker.read(done).header.receivers
    assert [(r.code, r.scheme) for r in receivers] == [(COURT, ""), (COURT, "")]
    assert checker.check(done, files=None).report.findings == ()


def test_prefixes_comments_cdata_and_single_quotes() -> None:
    data = (
        b"<?xml version='1.0'?><!-- <Header><MessageType>no</MessageType></Header> -->\r\n"
        b"<f:Message xmlns:f='urn:frontgate:message:1' standard='1.0' note='a > b'>"
        b"<f:Header><!-- > --><?pi <f:Sender/> ?>\r\n\t<f:MessageType>tea-time.submit</f:MessageType>\r\n\t"
        b"<f:Sender><![CDATA[</f:Header>]]></f:Sender><f:BusinessTime>x</f:BusinessTime></f:Header>"
        b"<f:Body><Header xmlns=''><MessageType/></Header></f:Body></f:Message>"
    )
    done = complete(data, ids=IDS)
    header = read_view(etree.fromstring(done)).header
    assert (header.message_id, header.flow_uid, header.case_uid) == tuple(IDS.values())
    assert header.sender == "</f:Header>"
    children = [etree.QName(c).localname for c in etree.fromstring(done)[0].iterchildren("*")]
    assert children == ["MessageId", "MessageType", "FlowUid", "Sender", "CaseUid", "BusinessTime"]
    assert b"<f:MessageId>" in done
    assert b"\r\n\t<f:FlowUid>" in done


def test_values_are_escaped() -> None:
    done = complete(message(), ids={"FlowUid": "a<b>&c"})
    assert b"<FlowUid>a&lt;b&gt;&amp;c</FlowUid>" in done


def test_an_empty_element_is_left_for_the_schema(checker: Checker) -> None:
    data = message(header="<FlowUid></FlowUid>")
    assert complete(data, ids={"FlowUid": IDS["FlowUid"]}) == data


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(CatalogueError, match="FG-STD-004"):
        complete(b"<a/>", ids=IDS)
    with pytest.raises(CatalogueError, match="FG-STD-005"):
        complete(b'<Message xmlns="urn:frontgate:message:1"/>', ids=IDS)


def test_a_header_without_a_later_element_gets_its_ids_at_its_end() -> None:
    data = b'<Message xmlns="urn:frontgate:message:1"><Header><MessageType>a.b</MessageType></Header></Message>'
    header = read_view(etree.fromstring(complete(data, ids=IDS))).header
    assert (header.message_id, header.flow_uid, header.case_uid) == tuple(IDS.values())


def test_the_order_names_each_element_once() -> None:
    assert len(set(ORDER)) == len(ORDER)
