"""Proving a node's whole audit chain: journal, epochs' signatures, and archives where they are at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from frontgate.core import chain
from frontgate.errors import FrontgateError, ParcelError
from frontgate.journal import Reader, audit
from frontgate.journal.audit import Examination
from frontgate.pipeline.epochs import judge_by
from frontgate.pipeline.evidence import Content, check_archive, links_of
from frontgate.pipeline.parcel import read_manifest
from frontgate.trust.store import TrustStore, load_trust


def examine(reader: Reader, keys: Path, archives: Path | None = None) -> Examination:
    """Walk the chain; with `archives`, from the first entry ever.

    keys: the node's keys folder, whose trust says who may sign. Raises: ParcelError where an archive is
    missing or does not hold.
    """
    trust: TrustStore | None = None
    with contextlib.suppress(FrontgateError):
        trust = load_trust(keys / "trust")
    node = reader.meta("node") or ""
    breaks = _wrong_checkpoints(reader, node, trust)
    if archives is None:
        found = audit.examine(reader, judge_by(node, trust))
    else:
        contents = _open_all(reader, archives)

        def stream() -> Iterator[chain.Link]:
            for path, content in contents:
                with path.open("rb") as file:
                    yield from links_of(file, content)

        found = audit.examine(reader, judge_by(node, trust), archived=stream)
    return Examination(
        found.walked, found.begins_at, found.epochs, found.lost, (*breaks, *found.breaks)
    )


def _wrong_checkpoints(
    reader: Reader, node: str, trust: TrustStore | None
) -> tuple[chain.Break, ...]:
    """Checkpoints whose signed document says something else, or was signed by another."""
    found: list[chain.Break] = []
    for border in audit.checkpoints(reader):
        try:
            manifest = read_manifest(border.xml)
            about = manifest.about
            said = (about.get("node"), about.get("eventsTo"), about.get("head"), manifest.digest)
            if said != (node, str(border.seq), border.head, border.digest):
                raise ParcelError("FG-PCL-004", name=border.name)
            control = manifest.control
            if trust is not None and node.startswith("hub:"):
                trust.judge_hub(control.certificate, control.issued_at)
            elif trust is not None:
                trust.judge(control.certificate, control.issuer, control.issued_at)
        except FrontgateError as error:
            found.append(chain.Break(border.seq, f"a checkpoint that does not hold ({error.code})"))
    return tuple(found)


def _open_all(reader: Reader, folder: Path) -> list[tuple[Path, Content]]:
    """Every archive that the journal names, verified and in order.

    Raises: ParcelError FG-PCL-001 for a missing one, 004 for one that is not the registered file.
    """
    found: list[tuple[Path, Content]] = []
    for border in audit.checkpoints(reader):
        path = folder / border.name
        if not path.is_file():
            raise ParcelError("FG-PCL-001", what=f"{border.name} (missing)")
        with path.open("rb") as file:
            content = check_archive(file)
        if content.manifest.digest != border.digest:
            raise ParcelError("FG-PCL-004", name=border.name)
        found.append((path, content))
    return found
