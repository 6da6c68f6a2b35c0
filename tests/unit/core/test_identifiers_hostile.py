"""No text whatever makes a check of an identifier fail otherwise than with the answer no."""

from __future__ import annotations

import pytest

from frontgate.core import identifiers


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (identifiers.is_unit_code, "52010\uff1011011"),
        (identifiers.is_case_uid, "C2026520\uff110011010000001X"),
        (identifiers.is_case_uid, "C202652\u0660100110100000011"),
        (identifiers.is_citizen_id, "52010\uff12199001010011"),
        (identifiers.is_person_uid, "C20265201001101000000111-P\uff10\uff10\uff11"),
        (identifiers.is_uscc, "91350100I00000000X"),
        (identifiers.is_uscc, "9152000\uff100000000000X"),
    ],
)
def test_foreign_digits_and_letters_outside_the_alphabet_are_refused(check, text: str) -> None:  # type: ignore[no-untyped-def]
    assert check(text) is False
