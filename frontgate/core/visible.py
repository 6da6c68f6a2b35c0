"""Texts from elsewhere, made safe for a terminal, a line, a report: what hides, moves or erases is shown
as an escape. Control characters of both sets (C0 and C1, which some terminals obey), marks that turn the
direction of writing, marks without width, line separators, lone surrogates.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def is_hidden(character: str) -> bool:
    """Whether a character does something instead of being seen."""
    return unicodedata.category(character) in _HIDDEN


def shown(text: str, keep: str = "") -> str:
    """The text with every hidden character but those in `keep` as `\\u009b` or `\\U000e0041`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(escaped(c) if is_hidden(c) and c not in keep else c for c in text)


def escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
