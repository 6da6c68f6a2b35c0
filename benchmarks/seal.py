"""What sealing, verifying, receipts and a journal row cost: milliseconds of CPU per small package.

Run: python -m benchmarks.seal. Medians with min..max of alternating rounds in one process.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import statistics
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lxml import etree

from benchmarks.check import alternate, of_size
from frontgate.journal import Journal
from frontgate.model.envelope import Envelope
from frontgate.model.message import Address, Header
from frontgate.model.receipt import Kind, Receipt
from frontgate.seal import PackageWriter, open_package
from frontgate.seal.receipts import read_list, sign_receipts, write_list
from frontgate.suites import Signer, signer_of

PART = [("message.xml", "application/xml")]
NOW = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)


def signer() -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return signer_of(key, certificate, "5201021100X")


def envelope() -> Envelope:
    header = Header(
        standard="1.0",
        message_type="arrest-request.submit",
        sender="5201021100X",
        receivers=(Address("52010221005"),),
        business_time="2026-11-10T09:30:00+08:00",
        message_id=str(uuid.uuid4()),
        flow_uid=str(uuid.uuid4()),
        case_uid="C2026520102110000000016",
        case_stage="20",
        person_uids=("C2026520102110000000016-P001", "C2026520102110000000016-P002"),
    )
    return Envelope(header=header, receivers=("52010221005",))


def receipt(number: int) -> Receipt:
    return Receipt(
        receipt_id=str(uuid.uuid4()),
        kind=Kind.RELAY_ACCEPTED,
        event_time="2026-11-25T01:00:00.000Z",
        issuer="52000090005",
        issuer_node="hub",
        message_id=str(uuid.uuid4()),
        sender="5201021100X",
        message_type="arrest-request.submit",
        flow_uid=str(uuid.uuid4()),
        content_digest="0" * 64,
        seal_digest="1" * 64,
        attempt=1,
        audit_seq=number,
        audit_head="2" * 64,
        bundle_id="0000000000000001-" + "3" * 64,
    )


@contextmanager
def acts() -> Iterator[dict[str, Callable[[], object]]]:
    """What is measured, by name; and beside each what its libraries alone cost (`bare_…`)."""
    data, key, facts = of_size(20_000), signer(), envelope()

    def seal() -> bytes:
        buffer = io.BytesIO()
        writer = PackageWriter(buffer, parts=PART)
        writer.add("message.xml", "application/xml", [data])
        writer.finish(facts, key, NOW)
        return buffer.getvalue()

    package = seal()

    def verify() -> None:
        open_package(io.BytesIO(package)).verify()

    eight = [receipt(n) for n in range(8)]
    signed = sign_receipts(eight, key)
    wire = write_list([(signed.signature, [xml for _, xml, _ in signed.items])])
    plain = ec.generate_private_key(ec.SECP256R1())
    mark = plain.sign(data, ec.ECDSA(hashes.SHA256()))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder) / "journal.db", node="gateway:benchmark")
        bare = apsw.Connection(str(Path(folder) / "bare.db"))
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            bare.execute(f"PRAGMA {pragma}")
        bare.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, body TEXT, hash TEXT)")

        def commit() -> None:
            with journal.write() as tx:
                for number in range(64):
                    tx.event("benchmark", number=number, message="0" * 36)

        def bare_commit() -> None:
            with bare:
                for number in range(64):
                    body = json.dumps({"number": number, "message": "0" * 36})
                    bare.execute(
                        "INSERT INTO event (body, hash) VALUES (?, ?)",
                        (body, hashlib.sha256(body.encode()).hexdigest()),
                    )

        yield {
            "seal": seal,
            "bare_seal": lambda: plain.sign(data, ec.ECDSA(hashes.SHA256())),
            "verify": verify,
            "bare_verify": lambda: plain.public_key().verify(mark, data, ec.ECDSA(hashes.SHA256())),
            "sign_8_receipts": lambda: sign_receipts(eight, key),
            "bare_sign_8_receipts": lambda: plain.sign(b"x", ec.ECDSA(hashes.SHA256())),
            "read_8_receipts": lambda: read_list(wire),
            "bare_read_8_receipts": lambda: etree.fromstring(wire),
            "commit_64_events": commit,
            "bare_commit_64_events": bare_commit,
        }
        bare.close()
        journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with acts() as all_acts:
        wanted = {n: act for n, act in all_acts.items() if not n.startswith("bare_")}
        found = alternate(wanted, options.rounds, 100)
    shown = {
        name: {"ms": round(statistics.median(v), 3), "range": [round(min(v), 3), round(max(v), 3)]}
        for name, v in found.items()
    }
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
