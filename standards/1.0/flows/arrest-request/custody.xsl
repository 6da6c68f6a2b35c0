<?xml version="1.0" encoding="UTF-8"?>
<!-- 摘出一个看守所需要的羁押数据。 The custody data that one detention centre needs, and nothing else. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:m="urn:frontgate:message:1" xmlns:t="urn:frontgate:types:1"
    xmlns:b="urn:frontgate:arrest-request:1">
  <xsl:param name="unit"/>
  <xsl:variable name="decided" select="//b:Decided[b:DetentionUnit = $unit]"/>
  <xsl:variable name="executed" select="//b:Executed[b:Custody/t:DetentionUnit = $unit]"/>
  <xsl:template match="/m:Message">
    <m:Message standard="{@standard}">
      <m:Header>
        <xsl:copy-of select="m:Header/m:MessageId"/>
        <m:MessageType>arrest-request.notify</m:MessageType>
        <xsl:copy-of select="m:Header/m:FlowUid | m:Header/m:Sender"/>
        <m:Receiver><xsl:value-of select="$unit"/></m:Receiver>
        <xsl:copy-of select="m:Header/m:CaseUid | m:Header/m:CaseStage"/>
        <xsl:for-each select="$decided/b:PersonUid | $executed/b:PersonUid">
          <m:PersonUid><xsl:value-of select="."/></m:PersonUid>
        </xsl:for-each>
        <xsl:copy-of select="m:Header/m:BusinessTime | m:Header/m:Urgency | m:Header/m:Confidentiality | m:Header/m:Software | m:Header/m:TestFlag"/>
      </m:Header>
      <m:Body>
        <b:Notify>
          <xsl:for-each select="$decided">
            <b:Notified>
              <xsl:copy-of select="b:PersonUid | b:Result"/>
              <b:DocNo><xsl:value-of select="b:Decision/t:DocNo"/></b:DocNo>
              <b:DecidedOn><xsl:value-of select="b:Decision/t:DecidedOn"/></b:DecidedOn>
            </b:Notified>
          </xsl:for-each>
          <xsl:for-each select="$executed">
            <b:Notified>
              <xsl:copy-of select="b:PersonUid | b:Custody"/>
            </b:Notified>
          </xsl:for-each>
        </b:Notify>
      </m:Body>
    </m:Message>
  </xsl:template>
</xsl:stylesheet>
