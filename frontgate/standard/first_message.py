"""What a vendor needs before the first message, as the handbook's page of that name tells it.

The worked check characters are counted here by the code that judges them.
"""

from __future__ import annotations

from dataclasses import dataclass

from frontgate.core.identifiers import case_uid, mod11_2, unit_code


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, paragraphs (zh, en) and an example, empty without one."""

    zh: str
    en: str
    lines: tuple[tuple[str, str], ...]
    example: str = ""


_UNIT = unit_code("5201021100")
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
                "CaseUid = C + 年份 4 位 + 立案单位代码前 10 位 + 流水号 7 位 + 校验码；人员编号 = CaseUid + -P + 3 位。",
                "CaseUid = C + 4 digits of the year + first 10 of the unit's code + 7-digit serial +"
                " check character; PersonUid = CaseUid + -P + 3 digits.",
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
