"""What a value promises: it stays as it was made, and what is in it is what it is."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest

from frontgate.values import Struct, asdict, field, replace


class Colour(StrEnum):
    RED = "red"


class Inner(Struct, frozen=True):
    at: datetime
    colour: Colour = Colour.RED


class Outer(Struct, frozen=True):
    name: str
    inner: tuple[Inner, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


def test_a_value_cannot_be_changed_and_a_changed_copy_is_another() -> None:
    one = Inner(datetime(2026, 1, 2, tzinfo=UTC))
    with pytest.raises(AttributeError):
        one.colour = Colour.RED  # type: ignore[misc]
    same, other = replace(one), replace(one, at=datetime(2026, 1, 3, tzinfo=UTC))
    assert one == same
    assert len({one, same, other}) == 2


def test_values_made_without_something_do_not_share_it() -> None:
    one, two = Outer("a"), Outer("b")
    one.notes["x"] = "y"
    assert two.notes == {}


def test_as_json_has_it_all_the_way_down() -> None:
    outer = Outer("a", (Inner(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),), {"k": "v"})
    assert json.loads(json.dumps(asdict(outer))) == {
        "name": "a",
        "inner": [{"at": "2026-01-02T03:04:05Z", "colour": "red"}],
        "notes": {"k": "v"},
    }


def test_what_is_no_value_is_refused_rather_than_passed_on() -> None:
    for wrong in (
        None,
        [Inner(datetime(2026, 1, 2, tzinfo=UTC))],
        {"a": 1},
        Outer("a", notes=Path("/")),
    ):  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            asdict(wrong)
    assert asdict(Outer("a", notes={"k": b"v"}))["notes"] == {"k": b"v"}  # type: ignore[dict-item]
