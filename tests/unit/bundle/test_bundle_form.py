"""Bundles: one form, read in any chunks, every other form refused."""

import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontgate import bundle
from frontgate.errors import BundleError

CONTENT = {"a.asice": b"x" * 700, "0001-receipts.xml": b"<r/>", "empty.xml": b""}


def members(content: dict[str, bytes]) -> list[bundle.Member]:
    return [bundle.Member(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in content.items()]


def build(content: dict[str, bytes]) -> bytes:
    out = b""
    for member, data in zip(members(content), content.values(), strict=True):
        out += bundle.member_header(member) + data + bundle.member_padding(len(data))
    return out + bundle.TRAILER


def take(data: bytes, chunk: int = 1 << 16) -> tuple[bundle.Located, ...]:
    target = io.BytesIO()
    taker = bundle.BundleTaker(target)
    for at in range(0, len(data), chunk):
        taker.write(data[at : at + chunk])
    found = taker.finish()
    assert target.getvalue() == data
    return found


names = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}", fullmatch=True)


@given(st.dictionaries(names, st.binary(max_size=2000), max_size=8), st.integers(1, 1500))
def test_any_members_in_any_chunks(content: dict[str, bytes], chunk: int) -> None:
    data = build(content)
    found = take(data, chunk)
    assert [(m.name, m.size_bytes, m.digest) for m in found] == [
        (m.name, m.size_bytes, m.digest) for m in members(content)
    ]
    for m in found:
        assert data[m.offset : m.offset + m.size_bytes] == content[m.name]
    assert len(data) == bundle.size_of(members(content))
    assert bundle.scan_bundle(io.BytesIO(data)) == found


def test_other_tools_read_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(build(CONTENT))) as archive:
        assert {m.name: archive.extractfile(m).read() for m in archive.getmembers()} == CONTENT  # type: ignore[union-attr]
        assert all(m.mtime == m.uid == m.gid == 0 and m.mode == 0o600 for m in archive.getmembers())


def test_the_id_names_the_content_in_its_order() -> None:
    found = members(CONTENT)
    ident = bundle.bundle_id(7, found)
    assert ident.startswith("0000000000000007-")
    assert bundle.check_id(ident, found)
    assert not bundle.check_id(ident, found[::-1])
    assert not bundle.check_id(ident, found[1:])
    assert not bundle.check_id("7", found)


def test_every_changed_byte_outside_the_data_is_refused() -> None:
    data = build(CONTENT)
    inside: set[int] = set()
    for m in take(data):
        inside |= set(range(m.offset, m.offset + m.size_bytes))
    for at in range(len(data)):
        if at in inside:
            continue
        changed = bytearray(data)
        changed[at] ^= 0x41
        with pytest.raises(BundleError):
            take(bytes(changed))


def test_every_truncation_and_addition_is_refused() -> None:
    data = build(CONTENT)
    for length in range(0, len(data), 13):
        with pytest.raises(BundleError):
            take(data[:length])
    with pytest.raises(BundleError):
        take(data + bundle.TRAILER[:512])
    with pytest.raises(BundleError):
        take(data + b"x")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "x" * 100, "中"])
def test_bad_names_are_not_written(name: str) -> None:
    with pytest.raises(BundleError):
        bundle.member_header(bundle.Member(name, 0, ""))


def test_two_members_of_one_name_are_refused() -> None:
    one = build({"a": b"1"})[: -len(bundle.TRAILER)]
    with pytest.raises(BundleError) as caught:
        take(one + build({"a": b"2"}))
    assert caught.value.code == "FG-BND-005"


def test_sizes_beyond_eight_gibibytes_have_a_form() -> None:
    head = bundle.member_header(bundle.Member("big", 9 << 30, ""))
    assert head[124] == 0x80
    info = tarfile.TarInfo.frombuf(head, "ascii", "strict")
    assert info.size == 9 << 30
