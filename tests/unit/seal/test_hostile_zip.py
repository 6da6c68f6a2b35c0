"""The strict ZIP reader: what a general reader lets through is refused with a code of its own."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontgate.errors import ContainerError
from frontgate.zipread import ZipLimits, _check_path, is_complete_zip, open_zip


@dataclass(frozen=True)
class E:
    """One entry, every field of both records free to lie. None: the truth."""

    name: bytes = b"message.xml"
    data: bytes = b"<a/>"
    method: int = 0
    flags: int = 0
    made_by: int = 20
    mode: int = 0
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_packed: int | None = None
    local_at: int | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    before: bytes = b""
    after: bytes = b""
    hidden: bool = False


@dataclass(frozen=True)
class Z:
    entries: list[E] = field(default_factory=list)
    prefix: bytes = b""
    between: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    count: int | None = None
    here: int | None = None
    cd_size: int | None = None
    cd_at: int | None = None
    disk: int = 0
    end64: bytes = b""


def deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def build(z: Z) -> bytes:
    out = bytearray(z.prefix)
    central = bytearray()
    for e in z.entries:
        stored = deflate(e.data) if e.method == 8 else e.data
        crc = zlib.crc32(e.data) if e.crc is None else e.crc
        size = len(e.data) if e.size is None else e.size
        packed = len(stored) if e.packed is None else e.packed
        out += e.before
        at = len(out)

        def pick(value: int | None, truth: int) -> int:
            return truth if value is None else value

        name = e.name if e.local_name is None else e.local_name
        out += struct.pack(
            "<4sHHHHHLLLHH", b"PK\x03\x04", 20, pick(e.local_flags, e.flags), pick(e.local_method, e.method),
            0, 33, pick(e.local_crc, crc), pick(e.local_packed, packed), pick(e.local_size, size),
            len(name), len(e.local_extra),
        )  # fmt: skip
        out += name + e.local_extra + stored + e.after
        if not e.hidden:
            central += struct.pack(
                "<4sHHHHHHLLLHHHHHLL", b"PK\x01\x02", e.made_by, 20, e.flags, e.method, 0, 33, crc,
                packed, size, len(e.name), len(e.extra), len(e.comment), e.disk, 0, e.mode << 16,
                pick(e.local_at, at),
            )  # fmt: skip
            central += e.name + e.extra + e.comment
    out += z.between
    at = len(out)
    out += central
    shown = sum(not e.hidden for e in z.entries)
    out += z.end64
    out += struct.pack(
        "<4sHHHHLLH", b"PK\x05\x06", z.disk, z.disk, shown if z.here is None else z.here,
        shown if z.count is None else z.count, len(central) if z.cd_size is None else z.cd_size,
        at if z.cd_at is None else z.cd_at, len(z.comment),
    )  # fmt: skip
    return bytes(out + z.comment + z.suffix)


M = E()
BIG = E(b"files/big", os.urandom(100))
SYMLINK, FIFO, DEVICE = 0o120777, 0o010644, 0o020644


def case(*entries: E, **kwargs: object) -> bytes:
    return build(Z(list(entries), **kwargs))  # type: ignore[arg-type]


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "001"),
    "one byte": (b"P", "001"),
    "no end record": (case(M)[:-22], "001"),
    "end record cut": (case(M)[:-1], "001"),
    "suffix": (case(M, suffix=b"x"), "001"),
    "suffix zeros": (case(M, suffix=b"\0" * 100), "001"),
    "comment": (case(M, comment=b"hi"), "001"),
    "comment length lies": (case(M)[:-2] + b"\x05\0", "005"),
    "comment hides a second end": (case(M, comment=case(M)[-22:]), "004"),
    "prefix": (case(M, prefix=b"MZ" * 50), "015"),
    "prefix shifted offsets": (b"x" * 10 + case(M), "004"),
    "gap before directory": (case(M, between=b"gap"), "015"),
    "gap between entries": (case(M, replace(BIG, before=b"gap")), "015"),
    "data after entry": (case(replace(M, after=b"x"), BIG), "015"),
    "hidden entry": (case(M, replace(BIG, hidden=True)), "015"),
    "hidden first": (case(replace(BIG, hidden=True), M), "015"),
    "overlap": (case(M, replace(BIG, local_at=0)), "015"),
    "same local twice": (case(M, replace(M, name=b"files/x", local_at=0)), "015"),
    "local offset beyond": (case(replace(M, local_at=10_000)), "015"),
    "count too high": (case(M, count=2, here=2), "004"),
    "count too low": (case(M, BIG, count=1, here=1), "004"),
    "count zero": (case(M, count=0, here=0), "004"),
    "directory size lies": (case(M, cd_size=10), "004"),
    "directory offset lies": (case(M, cd_at=3), "004"),
    "disk number": (case(M, disk=1), "006"),
    "two counts": (case(M, count=2, here=1), "006"),
    "entry on another disk": (case(replace(M, disk=1)), "004"),
    "encrypted": (case(replace(M, flags=1)), "008"),
    "strong encryption": (case(replace(M, flags=0x40)), "008"),
    "masked headers": (case(replace(M, flags=0x2000)), "008"),
    "patch data flag": (case(replace(M, flags=0x20)), "011"),
    "unknown flag": (case(replace(M, flags=0x8000)), "011"),
    "method shrink": (case(replace(M, method=1)), "012"),
    "method bzip2": (case(replace(M, method=12)), "012"),
    "method lzma": (case(replace(M, method=14)), "012"),
    "method zstd": (case(replace(M, method=93)), "012"),
    "method aes": (case(replace(M, method=99)), "012"),
    "symlink": (case(M, replace(BIG, made_by=0x0314, mode=SYMLINK)), "013"),
    "fifo": (case(M, replace(BIG, made_by=0x0314, mode=FIFO)), "013"),
    "device": (case(M, replace(BIG, made_by=0x0314, mode=DEVICE)), "013"),
    "folder with data": (case(M, E(b"files/", b"x")), "009"),
    "local name differs": (case(replace(M, local_name=b"message.xmk")), "016"),
    "local name longer": (case(replace(M, local_name=b"message.xmll")), "016"),
    "local method differs": (case(replace(M, local_method=8)), "016"),
    "local flags differ": (case(replace(M, local_flags=0x800)), "016"),
    "local crc differs": (case(replace(M, local_crc=1)), "016"),
    "local size differs": (case(replace(M, local_size=5)), "016"),
    "local packed differs": (case(replace(M, local_packed=5)), "016"),
    "stored with two sizes": (case(replace(M, size=9, local_size=9)), "016"),
    "descriptor missing": (case(replace(M, flags=8, local_crc=0, local_size=0, local_packed=0)), "016"),
    "zip64 without extra": (case(replace(M, size=0xFFFFFFFF)), "007"),
    "zip64 extra short": (case(replace(M, size=0xFFFFFFFF, extra=struct.pack("<HHL", 1, 4, 4))), "007"),
    "zip64 extra twice": (
        case(replace(M, size=0xFFFFFFFF, extra=struct.pack("<HHQHHQ", 1, 8, 4, 1, 8, 4))), "007"),
    "zip64 end missing": (case(M, count=0xFFFF, here=0xFFFF), "007"),
    "zip64 end lies": (case(M, cd_at=0xFFFFFFFF, end64=b"\0" * 76), "007"),
    "too many entries": (case(M, *(E(b"files/%d" % n, b"") for n in range(60))), "010"),
    "too large in all": (case(M, E(b"files/x", b"x" * 300_000), E(b"files/y", b"y" * 300_000)), "017"),
    "bomb": (case(M, E(b"files/b", b"\0" * (2 << 20), method=8)), "018"),
    "duplicate": (case(M, BIG, BIG), "019"),
    "case twins": (case(M, E(b"files/A.pdf"), E(b"files/a.PDF")), "019"),
    "width twins": (case(M, E("files/Ａ".encode()), E(b"files/A")), "019"),
    "composed twins": (case(M, E("files/é".encode()), E("files/e\u0301".encode())), "019"),
    "directory cut": (case(M)[:-30] + case(M)[-22:], "004"),
}  # fmt: skip
for title, name in {
    "traversal": b"../x", "deep traversal": b"files/../../x", "dot": b"./x", "inner dot": b"files/./x",
    "absolute": b"/etc/passwd", "drive": b"C:/x", "drive relative": b"c:x", "double slash": b"files//x",
    "backslash traversal": b"..\\x", "backslash absolute": b"\\x", "nul": b"files/a\0b",
    "newline": b"files/a\nb", "escape": b"files/\x1b[2J", "delete": b"files/\x7f", "only dots": b"..",
    "traversal at end": b"files/..", "c1 control": "files/\u0085".encode(), "bad bytes": b"files/\xff\xfe\xff",
}.items():  # fmt: skip
    REFUSED["name " + title] = (case(M, E(name)), "014")
LIMITS = ZipLimits(entries=50, total_bytes=500_000 + (2 << 20), ratio=200)
SMALL = ZipLimits(entries=50, total_bytes=500_000, ratio=200)


@pytest.mark.parametrize("title", sorted(REFUSED))
def test_hostile_archives_are_refused_by_their_own_code(title: str) -> None:
    data, code = REFUSED[title]
    limits = LIMITS if title == "bomb" else SMALL
    with pytest.raises(ContainerError) as caught:
        open_zip(io.BytesIO(data), dialect="drop", limits=limits)
    assert caught.value.code == f"FG-CNT-{code}"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (replace(BIG, crc=1, local_crc=1), "020"),
        (E(b"files/d", b"x" * 50, method=8, size=49, local_size=49), "021"),
        (E(b"files/d", b"x" * 50, method=8, size=51, local_size=51), "021"),
        (E(b"files/d", b"\xff" * 20, method=0, crc=0, local_crc=0), "020"),
    ],
)
def test_lies_about_content_are_found_while_reading(entry: E, code: str) -> None:
    archive = open_zip(io.BytesIO(case(M, entry)), dialect="drop")
    with pytest.raises(ContainerError) as caught:
        for _ in archive.entries[1].chunks():
            pass
    assert caught.value.code == f"FG-CNT-{code}"


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_cut_compressed_data_is_found(cut: int) -> None:
    packed = deflate(os.urandom(500))
    good = build(Z([M, E(b"files/d", zlib.decompress(packed, -15), method=8)]))
    at = good.index(packed)
    damaged = good[:at] + b"\xff" * cut + good[at + cut :]
    archive = open_zip(io.BytesIO(damaged), dialect="drop")
    with pytest.raises(ContainerError):
        list(archive.entries[1].chunks())


def warned(data: bytes) -> tuple[list[str], list[str]]:
    archive = open_zip(io.BytesIO(data), dialect="drop")
    for entry in archive.entries:
        list(entry.chunks())
    return [e.name for e in archive.entries], [w.rule for w in archive.warnings]


ACCEPTED: dict[str, tuple[Callable[[], bytes], list[str], list[str]]] = {
    "plain": (lambda: case(M, BIG), ["message.xml", "files/big"], []),
    "deflated": (lambda: case(M, E(b"files/d", b"abc" * 100, method=8)), ["message.xml", "files/d"], []),
    "utf-8 names": (lambda: case(M, E("files/起诉书.pdf".encode(), flags=0x800)), ["message.xml", "files/起诉书.pdf"], []),
    "utf-8 without flag": (lambda: case(M, E("files/起诉书.pdf".encode())), ["message.xml", "files/起诉书.pdf"], []),
    "gb18030 names": (lambda: case(M, E("files/起诉书.pdf".encode("gb18030"))), ["message.xml", "files/起诉书.pdf"], ["FG-CNT-032"]),
    "backslashes": (lambda: case(M, E(b"files\\x.pdf")), ["message.xml", "files/x.pdf"], ["FG-CNT-031"]),
    "enclosing folder": (lambda: case(E(b"case/message.xml"), E(b"case/files/x")), ["message.xml", "files/x"], ["FG-CNT-033"]),
    "folders": (lambda: case(M, E(b"files/", b""), E(b"files/x")), ["message.xml", "files/x"], []),
    "mac leftovers": (lambda: case(M, E(b"__MACOSX/._message.xml")), ["message.xml"], ["FG-CNT-030"]),
    "unix modes": (lambda: case(replace(M, made_by=0x0314, mode=0o100644)), ["message.xml"], []),
    "entry comment": (lambda: case(replace(M, comment=b"note")), ["message.xml"], []),
    "timestamps extra": (lambda: case(replace(M, local_extra=struct.pack("<HHL", 0x5455, 4, 1))), ["message.xml"], []),
    "empty file": (lambda: case(M, E(b"files/e", b"")), ["message.xml", "files/e"], []),
    "nfc": (lambda: case(M, E("files/e\u0301".encode())), ["message.xml", "files/é"], []),
}  # fmt: skip
for form, tail in {
    "signed descriptor": "<4sLLL", "signed zip64 descriptor": "<4sLQQ", "bare descriptor": "<LLL", "bare zip64 descriptor": "<LQQ",
}.items():  # fmt: skip
    values: tuple[object, ...] = (zlib.crc32(b"<a/>"), 4, 4)
    packed_tail = struct.pack(tail, *((b"PK\x07\x08", *values) if "4s" in tail else values))
    entry = replace(M, flags=8, local_crc=0, local_size=0, local_packed=0, after=packed_tail)
    ACCEPTED[form] = (lambda entry=entry: case(entry, BIG), ["message.xml", "files/big"], [])


@pytest.mark.parametrize("title", sorted(ACCEPTED))
def test_careless_archives_are_read_with_a_warning(title: str) -> None:
    data, names, rules = ACCEPTED[title]
    assert warned(data()) == (names, rules)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_the_standard_library_are_read(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("message.xml", "<a/>" * 1000)
        archive.writestr("files/中.pdf", os.urandom(5000))
        with archive.open("files/streamed", "w", force_zip64=True) as stream:
            stream.write(b"z" * 100)
    names, rules = warned(out.getvalue())
    assert names == ["message.xml", "files/中.pdf", "files/streamed"]
    assert rules == []


@pytest.mark.parametrize(
    "title", ["deflated", "utf-8 names", "gb18030 names", "backslashes", "folders"]
)
def test_the_seal_dialect_is_stricter(title: str) -> None:
    with pytest.raises(ContainerError):
        open_zip(io.BytesIO(ACCEPTED[title][0]()), dialect="seal")


def test_every_truncation_is_incomplete_or_refused() -> None:
    data = case(M, BIG, E(b"files/d", b"abc" * 100, method=8))
    assert is_complete_zip(io.BytesIO(data))
    for length in range(len(data)):
        assert not is_complete_zip(io.BytesIO(data[:length]))
        with pytest.raises(ContainerError):
            open_zip(io.BytesIO(data[:length]), dialect="drop")


@pytest.mark.parametrize("cut", [0, 1, 150])
def test_an_entry_read_at_once_is_refused_as_one_that_is_streamed(cut: int) -> None:
    """Bytes that change or end between the opening and the reading."""
    data = case(M, E(b"files/d", b"abc" * 50))
    for at in range(len(data) - cut):
        file = io.BytesIO(data)
        archive = open_zip(file, dialect="seal")
        changed = bytearray(data[: len(data) - cut])
        changed[at] ^= 1
        file.seek(0)
        file.truncate()
        file.write(changed)
        for entry in archive.entries:
            outcomes: list[object] = []
            for read in (lambda e=entry: e.read(1 << 20), lambda e=entry: b"".join(e.chunks())):  # type: ignore[misc]
                try:
                    outcomes.append(read())
                except ContainerError as error:
                    outcomes.append((error.code, error.message("en")))
            assert outcomes[0] == outcomes[1]


@given(st.text("aC.:/\\\n", max_size=8))
def test_a_path_is_relative_and_each_part_of_it_has_a_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    odd = name.startswith("/") or (name[1:2] == ":" and name[0] in "aC")
    if odd or any(part in ("", ".", "..") for part in parts):
        with pytest.raises(ContainerError) as caught:
            _check_path(name)
        assert caught.value.code == "FG-CNT-014"
    else:
        _check_path(name)


def test_there_are_more_than_a_hundred_cases() -> None:
    assert len(REFUSED) + len(ACCEPTED) + 4 + 3 >= 100
