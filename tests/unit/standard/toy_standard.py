"""A toy standard in a temporary folder: small, complete, and not one of the real flows."""

from __future__ import annotations

from pathlib import Path

from frontgate.core.identifiers import case_uid, unit_code

POLICE = unit_code("5201021100")
COURT = unit_code("5201023100")
CENTRE = unit_code("5201021300")
CASE = case_uid(2026, POLICE, 7)

MESSAGE_XSD = """<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:frontgate:message:1"
  xmlns:fg="urn:frontgate:schema:1" targetNamespace="urn:frontgate:message:1"
  elementFormDefault="qualified">
 <xs:simpleType name="Uuid"><xs:restriction base="xs:string">
  <xs:pattern value="[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"/></xs:restriction></xs:simpleType>
 <xs:simpleType name="Time"><xs:restriction base="xs:dateTime">
  <xs:pattern value="[^Z]+([+\\-][0-9]{2}:[0-9]{2}|Z)"/></xs:restriction></xs:simpleType>
 <xs:simpleType name="Text"><xs:restriction base="xs:string">
  <xs:minLength value="1"/><xs:maxLength value="100"/></xs:restriction></xs:simpleType>
 <xs:element name="Message"><xs:complexType><xs:sequence>
  <xs:element name="Header"><xs:complexType><xs:sequence>
   <xs:element name="MessageId" type="Uuid" minOccurs="0"/>
   <xs:element name="MessageType" fg:list="message-type"><xs:annotation>
    <xs:documentation xml:lang="zh">报文类型</xs:documentation>
    <xs:documentation xml:lang="en">message type</xs:documentation></xs:annotation>
    <xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[a-z][a-z-]*\\.[a-z]+"/></xs:restriction></xs:simpleType></xs:element>
   <xs:element name="FlowUid" type="Uuid" minOccurs="0"/>
   <xs:element name="SenderRef" type="Text" minOccurs="0"/>
   <xs:element name="Sender" type="Text" fg:check="unit-code"><xs:annotation>
    <xs:documentation xml:lang="zh">发件单位。单位代码</xs:documentation>
    <xs:documentation xml:lang="en">sending unit</xs:documentation></xs:annotation></xs:element>
   <xs:element name="Receiver" maxOccurs="unbounded" fg:check="unit-code"><xs:complexType><xs:simpleContent>
    <xs:extension base="Text"><xs:attribute name="scheme" type="xs:string"/></xs:extension></xs:simpleContent></xs:complexType></xs:element>
   <xs:element name="CaseUid" type="Text" minOccurs="0" fg:check="case-uid"/>
   <xs:element name="BusinessTime" type="Time"/>
   <xs:element name="TestFlag" type="xs:boolean" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="Body"><xs:complexType><xs:sequence>
   <xs:any namespace="##other" processContents="strict"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Documents" minOccurs="0"><xs:complexType><xs:sequence>
   <xs:element name="Document" maxOccurs="unbounded"><xs:complexType><xs:sequence>
    <xs:element name="DocUid" type="Uuid"/>
    <xs:element name="DocType" type="Text" fg:list="doc-type"/>
    <xs:element name="Title" type="Text"/>
    <xs:element name="Carrier" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
     <xs:enumeration value="network"/><xs:enumeration value="disc"/><xs:enumeration value="paper"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="FileName" type="Text" minOccurs="0"/>
    <xs:element name="Bytes" minOccurs="0"><xs:simpleType><xs:restriction base="xs:nonNegativeInteger">
     <xs:maxInclusive value="1000000"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="Digest" type="xs:string" minOccurs="0"/>
   </xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Extension" minOccurs="0"><xs:complexType><xs:sequence>
   <xs:any namespace="##other" processContents="lax" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>
 </xs:sequence><xs:attribute name="standard" type="xs:string" use="required"/></xs:complexType>
 <xs:unique name="doc"><xs:selector xpath="m:Documents/m:Document" xmlns:m="urn:frontgate:message:1"/><xs:field xpath="m:DocUid" xmlns:m="urn:frontgate:message:1"/></xs:unique>
 </xs:element>
</xs:schema>
"""

FLOW_XSD = """<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:frontgate:tea-time:1"
  xmlns:fg="urn:frontgate:schema:1" targetNamespace="urn:frontgate:tea-time:1" elementFormDefault="qualified">
 <xs:complexType name="Guest"><xs:sequence>
  <xs:element name="Kind" type="xs:string" fg:list="tea"/>
  <xs:element name="IdType" type="xs:string"/>
  <xs:element name="IdNo" type="xs:string" fg:check="citizen-id" fg:check-when-sibling="IdType=111"/>
 </xs:sequence></xs:complexType>
 <xs:complexType name="Pot"><xs:sequence>
  <xs:element name="Kind" type="xs:string" fg:list="pot"/>
  <xs:element name="Cups" minOccurs="0"><xs:simpleType><xs:restriction base="xs:integer">
   <xs:minInclusive value="1"/></xs:restriction></xs:simpleType></xs:element>
 </xs:sequence></xs:complexType>
 <xs:element name="Submit"><xs:complexType><xs:sequence>
  <xs:element name="Guest" type="Guest" maxOccurs="unbounded"/>
  <xs:element name="Pot" type="Pot"/>
  <xs:element name="Centre" type="xs:string" minOccurs="0" maxOccurs="unbounded"/>
 </xs:sequence></xs:complexType></xs:element>
 <xs:element name="Notify"><xs:complexType><xs:sequence>
  <xs:element name="Pot" type="Pot"/></xs:sequence></xs:complexType></xs:element>
</xs:schema>
"""

FLOW_TOML = """
flow = "tea-time"
number = "T1"
zh = "喝茶"
en = "Tea time"
law = ["茶法 第1条"]
business_key = ["m:Header/m:SenderRef"]
terminal = ["notify"]
[[step]]
name = "submit"
element = "Submit"
zh = "请茶"
en = "Invitation"
purpose_zh = "请人喝茶"
purpose_en = "Invites to tea"
from = ["police"]
to = ["court"]
stage = "20"
opens = true
 [[step.cc]]
 role = "detention"
 mode = "narrowed"
 extract = "pot.xsl"
 unit = "//b:Centre"
 [[step.cc]]
 role = "court"
 [[step.document]]
 type = "9001"
 or_types = ["9002"]
 zh = "茶单"
 en = "tea list"
 [[step.document]]
 type = "9003"
 min = 0
 max = 1
 [[step.variant]]
 name = "big"
 when = "count(//b:Guest) > 2"
  [[step.variant.document]]
  type = "9004"
[[step]]
name = "notify"
element = "Notify"
zh = "告知"
en = "Notice"
from = ["police"]
to = ["court", "detention"]
after = ["submit"]
answers = ["submit"]
"""

RULES = """<?xml version="1.0" encoding="UTF-8"?>
<schema xmlns="http://purl.oclc.org/dsdl/schematron" xmlns:fg="urn:frontgate:schema:1" queryBinding="xslt">
 <ns prefix="m" uri="urn:frontgate:message:1"/><ns prefix="b" uri="urn:frontgate:tea-time:1"/>
 <pattern id="pots">
  <rule context="b:Pot">
   <assert id="FG-tea-time-001" test="not(b:Cups) or b:Cups &gt;= count(//b:Guest)" fg:en="Fewer cups than guests." fg:basis="茶法 第2条">杯子只有<value-of select="b:Cups"/>个，客人有<value-of select="count(//b:Guest)"/>位</assert>
   <report id="FG-tea-time-002" role="warning" test="b:Cups &gt; 50" fg:en="More than 50 cups.">杯子超过50个</report>
  </rule>
 </pattern>
</schema>
"""

EXTRACT = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
 xmlns:m="urn:frontgate:message:1" xmlns:b="urn:frontgate:tea-time:1">
 <xsl:param name="unit"/>
 <xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>
 <xsl:template match="m:MessageType"><m:MessageType>tea-time.notify</m:MessageType></xsl:template>
 <xsl:template match="b:Submit"><b:Notify><xsl:copy-of select="b:Pot"/></b:Notify></xsl:template>
 <xsl:template match="m:Documents"/>
</xsl:stylesheet>
"""

CODES = {
    "tea": "green,绿茶,green tea,,,,\nblack,红茶,black tea,2020-01-01,2025-12-31,,\nwhite,白茶,white tea,2026-03-02,,,\n",
    "pot": "clay,紫砂壶,clay pot,,,,\n",
    "doc-type": "9001,茶单,tea list,,,,\n9002,酒单,wine list,,,,\n9003,账单,bill,,,,\n9004,座次表,seating plan,,,,\n",
}

STANDARD = """version = "1.0"
[[role]]
code = "police"
zh = "公安"
en = "police"
unit_types = ["11", "12"]
[[role]]
code = "court"
zh = "法院"
en = "court"
unit_types = ["31"]
[[role]]
code = "detention"
zh = "看守所"
en = "detention centre"
unit_types = ["13"]
"""

DOCUMENT = """
  <Document><DocUid>11111111-1111-4111-8111-111111111111</DocUid><DocType>9001</DocType><Title>茶单</Title><FileName>茶单.pdf</FileName><Bytes>1200</Bytes></Document>"""


def message(
    *,
    header: str = "",
    guests: str = "<b:Guest><b:Kind>green</b:Kind><b:IdType>990</b:IdType><b:IdNo>?</b:IdNo></b:Guest>",
    pot: str = "<b:Pot><b:Kind>clay</b:Kind><b:Cups>4</b:Cups></b:Pot>",
    centre: str = "",
    documents: str = DOCUMENT,
    time: str = "2026-03-02T09:30:00+08:00",
    receiver: str = f"<Receiver>{COURT}</Receiver>",
    sender: str = POLICE,
) -> bytes:
    """A valid toy message, or one with a part replaced."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Message xmlns="urn:frontgate:message:1" xmlns:b="urn:frontgate:tea-time:1" standard="1.0">
 <Header>
  <MessageType>tea-time.submit</MessageType>
  {header}<Sender>{sender}</Sender>
  {receiver}
  <BusinessTime>{time}</BusinessTime>
 </Header>
 <Body><b:Submit>{guests}{pot}{centre}</b:Submit></Body>
 <Documents>{documents}</Documents>
</Message>
""".encode()


def write_standard(root: Path, version: str = "1.0") -> Path:
    """Write the toy standard; returns the root folder."""
    base = root / version
    flow = base / "flows" / "tea-time"
    for folder in (base / "xsd", base / "codes", flow / "samples/valid", flow / "samples/invalid"):
        folder.mkdir(parents=True)
    (base / "standard.toml").write_text(STANDARD.replace('"1.0"', f'"{version}"'), "utf-8")
    (base / "xsd/message.xsd").write_text(MESSAGE_XSD, "utf-8")
    for name, rows in CODES.items():
        text = "code,zh,en,valid_from,valid_to,parent,note\n" + rows
        (base / "codes" / f"{name}.csv").write_text(text, "utf-8")
    (flow / "flow.toml").write_text(FLOW_TOML, "utf-8")
    (flow / "tea-time.xsd").write_text(FLOW_XSD, "utf-8")
    (flow / "rules.sch").write_text(RULES, "utf-8")
    (flow / "pot.xsl").write_text(EXTRACT, "utf-8")
    (flow / "samples/valid/submit.xml").write_bytes(message())
    (flow / "samples/invalid/FG-tea-time-001.xml").write_bytes(
        message(pot="<b:Pot><b:Kind>clay</b:Kind><b:Cups>1</b:Cups></b:Pot>", guests=GUEST * 2)
    )
    return root


GUEST = "<b:Guest><b:Kind>green</b:Kind><b:IdType>990</b:IdType><b:IdNo>?</b:IdNo></b:Guest>"
