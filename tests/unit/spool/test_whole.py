"""Whether an XML drop is whole: the usual one is told at a glance, as by the longer look."""

import os
import random
import re
from pathlib import Path

import pytest

from frontgate.spool import complete
from frontgate.spool.beneath import Folder
from frontgate.spool.complete import missing
from frontgate.spool.layout import SpoolPaths
from frontgate.spool.receipts import write_receipt

BEGINNINGS = (
    b"", b"\xef\xbb\xbf", b'<?xml version="1.0"?>\n', b"<!-- <a> -->", b"<!DOCTYPE a [<!ELEMENT a ANY>]>\n",
    b"<!DOCTYPE a>", b"text ", b"<!-- ", b"<? ", b"<", b"\n\t", b"<!-- > --> <?x <b> ?> ",
)  # fmt: skip
MIDDLES = (
    b"<m:a><b/></m:a>", b"<a></a >", b"<a/>", b"<a b='>'/>", b"<a>", b"<a></b>", b"<a></aa>", b"<a><!-- </a> -->",
    b"<a></a>\n<!-- end -->", b"<a></a><?x?>", b"", b"<a></a\n\t>", b"<a <!-- > --> />", b"<ab></a>",
)  # fmt: skip


def test_both_looks_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    luck = random.Random(1)
    documents = [a + b + c for a in BEGINNINGS for b in BEGINNINGS for c in MIDDLES]
    documents += [d[: luck.randrange(len(d) + 1)] for d in documents]
    documents += [b"<!-- " + b"-" * 9000 + b" --><a></a>", b"<a>" + b" " * 9000 + b"</a>"]
    with Folder.at(tmp_path) as folder:
        found = []
        for n, document in enumerate(documents):
            (tmp_path / f"{n}.xml").write_bytes(document)
            found.append(missing(folder, f"{n}.xml", "xml"))
        monkeypatch.setattr(complete, "_FIRST", re.compile(rb"(?!)()"))
        longer = [missing(folder, f"{n}.xml", "xml") for n in range(len(documents))]
    assert found == longer
    assert {"", "content", "root element", "</a>", "</m:a>"} <= set(found)


@pytest.mark.parametrize(
    "before",
    [
        "", "\ufeff", '<?xml version="1.0" encoding="UTF-8"?>\n<!-- 示例 -->\n', "<!DOCTYPE a>\n",
        "<!-- " + "很" * 3000 + " -->\n", "<?x " + "y" * 9000 + "?><!-- z -->", "\n" * 9000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("root", ["<a/>", "<a b='1'><c/>文</a>", "<m:a xmlns:m='u'></m:a >"])
def test_no_beginning_of_a_document_is_whole(tmp_path: Path, before: str, root: str) -> None:
    """A careless writer may pause anywhere."""
    document = (before + root).encode()
    size = len(document)
    with Folder.at(tmp_path) as folder:
        for cut in {
            *range(min(size, 200)),
            *range(8180, min(size, 8204)),
            *range(max(0, size - 100), size),
        }:
            (tmp_path / "a.xml").write_bytes(document[:cut])
            assert missing(folder, "a.xml", "xml"), document[:cut][-60:]
        (tmp_path / "a.xml").write_bytes(document)
        assert missing(folder, "a.xml", "xml") == ""


def test_the_usual_message_is_told_at_a_glance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(complete, "_MISC")
    (tmp_path / "a.xml").write_bytes(b'<?xml version="1.0"?>\n<!-- a -->\n<m:M a="1"><b/></m:M>\n')
    with Folder.at(tmp_path) as folder:
        assert missing(folder, "a.xml", "xml") == ""


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "folder", "full folder"])
def test_whatever_waits_under_a_receipts_names_goes_out_of_the_way(
    tmp_path: Path, kind: str
) -> None:
    paths = SpoolPaths(tmp_path)
    paths.receipts.mkdir()
    for name in ("r.xml", ".r.xml.tmp"):
        place = paths.receipts / name
        if kind == "file":
            place.write_bytes(b"old")
        elif kind == "link":
            place.symlink_to(tmp_path / "outside")
        elif kind == "pipe":
            os.mkfifo(place)
        else:
            place.mkdir()
            if kind == "full folder":
                (place / "x").write_bytes(b"")
    write_receipt(paths, "r.xml", b"<r/>")
    assert (paths.receipts / "r.xml").read_bytes() == b"<r/>"
    assert not (tmp_path / "outside").exists()
    assert not (paths.receipts / ".r.xml.tmp").exists()
