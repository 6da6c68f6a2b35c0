"""The standard's handbook within the console: the same pages that `frontgate standard docs` writes."""

from __future__ import annotations

from functools import lru_cache

from lxml import etree

from frontgate.console.web import Answer, Endpoint, Go, Html, Sheet, Visit
from frontgate.errors import ConsoleError
from frontgate.standard import Catalogue, handbook, markup


def first(visit: Visit) -> Answer:
    return Go("/handbook/index.html")


def page(visit: Visit) -> Answer:
    """One page by its file name. Raises: ConsoleError FG-CON-014."""
    name = visit.path["page"]
    if name == "search.js":
        return Sheet(handbook.SEARCH.encode(), "text/javascript", "search.js")
    stem = name.removesuffix(".html")
    if not name.endswith(".html") or stem not in handbook.page_names(visit.desk.catalogue):
        raise ConsoleError("FG-CON-014")
    title, body, has_script = _body(visit.desk.catalogue, stem)
    return Html(title, body, script="/handbook/search.js" if has_script else "")


@lru_cache(maxsize=128)
def _body(catalogue: Catalogue, name: str) -> tuple[str, str, bool]:
    found = handbook.content(catalogue, name)
    title = f"{found.title_zh} {found.title_en}"
    parts = [etree.tostring(node, method="html", encoding="unicode") for node in found.nodes]
    heading = markup.el("h1", markup.both(found.title_zh, found.title_en))
    head = etree.tostring(heading, method="html", encoding="unicode")
    return title, head + "".join(parts), bool(found.script)


ENDPOINTS = (
    Endpoint("/handbook", first, None),
    Endpoint("/handbook/{page}", page, None),
)
