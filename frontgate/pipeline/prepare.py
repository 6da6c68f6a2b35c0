"""From a claimed drop to a sealed package, or to the findings that refuse it.

A plain function without keys to other rooms' state: it reads the drop once, writes the package
while it hashes, and decides nothing that is not in its arguments. What becomes of the result (the
journal, the claim, the receipts) is the caller's step.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO

from frontgate.core import minting, routing
from frontgate.core.identifiers import is_uuid
from frontgate.errors import FrontgateError, InternalError
from frontgate.model.envelope import Envelope
from frontgate.model.finding import Finding, finding, finding_of
from frontgate.model.message import Address, DocumentRef, Header
from frontgate.model.unit import Directory
from frontgate.pipeline.segments import CHUNK
from frontgate.seal import PackageWriter, Sealed
from frontgate.spool.claiming import Claim
from frontgate.spool.drop import Drop, DropFile, DropLimits, open_drop
from frontgate.standard import (
    Catalogue,
    Checker,
    FileFact,
    Standards,
    complete,
    copies,
    narrow,
    resolve_key,
    step_of,
)
from frontgate.standard.dialects import Dialect
from frontgate.suites import Signer
from frontgate.values import Struct, replace

_MEDIA_TYPES: Mapping[str, str] = {
    "pdf": "application/pdf",
    "ofd": "application/ofd",
    "xml": "application/xml",
    "txt": "text/plain",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "mp4": "video/mp4",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "zip": "application/zip",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
TRIES = 3
"""How often a source that changes while it is read is read again before it is refused."""


class Station(Struct, frozen=True):
    """Whose drop it is. The spool fixes the sender."""

    unit: str
    app: str
    signer: Signer
    dialect: Dialect | None = None


class Kit(Struct, frozen=True):
    """What preparing needs of the node. mint_case: a CaseUid for a key, the same again for the same.
    known_flow: FlowUid of a message of that flow known here, else empty. known_case: CaseUid likewise,
    whatever its flow.
    """

    standards: Standards
    directory: Directory
    limits: DropLimits
    mint_case: Callable[[str, str], str]
    known_flow: Callable[[str, str], str]
    known_case: Callable[[str], str]


class Prepared(Struct, frozen=True):
    """A sealed package, not yet durable. offset: in the target file. extracts: narrowed copies."""

    claim: Claim
    sealed: Sealed
    offset: int
    digest: str
    drop_digest: str
    findings: tuple[Finding, ...]
    extracts: tuple[Extract, ...] = ()

    @property
    def header(self) -> Header:
        return self.sealed.envelope.header


class Extract(Struct, frozen=True):
    """A narrowed copy: a package of its own, sealed by the sender's gateway."""

    sealed: Sealed
    data: bytes


class Refusal(Struct, frozen=True):
    """Why a drop is refused. header: as far as it could be read."""

    claim: Claim
    findings: tuple[Finding, ...]
    drop_digest: str = ""
    header: Header | None = None


def prepare(
    claim: Claim, station: Station, kit: Kit, checker: Checker, target: BinaryIO, now: datetime
) -> Prepared | Refusal:
    """Read, check, complete and seal one drop.

    target: seekable; the package is written from its present end, and cut off again if the drop is
    refused. A source that changes while it is read is read again, at most `TRIES` times.
    """
    start = target.seek(0, io.SEEK_END)
    for _ in range(TRIES):
        result = _prepare_once(claim, station, kit, checker, target, start, now)
        if result is not None:
            break
        _cut(target, start)
    else:
        result = Refusal(claim, (finding("FG-SPL-020", value=_shown(claim.name)),))
    if isinstance(result, Refusal):
        _cut(target, start)
    return result


def _cut(target: BinaryIO, start: int) -> None:
    target.seek(start)
    target.truncate()


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _prepare_once(
    claim: Claim,
    station: Station,
    kit: Kit,
    checker: Checker,
    target: BinaryIO,
    start: int,
    now: datetime,
) -> Prepared | Refusal | None:
    try:
        with open_drop(claim, limits=kit.limits) as drop:
            result = _seal_drop(claim, drop, station, kit, checker, target, start, now)
            return None if drop.changed() else result
    except FrontgateError as error:
        if isinstance(error, InternalError) or error.is_transient:
            raise
        return Refusal(claim, (finding_of(error),))


def _seal_drop(
    claim: Claim,
    drop: Drop,
    station: Station,
    kit: Kit,
    checker: Checker,
    target: BinaryIO,
    start: int,
    now: datetime,
) -> Prepared | Refusal:
    # A dialect ends here: what was dropped is kept as source/, all else sees the standard.
    data = station.dialect.to_standard(drop.message) if station.dialect else drop.message
    try:
        parsed = checker.parse(data)
    except FrontgateError as error:
        report = checker.check(data, files=None).report
        told = report.findings if report.is_refused else (finding_of(error, file="message.xml"),)
        return Refusal(claim, (*drop.warnings, *told), drop.digest)
    view = parsed.view
    header = view.header
    found: list[Finding] = list(drop.warnings)
    if header.sender != station.unit:
        found.append(finding("FG-RTE-010", value=header.sender, unit=station.unit))
    receivers, misses = routing.resolve_all(header.receivers, kit.directory)
    found.extend(misses)

    matched = _match(view.documents, drop.files)
    needs_source = data != drop.message or _will_change(header, drop)
    parts = [(path, media) for path, media, _ in matched.values()]
    if needs_source:
        parts.append(("source/message.xml", "application/xml"))
    writer = PackageWriter(target, offset=start, parts=[*parts, ("message.xml", "application/xml")])
    facts: dict[str, FileFact] = {}
    for name, (path, media, _) in matched.items():
        file = drop.files[name]
        part = writer.add(path, media, file.read(CHUNK), file.size_bytes)
        facts[name] = FileFact(part.size_bytes, part.digest)
    for name, file in drop.files.items():
        if name not in matched:
            facts[name] = _fact(file)
    report = checker.check(data, files=facts, parsed=parsed).report
    found.extend(report.findings)
    if any(f.severity.refuses for f in found):
        return Refusal(claim, tuple(found), drop.digest, header)

    catalogue = kit.standards.version(header.standard)
    step = step_of(catalogue, header.message_type)
    content = _content_digest(data, facts)
    ids = _mint(
        header, station, kit, content, opens=step.opens, answers=bool(step.answers), year=now.year
    )
    message = complete(data, ids={**ids, **_receiver_ids(header, kit.directory)}, header=header)
    full = replace(
        header,
        message_id=ids.get("MessageId", header.message_id),
        flow_uid=ids.get("FlowUid", header.flow_uid),
        case_uid=ids.get("CaseUid", header.case_uid),
        receivers=tuple(Address(code) for code in receivers),
    )
    completed = replace(view, header=full)
    copied, unmade = copies(catalogue, message, completed, kit.directory)
    found.extend(unmade)
    envelope = Envelope(header=full, receivers=tuple(receivers), copies=copied)
    found.extend(
        routing.judge(envelope, kit.directory, routing.StepRoles(step.from_roles, step.to_roles))
    )
    if any(f.severity.refuses for f in found):
        return Refusal(claim, tuple(found), drop.digest, full)
    if needs_source:
        writer.add("source/message.xml", "application/xml", [drop.message])
    writer.add("message.xml", "application/xml", [message])
    sealed = writer.finish(envelope, station.signer, now)
    digest = _digest_of(target, start, sealed.size_bytes)
    extracts = _extracts(envelope, sealed, message, checker, catalogue, station, now)
    return Prepared(claim, sealed, start, digest, drop.digest, tuple(found), extracts)


def _receiver_ids(header: Header, directory: Directory) -> dict[str, str]:
    """External receivers of the message and the unit codes that take their places."""
    ids: dict[str, str] = {}
    for address in header.receivers:
        unit = routing.resolve(address, directory) if address.scheme else None
        if unit is not None and not isinstance(unit, Finding):
            ids[resolve_key(address)] = unit.code
    return ids


def _will_change(header: Header, drop: Drop) -> bool:
    return bool(
        not header.message_id
        or not header.flow_uid
        or not header.case_uid
        or any(a.scheme for a in header.receivers)
        or drop.is_rewritten
    )


def _match(
    documents: Sequence[DocumentRef], files: Mapping[str, DropFile]
) -> dict[str, tuple[str, str, DocumentRef]]:
    """FileName → (part path, media type, document), for files that a document names properly."""
    matched: dict[str, tuple[str, str, DocumentRef]] = {}
    used: set[str] = set()
    for document in documents:
        name = unicodedata.normalize("NFC", document.file_name)
        if name in files and name not in matched and is_uuid(document.doc_uid):
            suffix = name.rpartition(".")[2].lower() if "." in name else ""
            if not (suffix.isascii() and suffix.isalnum() and len(suffix) <= 8):
                suffix = "bin"
            path = f"files/{document.doc_uid}.{suffix}"
            if path in used:
                continue
            used.add(path)
            media = document.media_type or _MEDIA_TYPES.get(suffix, "application/octet-stream")
            matched[name] = (path, media, document)
    return matched


def _fact(file: DropFile) -> FileFact:
    sha = hashlib.sha256()
    size = 0
    for chunk in file.read(CHUNK):
        sha.update(chunk)
        size += len(chunk)
    return FileFact(size, sha.hexdigest())


def _content_digest(data: bytes, facts: Mapping[str, FileFact]) -> str:
    sha = hashlib.sha256(data)
    for name in sorted(facts):
        sha.update(f"\n{name}\n{facts[name].size_bytes}\n{facts[name].digest}".encode())
    return sha.hexdigest()


def _mint(
    header: Header,
    station: Station,
    kit: Kit,
    content: str,
    *,
    opens: bool,
    answers: bool,
    year: int,
) -> dict[str, str]:
    ids: dict[str, str] = {}
    message_id = header.message_id
    if not message_id:
        message_id = minting.message_id(
            station.unit,
            station.app,
            sender_ref=header.sender_ref,
            revision=header.revision,
            content_digest=content,
        )
        ids["MessageId"] = message_id
    if not header.flow_uid:
        # An answer belongs to the instance of what it answers; what opens one, to none before it.
        asked = header.in_reply_to if header.in_reply_to and (not opens or answers) else ""
        known = kit.known_flow(asked, header.flow) if asked else ""
        ids["FlowUid"] = known or minting.flow_uid(asked if asked and not opens else message_id)
    if not header.case_uid:
        known = kit.known_case(header.in_reply_to) if header.in_reply_to else ""
        if not known and opens:
            key = minting.case_key(station.unit, station.app, header.sender_ref, message_id)
            known = kit.mint_case(key, station.unit)
        if known:
            ids["CaseUid"] = known
    return ids


def _digest_of(target: BinaryIO, start: int, size_bytes: int) -> str:
    """SHA-256 of the package as written. Local headers are patched after their data was streamed,
    so this is a second look, at the page cache."""
    target.flush()
    target.seek(start)
    sha = hashlib.sha256()
    left = size_bytes
    while left:
        chunk = target.read(min(CHUNK, left))
        if not chunk:
            raise EOFError("the package ends early")
        sha.update(chunk)
        left -= len(chunk)
    target.seek(0, io.SEEK_END)
    return sha.hexdigest()


def _extracts(
    envelope: Envelope,
    original: Sealed,
    message: bytes,
    checker: Checker,
    catalogue: Catalogue,
    station: Station,
    now: datetime,
) -> tuple[Extract, ...]:
    """Seal each narrowed copy as a package of its own that names the original."""
    made: list[Extract] = []
    for copy in envelope.copies:
        if copy.mode != "narrowed":
            continue
        data = narrow(catalogue, message, copy)
        header = checker.read(data).header
        buffer = io.BytesIO()
        writer = PackageWriter(buffer, parts=[("message.xml", "application/xml")])
        writer.add("message.xml", "application/xml", [data])
        narrowed = Envelope(
            header=header,
            receivers=(copy.unit,),
            original_message_id=envelope.header.message_id,
            original_digest=original.content_digest,
        )
        made.append(Extract(writer.finish(narrowed, station.signer, now), buffer.getvalue()))
    return tuple(made)
