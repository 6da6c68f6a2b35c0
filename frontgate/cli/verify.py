"""`frontgate verify` and `frontgate explain`: offline, for anyone, on any system."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from frontgate.cli.output import Existing, Output, say
from frontgate.cli.rule_texts import plain, rule_text
from frontgate.errors import FrontgateError, all_codes


@click.command()
@click.argument("file", type=Existing(dir_okay=False))
@click.option(
    "--trust",
    type=Existing(),
    metavar="PATH",
    help="The CA certificate (PEM or DER) that the signer must come from.",
)
@click.pass_obj
def verify(out: Output, file: Path, trust: Path | None) -> None:
    """Verify a sealed package (.asice), a receipt, a control message, or an archive, evidence or
    backup file, offline.

    Says what was checked and against what trust. Without --trust only integrity is proven: that
    the content is what the certificate in the file signed, not whose certificate it is.
    Exit 0: it holds. 1: it does not.
    """
    value: dict[str, Any] = {"file": str(file)}
    try:
        with file.open("rb") as stream:
            head = stream.read(512)
        if head[:2] == b"PK":
            certificate = _package(file, value)
        elif _is_parcel(head):
            certificate = _parcel(file, value)
        else:
            certificate = _document(file, value)
        value["signer"] = _signer(certificate)
        value["trust"] = "none"
        if trust is not None:
            _against(certificate, trust)
            value["trust"] = str(trust)
        value["holds"] = True
    except FrontgateError as error:
        value.update(
            holds=False,
            code=error.code,
            text=error.message(out.language),
            advice=error.text.advice_zh if out.language == "zh" else error.text.advice_en,
        )
    if out.as_json:
        out.json(value)
    else:
        _show(out, value)
    if not value["holds"]:
        raise click.exceptions.Exit(1)


def _package(file: Path, value: dict[str, Any]) -> bytes:
    from frontgate.seal import open_package

    with file.open("rb") as stream:
        package = open_package(stream)
        package.verify()
        header = package.envelope.header
        value.update(
            kind="package",
            message=header.message_id,
            type=header.message_type,
            sender=header.sender,
            recipients=list(package.envelope.recipients),
            parts=len(package.envelope.parts),
            content_digest=package.content_digest,
            signed_at=package.signing_time.isoformat(),
            suite=package.suite_name,
            checked=["container", "manifest", "every part's size and SHA-256", "XAdES-B signature"],
        )
        return package.certificate


def _is_parcel(head: bytes) -> bool:
    from frontgate.pipeline.parcel import is_parcel

    return is_parcel(head)


def _parcel(file: Path, value: dict[str, Any]) -> bytes:
    from frontgate.pipeline.evidence import check_archive

    with file.open("rb") as stream:
        content = check_archive(stream)
    about = content.manifest.about
    value.update(
        kind=content.manifest.kind,
        node=about.get("node", ""),
        made_at=content.manifest.control.issued_at.isoformat(),
        packages=content.packages,
        receipts=content.receipts,
        audit_entries=content.events,
        checked=["every byte against the signed lists", "every package and receipt by itself"],
    )
    for key in ("archive", "previous", "eventsFrom", "eventsTo", "head", "about", "damaged"):
        if key in about:
            value[key] = about[key]
    if content.events:
        value["checked"].append("the audit chain from entry to entry")
    value["digest"] = content.manifest.digest
    return content.manifest.control.certificate


def _document(file: Path, value: dict[str, Any]) -> bytes:
    from frontgate.model.message import CONTROL_NS
    from frontgate.seal.control import read_control
    from frontgate.seal.receipts import read_receipt_file

    data = file.read_bytes()
    if CONTROL_NS.encode() in data[:400]:
        control = read_control(data)
        value.update(
            kind="control",
            control=control.kind,
            issuer=control.issuer,
            number=control.number,
            checked=["XML signature"],
        )
        return control.certificate
    receipt, certificate, digest = read_receipt_file(data)
    value.update(
        kind="receipt",
        receipt=receipt.kind.value,
        message=receipt.message_id,
        sender=receipt.sender,
        receiver=receipt.receiver,
        issuer=receipt.issuer,
        time=receipt.event_time,
        digest=digest,
        previous=receipt.previous,
        checked=["receipt's digest in the manifest", "XML signature over the manifest"],
    )
    return certificate


def _signer(certificate: bytes) -> dict[str, str]:
    from cryptography import x509

    parsed = x509.load_der_x509_certificate(certificate)
    return {
        "subject": parsed.subject.rfc4514_string(),
        "valid_from": parsed.not_valid_before_utc.isoformat(),
        "valid_to": parsed.not_valid_after_utc.isoformat(),
    }


def _against(certificate: bytes, trust: Path) -> None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    from frontgate.errors import TrustError

    data = trust.read_bytes()
    ca = (
        x509.load_pem_x509_certificate(data)
        if data.startswith(b"-----")
        else x509.load_der_x509_certificate(data)
    )
    leaf = x509.load_der_x509_certificate(certificate)
    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        raise TrustError("FG-TRU-001") from None
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise TrustError(
            "FG-TRU-002",
            at=now.date(),
            start=leaf.not_valid_before_utc.date(),
            end=leaf.not_valid_after_utc.date(),
        )


def _show(out: Output, value: dict[str, Any]) -> None:
    if not value["holds"]:
        say(f"✗ {value['code']}: {value['text']}")
        say(f"  → {value['advice']}")
        return
    out.line(f"✓ 成立：{value['kind']}", f"✓ It holds: {value['kind']}")
    for key, item in value.items():
        if key not in ("holds", "file", "kind", "trust", "checked", "signer"):
            say(f"  {key}: {item}")
    say(f"  signer: {value['signer']['subject']}")
    out.line(
        "  已检查：" + "、".join(value["checked"]), "  checked: " + ", ".join(value["checked"])
    )
    if value["trust"] == "none":
        out.line(
            "  信任：未给出 CA，仅证明完整性（--trust）",
            "  trust: no CA was given, only integrity is proven (--trust)",
        )
    else:
        out.line(f"  信任：证书由 {value['trust']} 签发", f"  trust: issued by {value['trust']}")


@click.command()
@click.argument("code")
@click.pass_obj
def explain(out: Output, code: str) -> None:
    """Explain a code of a report, receipt or alarm (its id will do), in both languages."""
    codes = all_codes()
    row = codes.get(code.partition(":")[0].upper())
    if row is None:
        rule = rule_text(code)
        if rule is not None:
            if out.as_json:
                out.json(rule)
            else:
                for line in (f"{rule['code']} ({rule['severity']})", rule["zh"], rule["en"]):
                    say(line)
                if rule["basis"]:
                    say(rule["basis"])
                if "context" in rule:
                    out.line(f"  适用报文：{rule['messages']}", f"  messages: {rule['messages']}")
                    out.line(f"  检查位置：{rule['context']}", f"  asked at: {rule['context']}")
                    out.line(f"  比较元素：{rule['elements']}", f"  looks at: {rule['elements']}")
                    out.line(f"  手册：{rule['page']}", f"  handbook: {rule['page']}")
                    if rule["advice_zh"]:
                        say(f"  → {out.pick(rule['advice_zh'], rule['advice_en'])}")
            return
        near = difflib.get_close_matches(code.upper(), list(codes), n=3, cutoff=0.5)
        text = f"unknown code {code}" + (f"; near: {', '.join(near)}" if near else "")
        raise click.UsageError(text)
    if out.as_json:
        out.json(
            {
                "code": row.code,
                "disposition": row.disposition,
                "zh": plain(row.zh),
                "en": plain(row.en),
                "advice_zh": row.advice_zh,
                "advice_en": row.advice_en,
            }
        )
        return
    say(f"{row.code} ({row.disposition})")
    say(plain(row.zh))
    say(f"  → {row.advice_zh}")
    say(plain(row.en))
    say(f"  → {row.advice_en}")
