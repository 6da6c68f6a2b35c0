"""Counts as messages come: exchanges, messages, outcomes, refusals, by legal month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frontgate.cases.folding import Message
from frontgate.cases.rules import CaseRules, Plan
from frontgate.cases.times import legal_month
from frontgate.journal.files import File


class Tallies:
    """An exchange is an instance of a flow, counted once, with the message that opens it."""

    def __init__(self, file: File) -> None:
        self._file = file

    def exchange(self, m: Message, plan: Plan) -> None:
        opens = plan.step is not None and plan.step.opens
        self._file.run(
            "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
            " exchanges = exchanges + excluded.exchanges, messages = messages + 1",
            legal_month(m.relayed_at), m.flow, m.step, m.sender, m.receiver,
            int(opens and self._is_first(m)),
        )  # fmt: skip

    def _is_first(self, m: Message) -> bool:
        """Whether no earlier message opened the same instance: two steps may open, as notice and papers."""
        return (
            self._file.one(
                "SELECT 1 FROM message WHERE flow_uid = ? AND flow = ? AND id < ? AND original = '' LIMIT 1",
                m.flow_uid, m.flow, m.id,
            )
            is None
        )  # fmt: skip

    def outcomes(self, m: Message, rules: CaseRules) -> None:
        assert m.said is not None
        month = legal_month(m.relayed_at)
        for leaf in m.said.leaves:
            codes = rules.outcome_list(m.flow, leaf.name)
            if codes is not None and leaf.value:
                self._file.run(
                    "INSERT INTO tally_outcome VALUES (?, ?, ?, ?, ?, ?, 1)"
                    " ON CONFLICT DO UPDATE SET persons = persons + 1",
                    month, m.flow, m.sender, leaf.name, codes, leaf.value[:40],
                )  # fmt: skip

    def reject(
        self, at: str, head: dict[str, Any], flow: str, unit: str, rules: Sequence[str]
    ) -> None:
        for rule in sorted(set(rules)):
            self._file.run(
                "INSERT INTO tally_reject VALUES (?, ?, ?, ?, ?, ?, 1)"
                " ON CONFLICT DO UPDATE SET messages = messages + 1",
                legal_month(at), head.get("vendor", ""), head.get("product", ""), flow, unit, rule,
            )  # fmt: skip
