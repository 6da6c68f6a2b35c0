"""Standard words and moments as people read them."""

import json

import pytest
from lxml import etree

from frontgate.cli.draft import _referred
from frontgate.cli.output import Output, say
from frontgate.cli.transfers import _advice
from frontgate.core.visible import is_hidden


def test_words_have_their_meaning_in_chinese_and_keep_their_form() -> None:
    zh, en = Output(lang="zh"), Output(lang="en")
    assert zh.word("state", "QUEUED") == "等待发送 QUEUED"
    assert en.word("state", "QUEUED") == "QUEUED"
    assert zh.word("state", "unheard-of") == "unheard-of"
    # Padded by columns: a Chinese character takes two.
    assert zh.word("receipt", "delivered", 30) == "已送达 delivered" + " " * (30 - 6 - 1 - 9)


def test_moments_are_told_in_local_time() -> None:
    out = Output(lang="en")
    assert out.when("2026-11-25T19:05:44.714Z") == "2026-11-26 03:05:44+08:00"
    assert out.when("") == ""


def test_a_context_check_is_explained_like_a_code() -> None:
    told = _advice("FG-CTX-002")
    assert told["zh"] != "FG-CTX-002" != told["en"]
    assert told["advice_zh"] == "frontgate explain FG-CTX-002"
    assert _advice("FG-NOT-999")["zh"] == "FG-NOT-999"


def test_a_line_and_a_document_hide_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x9b31m\u202eb\nc\td", err=True)
    assert capsys.readouterr().err == "a\\u009b31m\\u202eb\\u000ac\td\n"
    value = {"甲\u202e": "\x9b\x07\U000e0041\udc9b 罗某\n"}
    Output().json(value)
    text = capsys.readouterr().out
    assert "罗某" in text
    assert not [c for c in text if c != "\n" and is_hidden(c)]
    assert json.loads(text) == value


def test_a_draft_on_a_terminal_is_the_same_document() -> None:
    xml = "<a b='\u202e罗'>\x9b2J\n<b/></a>"
    said = _referred(xml)
    assert not [c for c in said if c != "\n" and is_hidden(c)]
    assert etree.tostring(etree.fromstring(said)) == etree.tostring(etree.fromstring(xml))
