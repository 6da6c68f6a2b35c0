<?xml version="1.0" encoding="UTF-8"?>
<!-- 摘出一个看守所需要的羁押数据。 The custody data that one detention centre needs, and nothing else. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:m="urn:frontgate:message:1" xmlns:t="urn:frontgate:types:1" xmlns:b="urn:frontgate:protest:1">
  <xsl:param name="unit"/>
  <xsl:template match="/m:Message">
    <m:Message standard="{@standard}">
      <m:Header>
        <xsl:copy-of select="m:Header/m:MessageId"/>
        <m:MessageType>protest.inform</m:MessageType>
        <xsl:copy-of select="m:Header/m:FlowUid | m:Header/m:Sender"/>
        <m:Receiver><xsl:value-of select="$unit"/></m:Receiver>
        <xsl:copy-of select="m:Header/m:CaseUid | m:Header/m:CaseStage"/>
        <xsl:for-each select="//b:Judged[b:DetentionUnit = $unit]/b:PersonUid">
          <m:PersonUid><xsl:value-of select="."/></m:PersonUid>
        </xsl:for-each>
        <xsl:copy-of select="m:Header/m:BusinessTime | m:Header/m:Urgency | m:Header/m:Confidentiality | m:Header/m:Software | m:Header/m:TestFlag"/>
      </m:Header>
      <m:Body>
        <b:Inform>
          <xsl:apply-templates select="//b:Judged[b:DetentionUnit = $unit]"/>
        </b:Inform>
      </m:Body>
    </m:Message>
  </xsl:template>
  <xsl:template match="b:Judged">
    <b:Informed>
      <xsl:copy-of select="b:PersonUid"/>
      <xsl:if test="b:Result"><b:ResultCode><xsl:value-of select="b:Result"/></b:ResultCode></xsl:if>
      <xsl:if test="b:Decision/t:DocNo"><b:DocNo><xsl:value-of select="b:Decision/t:DocNo"/></b:DocNo></xsl:if>
      <xsl:if test="b:Decision/t:DecidedOn"><b:DecidedOn><xsl:value-of select="b:Decision/t:DecidedOn"/></b:DecidedOn></xsl:if>
      <xsl:copy-of select="b:CustodyDue | b:ReleaseAtOnce"/>
    </b:Informed>
  </xsl:template>
</xsl:stylesheet>
