"""What a vendor needs before the first message, as the handbook's page of that name tells it.

The worked check characters are counted here by the code that judges them.
"""

from __future__ import annotations

from frontgate.core.identifiers import case_uid, mod11_2, unit_code
from frontgate.values import Struct


class Section(Struct, frozen=True):
    """A heading, paragraphs (zh, en) and an example, empty without one. list: a code list shown below."""

    zh: str
    en: str
    lines: tuple[tuple[str, str], ...]
    example: str = ""
    list: str = ""


_UNIT = unit_code("5201021100")
_COURT = unit_code("5201023100")
_CASE = case_uid(2026, _UNIT, 1)
_DIGITS = _CASE[1:22]

SECTIONS: tuple[Section, ...] = (
    Section(
        "五步",
        "Five steps",
        (
            (
                "1 取一个样例：它的每个元素旁都有说明。",
                "1 Take a sample: every element is explained.",
            ),
            ("2 让软件写出同样的报文。", "2 Let your software write the same."),
            ("3 离线检查，直到没有错误。", "3 Check offline until nothing is refused."),
            ("4 放进单位的 outbound/ 文件夹。", "4 Drop it into the unit's outbound/."),
            (
                "5 在 receipts/ 看回执；被拒的在 rejected/，旁边有中英文报告。",
                "5 Read receipts/; what was refused lies in rejected/ with a report beside it.",
            ),
        ),
        "frontgate sample arrest-request.submit -o s\n"
        "frontgate check s/arrest-request.submit\n"
        "frontgate check --message-only message.xml     # 只有报文，没有附件 the message without its files\n"
        "frontgate check --units units.csv --unit 5201021100X s    # 连同单位 sender and receivers too\n"
        "frontgate demo --dir D --serve          # 本机演示省 a province on this machine\n"
        "frontgate -c D/5201021100X send s/arrest-request.submit\n",
    ),
    Section(
        "投放的三种形式",
        "Three forms of a drop",
        (
            (
                "没有附件：一个 .xml 文件。有附件：一个 .zip，或一个同样内容的文件夹。",
                "Without files: one .xml. With files: a .zip, or a folder of the same shape.",
            ),
            (
                "先写成 .tmp、.part 结尾或 . 开头的名字，写完再改名：改名即取走。附件名须与 FileName 一致，"
                "字节数须与 Bytes 一致。",
                "Write under a name that ends in .tmp or .part or begins with a dot, then rename:"
                " renamed means taken. Names of files as in FileName, sizes as in Bytes.",
            ),
        ),
        "case-17.zip\n├── message.xml\n└── files/\n    ├── 提请批准逮捕书.pdf\n    └── 拘留证.pdf\n",
    ),
    Section(
        "命名空间与编码",
        "Namespaces and encoding",
        (
            (
                "UTF-8，无 DOCTYPE。字段表中的前缀：m 报文框架，t 公共类型，b 本流程。前缀可自定，命名空间不可变。",
                "UTF-8, no DOCTYPE. Prefixes in the field tables: m the frame, t shared types, b the"
                " flow. The prefixes are yours to choose, the namespaces are not.",
            ),
        ),
        "m  urn:frontgate:message:1\nt  urn:frontgate:types:1\n"
        "b  urn:frontgate:<flow>:1          b  urn:frontgate:arrest-request:1\n",
    ),
    Section(
        "编号",
        "Identifiers",
        (
            (
                "MessageId、FlowUid 以及新案首份报文的 CaseUid 可以不写：前置机生成并写入回执。"
                "有自己的主键时写 SenderRef（同一主键总得到同一编号）。",
                "MessageId, FlowUid and, in a case's first message, CaseUid may be left out: the"
                " gateway mints them and tells them in the receipt. Put your own key into SenderRef:"
                " the same key gets the same ids again.",
            ),
            (
                "CaseUid = C + 年份 4 位 + 立案单位代码前 10 位 + 流水号 7 位 + 校验码；人员编号 = CaseUid + -P + 3 位。"
                "因此首份报文列有人员的，须自行编出 CaseUid；不写的，报文头 PersonUid 和 Case 中的 CaseUid 也都不写。",
                "CaseUid = C + 4 digits of the year + first 10 of the unit's code + 7-digit serial +"
                " check character; PersonUid = CaseUid + -P + 3 digits. So a first message that names"
                " persons makes its CaseUid itself; one that leaves it out has no PersonUid in its header"
                " and no CaseUid in Case either.",
            ),
        ),
    ),
    Section(
        "单位代码",
        "Unit codes",
        (
            (
                "11 位：行政区划 6 位（代码表 division）+ 单位类型 2 位（下表）+ 序号 2 位 + 校验 1 位（算法见下节）。"
                "序号区分同一区划内的同类单位；90–99 是测试单位。",
                "11 characters: division 6 (list division) + type of unit 2 (below) + serial 2 + check"
                " (next section). Serials tell units of one type in one division apart; 90 to 99 are for"
                " tests.",
            ),
            (
                "单位代码由省级平台编入单位目录，不要自行推算。目录是前置机的 reference/units.csv，没有前置机时向省级平台索取。",
                "Codes are given by the hub's directory; do not work them out. It is reference/units.csv of"
                " a gateway, or ask the hub.",
            ),
            (
                "角色（谁可发、谁可收）对应的类型见目录页“角色”。",
                "Which types a role has (who may send and receive) is on the contents page, Roles.",
            ),
        ),
        f"520102 11 00 {_UNIT[10]}   {_UNIT}\n│      │  │  └ 校验 check\n│      │  └ 序号 serial\n"
        "│      └ 类型：公安机关 type: police\n└ 区划：南明区 division\n",
        list="unit-type",
    ),
    Section(
        "收件与抄送",
        "Receivers and copies",
        (
            (
                "Receiver 只写主送单位。字段表“抄送 cc”一行的单位由前置机按标准自动加入，软件不要写进 Receiver"
                "（写了会得到 FG-STD-006 警告，并成为主送）。narrowed 表示只抄送节录。",
                "Receiver names those the message is for. Copies (row cc of each message) are added by the"
                " gateway; do not write them into Receiver: that warns (FG-STD-006) and makes them"
                " receivers. narrowed: the copy is an extract.",
            ),
            (
                "Receiver 的 scheme 属性：值不是单位代码而是其他编号体系的代码时，写体系名（units.csv 的 external 列），"
                "前置机换成单位代码。没有 scheme 就必须是单位代码。",
                "scheme of Receiver: the value is no unit code but a code of another numbering, whose name"
                " it gives (column external of units.csv); the gateway puts the unit code. Without"
                " scheme it must be a unit code.",
            ),
            (
                "Message 的 standard 属性：报文所依标准的版本号，如 1.0。",
                "standard of Message: the version of the standard that the message follows, as 1.0.",
            ),
        ),
        f"<m:Receiver>{_COURT}</m:Receiver>\n"
        '<m:Receiver scheme="court">黔0102</m:Receiver>      # external: court=黔0102\n',
    ),
    Section(
        "后续报文",
        "Follow-up messages",
        (
            (
                "InReplyTo：答复、补充、告知等后续报文写所针对报文的 MessageId（字段表“答复”一行列出可答复的报文）。"
                "结构上可省，但请总是填写：前置机据此填入同一 FlowUid 和 CaseUid，对方据此对应，期限据此终止。",
                "InReplyTo: an answer, supplement or notice names the MessageId it is about (row answers of"
                " each message). The schema lets it be left out; write it always: by it the gateway fills in"
                " FlowUid and CaseUid, the other side finds its message, and terms end.",
            ),
            (
                "CaseUid：只有新案的首份报文可以不写；其后每份都写（有 InReplyTo 且前置机认得该报文时可由它填）。"
                "取自首份报文的受理回执或收到的报文。",
                "CaseUid: left out in the first message of a new case alone; written in every later one"
                " (the gateway fills it in where it knows the message of InReplyTo). It is in the first"
                " receipt and in what was received.",
            ),
            (
                "报文头 PersonUid：报文体涉及的每个人员各写一次，在同一案件的各报文中保持不变；不涉及人员的报文不写。"
                "frontgate draft 可据先前报文起草下一份。",
                "PersonUid in the header: once for each person of the body, the same in all messages of the"
                " case; none where no person is concerned. frontgate draft writes the next message from the"
                " earlier ones.",
            ),
        ),
    ),
    Section(
        "校验码（ISO 7064 MOD 11-2，同 GB 11643）",
        "Check characters (ISO 7064 MOD 11-2, as in GB 11643)",
        (
            (
                "适用于单位代码（前 10 位）、CaseUid（C 后 21 位）、公民身份号码（前 17 位）。"
                "从左到右：r = (r + 数字) × 2 mod 11，初值 0；校验码 = (12 − r) mod 11，10 写作 X。",
                "For unit codes (first 10), CaseUid (the 21 digits after C), citizen ids (first 17)."
                " From left to right r = (r + digit) × 2 mod 11, beginning with 0; the check is"
                " (12 − r) mod 11, ten is written X.",
            ),
        ),
        f"{_UNIT[:10]} → {mod11_2(_UNIT[:10])}          {_UNIT}\n"
        f"{_DIGITS} → {mod11_2(_DIGITS)}          {_CASE}\n",
    ),
    Section(
        "回执",
        "Receipts",
        (
            ("submission-accepted 已受理：已签名入库", "sealed and kept"),
            ("submission-rejected 已退回：看报告，改后可用原编号再投", "refused: mend it, same id"),
            ("relay-accepted 枢纽已接收", "the hub has it"),
            (
                "delivered 已送达对方文件夹；handed-over 对方软件已取走",
                "delivered; taken by software",
            ),
            (
                "relay-rejected、relay-failed、delivery-failed 失败及原因；relay-delayed 仅提醒",
                "failed, with the reason; relay-delayed is a warning only",
            ),
        ),
    ),
)
