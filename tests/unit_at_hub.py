"""One unit's own SFTP account and keys in a tester's hands: what it can put before the hub."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from province import Province

from frontgate import bundle
from frontgate.model.envelope import Copy, Envelope
from frontgate.model.message import Address, Header, Software
from frontgate.model.receipt import Receipt
from frontgate.seal import PackageWriter
from frontgate.seal.receipts import sign_receipts, write_list
from frontgate.settings import load_gateway
from frontgate.suites import load_signer
from frontgate.transports.sftp import SftpPeer, connect_sftp


class UnitAtHub:
    """Logs in as `unit` and uploads bundles of its own making."""

    def __init__(self, province: Province, unit: str) -> None:
        self.province = province
        self.unit = unit
        settings = load_gateway(province.home / unit / "gateway.toml")
        keys = settings.path(settings.node.keys)
        table = settings.unit[0]
        self.signer = load_signer(settings.path(table.key), settings.path(table.certificate), unit)
        self.peer = SftpPeer(
            host=settings.hub.host,
            port=settings.hub.port,
            account=settings.account,
            key_file=keys / "ssh_ed25519",
            host_keys=tuple(settings.hub.host_keys),
        )
        self._sequence = count(9_000_001)

    def bundle(self, members: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
        """(BundleId, bytes) of a well-formed bundle."""
        parts = [bundle.Member(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in members]
        body = b"".join(
            bundle.member_header(part) + data + bundle.member_padding(len(data))
            for part, (_, data) in zip(parts, members, strict=True)
        )
        return bundle.bundle_id(next(self._sequence), parts), body + bundle.TRAILER

    def upload(self, bundle_id: str, data: bytes) -> None:
        transport = connect_sftp(self.peer)
        try:
            transport.put(f"{bundle_id}.bundle", io.BytesIO(data), len(data))
        finally:
            transport.close()

    def send(self, *members: tuple[str, bytes]) -> str:
        """Upload one bundle. Returns: its BundleId."""
        bundle_id, data = self.bundle(members)
        self.upload(bundle_id, data)
        return bundle_id

    def package(
        self, message: str, header: Header, copies: Sequence[Copy] = (), name: str = ""
    ) -> tuple[str, bytes]:
        """A sealed package as a bundle member."""
        buffer = io.BytesIO()
        writer = PackageWriter(buffer, parts=[("message.xml", "application/xml")])
        writer.add("message.xml", "application/xml", [message.encode()])
        receivers = tuple(a.code for a in header.receivers)
        envelope = Envelope(header, receivers, tuple(copies))
        writer.finish(envelope, self.signer, datetime.now(UTC))
        return name or f"{header.message_id}.asice", buffer.getvalue()

    def receipts(self, *made: Receipt) -> tuple[str, bytes]:
        """A signed receipt list as a bundle member."""
        signed = sign_receipts(list(made), self.signer)
        xml = write_list([(signed.signature, [xml for _, xml, _ in signed.items])])
        return "0001-receipts.xml", xml


def header_for(sender: str, receiver: str, message_type: str, **fields: str) -> Header:
    """A routing header with fresh ids."""
    return Header(
        standard="1.0",
        message_type=message_type,
        sender=sender,
        receivers=(Address(receiver),),
        business_time="2026-11-24T16:00:00+08:00",
        message_id=fields.pop("message_id", str(uuid.uuid4())),
        flow_uid=str(uuid.uuid4()),
        software=Software("厂商", "产品", "1"),
        **fields,  # type: ignore[arg-type]
    )
