"""Standard words and moments as people read them."""

from frontgate.cli.output import Output
from frontgate.cli.transfers import _advice


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
