"""A second reader's reason for a refused message: xmlschema says it in plainer words.

xmlschema is some 50 times slower than lxml and takes half a second to import, so it is loaded
only here, only when asked, and only for documents of bounded size.
"""

from __future__ import annotations

from lxml import etree

from frontgate import safexml
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.schema import driver
from frontgate.values import Struct

MAX_BYTES = 1 << 20
MAX_REASONS = 20


class Reason(Struct, frozen=True):
    """One reason in English, with the path and line that xmlschema gives (line None if unknown)."""

    text: str
    path: str
    line: int | None


def explain_xml(
    catalogue: Catalogue, flow: str, data: bytes, *, most: int = MAX_REASONS
) -> tuple[Reason, ...]:
    """Why xmlschema refuses a message; empty if it accepts it or it is over 1 MiB.

    flow: the flow whose schema applies. most: at most so many reasons.
    Raises: XmlError for what is not strict XML.
    """
    if len(data) > MAX_BYTES:
        return ()
    import xmlschema  # half a second to import, wanted for refused messages only

    root = safexml.parse(data)
    schema = xmlschema.XMLSchema10(
        etree.tostring(driver(catalogue, flow), encoding="unicode"), allow="local"
    )
    found: list[Reason] = []
    for error in schema.iter_errors(root):
        line = getattr(error, "sourceline", None)
        found.append(
            Reason(
                text=" ".join((error.reason or error.message).split())[:300],
                path=error.path or "",
                line=line if isinstance(line, int) else None,
            )
        )
        if len(found) >= most:
            break
    return tuple(found)
