"""The two state machines: every (state, event) pair, and random histories."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontgate.core.lifecycle import (
    FINAL,
    OPEN,
    IllegalTransition,
    Intake,
    IntakeEvent,
    Transfer,
    TransferEvent,
    admit,
    advance,
)

# Written from the contract, not from the code: one line a row of its table.
EXPECTED_TRANSFER = """
QUEUED start SENDING | QUEUED hold HELD | QUEUED expire FAILED | QUEUED cancel CANCELLED
SENDING delivered SENT | SENDING transient QUEUED | SENDING lease_lost QUEUED | SENDING permanent FAILED
SENT receipt_overdue QUEUED | SENT transient QUEUED | SENT expire UNCONFIRMED
HELD release QUEUED | HELD cancel CANCELLED
QUEUED receipt_accepted ACKNOWLEDGED | SENDING receipt_accepted ACKNOWLEDGED
SENT receipt_accepted ACKNOWLEDGED | HELD receipt_accepted ACKNOWLEDGED
QUEUED receipt_refused FAILED | SENDING receipt_refused FAILED
SENT receipt_refused FAILED | HELD receipt_refused FAILED
UNCONFIRMED receipt_accepted ACKNOWLEDGED | UNCONFIRMED receipt_refused FAILED
"""
TRANSFER = {
    (a, b): c
    for a, b, c in (
        row.split() for row in EXPECTED_TRANSFER.replace("\n", "|").split("|") if row.strip()
    )
}
FINAL_NAMES = {"ACKNOWLEDGED", "FAILED", "CANCELLED"}


@pytest.mark.parametrize(("state", "event"), list(product(Transfer, TransferEvent)))
def test_every_transfer_pair(state: Transfer, event: TransferEvent) -> None:
    if state.value in FINAL_NAMES:
        assert advance(state, event) is state
    elif (state.value, event.value) in TRANSFER:
        assert advance(state, event).value == TRANSFER[state.value, event.value]
    else:
        with pytest.raises(IllegalTransition) as caught:
            advance(state, event)
        assert caught.value.code == "FG-INT-002"


@pytest.mark.parametrize(("state", "event"), list(product(Intake, IntakeEvent)))
def test_every_intake_pair(state: Intake, event: IntakeEvent) -> None:
    expected = {"accept": "ADMITTED", "refuse": "REJECTED", "repeat": "DUPLICATE"}
    if state is Intake.CLAIMED:
        assert admit(state, event).value == expected[event.value]
    else:
        with pytest.raises(IllegalTransition):
            admit(state, event)


def test_final_and_open_states_are_disjoint_and_named() -> None:
    assert {s.value for s in FINAL} == FINAL_NAMES
    assert not FINAL & OPEN
    assert set(Transfer) - FINAL - OPEN == {Transfer.UNCONFIRMED}


@given(st.lists(st.sampled_from(list(TransferEvent)), max_size=60))
def test_a_history_ends_at_most_once_and_never_leaves_its_end(events: list[TransferEvent]) -> None:
    state, ended = Transfer.QUEUED, None
    for event in events:
        try:
            state = advance(state, event)
        except IllegalTransition:
            continue
        if ended is not None:
            assert state is ended
        elif state in FINAL:
            ended = state


@given(st.lists(st.sampled_from(list(TransferEvent)), max_size=40))
def test_a_positive_receipt_always_ends_what_is_not_over(events: list[TransferEvent]) -> None:
    state = Transfer.QUEUED
    for event in events:
        try:
            state = advance(state, event)
        except IllegalTransition:
            continue
    if state not in FINAL:
        assert advance(state, TransferEvent.RECEIPT_ACCEPTED) is Transfer.ACKNOWLEDGED
