"""`rejected/`: the drop untouched, and beside it a report for software and one for people.

Order: a note of the chosen name in the claim's folder, the move, the two reports, and only then the
claim's folder goes. A crash at any point is finished by calling `reject` again.
"""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import quoteattr  # at the head: a refusal must not need to read modules

from frontgate import durable
from frontgate.core.visible import escaped, is_hidden
from frontgate.model.finding import Finding, Report
from frontgate.safexml import escape
from frontgate.spool import beneath, trash
from frontgate.spool.beneath import Folder
from frontgate.spool.claiming import LEFT, Claim, keep_left
from frontgate.spool.layout import SHARED_FILE_MODE, SpoolPaths

_NOTE = ".frontgate-reject"
REPORT_NS = "urn:frontgate:report:1"


def reject(paths: SpoolPaths, claim: Claim, report: Report, *, now: datetime) -> Path:
    """Move a refused drop to `rejected/` with its reports. Idempotent. Returns: where it stands.

    One that cannot be moved at all (kind `left`) stays where it is; only its reports are written.
    """
    with Folder.at(paths.claims) as claims, Folder.at(paths.rejected) as rejected:
        if claim.kind == LEFT:
            durable.make_dir(claim.claim_id, dir_fd=claims.fd)
        elif not claims.has(claim.claim_id):
            return paths.rejected  # an earlier try came to its end but for the last sync
        with claims.inner(claim.claim_id) as folder:
            if folder.has(_NOTE):
                raw, _, original = folder.read(_NOTE).partition(b"\n")
            else:
                raw = _free_name(rejected, claim.name, claim.claim_id)
                original = claim.name
                durable.write_file(_NOTE, raw + b"\n" + original, dir_fd=folder.fd)
            held = os.fsencode(claim.path.name)
            if claim.kind not in ("moved", LEFT) and folder.has(held):
                _move(paths, folder, held, rejected, raw)
        for suffix, data in (
            (b".report.xml", report_xml(original, report, now)),
            (b".report.txt", report_text(original, report, now)),
        ):
            durable.write_file(
                raw + suffix, data, SHARED_FILE_MODE, dir_fd=rejected.fd, gid=rejected.gid
            )
        rejected.fsync()
        # The note goes with its folder, in one step: without it a second try would report anew.
        trash.put_away(paths, claims, claim.claim_id)
        claims.fsync()
    if claim.kind == LEFT:
        keep_left(paths, claim)
    return paths.rejected / os.fsdecode(raw)


def _free_name(rejected: Folder, name: bytes, claim_id: str) -> bytes:
    """The drop's own name; cut and marked where it is taken or too long for its reports."""
    is_free = not any(rejected.has(name + end) for end in (b"", b".report.xml", b".report.txt"))
    if len(name) <= 200 and is_free:
        return name
    return name[:180] + b"~" + claim_id[-8:].encode("ascii")


def _move(
    paths: SpoolPaths, folder: Folder, name: bytes, rejected: Folder, new_name: bytes
) -> None:
    try:
        folder.move(name, rejected, new_name)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EACCES, errno.EPERM):
            raise
        beneath.copy(folder, name, rejected, new_name)
        trash.discard(paths, folder, name)
    rejected.fsync()
    folder.fsync()


def report_xml(name: bytes, report: Report, now: datetime) -> bytes:
    """`<name>.report.xml`, UTF-8. name: whole, percent-escaped."""
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = "".join(_finding_xml(f) for f in report.findings)
    verdict = "refused" if report.is_refused else "accepted"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Report xmlns="{REPORT_NS}" drop={quoteattr(quote_from_bytes(name))} at="{at}"'
        f' verdict="{verdict}">\n{rows}</Report>\n'
    ).encode("utf-8", "backslashreplace")


def _finding_xml(f: Finding) -> str:
    attributes = [f"rule={quoteattr(f.rule)}", f'severity="{f.severity.value}"']
    if f.file:
        attributes.append(f"file={quoteattr(_clean(f.file))}")
    if f.line is not None:
        attributes.append(f'line="{f.line}"')
    if f.xpath:
        attributes.append(f"xpath={quoteattr(_clean(f.xpath))}")
    inner = [
        f'    <Text xml:lang="zh">{escape(_clean(f.zh))}</Text>\n',
        f'    <Text xml:lang="en">{escape(_clean(f.en))}</Text>\n',
    ]
    if f.value:
        inner.append(f"    <Value>{escape(_clean(f.value))}</Value>\n")
    if f.basis:
        inner.append(f"    <Basis>{escape(_clean(f.basis))}</Basis>\n")
    if f.advice_zh:
        inner.append(f'    <Advice xml:lang="zh">{escape(_clean(f.advice_zh))}</Advice>\n')
        inner.append(f'    <Advice xml:lang="en">{escape(_clean(f.advice_en))}</Advice>\n')
    return f"  <Finding {' '.join(attributes)}>\n{''.join(inner)}  </Finding>\n"


def report_text(name: bytes, report: Report, now: datetime) -> bytes:
    """`<name>.report.txt`: UTF-8 with BOM and CRLF, Chinese first, then English."""
    shown = name.decode("utf-8", "backslashreplace")
    at = now.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    count = sum(f.severity.refuses for f in report.findings)
    lines = [
        f"文件未被受理：{_clean(shown)}",
        f"时间：{at}    需改正：{count} 处",
        "",
    ]
    for n, f in enumerate(report.findings, 1):
        lines += _finding_text(n, f, zh=True)
    lines += [
        "改正后请重新投放到 outbound/；本文件夹中的原件未作任何改动。",
        "",
        "-" * 60,
        f"The file was refused: {_clean(shown)}",
        f"Time: {at}    to be mended: {count}",
        "",
    ]
    for n, f in enumerate(report.findings, 1):
        lines += _finding_text(n, f, zh=False)
    lines.append("Mend it and drop it into outbound/ again; the original here was not changed.")
    text = "\r\n".join(lines) + "\r\n"
    return b"\xef\xbb\xbf" + text.encode("utf-8", "backslashreplace")


def _finding_text(number: int, f: Finding, *, zh: bool) -> list[str]:
    place = f.file or ""
    if f.line is not None:
        place += f":{f.line}"
    words = (
        ("位置", "路径", "值", "依据", "建议") if zh else ("at", "path", "value", "basis", "advice")
    )
    lines = [f"{number}. [{f.rule}] ({f.severity.value}) {_clean(f.zh if zh else f.en)}"]
    for word, value in zip(
        words,
        (place, f.xpath, f.value, f.basis, f.advice_zh if zh else f.advice_en),
        strict=True,
    ):
        if value:
            lines.append(f"   {word}: {_clean(value)}")
    return [*lines, ""]


def _clean(text: str) -> str:
    """Hidden characters made visible: a name must not break a line or an XML, nor turn what is read."""
    return "".join(escaped(c) if is_hidden(c) or c in "\ufffe\uffff" else c for c in text)
