"""The sealed package: round trips, forgeries, outside judges."""

import hashlib
import io
import random
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from signing import HEADER, NOW, PROCURATORATE, SUITES, package, signer

from frontgate.errors import ContainerError, FrontgateError, InternalError
from frontgate.model.envelope import Copy, Envelope
from frontgate.model.message import Header
from frontgate.seal import open_package, open_stored
from frontgate.seal.envelope import read_envelope, write_envelope
from frontgate.values import replace


def verified(data: bytes, **kwargs: frozenset[str]) -> None:
    open_package(io.BytesIO(data)).verify(**kwargs)


@pytest.mark.parametrize("name", SUITES)
def test_a_package_verifies_and_gives_back_what_was_put_in(name: str) -> None:
    data, sealed = package(name)
    opened = open_package(io.BytesIO(data))
    opened.verify()
    assert opened.suite_name == name
    assert opened.envelope == sealed.envelope
    assert opened.envelope.header == HEADER
    assert opened.content_digest == sealed.content_digest
    assert opened.seal_digest == sealed.seal_digest
    assert opened.signing_time == NOW
    assert opened.read("message.xml", 100) == b"<a>\xe4\xb8\xad</a>"
    assert b"".join(opened.chunks("files/a.pdf")) == b"%PDF" * 100
    assert sealed.size_bytes == len(data)


@given(
    st.dictionaries(
        st.from_regex(r"files/[a-z0-9-]{1,20}\.[a-z]{1,4}", fullmatch=True),
        st.binary(max_size=3000),
        max_size=6,
    ),
    st.binary(min_size=1, max_size=500),
    st.integers(0, 700),
)
def test_any_content_survives_at_any_place(
    files: dict[str, bytes], message: bytes, offset: int
) -> None:
    data, _ = package(files=files, message=message, offset=offset)
    opened = open_package(io.BytesIO(data), offset=offset, length=len(data) - offset)
    opened.verify()
    assert opened.read("message.xml", 1000) == message
    for path, content in files.items():
        assert b"".join(opened.chunks(path)) == content


def test_the_same_content_sealed_again_has_the_same_content_digest() -> None:
    first, second = package()[1], package(SUITES[1], at=NOW + timedelta(days=400))[1]
    assert first.content_digest == second.content_digest
    assert first.seal_digest != second.seal_digest


def test_nothing_is_read_before_it_is_verified() -> None:
    opened = open_package(io.BytesIO(package()[0]))
    with pytest.raises(InternalError):
        opened.read("message.xml", 100)


def test_a_suite_that_policy_does_not_allow_is_refused() -> None:
    with pytest.raises(FrontgateError) as caught:
        verified(package(SUITES[1])[0], allowed_suites=frozenset({SUITES[0]}))
    assert caught.value.code == "FG-SIG-001"


@pytest.mark.parametrize("name", SUITES)
def test_every_changed_byte_is_refused(name: str) -> None:
    """400 seeded single-byte changes anywhere: never accepted, never another exception."""
    data, _ = package(name)
    luck = random.Random(1)
    places = {luck.randrange(len(data)) for _ in range(400)}
    for at in sorted(places):
        changed = bytearray(data)
        changed[at] ^= 1 << luck.randrange(8)
        try:
            verified(bytes(changed))
        except FrontgateError:
            continue
        # DOS time and date of a header carry no meaning and are covered by no one.
        assert _is_idle_field(data, at), (at, data[max(0, at - 20) : at + 20])


def _is_idle_field(data: bytes, at: int) -> bool:
    """Whether the byte is a version, time or attribute field of a ZIP record."""
    for magic, idle in (
        (b"PK\x03\x04", {4, 5, 10, 11, 12, 13}),
        (b"PK\x01\x02", {4, 5, 6, 7, 12, 13, 14, 15, 36, 37, 38, 39, 40, 41}),
    ):
        start = data.rfind(magic, 0, at + 1)
        if start >= 0 and at - start in idle:
            return True
    return False


@pytest.mark.parametrize("name", SUITES)
def test_every_truncation_is_refused(name: str) -> None:
    data, _ = package(name)
    for length in range(0, len(data), 37):
        with pytest.raises(FrontgateError):
            verified(data[:length])


def rebuilt(
    data: bytes,
    change: dict[str, bytes | None],
    order: list[str] | None = None,
    extra: dict[str, bytes] | None = None,
) -> bytes:
    """The same ZIP with parts changed (None removes), in another order, with more."""
    source = zipfile.ZipFile(io.BytesIO(data))
    content = {n: source.read(n) for n in source.namelist()}
    for path, value in change.items():
        if value is None:
            del content[path]
        else:
            content[path] = value
    content.update(extra or {})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for path in order or list(content):
            target.writestr(zipfile.ZipInfo(path), content[path])
    return out.getvalue()


def part(data: bytes, path: str) -> bytes:
    return zipfile.ZipFile(io.BytesIO(data)).read(path)


SIGNATURES, ENVELOPE = "META-INF/signatures.xml", "envelope.xml"


def forgeries(name: str) -> dict[str, bytes]:
    data, _ = package(name)
    other, _ = package(name, message=b"<b/>")
    foreign, _ = package(SUITES[1 - SUITES.index(name)])
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    signatures, envelope = part(data, SIGNATURES), part(data, ENVELOPE)
    made = {
        "message changed": rebuilt(data, {"message.xml": b"<c/>"}),
        "message of another package": rebuilt(data, {"message.xml": part(other, "message.xml")}),
        "file emptied": rebuilt(data, {"files/a.pdf": b""}),
        "file removed": rebuilt(data, {"files/a.pdf": None}),
        "file added": rebuilt(
            data, {}, [*names[:-2], "files/x.pdf", *names[-2:]], {"files/x.pdf": b"x"}
        ),
        "files swapped": rebuilt(data, {"files/a.pdf": b"", "files/b.bin": b"%PDF" * 100}),
        "envelope of another": rebuilt(data, {ENVELOPE: part(other, ENVELOPE)}),
        "signatures of another": rebuilt(data, {SIGNATURES: part(other, SIGNATURES)}),
        "signatures of another suite": rebuilt(
            data, {ENVELOPE: part(foreign, ENVELOPE), SIGNATURES: part(other, SIGNATURES)}
        ),
        "no signatures": rebuilt(data, {SIGNATURES: None}),
        "empty signatures": rebuilt(data, {SIGNATURES: b""}),
        "no envelope": rebuilt(data, {ENVELOPE: None}),
        "mimetype changed": rebuilt(data, {"mimetype": b"application/zip"}),
        "manifest changed": rebuilt(
            data,
            {
                "META-INF/manifest.xml": part(data, "META-INF/manifest.xml").replace(
                    b"a.pdf", b"c.pdf"
                )
            },
        ),
        "reordered": rebuilt(data, {}, [names[1], names[0], *names[2:]]),
        "signatures first": rebuilt(data, {}, [names[-1], *names[:-1]]),
        "second signature file": rebuilt(
            data, {}, [*names, "META-INF/signatures2.xml"], {"META-INF/signatures2.xml": signatures}
        ),
        "prefix": b"x" + data,
        "suffix": data + b"x",
        "twice": data + data,
    }
    edits: list[tuple[str, bytes, bytes]] = [
        ("reference uri", b'URI="message.xml"', b'URI="files/a.pdf"'),
        ("reference type", b'Id="r-0" URI', b'Id="r-0" Type="x" URI'),
        (
            "transform added",
            b"<ds:DigestMethod",
            b"<ds:Transforms></ds:Transforms><ds:DigestMethod",
        ),
        ("digest method", b"xmlenc#sha256", b"xmldsig#sha1"),
        (
            "signature method",
            b'SignatureMethod Algorithm="',
            b'SignatureMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1',
        ),
        ("canonicalization", b"xml-c14n11", b"xml-exc-c14n#"),
        ("comment", b"<ds:SignatureValue>", b"<ds:SignatureValue><!-- -->"),
        ("blank", b"</ds:SignedInfo>", b"</ds:SignedInfo> "),
        ("newline", b"<ds:KeyInfo>", b"\n<ds:KeyInfo>"),
        ("processing instruction", b"<ds:KeyInfo>", b"<?x?><ds:KeyInfo>"),
        ("declaration", b"<asic:", b'<?xml version="1.0"?><asic:'),
        ("doctype", b"<asic:XAdES", b"<!DOCTYPE a><asic:XAdES"),
        ("object added", b"</ds:Signature>", b"<ds:Object></ds:Object></ds:Signature>"),
        (
            "second signature",
            b"</asic:XAdESSignatures>",
            b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:Signature></asic:XAdESSignatures>',
        ),
        ("signing time", b"2026-11-24T08", b"2020-11-24T08"),
        ("target", b'Target="#S-1"', b'Target="#S-2"'),
        ("signature id", b'Id="S-1"', b'Id="S-9"'),
        ("properties id", b'Id="SP-1"', b'Id="SP-2"'),
        ("properties uri", b'URI="#SP-1"', b'URI="#S-1"'),
        ("media type", b"<xades:MimeType>application/xml", b"<xades:MimeType>text/html"),
        ("object reference", b'ObjectReference="#r-0"', b'ObjectReference="#r-1"'),
        ("prefix renamed", b"xades:Cert>", b"xades:Cert2>"),
        ("base64 blank", b"</ds:X509Certificate>", b" </ds:X509Certificate>"),
        ("value emptied", b"<ds:SignatureValue>", b"<ds:SignatureValue></ds:SignatureValue><ds:x>"),
        ("entity", b"<ds:KeyInfo>", b"&lt;<ds:KeyInfo>"),
        ("cdata", b"<ds:SignatureValue>", b"<ds:SignatureValue><![CDATA[]]>"),
    ]
    for title, old, new in edits:
        if old in signatures:
            made["signatures: " + title] = rebuilt(
                data, {SIGNATURES: signatures.replace(old, new, 1)}
            )
    envelope_edits: list[tuple[str, bytes, bytes]] = [
        ("sender", b"<Sender>5201021100X", b"<Sender>52010221005"),
        ("receiver", b"<Receiver>52010221005", b"<Receiver>52010231000"),
        ("receiver added", b"<CaseUid>", b"<Receiver>52010231000</Receiver><CaseUid>"),
        ("message id", b"11111111-1111", b"11111111-2222"),
        ("type", b"case.submit", b"case.decide"),
        ("urgency", b"<Urgency>1", b"<Urgency>3"),
        ("test flag", b"<Manifest>", b"<TestFlag>true</TestFlag><Manifest>"),
        ("on behalf", b"<Manifest>", b"<OnBehalfOf>52010231000</OnBehalfOf><Manifest>"),
        ("part size", b'bytes="400"', b'bytes="401"'),
        ("part removed", b"<Manifest>", b"<Manifest><!-- -->"),
        ("unknown element", b"<Manifest>", b"<X></X><Manifest>"),
        ("attribute", b'standard="1.0"', b'standard="1.0" x="y"'),
        ("blank", b"<Manifest>", b" <Manifest>"),
        ("namespace", b"envelope:1", b"envelope:2"),
        ("declaration", b"<Envelope", b'<?xml version="1.0"?><Envelope'),
    ]
    for title, old, new in envelope_edits:
        assert old in envelope, title
        made["envelope: " + title] = rebuilt(data, {ENVELOPE: envelope.replace(old, new, 1)})
    return made


def is_refused(data: bytes) -> bool:
    try:
        verified(data)
    except FrontgateError:
        return True
    return False


@pytest.mark.parametrize("name", SUITES)
def test_every_forgery_is_refused(name: str) -> None:
    made = forgeries(name)
    assert len(made) >= 58
    for title, data in made.items():
        assert is_refused(data), f"accepted: {title}"


def test_the_untouched_rebuild_verifies() -> None:
    """The helper itself does no harm: the forgeries fail for what they forge."""
    verified(rebuilt(package()[0], {}))


def test_the_certificate_cannot_be_exchanged() -> None:
    data, _ = package()
    import base64

    mine = base64.b64encode(signer(SUITES[0]).certificate)
    other = base64.b64encode(signer(SUITES[0], PROCURATORATE).certificate)
    signatures = part(data, SIGNATURES)
    assert mine in signatures
    with pytest.raises(FrontgateError):
        verified(rebuilt(data, {SIGNATURES: signatures.replace(mine, other)}))


@pytest.mark.parametrize("name", SUITES)
def test_xmlsec1_and_openssl_agree(name: str, tmp_path: Path) -> None:
    data, _ = package(name)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    certificate = x509.load_der_x509_certificate(signer(name).certificate)
    (tmp_path / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    from signing import authority

    (tmp_path / "ca.pem").write_bytes(authority().certificate.public_bytes(Encoding.PEM))

    def xmlsec() -> int:
        return subprocess.run(
            ["xmlsec1", "--verify", "--enabled-reference-uris", "empty,same-doc,local,remote",
             "--trusted-pem", "ca.pem", "--verification-time", "2026-11-24 08:30:00", "--id-attr:Id",
             "http://uri.etsi.org/01903/v1.3.2#:SignedProperties", "META-INF/signatures.xml"],
            cwd=tmp_path, capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert xmlsec() == 0
    verified_chain = subprocess.run(
        ["openssl", "verify", "-CAfile", "ca.pem", "-attime", "1795507200", "c.pem"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified_chain.returncode == 0, verified_chain.stderr
    (tmp_path / "message.xml").write_bytes(b"<forged/>")
    assert xmlsec() != 0


def test_memory_does_not_grow_with_a_part(tmp_path: Path) -> None:
    """160 MiB through writer and reader in a process of its own: peak grows by less than 40 MiB."""
    script = """
import io, sys
sys.path.insert(0, sys.argv[1])
from signing import *
package()
from frontgate.seal import open_package

def peak_kib():  # not getrusage's: that begins with what the parent had
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])

before = peak_kib()
block = b"x" * (1 << 20)
with open(sys.argv[2], "w+b") as file:
    writer = PackageWriter(file, parts=[("files/big.bin", "a/b"), ("message.xml", "application/xml")])
    writer.add("files/big.bin", "a/b", (block for _ in range(160)), 160 << 20)
    writer.add("message.xml", "application/xml", [b"<a/>"])
    writer.finish(Envelope(HEADER, (PROCURATORATE,)), signer(), NOW)
    opened = open_package(file)
    opened.verify()
    assert sum(len(c) for c in opened.chunks("files/big.bin")) == 160 << 20
print(peak_kib() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[2]), str(tmp_path / "big")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40 * 1024


def test_a_source_of_another_size_is_noticed() -> None:
    from frontgate.seal import PackageWriter

    for told in (3, 5):
        writer = PackageWriter(io.BytesIO(), parts=[("files/a", "a/b")])
        with pytest.raises(FrontgateError) as caught:
            writer.add("files/a", "a/b", iter([b"1234"]), told)
        assert caught.value.code == "FG-CNT-043"


# What XML has: no surrogates, no control characters, and not the two that end the plane (XML 1.0, 2.2).
_IN_XML = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
text = st.text(_IN_XML, min_size=1, max_size=20).filter(lambda s: s.strip() == s)


@given(
    text,
    text,
    st.lists(st.sampled_from(["52010231000", "52010213005"]), unique=True, max_size=2),
    st.booleans(),
)
def test_envelopes_round_trip(ref: str, vendor: str, copies: list[str], test: bool) -> None:
    header: Header = replace(HEADER, sender_ref=ref, test_flag=test, in_reply_to="x")
    assert header.software is not None
    header = replace(header, software=replace(header.software, vendor=vendor))
    envelope = Envelope(header, (PROCURATORATE,), tuple(Copy(c) for c in copies), (), "o", "d")
    data = write_envelope(envelope)
    assert read_envelope(data) == envelope
    assert hashlib.sha256(data).hexdigest() == hashlib.sha256(write_envelope(envelope)).hexdigest()


def test_a_stored_package_is_the_one_that_was_verified_or_is_refused() -> None:
    data, sealed = package()
    digest = hashlib.sha256(data).hexdigest()
    stored = open_stored(io.BytesIO(b"\xff" * 7 + data), offset=7, length=len(data), digest=digest)
    assert stored.parts == tuple((p.path, p.size_bytes) for p in sealed.envelope.parts)
    assert stored.read("message.xml", 1000) == b"<a>\xe4\xb8\xad</a>"
    assert b"".join(stored.chunks("files/a.pdf")) == b"%PDF" * 100
    for place in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(ContainerError) as caught:
            open_stored(io.BytesIO(bytes(changed)), offset=0, length=len(data), digest=digest)
        assert caught.value.code == "FG-CNT-043"
    with pytest.raises(ContainerError):
        open_stored(io.BytesIO(data[:-1]), offset=0, length=len(data), digest=digest)
    with pytest.raises(ContainerError) as missing:
        stored.read("files/none", 10)
    assert missing.value.code == "FG-CNT-041"
