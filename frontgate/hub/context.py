"""Context at the hub: a message is held against the ledger, inside the transaction that admits it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lxml import etree

from frontgate.journal import Tx, facts
from frontgate.model.envelope import Envelope
from frontgate.model.finding import Finding
from frontgate.model.message import Header
from frontgate.standard import Catalogue, Flow, Step
from frontgate.standard.context import Context, Earlier, Fact, Taken, read_context
from frontgate.standard.extract import compact
from frontgate.values import Struct, field


class Ledger(Struct, frozen=True):
    """The journal as `standard.context.History` sees it, for one message: a flow is read once, since
    nothing is written while it is judged.
    """

    tx: Tx
    _flows: dict[str, Sequence[Earlier]] = field(default_factory=dict)

    def message(self, message_id: str) -> Earlier | None:
        found = facts.message(self.tx, message_id)
        return None if found is None else _earlier(found)

    def flow(self, flow_uid: str) -> Sequence[Earlier]:
        if flow_uid not in self._flows:
            self._flows[flow_uid] = [_earlier(m) for m in facts.of_flow(self.tx, flow_uid)]
        return self._flows[flow_uid]

    def facts(self, name: str, key: str) -> Sequence[Fact]:
        return [_fact(s) for s in facts.said(self.tx, name, key)]

    def facts_of(self, message_id: str, name: str) -> Sequence[Fact]:
        return [_fact(s) for s in facts.said_by(self.tx, message_id, name)]


def _earlier(m: facts.Message) -> Earlier:
    return Earlier(m.message_id, m.message_type, m.sender, m.recipients, m.in_reply_to)


def _fact(s: facts.Said) -> Fact:
    return Fact(s.name, s.key, s.value, s.message_id, s.flow_uid)


class InContext(Struct, frozen=True):
    """A message ready to be held against the ledger: parsed and its facts taken before."""

    context: Context
    taken: Taken
    extract: bytes = b""

    def judge(self, tx: Tx) -> list[Finding]:
        return self.context.judge(self.taken, Ledger(tx))

    def keep(self, tx: Tx, package_id: int) -> None:
        facts.keep(tx, package_id, [(f.name, f.key, f.value) for f in self.taken.facts])


class ContextChecks:
    """Reads each version's checks once."""

    def __init__(self, division_of: Callable[[str], str]) -> None:
        self._division_of = division_of
        self._read: dict[str, Context] = {}

    def prepare(
        self,
        catalogue: Catalogue,
        flow: Flow,
        step: Step,
        header: Header,
        envelope: Envelope,
        data: bytes,
        root: etree._Element,
    ) -> InContext:
        """Take the facts of a message that passed its XSD. No look at the ledger yet."""
        context = self._read.get(catalogue.version)
        if context is None:
            context = self._read[catalogue.version] = read_context(catalogue.context)
        taken = Taken(
            catalogue,
            flow,
            step,
            header,
            envelope.recipients,
            root,
            context.facts_of(flow, step, root),
            self._division_of,
        )
        return InContext(context, taken, compact(data))
