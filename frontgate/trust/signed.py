"""Small signed documents: canonical JSON, its signature and the signer's certificate in one file.

Form: one JSON object {"format", "body", "suite", "certificate", "signature"}; the signature is over
the canonical JSON (sorted keys, no blanks, UTF-8) of {"format", "body"}.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from frontgate.errors import SignatureError
from frontgate.suites import Signer, public_key_of, suite

MAX_BYTES = 64 << 20


def _canonical(form: str, body: Any) -> bytes:
    return json.dumps(
        {"format": form, "body": body}, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode()


def write_signed(form: str, body: Any, signer: Signer) -> bytes:
    """The document's bytes. body: JSON values."""
    document = {
        "format": form,
        "body": body,
        "suite": signer.suite.name,
        "certificate": base64.b64encode(signer.certificate).decode(),
        "signature": base64.b64encode(signer.sign(_canonical(form, body))).decode(),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def read_signed(data: bytes, form: str) -> tuple[Any, bytes]:
    """Verify a document of this form. Returns: (body, certificate DER).

    Whether the certificate may sign this is the caller's question.
    Raises: SignatureError FG-SIG-001, 004, 010, 020.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError
        document = json.loads(data)
        if document["format"] != form:
            raise ValueError
        certificate = base64.b64decode(document["certificate"], validate=True)
        signature = base64.b64decode(document["signature"], validate=True)
        body, name = document["body"], str(document["suite"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SignatureError("FG-SIG-020", what=form) from None
    suite(name).verify(public_key_of(certificate), _canonical(form, body), signature)
    return body, certificate
