"""What the hub's administrator does: set up, import units, admit gateways, suspend, revoke.

Every act writes a new signed directory; a running hub notices the changed file and announces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from frontgate import durable
from frontgate.errors import FrontgateError, TrustError
from frontgate.model.unit import ACTIVE, Directory, Unit, account_of
from frontgate.settings import HubSettings
from frontgate.suites import Signer, load_signer, suite
from frontgate.trust.authority import (
    Authority,
    certificate_der,
    certificate_pem,
    fingerprint,
    key_pem,
)
from frontgate.trust.directory import FORMAT, merge, read_units, to_body, with_unit
from frontgate.trust.request import Request, read_request
from frontgate.trust.signed import write_signed
from frontgate.trust.store import TrustStore, keep_earlier, load_trust
from frontgate.trust.unit_bundle import UnitBundle, write_unit_bundle
from frontgate.values import Struct, replace


def new_ssh_key(path: Path) -> str:
    """Make an ed25519 key (0600) if there is none. Returns: its public key line."""
    if not path.exists():
        key = ed25519.Ed25519PrivateKey.generate()
        data = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        durable.write_file(path, data)
    return ssh_public(path)


def ssh_public(path: Path) -> str:
    """The public key line of an OpenSSH private key file. Raises: TrustError FG-TRU-020."""
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise TrustError("FG-TRU-020", path=str(path), detail=str(error)) from error
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return line.decode()


def set_up(home: Path, unit: str, name: str) -> str:
    """Make CA, hub key, host key and an empty directory below `home`. Returns: CA fingerprint.

    Raises: TrustError FG-TRU-018 where there is a hub already.
    """
    keys = home / "keys"
    for folder in (home, keys, home / "state", home / "sftp", home / "sftp-keys"):
        if not folder.is_dir():
            durable.make_dir(folder, 0o755 if folder.name.startswith("sftp") else 0o700)
    authority = Authority.create(unit, name)
    authority.save(keys)
    key = suite("ecdsa-p256-sha256").generate()
    certificate = authority.issue(key.public_key(), unit, name)
    durable.write_file(keys / "hub.key", key_pem(key))
    durable.write_file(keys / "hub.pem", certificate_pem(certificate), 0o644)
    new_ssh_key(keys / "ssh_host_ed25519")
    signer = load_signer(keys / "hub.key", keys / "hub.pem", unit)
    hub_unit = Unit(
        code=unit,
        name_zh=name,
        roles=("hub",),
        division=unit[:6],
        certificates=(fingerprint(certificate),),
    )
    directory = Directory(1, {unit: hub_unit}, unit)
    document = write_signed(FORMAT, to_body(directory), signer)
    store = TrustStore(
        certificate_der(authority.certificate), certificate_der(certificate), directory, document
    )
    store.save(keys / "trust")
    return fingerprint(authority.certificate)


class Admitted(Struct, frozen=True):
    """One result of a batch. error: set where the request was refused."""

    path: str
    units: tuple[str, ...]
    bundle: str = ""
    fingerprint: str = ""
    error: FrontgateError | None = None


class Administration:
    """The hub's keys and directory, for the commands of its administrator."""

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._keys = settings.path(settings.node.keys)
        self.trust = load_trust(self._keys / "trust")
        self._signer: Signer = load_signer(
            self._keys / "hub.key", self._keys / "hub.pem", settings.unit
        )

    def _save(self, directory: Directory) -> None:
        document = write_signed(FORMAT, to_body(directory), self._signer)
        old = self.trust
        keep_earlier(self._keys / "trust", old.directory_document, old.directory.version)
        self.trust = old.with_directory(document)
        self.trust.save(self._keys / "trust")

    def import_units(self, data: bytes, path: str) -> int:
        """Replace the unit table; certificates and suspensions are kept. Returns: units now."""
        units = read_units(data, path)
        hub = self.trust.directory.units[self._settings.unit]
        kept = [hub] if hub.code not in {u.code for u in units} else []
        self._save(merge(self.trust.directory, [*kept, *units]))
        return len(self.trust.directory.units)

    def examine(self, path: Path) -> Request:
        """Read a request without admitting it. Raises: TrustError."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise TrustError("FG-TRU-010", path=str(path), reason=error.strerror or "") from error
        return read_request(data, str(path))

    def admit(self, paths: Sequence[Path], out: Path) -> list[Admitted]:
        """Issue certificates and unit bundles for requests; a bad one never stops the others.

        The directory is signed once for all; bundles are written after it.
        """
        authority = Authority.load(self._keys)
        directory = self.trust.directory
        results: list[Admitted] = []
        issued: list[tuple[Path, Request, dict[str, bytes]]] = []
        for path in paths:
            try:
                request = self.examine(path)
                directory, certificates = self._issue(authority, directory, request)
            except FrontgateError as error:
                results.append(Admitted(str(path), (), error=error))
                continue
            issued.append((path, request, certificates))
        if issued:
            self._save(replace(directory, version=self.trust.directory.version + 1))
        out.mkdir(parents=True, exist_ok=True)
        for path, request, certificates in issued:
            self._open_account(request)
            target = out / f"{request.front_end}.bundle"
            durable.write_file(target, self._bundle(request, certificates), 0o644)
            results.append(
                Admitted(str(path), tuple(request.units), str(target), request.fingerprint)
            )
        return results

    def _issue(
        self, authority: Authority, directory: Directory, request: Request
    ) -> tuple[Directory, dict[str, bytes]]:
        certificates: dict[str, bytes] = {}
        for code, public_key in request.units.items():
            unit = directory.units.get(code)
            if unit is None:
                raise TrustError("FG-TRU-012", unit=code)
            if unit.status != ACTIVE:
                raise TrustError("FG-TRU-006", unit=code)
            certificate = authority.issue(public_key, code, unit.name_zh)
            der = certificate_der(certificate)
            certificates[code] = der
            front_end = "" if code == request.front_end else request.front_end
            known = (*unit.certificates, fingerprint(der))[-3:]
            directory = with_unit(directory, replace(unit, certificates=known, front_end=front_end))
        return directory, certificates

    def _open_account(self, request: Request) -> None:
        """The account's key and folders. Under OpenSSH root makes accounts and owners."""
        account = account_of(request.front_end)
        sftp = self._settings.sftp
        keys = self._settings.path(sftp.keys)
        home = self._settings.path(sftp.root) / account
        for folder in (
            self._settings.path(sftp.root),
            keys,
            home,
            home / "to-hub",
            home / "from-hub",
        ):
            if not folder.is_dir():
                mode = 0o2770 if folder.parent == home else 0o755
                durable.make_dir(folder, mode)
        durable.write_file(keys / account, (request.ssh_key + "\n").encode(), 0o644)

    def _bundle(self, request: Request, certificates: dict[str, bytes]) -> bytes:
        sftp = self._settings.sftp
        bundle = UnitBundle(
            certificates=certificates,
            account=account_of(request.front_end),
            host=sftp.public_host,
            port=sftp.public_port or sftp.port,
            host_keys=(ssh_public(self._keys / "ssh_host_ed25519"),),
            trust=self.trust,
        )
        return write_unit_bundle(bundle, self._signer)

    def known(self, code: str) -> Unit:
        """The unit of that code. Raises: TrustError FG-TRU-007."""
        unit = self.trust.directory.units.get(code)
        if unit is None:
            raise TrustError("FG-TRU-007", unit=code)
        return unit

    def set_status(self, code: str, status: str) -> Unit:
        """Suspend, revoke or restore a unit. Raises: TrustError FG-TRU-007."""
        unit = self.known(code)
        changed = replace(unit, status=status)
        self._save(with_unit(self.trust.directory, changed))
        if status == "revoked":
            # A revoked gateway loses its login; a suspended one may still fetch what is its own.
            key = self._settings.path(self._settings.sftp.keys) / unit.account
            if unit.account == account_of(code):
                durable.unlink(key)
        return changed


def lay_out_mailboxes(settings: HubSettings, directory: Directory) -> None:
    """Make missing mailbox folders of admitted gateways (embedded server)."""
    root = settings.path(settings.sftp.root)
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
    for unit in directory.units.values():
        if unit.certificates and "hub" not in unit.roles:
            home = root / unit.account
            for folder in (home, home / "to-hub", home / "from-hub"):
                if not folder.is_dir():
                    durable.make_dir(folder, 0o755)
