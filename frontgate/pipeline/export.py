"""Evidence for a third party: all there is about a message or a case, in one self-contained file.

A signed parcel with every sealed package once, all receipts with their signatures, the audit entries that
this node's receipts name, and what was trusted. `frontgate verify` judges it offline.
"""

from __future__ import annotations

import errno
import json
import re
from datetime import datetime
from pathlib import Path

from frontgate import durable
from frontgate.errors import KeepError
from frontgate.journal import Reader, keeping
from frontgate.pipeline.archive import Node
from frontgate.pipeline.parcel import ParcelWriter
from frontgate.pipeline.segments import read_slice
from frontgate.seal.receipts import write_list
from frontgate.values import Struct

KIND = "evidence"
PAGE = 200
_ODD = re.compile(r"[^A-Za-z0-9-]")


class Exported(Struct, frozen=True):
    """pruned: MessageIds whose packages are only in an archive any more, with its name."""

    path: str
    packages: int
    receipts: int
    pruned: tuple[tuple[str, str], ...]
    digest: str


def export_about(node: Node, ident: str, target: Path, *, actor: str, now: datetime) -> Exported:
    """Write all about a MessageId, FlowUid or CaseUid to the new file `target`. actor: who wants it.

    Raises: KeepError FG-KEP-001, 002, 007.
    """
    reader = node.journal.reader()
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists():
            raise KeepError("FG-KEP-001", path=str(target))
        if not _is_known(reader, ident):
            raise KeepError("FG-KEP-007", value=ident)
        with node.journal.write(now) as tx:
            number = tx.next_number(f"control:{node.signer.unit}", tx.floor)
            seq, head = tx.event("export", about=ident, path=str(target), actor=actor)
        durable.unlink(part)
        with durable.open_new(part) as out:
            writer = ParcelWriter(out)
            packages, pruned = _packages(node, reader, ident, writer)
            receipts = _receipts(reader, ident, writer)
            for name in ("ca.der", "hub.der", "directory.json"):
                path = node.trust / name
                if path.is_file():
                    writer.add_bytes(f"trust-{name}", path.read_bytes())
            about = {
                "kind": KIND,
                "node": node.journal.node,
                "about": ident,
                "packages": str(packages),
                "receipts": str(receipts),
                "seq": str(seq),
                "head": head,
            }
            manifest = writer.finish(about, number=number, now=now, signer=node.signer)
            durable.publish(part, target, out)
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "?")
        raise KeepError("FG-KEP-002", path=str(target), reason=reason, detail=str(error)) from error
    finally:
        durable.unlink(part)
        reader.close()
    return Exported(str(target), packages, receipts, tuple(pruned), manifest.digest)


def _is_known(reader: Reader, ident: str) -> bool:
    return (
        reader.one(
            "SELECT 1 FROM package WHERE message_id = ? OR flow_uid = ? OR case_uid = ?"
            " UNION ALL SELECT 1 FROM receipt WHERE message_id = ? LIMIT 1",
            ident,
            ident,
            ident,
            ident,
        )
        is not None
    )


def _packages(
    node: Node, reader: Reader, ident: str, writer: ParcelWriter
) -> tuple[int, list[tuple[str, str]]]:
    count = 0
    pruned: list[tuple[str, str]] = []
    seen: set[tuple[str, str]] = set()
    after = 0
    while rows := reader.all(
        "SELECT p.id, p.message_id, p.content_digest, coalesce(s.path, ''), p.offset_bytes,"
        " p.size_bytes, coalesce(s.state, '') FROM package p LEFT JOIN segment s ON s.id = p.segment_id"
        " WHERE p.id > ? AND p.state IN ('ADMITTED', 'REJECTED') AND (p.message_id = ?"
        " OR p.flow_uid = ? OR p.case_uid = ?) ORDER BY p.id LIMIT ?",
        after,
        ident,
        ident,
        ident,
        PAGE,
    ):
        for row, message_id, content, path, offset, size, state in rows:
            after = int(row)
            if (message_id, content) in seen or not path:
                continue
            seen.add((str(message_id), str(content)))
            if state != "kept":
                pruned.append((str(message_id), keeping.archive_of(reader, after)))
                continue
            name = f"package-{after:012d}-{_ODD.sub('_', str(message_id))[:36]}.asice"
            with (node.state / str(path)).open("rb") as file:
                writer.add(name, int(size), read_slice(file, int(offset), int(size)))
            count += 1
    if pruned:
        text = "".join(f"{message_id} {name}\n" for message_id, name in pruned)
        writer.add_bytes("pruned.txt", text.encode())
    return count, pruned


def _receipts(reader: Reader, ident: str, writer: ParcelWriter) -> int:
    """Receipts, and beside each list the audit entries that this node's own ones name."""
    count = number = 0
    after = 0
    while rows := reader.all(
        "SELECT r.id, r.xml, s.xml, r.audit_seq, r.audit_head FROM receipt r"
        " JOIN signature s ON s.id = r.signature_id WHERE r.id > ? AND (r.message_id = ?"
        " OR r.package_id IN (SELECT id FROM package WHERE flow_uid = ? OR case_uid = ?))"
        " ORDER BY r.id LIMIT ?",
        after,
        ident,
        ident,
        ident,
        PAGE,
    ):
        after = int(rows[-1][0])
        groups: dict[bytes, list[bytes]] = {}
        anchors: list[str] = []
        for _, xml, signature, seq, head in rows:
            groups.setdefault(bytes(signature), []).append(bytes(xml))
            entry = reader.one(
                "SELECT seq, at, kind, data, head FROM event WHERE seq = ? AND head = ?", seq, head
            )
            if entry is not None:
                anchors.append(json.dumps(list(entry), ensure_ascii=False) + "\n")
        number += 1
        count += len(rows)
        writer.add_bytes(f"receipts-{number:06d}.xml", write_list(groups.items()))
        if anchors:
            writer.add_bytes(f"anchors-{number:06d}.jsonl", "".join(anchors).encode())
    return count
