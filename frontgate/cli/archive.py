"""Finding archived messages: in a node's journal, or in files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from frontgate.seal import Package, open_package

MOST_MESSAGE_BYTES = 32 << 20


def messages_in(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """(place, message.xml) of every archived message. Raises: OSError, FrontgateError."""
    for path in paths:
        if (path / "state" / "journal.db").is_file():
            for message_id, package in packages_of(path / "state"):
                yield message_id, package.read("message.xml", MOST_MESSAGE_BYTES)
        elif path.is_dir():
            yield from messages_in(
                p for p in sorted(path.rglob("*")) if p.suffix.lower() in (".asice", ".xml")
            )
        elif path.suffix.lower() == ".asice":
            with path.open("rb") as file:
                package = open_package(file, offset=0, length=path.stat().st_size)
                package.verify()
                yield str(path), package.read("message.xml", MOST_MESSAGE_BYTES)
        else:
            yield str(path), path.read_bytes()


def packages_of(
    state: Path, *, direction: str = "", kinds: Iterable[str] = (), about: str = ""
) -> Iterator[tuple[str, Package]]:
    """(MessageId, verified package) of what a node admitted, oldest first, a page at a time.

    kinds: message types, all if empty. about: a FlowUid or CaseUid. A package is open until the
    next one is asked for.
    """
    from frontgate.journal import open_reader

    wanted = tuple(kinds)
    with contextlib.closing(open_reader(state / "journal.db", any_version=True)) as reader:
        after = 0
        while True:
            rows = reader.all(
                "SELECT p.id, s.path, p.offset_bytes, p.size_bytes, p.message_id, p.message_type"
                " FROM package p JOIN segment s ON s.id = p.segment_id WHERE p.state = 'ADMITTED'"
                " AND p.id > ? AND (? = '' OR p.direction = ?)"
                " AND (? = '' OR p.flow_uid = ? OR p.case_uid = ?) ORDER BY p.id LIMIT 200",
                after,
                direction,
                direction,
                about,
                about,
                about,
            )
            if not rows:
                return
            for ident, path, offset, size, message_id, kind in rows:
                after = int(ident)
                if wanted and kind not in wanted:
                    continue
                with (state / str(path)).open("rb") as file:
                    package = open_package(file, offset=int(offset), length=int(size))
                    package.verify()
                    yield str(message_id), package
