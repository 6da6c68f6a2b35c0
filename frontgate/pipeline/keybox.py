"""Keys in a backup: only when asked, under a passphrase.

Form: `FGK1` + salt (16) + nonce (12) + AES-256-GCM of a JSON object path → base64. The key comes from
the passphrase by scrypt (n = 2^16, r = 8, p = 1: 64 MiB, about 0.2 s). Source: RFC 7914, RFC 5116.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from frontgate import durable
from frontgate.errors import KeepError

MARK = b"FGK1"
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,80}/){0,2}[A-Za-z0-9_][A-Za-z0-9._-]{0,80}")


def _cipher(passphrase: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 16, r=8, p=1).derive(passphrase))


def close_keys(folder: Path, passphrase: bytes) -> bytes:
    """All files below a keys folder, encrypted. Raises: OSError."""
    found = {
        path.relative_to(folder).as_posix(): base64.b64encode(path.read_bytes()).decode()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _NAME.fullmatch(path.relative_to(folder).as_posix())
    }
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    data = json.dumps(found).encode()
    return MARK + salt + nonce + _cipher(passphrase, salt).encrypt(nonce, data, MARK)


def open_keys(box: bytes, passphrase: bytes, folder: Path) -> None:
    """Write the files of a box below `folder`, 0600. Raises: KeepError FG-KEP-004."""
    salt, nonce, sealed = box[4:20], box[20:32], box[32:]
    try:
        if box[:4] != MARK:
            raise KeepError("FG-KEP-004")
        data = _cipher(passphrase, salt).decrypt(nonce, sealed, MARK)
    except (InvalidTag, ValueError) as error:
        raise KeepError("FG-KEP-004") from error
    for name, text in json.loads(data).items():
        if not _NAME.fullmatch(name):
            raise KeepError("FG-KEP-004", detail=name)
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.unlink(path)
        durable.write_file(path, base64.b64decode(text), 0o644 if _is_public(path) else 0o600)


def _is_public(path: Path) -> bool:
    return os.path.splitext(path.name)[1] in (".pem", ".der", ".json")
