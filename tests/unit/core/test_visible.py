"""What hides, moves or erases is shown as an escape; what is read stays as it is."""

import pytest

from frontgate.core.visible import shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J", r"\u001b[2J"),
        ("\x9b31m", r"\u009b31m"),
        ("a\x85b", r"a\u0085b"),
        ("fdp.\u202eexe", r"fdp.\u202eexe"),
        ("\u2066\u200f\u061c", r"\u2066\u200f\u061c"),
        ("a\u2028b", r"a\u2028b"),
        ("\udc9b", r"\udc9b"),
        ("\U000e0041", r"\U000e0041"),
        ("a\nb\r", r"a\u000ab\u000d"),
    ],
)
def test_hidden_characters_are_escapes(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    "text", ["", "罗某、杨某盗窃案", "〔2026〕3号\u3000甲", "ᠮᠣᠩᠭᠣᠯ", "\U00032000", "naïve ✓ →"]
)
def test_what_is_read_stays(text: str) -> None:
    assert shown(text) == text


def test_what_the_program_itself_writes_is_kept() -> None:
    assert shown("a\n\tb\x9b", keep="\n\t") == "a\n\tb\\u009b"
