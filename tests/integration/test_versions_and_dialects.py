"""Two versions of the standard and two dialects, side by side, from drop to delivery."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from province import POLICE, PROCURATORATE, Province, message, wait_for

STANDARD = Path(__file__).parents[2] / "standards" / "1.0"
MINE = """what,name,theirs,standard
field,,LeiXing,m:MessageType
field,,FaJianDanWei,m:Sender
field,,AnJian,b:Case
code,m:Urgency,normal,1
"""
THEIRS = """what,name,theirs,standard
field,,Reason_Text,t:Reason
code,m:Urgency,P1,1
"""


def two_versions(root: Path) -> Path:
    """1.0 as it is, and a 1.1 that adds one optional element to one flow."""
    shutil.copytree(STANDARD, root / "1.0")
    shutil.copytree(STANDARD, root / "1.1")
    head = root / "1.1" / "standard.toml"
    head.write_text(head.read_text("utf-8").replace('version = "1.0"', 'version = "1.1"'), "utf-8")
    xsd = root / "1.1/flows/arrest-request/arrest-request.xsd"
    text = xsd.read_text("utf-8")
    added = (
        '      <xs:element name="NextStep" type="t:Text200" minOccurs="0">\n        <xs:annotation>\n'
        '          <xs:documentation xml:lang="zh">后续措施</xs:documentation>\n'
        '          <xs:documentation xml:lang="en">Next step</xs:documentation>\n'
        "        </xs:annotation>\n      </xs:element>\n"
    )
    mark = re.search(r'<xs:element name="Withdrawn" .*?</xs:element>\n', text, re.DOTALL)
    assert mark is not None
    xsd.write_text(text.replace(mark[0], mark[0] + added, 1), "utf-8")
    return root


def give(province: Province, name: str, standards: Path, dialect: str = "") -> None:
    home = province.home / name
    path = home / ("hub.toml" if name == "hub" else "gateway.toml")
    text = path.read_text("utf-8")
    if dialect:
        folder = home / "dialect"
        folder.mkdir()
        (folder / "dialect.toml").write_text('name = "acme"\nversion = "7"\n')
        (folder / "mapping.csv").write_text(dialect, "utf-8")
        text = text.replace("[[unit]]", '[[unit]]\ndialect = "dialect"', 1)
    path.write_text(text + f'\n[node]\nstandards = "{standards}"\n', "utf-8")


def test_a_new_version_and_dialects_change_nothing_for_the_other_side(tmp_path: Path) -> None:
    standards = two_versions(tmp_path / "standards")
    province = Province(tmp_path, (POLICE, PROCURATORATE))
    give(province, "hub", standards)
    give(province, POLICE, standards, MINE)
    give(province, PROCURATORATE, standards, THEIRS)
    province.start()

    def spoken(text: str) -> str:
        text = text.replace("m:MessageType>", "LeiXing>").replace("m:Sender>", "FaJianDanWei>")
        text = text.replace("b:Case>", "AnJian>")
        return text.replace("<m:Urgency>1", "<m:Urgency>normal")

    old = message(ref="old")
    new = message(ref="new").replace('standard="1.0"', 'standard="1.1"')
    new = new.replace("</b:Withdrawn>", "</b:Withdrawn><b:NextStep>取保候审</b:NextStep>", 1)
    province.drop(POLICE, "old.xml", spoken(old))
    province.drop(POLICE, "new.xml", spoken(new))
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 2), (
        province.rejected(POLICE), province.log("hub"),
    )  # fmt: skip
    seen = {}
    for name in province.entries(PROCURATORATE):
        entry = province.spool(PROCURATORATE) / "inbound" / name
        plain = (entry / "message.xml").read_text("utf-8")
        seen["1.1" if 'standard="1.1"' in plain else "1.0"] = plain
        assert "LeiXing" not in plain
        assert "<m:Urgency>1</m:Urgency>" in plain
        told = (entry / "dialect" / "message.xml").read_text("utf-8")
        assert "<Reason_Text>" in told
        assert ">P1<" in told
    assert "取保候审" in seen["1.1"]
    assert set(seen) == {"1.0", "1.1"}
    assert wait_for(lambda: sum("-delivered-" in n for n in province.receipts(POLICE)) == 2)
    receipt = next((province.spool(POLICE) / "receipts").glob("*-delivered-*.xml"))
    assert "<Dialect>acme 7</Dialect>" in receipt.read_text("utf-8")
    # What was dropped travels sealed beside what was made of it.
    members = province.query(PROCURATORATE, "SELECT path FROM segment")
    sealed = b"".join(
        (tmp_path / PROCURATORATE / "state" / str(p)).read_bytes() for (p,) in members
    )
    assert b"source/message.xml" in sealed
    assert b"<LeiXing>" in sealed
    # A wrong code of the dialect is refused with what the standard asks for.
    province.drop(POLICE, "bad.xml", spoken(message(ref="bad")).replace("normal", "soon"))
    assert "Urgency" in province.outcome(POLICE, "bad.xml")
    province.stop()

    def standard(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "frontgate", "--lang", "en", "standard", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    root = ("--standards", str(standards))
    difference = standard("diff", "1.0", "1.1", *root)
    assert "NextStep" in difference.stdout, difference.stderr
    home = str(tmp_path / PROCURATORATE)
    fine = standard("try", "1.1", home, *root)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert "Tried 2 messages: 0 would fail" in fine.stdout
    back = standard("try", "1.0", home, *root)
    assert back.returncode == 1
    assert "NextStep" in back.stdout


def test_a_new_flow_is_a_folder_and_nothing_else(tmp_path: Path) -> None:
    """A flow that no program knows: dropped, checked, relayed, judged in context, delivered."""
    standards = tmp_path / "standards"
    shutil.copytree(STANDARD, standards / "1.0")
    flows = standards / "1.0" / "flows"
    shutil.copytree(flows / "information-sharing", flows / "tea-time")
    (flows / "tea-time" / "information-sharing.xsd").rename(flows / "tea-time" / "tea-time.xsd")
    for path in (flows / "tea-time").rglob("*"):
        if path.is_file():
            path.write_text(
                path.read_text("utf-8").replace("information-sharing", "tea-time"), "utf-8"
            )
    province = Province(tmp_path, (POLICE, PROCURATORATE))
    for name in ("hub", POLICE, PROCURATORATE):
        give(province, name, standards)
    province.start()

    def tea(step: str, **fields: str) -> str:
        return message(f"information-sharing/{step}", ref=step, **fields).replace(
            "information-sharing", "tea-time"
        )

    province.drop(POLICE, "ask.xml", tea("submit", Sender=POLICE, Receiver=PROCURATORATE))
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.rejected(POLICE)
    assert "-tea-time.submit-" in province.entries(PROCURATORATE)[0]
    asked = province.entries(PROCURATORATE)[0][-36:]
    answer = tea("decide", Sender=PROCURATORATE, Receiver=POLICE).replace(
        "    <m:SenderRef>", f"    <m:InReplyTo>{asked}</m:InReplyTo>\n    <m:SenderRef>", 1
    )
    province.drop(PROCURATORATE, "answer.xml", answer)
    assert wait_for(lambda: province.entries(POLICE)), province.rejected(PROCURATORATE)
    short = tea("submit", Sender=POLICE, Receiver=PROCURATORATE)
    short = re.sub(r"<b:Purpose>[^<]*", "<b:Purpose>核实", short)
    province.drop(POLICE, "short.xml", short)
    assert "FG-tea-time-001" in province.outcome(POLICE, "short.xml")
    province.stop()
