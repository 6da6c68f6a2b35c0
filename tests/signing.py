"""Keys, certificates and a sealed package for tests."""

import io
from datetime import UTC, datetime
from functools import cache

from frontgate.model.envelope import Envelope
from frontgate.model.message import Address, Header, Software
from frontgate.seal import PackageWriter, Sealed
from frontgate.suites import Signer, signer_of, suite
from frontgate.trust.authority import Authority

SUITES = ("ecdsa-p256-sha256", "rsa-3072-sha256")
POLICE, PROCURATORATE = "5201021100X", "52010221005"
NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@cache
def authority() -> Authority:
    return Authority.create("52000090005", "hub", now=NOW)


@cache
def signer(name: str = SUITES[0], unit: str = POLICE) -> Signer:
    key = suite(name).generate()
    return signer_of(key, authority().issue(key.public_key(), unit, unit, now=NOW), unit)


HEADER = Header(
    standard="1.0",
    message_type="case.submit",
    sender=POLICE,
    receivers=(Address(PROCURATORATE),),
    business_time="2026-11-24T16:00:00+08:00",
    message_id="11111111-1111-4111-8111-111111111111",
    flow_uid="22222222-2222-4222-8222-222222222222",
    case_uid="C2026520102110000000018",
    software=Software("厂商 & <软件>", "产品", "1"),
)


def package(
    name: str = SUITES[0],
    files: dict[str, bytes] | None = None,
    message: bytes = b"<a>\xe4\xb8\xad</a>",
    header: Header = HEADER,
    at: datetime = NOW,
    offset: int = 0,
) -> tuple[bytes, Sealed]:
    files = files if files is not None else {"files/a.pdf": b"%PDF" * 100, "files/b.bin": b""}
    buffer = io.BytesIO(b"\xff" * offset)
    parts = [(path, "application/octet-stream") for path in files]
    writer = PackageWriter(
        buffer, offset=offset, parts=[*parts, ("message.xml", "application/xml")]
    )
    for path, data in files.items():
        writer.add(path, "application/octet-stream", [data], len(data))
    writer.add("message.xml", "application/xml", [message])
    sealed = writer.finish(Envelope(header, (PROCURATORATE,)), signer(name), at)
    return buffer.getvalue(), sealed
