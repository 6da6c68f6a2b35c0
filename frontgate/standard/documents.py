"""Layer `documents`: the legal documents a step must carry, and the files that lie beside it.

A disc or paper satisfies a required document; only the network carrier brings a file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from frontgate.model.finding import Finding, finding
from frontgate.model.message import Carrier, DocumentRef, MessageView
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.flows import DocumentRule, Step, Variant
from frontgate.standard.reading import prefixes
from frontgate.values import Struct

MAX_NAME_BYTES = 255
"""Longest FileName in UTF-8: the limit of the file systems that receivers use."""
_DOC_TYPES = "doc-type"
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")


class FileFact(Struct, frozen=True):
    """A file beside the message. digest: SHA-256, 64 lower-case hex."""

    size_bytes: int
    digest: str


def check_documents(
    root: etree._Element, view: MessageView, step: Step, catalogue: Catalogue
) -> Iterator[Finding]:
    """FG-DOC-001 and 006: too few or too many of the documents that the step asks for.

    Where variants fit, the set of the one that is nearest to satisfied is asked for.
    """
    names = prefixes(step.flow)
    have = [document.doc_type for document in view.documents]
    yield from _judge(step.documents, have, root, names, catalogue)
    fitting = [v for v in step.variants if _fits(v, root, view, names, catalogue)]
    results = [list(_judge(v.documents, have, root, names, catalogue)) for v in fitting]
    if results:
        yield from min(results, key=len)


def _fits(
    variant: Variant,
    root: etree._Element,
    view: MessageView,
    names: Mapping[str, str],
    catalogue: Catalogue,
) -> bool:
    sender = catalogue.roles_by_type(view.header.sender)
    if variant.from_roles and sender and not sender & set(variant.from_roles):
        return False
    if variant.to_roles and not any(
        address.scheme
        or not (roles := catalogue.roles_by_type(address.code))
        or roles & set(variant.to_roles)
        for address in view.header.receivers
    ):
        return False
    return holds(variant.when, root, names)


def holds(condition: str, root: etree._Element, names: Mapping[str, str]) -> bool:
    """Whether an XPath 1.0 condition is true of the message; an empty one is.

    root: the Message, whose document node is the context.
    """
    if not condition:
        return True
    return bool(root.xpath(f"boolean({condition})", namespaces=dict(names)))


def _judge(
    rules: tuple[DocumentRule, ...],
    have: list[str],
    root: etree._Element,
    names: Mapping[str, str],
    catalogue: Catalogue,
) -> Iterator[Finding]:
    titles = catalogue.code_list(_DOC_TYPES) if rules else None
    for rule in rules:
        count = sum(1 for kind in have if kind in rule.types)
        too_few, too_many = count < rule.min, bool(rule.max) and count > rule.max
        if titles is None or not (too_few or too_many) or not holds(rule.when, root, names):
            continue
        zh = "或".join(f"《{titles.text(t)}》" for t in rule.types)
        en = " or ".join(titles.text(t, "en") or t for t in rule.types)
        yield finding(
            "FG-DOC-001" if too_few else "FG-DOC-006",
            xpath="/m:Message/m:Documents",
            value=",".join(rule.types),
            title_zh=zh,
            title_en=en,
            types=", ".join(rule.types),
            min=rule.min,
            max=rule.max,
            actual=count,
            why_zh=f"（{rule.zh}）" if rule.zh else "",
            why_en=f" ({rule.en})" if rule.en else "",
        )


def check_names(view: MessageView) -> Iterator[Finding]:
    """FG-DOC-007 and 008: names that no file may have, and names that mean the same file."""
    seen: set[str] = set()
    for document in view.documents:
        name = document.file_name
        if not name:
            continue
        if not is_safe_name(name):
            yield _at("FG-DOC-007", document, name)
        key = name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            yield _at("FG-DOC-008", document, name)
        seen.add(key)


def is_safe_name(name: str) -> bool:
    """A bare name: no separator, no control character, not dots alone, at most 255 bytes."""
    return (
        0 < len(name) <= MAX_NAME_BYTES
        and len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
        and name.strip(". ") != ""
        and _UNSAFE.search(name) is None
    )


def check_files(view: MessageView, files: Mapping[str, FileFact]) -> Iterator[Finding]:
    """FG-DOC-002..005: what the message lists against what lies beside it.

    files: by FileName in NFC, without the `files/` before it.
    """
    listed: set[str] = set()
    for document in view.documents:
        if document.carrier != Carrier.NETWORK or not document.file_name:
            continue
        name = unicodedata.normalize("NFC", document.file_name)
        listed.add(name)
        fact = files.get(name)
        if fact is None:
            yield _at("FG-DOC-002", document, name)
            continue
        if document.size_bytes is not None and document.size_bytes != fact.size_bytes:
            yield _at(
                "FG-DOC-003", document, name, stated=document.size_bytes, actual=fact.size_bytes
            )
        if document.digest and document.digest.lower() != fact.digest:
            yield _at("FG-DOC-004", document, name)
    for name in sorted(set(files) - listed):
        yield finding("FG-DOC-005", file=f"files/{name}", value=name)


def _at(code: str, document: DocumentRef, name: str, **params: Any) -> Finding:
    return finding(
        code,
        line=document.line,
        xpath=f"/m:Message/m:Documents/m:Document[m:DocUid='{document.doc_uid[:36]}']",
        value=name,
        **params,
    )
