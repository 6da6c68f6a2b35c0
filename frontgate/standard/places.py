"""Where a finding points: line, XPath and a name that people read.

XPaths use the standard's own prefixes (m, t, b), because messages are free in theirs; the same
prefixes stand in `flow.toml` and `rules.sch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from frontgate.standard.declarations import Declarations
from frontgate.standard.tree import line_of


class Places:
    """declarations: of the flow's schemas, for names and for what may stand where. prefixes: prefix →
    namespace."""

    def __init__(self, declarations: Declarations, prefixes: Mapping[str, str]) -> None:
        self.declarations = declarations
        self._names = declarations.names
        self._prefix = {uri: prefix for prefix, uri in prefixes.items()}

    def line(self, element: etree._Element) -> int | None:
        """1-based line of the start tag; None where the parser does not know it."""
        return line_of(element)

    def xpath(self, element: etree._Element) -> str:
        """Absolute path; a position is given only where siblings share the name."""
        steps: list[str] = []
        node: etree._Element | None = element
        while node is not None:
            parent = node.getparent()
            step = self._step(node.tag)
            if parent is not None:
                same = list(parent.iterchildren(node.tag))
                if len(same) > 1:
                    step += f"[{same.index(node) + 1}]"
            steps.append(step)
            node = parent
        return "/" + "/".join(reversed(steps))

    def names(self, element: etree._Element | str, role: str = "element") -> dict[str, Any]:
        """`element_zh` and `element_en` for the table's texts: the tag, then what it means."""
        tag = element if isinstance(element, str) else str(element.tag)
        return {f"{role}_zh": self.shown(tag, "zh"), f"{role}_en": self.shown(tag, "en")}

    def shown(self, tag: str, lang: str) -> str:
        """`IssuedOn（签发日期）` or `IssuedOn (date of issue)`: vendors search for the tag."""
        zh, en = self._names.get(tag, ("", ""))
        local = tag.rpartition("}")[2]
        if lang == "zh":
            short = zh.partition("。")[0].partition("，")[0][:30]
            return f"{local}（{short}）" if short else local
        short = en.partition(". ")[0].partition(";")[0].rstrip(".")[:50]
        return f"{local} ({short})" if short else local

    def qualified(self, tag: str, lang: str) -> str:
        """`shown` with the standard's prefix before it, or the namespace where it has none."""
        uri = tag.rpartition("}")[0].removeprefix("{")
        prefix = self._prefix.get(uri, f"{{{uri}}}" if uri else "")
        colon = ":" if uri in self._prefix else ""
        return f"{prefix}{colon}{self.shown(tag, lang)}"

    def _step(self, tag: str) -> str:
        uri, _, local = tag.rpartition("}")
        uri = uri.removeprefix("{")
        if not uri:
            return local
        prefix = self._prefix.get(uri)
        return f"{prefix}:{local}" if prefix else f"*[local-name()='{local}']"
