"""Identifiers with check characters: unit code, case, person, citizen id, social credit code.

Source: GB 11643-1999 (ISO 7064 MOD 11-2), GB 32100-2015, GB 11714-1997; the forms of the unit
code, CaseUid and PersonUid are the exchange standard's own.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from operator import mul

# re.ASCII: elsewhere \d also means the digits of other scripts, which no check sum is defined for.
_UNIT = re.compile(r"[1-9]\d{9}[\dX]", re.ASCII)
_CASE = re.compile(r"C(?:19|20)\d{2}[1-9]\d{9}\d{7}[\dX]", re.ASCII)
_PERSON = re.compile(r"-P\d{3}", re.ASCII)
_CITIZEN = re.compile(
    r"[1-9]\d{5}(18|19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d{3}[\dX]", re.ASCII
)
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100: without I, O, S, V, Z, in the organisation code too."""
_USCC = re.compile(
    f"[{_USCC_ALPHABET}]{{2}}\\d{{6}}[{_USCC_ALPHABET}]{{8}}[\\dX][{_USCC_ALPHABET}]", re.ASCII
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


_WEIGHTS = tuple(pow(2, n, 11) for n in range(32, 0, -1))
"""Of the digits from the left; the last counts twice."""
_ZEROS = tuple(48 * sum(_WEIGHTS[len(_WEIGHTS) - n :]) if n else 0 for n in range(33))
"""What the sum over n digits has too much, because 48 is ord("0")."""


def mod11_2(digits: str) -> str:
    """Check character of ISO 7064 MOD 11-2: `0`-`9` or `X`. digits: ASCII digits, at most 32."""
    size = len(digits)
    weighed = sum(map(mul, digits.encode("ascii"), _WEIGHTS[len(_WEIGHTS) - size :]))
    return "0123456789X"[(12 - weighed + _ZEROS[size]) % 11]


def has_unit_form(text: str) -> bool:
    """Whether `text` looks like a unit code, whatever its check character."""
    return bool(_UNIT.fullmatch(text))


@lru_cache(maxsize=8192)
def is_unit_code(text: str) -> bool:
    """Division 6 + type 2 + serial 2 + MOD 11-2 check."""
    return bool(_UNIT.fullmatch(text)) and mod11_2(text[:10]) == text[10]


def unit_code(ten_digits: str) -> str:
    """The unit code whose first ten digits are given."""
    return ten_digits + mod11_2(ten_digits)


@lru_cache(maxsize=8192)
def is_case_uid(text: str) -> bool:
    """`C` + year + first 10 of the opening unit's code + 7-digit serial + check: 23 characters."""
    return bool(_CASE.fullmatch(text)) and mod11_2(text[1:22]) == text[22]


def case_uid(year: int, unit: str, serial: int) -> str:
    """Mint a CaseUid. unit: full unit code. serial: 0..9_999_999, never reused by that unit in a year.

    Raises: ValueError for a serial out of range.
    """
    if not 0 <= serial <= 9_999_999:
        raise ValueError(f"serial {serial} is out of range")
    body = f"{year:04d}{unit[:10]}{serial:07d}"
    return f"C{body}{mod11_2(body)}"


@lru_cache(maxsize=8192)
def is_person_uid(text: str) -> bool:
    """CaseUid + `-P` + 3 digits."""
    return bool(_PERSON.fullmatch(text[23:])) and is_case_uid(text[:23])


@lru_cache(maxsize=8192)
def is_citizen_id(text: str) -> bool:
    """18 characters, a real birth date, MOD 11-2 check (GB 11643)."""
    if not _CITIZEN.fullmatch(text) or mod11_2(text[:17]) != text[17]:
        return False
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=8192)
def is_uscc(text: str) -> bool:
    """Unified social credit code: both its own check and the organisation code's (GB 32100, GB 11714)."""
    if not _USCC.fullmatch(text):
        return False
    total = sum(_USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(text[:17]))
    if _USCC_ALPHABET[(31 - total % 31) % 31] != text[17]:
        return False
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    organ = sum(int(c, 36) * w for c, w in zip(text[8:16], weights, strict=True))
    return "0123456789X0"[11 - organ % 11] == text[16]


def is_uuid(text: str) -> bool:
    """Lower-case RFC 9562 UUID of any version."""
    return bool(_UUID.fullmatch(text))
