"""Where a finding points: line, XPath and a name that people read.

XPaths use the standard's own prefixes (m, t, b), because messages are free in theirs; the same
prefixes stand in `flow.toml` and `rules.sch`.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

_LINE_LIMIT = 65_535
"""libxml2 keeps lines in 16 bits; from there on it does not know."""


class Places:
    """names: element name → texts (zh, en). prefixes: prefix → namespace."""

    def __init__(self, names: Mapping[str, tuple[str, str]], prefixes: Mapping[str, str]) -> None:
        self._names = names
        self._prefix = {uri: prefix for prefix, uri in prefixes.items()}

    def line(self, element: etree._Element) -> int | None:
        """1-based line of the start tag; None where the parser does not know it."""
        line = element.sourceline
        return line if line is not None and 0 < line < _LINE_LIMIT else None

    def xpath(self, element: etree._Element) -> str:
        """Absolute path; a position is given only where siblings share the name."""
        steps: list[str] = []
        node: etree._Element | None = element
        while node is not None:
            parent = node.getparent()
            step = self._step(node.tag)
            if parent is not None:
                same = [c for c in parent.iterchildren(node.tag)]
                if len(same) > 1:
                    step += f"[{same.index(node) + 1}]"
            steps.append(step)
            node = parent
        return "/" + "/".join(reversed(steps))

    def name(self, element: etree._Element | str) -> str:
        """`IssuedOn（签发日期）` for both languages: the tag is what a vendor searches for."""
        tag = element if isinstance(element, str) else element.tag
        zh, _ = self._names.get(tag, ("", ""))
        local = tag.rpartition("}")[2]
        short = zh.partition("。")[0].partition("，")[0][:24]
        return f"{local}（{short}）" if short else local

    def _step(self, tag: str) -> str:
        uri, _, local = tag.rpartition("}")
        uri = uri.removeprefix("{")
        if not uri:
            return local
        prefix = self._prefix.get(uri)
        return f"{prefix}:{local}" if prefix else f"*[local-name()='{local}']"
