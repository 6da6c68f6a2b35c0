"""Chain, identifiers, back-off, minting, routing: pure values in, pure values out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontgate.core import backoff, chain, minting, routing
from frontgate.core.identifiers import (
    case_uid,
    is_case_uid,
    is_citizen_id,
    is_person_uid,
    is_unit_code,
    is_uscc,
    mod11_2,
    unit_code,
)
from frontgate.model.envelope import Envelope
from frontgate.model.finding import Finding
from frontgate.model.message import Address, Header
from frontgate.model.unit import Directory, Unit
from frontgate.values import replace

POLICE, PROCURATORATE = "5201021100X", "52010221005"


def make_chain(length: int) -> list[chain.Link]:
    head, links = chain.genesis("hub:x", 1), []
    for seq in range(1, length + 1):
        data = chain.canonical({"n": seq, "文": "件"})
        head = chain.head_after(head, seq, f"t{seq}", "event", data)
        links.append(chain.Link(seq, f"t{seq}", "event", data, head))
    return links


START = chain.genesis("hub:x", 1)


def test_an_untouched_chain_holds() -> None:
    links = make_chain(300)
    assert chain.verify(links, START, {300: links[-1].head}) == (300, [])


def test_every_single_edit_removal_and_swap_is_found() -> None:
    links = make_chain(120)
    for n in range(len(links)):
        for changed in (
            replace(links[n], data=links[n].data + " "),
            replace(links[n], kind="other"),
            replace(links[n], at="t0"),
            replace(links[n], head="00" * 32),
        ):
            assert chain.verify([*links[:n], changed, *links[n + 1 :]], START, {})[1], n
        if n < len(links) - 1:
            assert chain.verify([*links[:n], *links[n + 1 :]], START, {})[1], n
            swapped = [*links[:n], links[n + 1], links[n], *links[n + 2 :]]
            assert chain.verify(swapped, START, {})[1], n


def test_truncation_is_found_by_a_receipt_that_names_what_is_gone() -> None:
    links = make_chain(50)
    anchors = {40: links[39].head}
    for length in range(40):
        assert chain.verify(links[:length], START, anchors)[1]
    assert not chain.verify(links[:45], START, anchors)[1]


def test_a_chain_written_anew_is_found_by_a_receipt() -> None:
    links = make_chain(50)
    head, forged = START, []
    for link in links:
        data = link.data if link.seq != 20 else chain.canonical({"n": "forged"})
        head = chain.head_after(head, link.seq, link.at, link.kind, data)
        forged.append(replace(link, data=data, head=head))
    assert not chain.verify(forged, START, {})[1]
    assert chain.verify(forged, START, {33: links[32].head})[1]


@pytest.mark.parametrize(
    "good", ["11010519491231002X", "52010219900101000X", "522301198512310006", "522622197602290006"]
)
def test_citizen_ids(good: str) -> None:
    assert is_citizen_id(good)
    for position in range(18):
        for digit in "0123456789X":
            changed = good[:position] + digit + good[position + 1 :]
            if changed != good:
                assert not is_citizen_id(changed), changed


def test_citizen_ids_need_a_real_day() -> None:
    body = "52010219900230000"
    assert not any(is_citizen_id(body + c) for c in "0123456789X")


@pytest.mark.parametrize("good", ["11520000009000015X", "11520102MB1A0001XP", "125223017300000100"])
def test_social_credit_codes(good: str) -> None:
    assert is_uscc(good)
    assert not is_uscc(good[:-1] + ("A" if good[-1] != "A" else "B"))


@pytest.mark.parametrize(
    "good",
    ["52000001009", "52000090005", "5201021100X", "52010221005", "52010213005", "52230111000"],
)
def test_unit_codes(good: str) -> None:
    assert is_unit_code(good)
    assert unit_code(good[:10]) == good
    assert not is_unit_code(good[:10] + ("1" if good[10] != "1" else "2"))


@given(st.integers(2000, 2099), st.integers(0, 9_999_999))
def test_minted_case_ids_are_valid(year: int, serial: int) -> None:
    case = case_uid(year, POLICE, serial)
    assert len(case) == 23
    assert is_case_uid(case)
    assert is_person_uid(case + "-P001")
    assert not is_person_uid(case + "-P01")


@given(st.text("0123456789", min_size=5, max_size=20), st.integers(0, 19), st.integers(1, 9))
def test_the_check_character_finds_every_single_wrong_digit(
    digits: str, at: int, shift: int
) -> None:
    at %= len(digits)
    wrong = digits[:at] + str((int(digits[at]) + shift) % 10) + digits[at + 1 :]
    assert mod11_2(digits) != mod11_2(wrong)


@given(st.integers(1, 100), st.floats(0, 0.999))
def test_back_off_grows_and_stays_within_bounds(failures: int, luck: float) -> None:
    delay = backoff.delay_s(failures, first_s=1, most_s=600, luck=luck)
    assert 0.5 <= delay <= 600
    assert backoff.delay_s(failures + 1, first_s=1, most_s=600, luck=luck) >= delay


def test_minted_ids_are_the_same_again_and_differ_by_app_and_revision() -> None:
    def mint(**changes: str) -> str:
        values = {"unit": POLICE, "app": "", "ref": "k1", "revision": "1", "content": "c"} | changes
        return minting.message_id(
            values["unit"], values["app"], sender_ref=values["ref"], revision=values["revision"],
            content_digest=values["content"],
        )  # fmt: skip

    assert mint() == mint(content="other")
    assert (
        len({mint(), mint(app="a"), mint(revision="2"), mint(ref="k2"), mint(unit=PROCURATORATE)})
        == 5
    )
    assert mint(ref="") != mint(ref="", content="other")
    assert mint()[14] == "5"


UNITS = {
    POLICE: Unit(POLICE, "公安", roles=("police",), external={"court": "x"}),
    PROCURATORATE: Unit(PROCURATORATE, "检察院", roles=("procuratorate",)),
    "52010231000": Unit("52010231000", "法院", roles=("court",), status="suspended"),
    "52010213005": Unit("52010213005", "看守所", roles=("detention",), successor=PROCURATORATE),
    "52010221906": Unit("52010221906", "测试检察院", roles=("procuratorate",), versions=("2.0",)),
}
DIRECTORY = Directory(1, UNITS, "52000090005")
ROLES = routing.StepRoles(("police",), ("procuratorate",))


def judged(sender: str, receiver: str, *, test: bool = False) -> set[str]:
    header = Header("1.0", "a.b", sender, (Address(receiver),), "t", test_flag=test)
    return {f.rule for f in routing.judge(Envelope(header, (receiver,)), DIRECTORY, ROLES)}


@pytest.mark.parametrize(
    ("sender", "receiver", "test", "rules"),
    [
        (POLICE, PROCURATORATE, False, set()),
        ("52230111000", PROCURATORATE, False, {"FG-RTE-003"}),
        ("52010231000", PROCURATORATE, False, {"FG-RTE-004"}),
        (PROCURATORATE, PROCURATORATE, False, {"FG-RTE-005"}),
        (POLICE, "52010231000", False, {"FG-RTE-002"}),
        (POLICE, "52230121000", False, {"FG-RTE-001"}),
        (POLICE, POLICE, False, {"FG-RTE-006"}),
        (POLICE, PROCURATORATE, True, {"FG-RTE-008"}),
    ],
)
def test_routing_refuses_what_it_must(
    sender: str, receiver: str, test: bool, rules: set[str]
) -> None:
    assert judged(sender, receiver, test=test) == rules


def test_test_units_and_versions() -> None:
    assert "FG-RTE-007" in judged(POLICE, "52010221906")
    assert "FG-RTE-009" in judged(POLICE, "52010221906")
    assert "FG-RTE-008" not in judged(POLICE, "52010221906", test=True)


def test_addresses_resolve_by_external_code_and_successor() -> None:
    found = routing.resolve(Address("x", "court"), DIRECTORY)
    assert isinstance(found, Unit)
    assert found.code == POLICE
    successor = routing.resolve(Address("52010213005"), DIRECTORY)
    assert isinstance(successor, Unit)
    assert successor.code == PROCURATORATE
    unknown = routing.resolve(Address("52010221006"), DIRECTORY)
    assert isinstance(unknown, Finding)
    assert PROCURATORATE in unknown.en


def test_the_app_that_asked_gets_the_answer_else_the_one_that_names_the_flow() -> None:
    apps = [("a", ["x"]), ("b", ["y"])]
    assert routing.choose_app("y", "a", apps) == "a"
    assert routing.choose_app("y", "", apps) == "b"
    assert routing.choose_app("z", "gone", apps) == "a"
    assert routing.choose_app("z", "", []) == ""
