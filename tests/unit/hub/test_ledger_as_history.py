"""The journal as the context checks see it."""

from typing import cast

import pytest

from frontgate.hub import context
from frontgate.journal import Tx, facts


def test_a_flow_is_read_once_for_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def of_flow(_: object, flow_uid: str) -> list[facts.Message]:
        asked.append(flow_uid)
        return [facts.Message("m", "a.b", "s", ("r",), "")]

    monkeypatch.setattr(facts, "of_flow", of_flow)
    ledger = context.Ledger(cast("Tx", None))
    first = ledger.flow("f")
    assert [e.message_id for e in first] == ["m"]
    assert ledger.flow("f") == first
    ledger.flow("g")
    assert asked == ["f", "g"]
    context.Ledger(cast("Tx", None)).flow("f")
    assert asked == ["f", "g", "f"]
