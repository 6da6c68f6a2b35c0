"""Two ledgers: sound ones agree, each loss is named, hostile tallies are refused."""

import itertools
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from frontgate.core.reconcile import (
    Direction,
    Gap,
    Key,
    Outcome,
    Said,
    Summing,
    View,
    counts,
    days_before,
    judge,
    outcome_of,
    span_of,
)
from frontgate.errors import SignatureError
from frontgate.model.message import CONTROL_NS
from frontgate.pipeline.reconcile import (
    Range,
    Row,
    Tally,
    in_ranges,
    lies_in,
    read_tally,
    write_tally,
)

UP = Key("m", "S", "up", "R")
DOWN = Key("m", "S", "down", "R")
views = st.builds(View, st.sampled_from(Outcome), st.booleans(), st.booleans(), st.booleans())
SETTLED = [Outcome.RELAYED, Outcome.FAILED, Outcome.NOT_DELIVERED, Outcome.DELIVERED,
           Outcome.NOT_TAKEN, Outcome.TAKEN]  # fmt: skip


@given(st.sampled_from([UP, DOWN]), st.sampled_from(SETTLED[2:]))
def test_two_sides_that_hold_the_same_agree(key: Key, outcome: Outcome) -> None:
    view = View(outcome, has_message=True)
    assert judge(key, view, view) is None
    assert counts(key, view, at_hub=True) == counts(key, view, at_hub=False)


@given(st.sampled_from(SETTLED), views)
def test_what_the_hub_lost_is_always_named(outcome: Outcome, other: View) -> None:
    """Whatever a sound unit knows of a message that was relayed, a hub without it is a gap."""
    unit = View(outcome, has_message=True)
    assert judge(UP, View(), unit) is Gap.HUB_NEVER_SAW
    assert judge(UP, View(outcome), unit) is Gap.NO_MESSAGE_AT_HUB


@given(st.sampled_from(SETTLED[3:]))
def test_what_the_receiver_lost_is_always_named(outcome: Outcome) -> None:
    hub = View(outcome, has_message=True)
    assert judge(DOWN, hub, View()) is Gap.NEVER_DELIVERED
    assert judge(DOWN, hub, View(outcome)) is Gap.NO_MESSAGE_AT_UNIT


@given(st.sampled_from([UP, DOWN]), views, views)
def test_a_judgement_names_where_it_parts_and_agreement_is_never_named(
    key: Key, hub: View, unit: View
) -> None:
    gap = judge(key, hub, unit)
    if gap is Gap.MISSING_AT_SENDER:
        assert key == UP
    if gap is None:
        return
    both_sound = hub.has_message and unit.has_message and hub.outcome is unit.outcome
    if both_sound:
        assert gap is Gap.NEVER_DELIVERED
        assert hub.outcome is Outcome.NONE


def test_what_needs_no_more_than_time_is_no_gap() -> None:
    waiting = View(Outcome.NONE, has_message=True, is_open=True)
    assert judge(UP, View(), waiting) is None
    assert judge(UP, View(Outcome.RELAYED, has_message=True), waiting) is None
    assert judge(DOWN, waiting, View()) is None
    assert judge(DOWN, waiting, waiting) is None
    ended = View(Outcome.NONE, has_message=True, is_ended=True)
    assert judge(UP, View(), ended) is None, "told as relay-failed, never sent"
    assert judge(UP, View(Outcome.RELAYED, has_message=True), ended) is Gap.DIFFERENT
    assert judge(DOWN, ended, View()) is None, "the hub told relay-failed"


@given(st.lists(st.sampled_from(["relay-accepted", "relay-rejected", "delivered", "handed-over",
                                 "handover-failed", "delivery-failed", "submission-accepted"])),
       st.randoms())  # fmt: skip
def test_the_order_of_receipts_changes_nothing(kinds: list[str], random: object) -> None:
    said = [
        Said(k, k.startswith("relay"), "" if k.startswith("relay") else "R", "t") for k in kinds
    ]
    first = outcome_of(said, UP)
    random.shuffle(said)  # type: ignore[attr-defined]
    assert outcome_of(said, UP) is first
    assert outcome_of([*said, Said("delivered", False, "OTHER", "t")], UP) is first
    if "handed-over" in kinds:
        assert first is Outcome.TAKEN


def keys_of(idents: list[str], receivers: int) -> list[tuple[Key, str]]:
    return [
        (Key(ident, "S", "up", f"R{n}"), "delivered")
        for ident in sorted(set(idents))
        for n in range(receivers)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9000), st.integers(1, 3))
def test_ranges_hold_every_entry_once_and_leave_no_hole(count: int, receivers: int) -> None:
    rows = keys_of([f"{n:08x}" for n in range(count)], receivers)
    parts = list(in_ranges("2026-11-24T09", "up", rows))
    assert [(r.key, r.word) for part in parts for r in part.rows] == rows
    assert parts[0].after == ""
    assert parts[-1].last == ""
    for one, two in itertools.pairwise(parts):
        assert one.last == two.after
    for part in parts:
        assert all(lies_in(part, row.key.message_id) for row in part.rows)
    for ident in ("", "0", "00000fff", "ffffffff", "zzz"):
        assert sum(lies_in(part, ident) for part in parts) == (1 if ident else 0)


@given(st.lists(st.uuids(), min_size=1, max_size=20, unique=True), st.data())
def test_any_single_change_changes_the_digest(idents: list[uuid.UUID], data: st.DataObject) -> None:
    rows = keys_of([str(i) for i in idents], 1)
    whole = Summing()
    for key, word in rows:
        whole.add(key, word)
    victim = data.draw(st.integers(0, len(rows) - 1))
    less, other = Summing(), Summing()
    for n, (key, word) in enumerate(rows):
        if n != victim:
            less.add(key, word)
        other.add(key, "handed-over" if n == victim else word)
    assert whole.done() != less.done()
    assert whole.done() != other.done()


def test_days_and_hours_are_those_of_utc_plus_eight() -> None:
    start, end = span_of("2026-11-24")
    assert start == datetime(2026, 11, 23, 16, tzinfo=UTC)
    assert (end - start).total_seconds() == 86400
    assert span_of("2026-11-24T00")[0] == start
    midnight = datetime(2026, 11, 24, 16, tzinfo=UTC)
    assert days_before(midnight, 2) == ["2026-11-24", "2026-11-23"]


def test_a_tally_reads_back_as_it_was_written() -> None:
    tally = Tally(
        "views", "0123456789abcdef", "2026-11-24T16:00:00.000Z",
        buckets=(("2026-11-24", "up", Summing().done()),), agreed=(("2026-11-24T09", "down"),),
        ranges=(Range("2026-11-24T09", "up", "a", "b", (
            Row(UP, view=View(Outcome.DELIVERED, True, False, True)),
            Row(UP, word="none!", gap=Gap.HUB_NEVER_SAW, hub_says="none"),
        )),),
    )  # fmt: skip
    read = read_tally(write_tally(tally))
    assert read.ranges[0].rows[0].view == tally.ranges[0].rows[0].view
    assert read.ranges[0].rows[1] == tally.ranges[0].rows[1]
    assert (read.buckets, read.agreed) == (tally.buckets, tally.agreed)


HOSTILE = [
    '<Tally step="days" run="0123456789ab" asOf="2026-11-24T16:00:00Z"/>',
    '<Tally step="days" run="../../etc" asOf="2026-11-24T16:00:00.000Z"/>',
    '<Tally step="drop" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"/>',
    '<Other step="days" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"/>',
    '<Tally step="days" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Bucket key="2026-13-45" direction="up" count="1" digest="{d}"/></Tally>',
    '<Tally step="days" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Bucket key="2026-11-24" direction="up" count="-1" digest="{d}"/></Tally>',
    '<Tally step="days" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Bucket key="2026-11-24" direction="in" count="1" digest="{d}"/></Tally>',
    '<Tally step="days" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Bucket key="2026-11-24" direction="up" count="1" digest="x"/></Tally>',
    '<Tally step="views" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Range key="2026-11-24T09" direction="up"><Row m="a b" s="S" r="R"/></Range></Tally>',
    '<Tally step="views" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Range key="2026-11-24T09" direction="up"><Row m="a" s="S" r="R" o="won" held="1"/></Range></Tally>',
    '<Tally step="result" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z"><Range key="2026-11-24T24" direction="up"/></Tally>',
    '<Tally step="entries" run="0123456789ab" asOf="2026-11-24T16:00:00.000Z">{many}</Tally>',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_tally_of_another_form_is_refused_with_its_code(text: str) -> None:
    many = '<Range key="2026-11-24T09" direction="up"/>' * 65
    text = text.format(d="0" * 64, many=many).replace(" step=", f' xmlns="{CONTROL_NS}" step=', 1)
    with pytest.raises(SignatureError) as caught:
        read_tally(etree.fromstring(text))
    assert caught.value.code == "FG-SIG-032"


def test_directions_are_words() -> None:
    assert [d.value for d in Direction] == ["up", "down"]
