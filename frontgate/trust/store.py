"""What a node trusts: the CA, the hub's certificate and the signed directory.

A store is an immutable snapshot in memory; `load_trust` reads it from `<keys>/trust/`. Every
judgement is a numbered list of checks with a code of its own each, and no network look-up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from frontgate import clock, durable
from frontgate.errors import SignatureError, TrustError
from frontgate.model.unit import REVOKED, Directory
from frontgate.trust.authority import certificate_der, fingerprint, unit_of
from frontgate.trust.directory import FORMAT, from_body
from frontgate.trust.signed import read_signed
from frontgate.values import Struct, replace

EARLIER = "earlier"


@lru_cache(maxsize=4096)
def _certificate(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


class _Stated(Struct, frozen=True):
    """What a certificate says of itself."""

    start: datetime
    end: datetime
    may_sign: bool
    unit: str
    fingerprint: str


@lru_cache(maxsize=4096)
def _stated(der: bytes) -> _Stated:
    """Remembered: the same few hundred certificates sign everything. Raises: ValueError."""
    parsed = _certificate(der)
    try:
        usage = parsed.extensions.get_extension_for_class(x509.KeyUsage).value
        may_sign = usage.digital_signature
    except x509.ExtensionNotFound:
        may_sign = False
    return _Stated(
        parsed.not_valid_before_utc,
        parsed.not_valid_after_utc,
        may_sign,
        unit_of(parsed),
        fingerprint(der),
    )


@lru_cache(maxsize=4096)
def _is_issued_by(der: bytes, ca_der: bytes) -> bool:
    try:
        _certificate(der).verify_directly_issued_by(_certificate(ca_der))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


class TrustStore(Struct, frozen=True):
    """A snapshot. ca, hub_certificate: DER. directory_document: the signed bytes."""

    ca: bytes
    hub_certificate: bytes
    directory: Directory
    directory_document: bytes = b""

    def judge(self, certificate: bytes, unit: str, at: datetime) -> None:
        """Whether this certificate may sign for `unit` at `at`.

        1 issued by our CA (FG-TRU-001) · 2 valid at that time (002) · 3 may sign (005) · 4 names the
        unit (003) · 5 the unit is in the directory (007) and not revoked (006) · 6 it is a
        registered certificate of that unit (004).
        """
        stated = self._check(certificate, at)
        if stated.unit != unit:
            raise TrustError("FG-TRU-003", unit=unit)
        known = self.directory.units.get(unit)
        if known is None:
            raise TrustError("FG-TRU-007", unit=unit)
        if known.status == REVOKED:
            raise TrustError("FG-TRU-006", unit=unit)
        if stated.fingerprint not in known.certificates:
            raise TrustError("FG-TRU-004", unit=unit)

    def judge_hub(self, certificate: bytes, at: datetime) -> None:
        """Whether this certificate speaks for the hub at `at`. Raises: TrustError."""
        stated = self._check(certificate, at)
        if stated.unit != self.directory.hub or certificate != self.hub_certificate:
            raise TrustError("FG-TRU-004", unit=self.directory.hub)

    def _check(self, certificate: bytes, at: datetime) -> _Stated:
        try:
            stated = _stated(certificate)
        except ValueError as error:
            raise SignatureError("FG-SIG-004", detail=str(error)) from error
        if not _is_issued_by(certificate, self.ca):
            raise TrustError("FG-TRU-001")
        if not stated.start <= at <= stated.end:
            raise TrustError(
                "FG-TRU-002", at=_day(at), start=_day(stated.start), end=_day(stated.end)
            )
        if not stated.may_sign:
            raise TrustError("FG-TRU-005")
        return stated

    def with_directory(self, document: bytes) -> TrustStore:
        """A new snapshot with a newer signed directory.

        Raises: SignatureError; TrustError FG-TRU-016 (older), 017 (not the hub's).
        """
        body, certificate = read_signed(document, FORMAT)
        if certificate != self.hub_certificate:
            raise TrustError("FG-TRU-017")
        directory = from_body(body)
        if directory.version < self.directory.version:
            raise TrustError("FG-TRU-016", found=directory.version, known=self.directory.version)
        return replace(self, directory=directory, directory_document=document)

    def save(self, folder: Path) -> None:
        """Write the snapshot; the directory last."""
        if not folder.is_dir():
            durable.make_dir(folder)
        durable.write_file(folder / "ca.der", self.ca, 0o644)
        durable.write_file(folder / "hub.der", self.hub_certificate, 0o644)
        durable.write_file(folder / "directory.json", self.directory_document, 0o644)


def load_trust(folder: Path) -> TrustStore:
    """Read and verify what `TrustStore.save` wrote. Raises: TrustError FG-TRU-017, 020."""
    try:
        ca = (folder / "ca.der").read_bytes()
        hub = (folder / "hub.der").read_bytes()
        document = (folder / "directory.json").read_bytes()
    except OSError as error:
        raise TrustError("FG-TRU-020", path=str(folder), detail=str(error)) from error
    body, certificate = read_signed(document, FORMAT)
    directory = from_body(body)
    store = TrustStore(ca, hub, directory, document)
    if certificate != hub:
        raise TrustError("FG-TRU-017")
    if not _is_issued_by(hub, ca):
        raise TrustError("FG-TRU-001")
    return store


def keep_earlier(folder: Path, document: bytes, version: int) -> None:
    """Keep a directory that is about to be replaced: what was sealed under it is still under way."""
    earlier = folder / EARLIER
    if not earlier.is_dir():
        durable.make_dir(earlier)
    durable.write_file(earlier / f"{version}.json", document, 0o644)


def earlier_directories(folder: Path, *, since: datetime) -> tuple[Directory, ...]:
    """Directories that were replaced at `since` or later, newest first; damaged ones are left out."""
    found: list[Directory] = []
    for path in (folder / EARLIER).glob("*.json"):
        if datetime.fromtimestamp(path.stat().st_mtime, UTC) < since:
            continue
        try:
            body, certificate = read_signed(path.read_bytes(), FORMAT)
        except (OSError, SignatureError):
            continue
        if certificate == (folder / "hub.der").read_bytes():
            found.append(from_body(body))
    return tuple(sorted(found, key=lambda d: d.version, reverse=True))


def certificate_days(certificate: bytes, now: datetime | None = None) -> int:
    """Days until a certificate ends; negative when it has."""
    return (_certificate(certificate).not_valid_after_utc - (now or clock.now())).days


def der_of_pem(data: bytes) -> bytes:
    """The first certificate of a PEM text as DER."""
    return certificate_der(x509.load_pem_x509_certificates(data)[0])


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
