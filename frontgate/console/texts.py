"""The console's words, in one catalogue: `texts.toml`, each key with Chinese and English."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

LANGUAGES = ("zh", "en")


@cache
def catalogue() -> Mapping[str, tuple[str, str]]:
    """`section.name` → (zh, en)."""
    data = tomllib.loads(
        resources.files("frontgate.console").joinpath("texts.toml").read_text("utf-8")
    )
    found: dict[str, tuple[str, str]] = {}
    for section, rows in data.items():
        for name, (zh, en) in rows.items():
            found[f"{section}.{name}"] = (zh, en)
    return MappingProxyType(found)


def text(key: str, language: str, **params: object) -> str:
    """The words under `key`. Raises: KeyError for one that is not in the catalogue."""
    zh, en = catalogue()[key]
    words = zh if language == "zh" else en
    return words.format(**params) if params else words


def has(key: str) -> bool:
    return key in catalogue()
