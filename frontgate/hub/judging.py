"""What the hub may know of a bundle before it opens a transaction: is it theirs, is it whole, may it go there.

Offers: `Judging` (`authorise` a control message, `examine` a package, `issuer_error` of receipts).
Guarantees: nothing is written; directory, standard and files are read. What depends on the ledger is
judged inside the transaction, by what `examine` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from lxml import etree

from frontgate import clock
from frontgate.core import routing
from frontgate.errors import FrontgateError, RoutingError, SignatureError
from frontgate.hub.context import ContextChecks, InContext
from frontgate.hub.mailboxes import Mailbox
from frontgate.hub.resync import HubResync
from frontgate.model.envelope import Copy, Envelope
from frontgate.model.finding import Finding, finding, finding_of
from frontgate.model.message import Header, MessageView
from frontgate.model.unit import Directory
from frontgate.seal import Package
from frontgate.seal.control import Control
from frontgate.seal.receipts import ReceiptGroup
from frontgate.standard import Catalogue, Checker, Standards, copies, step_of
from frontgate.trust.store import TrustStore
from frontgate.values import replace

_XSD = frozenset({"xsd"})


class Judging:
    """By the directory and the standard of now. For the intake's thread alone: its checker is."""

    def __init__(
        self,
        trust: Callable[[], TrustStore],
        directories: Callable[[], Sequence[Directory]],
        standards: Standards,
        checker: Checker,
        resync: HubResync,
        max_message_bytes: int,
    ) -> None:
        self._trust = trust
        self._directories = directories
        self._standards = standards
        self._checker = checker
        self._resync = resync
        self._max_message_bytes = max_message_bytes
        self._context = ContextChecks(self._division_of)

    def authorise(self, mailbox: Mailbox, control: Control) -> None:
        self._trust().judge(control.certificate, control.issuer, clock.now())
        self._carried(mailbox, control.issuer)

    def _division_of(self, code: str) -> str:
        unit = self._trust().directory.units.get(code)
        return (unit.division if unit else "") or code[:6]

    def _carried(self, mailbox: Mailbox, unit: str) -> None:
        known = self._trust().directory.units.get(unit)
        if known is None or known.account != mailbox.account:
            raise RoutingError("FG-RTE-012", value=unit, account=mailbox.account)

    def examine(self, mailbox: Mailbox, package: Package) -> tuple[list[Finding], InContext | None]:
        """Authenticity, XSD, roles, receivers, versions, test traffic, copies; and the message made
        ready for its context, which only the ledger inside the transaction can judge.
        """
        trust = self._trust()
        envelope = package.envelope
        header = envelope.header
        try:
            self._carried(mailbox, header.sender)
            trust.judge(package.certificate, header.sender, clock.now())
            message = package.read("message.xml", self._max_message_bytes)
            catalogue = self._standards.version(header.standard)
            step = step_of(catalogue, header.message_type)
        except FrontgateError as error:
            return [finding_of(error)], None
        checked = self._checker.check(message, files=None, layers=_XSD, minted=True)
        found = list(checked.report.findings)
        view, root = checked.view, checked.root
        if view is None or root is None:
            return found, None
        if _identity(view.header) != _identity(header):
            # Nothing may be asked by the envelope's type of a message of another.
            return [*found, finding_of(SignatureError("FG-SIG-040", value=header.message_id))], None
        if envelope.original_message_id:
            roles = routing.StepRoles(step.from_roles, ())
            expected: tuple[Copy, ...] | None = () if envelope.copies else None
        else:
            roles = routing.StepRoles(step.from_roles, step.to_roles)
            expected = self._expected_copies(catalogue, root, view, envelope)
        if expected is not None:
            found.append(
                finding("FG-RTE-014", value=_shown(envelope.copies), expected=_shown(expected))
            )
        found.extend(routing.judge(envelope, trust.directory, roles))
        # An extract says nothing of its own, and test traffic never comes into cases.
        if (
            any(f.severity.refuses for f in found)
            or envelope.original_message_id
            or header.test_flag
        ):
            return found, None
        flow = catalogue.flow(step.flow)
        return found, self._context.prepare(catalogue, flow, step, header, envelope, message, root)

    def _expected_copies(
        self, catalogue: Catalogue, message: etree._Element, view: MessageView, envelope: Envelope
    ) -> tuple[Copy, ...] | None:
        """The copies that the standard asks for, if the envelope's are others; None if they agree.

        The sender's gateway may have worked with a directory that was replaced since.
        """
        receivers = envelope.header.receivers
        if view.header.receivers != receivers:
            view = replace(view, header=replace(view.header, receivers=receivers))
        found = set(envelope.copies)
        first: tuple[Copy, ...] | None = None
        for directory in self._directories():
            expected, _ = copies(catalogue, message, view, directory)
            if set(expected) == found:
                return None
            first = expected if first is None else first
        return first

    def issuer_error(self, mailbox: Mailbox, group: ReceiptGroup) -> FrontgateError | None:
        if self._resync.is_own(group):
            return self._resync.error_of_own(group)
        for receipt, _, _ in group.items:
            try:
                if receipt.issuer_node != "gateway":
                    raise RoutingError("FG-RTE-012", value=receipt.issuer, account=mailbox.account)
                self._carried(mailbox, receipt.issuer)
                self._trust().judge(
                    group.certificate, receipt.issuer, datetime.fromisoformat(receipt.event_time)
                )
                if receipt.receiver and receipt.receiver != receipt.issuer:
                    self._carried(mailbox, receipt.receiver)
            except FrontgateError as error:
                return error
        return None


def _identity(header: Header) -> tuple[str, str, str, str]:
    return header.message_id, header.sender, header.standard, header.message_type


def _shown(copied: Sequence[Copy]) -> str:
    return ", ".join(sorted(f"{c.unit} ({c.mode})" for c in copied)) or "-"
