"""Setting a gateway up: a self-contained home with keys, spools and a request; then enrolment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from frontgate import durable
from frontgate.core.identifiers import is_unit_code
from frontgate.errors import SettingsError, SignatureError, TrustError
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.suites import DEFAULT_SUITE, signer_of, suite
from frontgate.trust.authority import certificate_pem, key_pem
from frontgate.trust.request import write_request
from frontgate.trust.unit_bundle import UnitBundle


def make_home(home: Path, units: Sequence[str], suite_name: str = DEFAULT_SUITE) -> Path:
    """Make `gateway.toml`, keys, spools and `request.json` below `home`; keys are kept if there.

    Returns: the request's path. Raises: SettingsError FG-CFG-005 for a bad unit code.
    """
    for code in units:
        if not is_unit_code(code):
            raise SettingsError("FG-CFG-005", value=code)
    keys = home / "keys"
    for folder in (home, keys, home / "state"):
        if not folder.is_dir():
            durable.make_dir(folder, 0o755 if folder == home else 0o700)
    private = {}
    for code in units:
        path = keys / f"{code}.key"
        if not path.exists():
            durable.write_file(path, key_pem(suite(suite_name).generate()))
        private[code] = serialization.load_pem_private_key(path.read_bytes(), None)
        spool = home / "spool" if len(units) == 1 else home / "spool" / code
        prepare(SpoolPaths(spool))
    ssh = keys / "ssh_ed25519"
    if not ssh.exists():
        data = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        durable.write_file(ssh, data)
    request = home / "request.json"
    durable.write_file(request, write_request(private, public_line(ssh)), 0o644)
    settings = home / "gateway.toml"
    if not settings.exists():
        durable.write_file(settings, _settings(units).encode(), 0o644)
    return request


def public_line(path: Path) -> str:
    """The public key line of an OpenSSH private key file. Raises: TrustError FG-TRU-020."""
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise TrustError("FG-TRU-020", path=str(path), detail=str(error)) from error
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )


def _settings(units: Sequence[str], hub: str = "") -> str:
    lines = [
        "# frontgate gateway. All keys: docs/settings.md / 全部设置见 docs/settings.md",
        "# Paths are relative to this file. / 路径相对于本文件。",
        "",
        hub or "# [hub] is filled in by: frontgate enrol\n",
    ]
    for code in units:
        spool = "spool" if len(units) == 1 else f"spool/{code}"
        lines += [
            "[[unit]]",
            f'code = "{code}"',
            f'spool = "{spool}"',
            f'key = "keys/{code}.key"',
            f'certificate = "keys/{code}.pem"',
            '# group = "frontgate-<unit>"   # shared with the case software / 与办案软件共用的组',
            "",
        ]
    return "\n".join(lines)


def take_bundle(home: Path, settings_file: Path, bundle: UnitBundle) -> None:
    """Write certificates, trust and the hub's address. Raises: TrustError FG-TRU-015."""
    keys = home / "keys"
    for code, der in bundle.certificates.items():
        path = keys / f"{code}.key"
        if not path.is_file():
            raise TrustError("FG-TRU-015")
        certificate = x509.load_der_x509_certificate(der)
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        try:
            signer_of(key, certificate, code)
        except SignatureError as error:
            raise TrustError("FG-TRU-015", detail=str(error)) from error
        durable.write_file(keys / f"{code}.pem", certificate_pem(certificate), 0o644)
    bundle.trust.save(keys / "trust")
    host_keys = ", ".join(f'"{line}"' for line in bundle.host_keys)
    table = (
        "[hub]\n"
        f'host = "{bundle.host}"\nport = {bundle.port}\nunit = "{bundle.trust.directory.hub}"\n'
        f'account = "{bundle.account}"\nhost_keys = [{host_keys}]\n'
    )
    durable.write_file(settings_file, _with_hub(settings_file.read_text("utf-8"), table), 0o644)


def _with_hub(text: str, table: str) -> bytes:
    """The settings with their [hub] table replaced, all else untouched."""
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if line.strip() == "[hub]"), None)
    if start is None:
        mark = next((i for i, line in enumerate(lines) if line.startswith("# [hub]")), None)
        if mark is None:
            return (text.rstrip("\n") + "\n\n" + table).encode()
        lines[mark : mark + 1] = [table]
        return "".join(lines).encode()
    end = next(
        (i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines)
    )
    lines[start:end] = [table, "\n"]
    return "".join(lines).encode()
