"""Who may send what to whom, and through which gateway it goes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from frontgate.model.envelope import Envelope
from frontgate.model.finding import Finding, Severity, finding
from frontgate.model.message import Address
from frontgate.model.unit import ACTIVE, Directory, Unit
from frontgate.values import Struct

HUB = "hub"


class StepRoles(Struct, frozen=True):
    """What the standard says of one step: roles that may send it and receive it."""

    from_roles: tuple[str, ...]
    to_roles: tuple[str, ...]


def resolve(address: Address, directory: Directory) -> Unit | Finding:
    """The active unit behind an address, following successors; or why there is none.

    Finding: FG-RTE-001 unknown (with the nearest names), FG-RTE-002 suspended or revoked.
    """
    unit = directory.find(address.code, address.scheme)
    seen: set[str] = set()
    while unit is not None and unit.successor and unit.code not in seen:
        seen.add(unit.code)
        unit = directory.units.get(unit.successor)
    if unit is None:
        return finding("FG-RTE-001", value=address.code, near=_nearest(address, directory))
    if unit.status != ACTIVE:
        return finding("FG-RTE-002", value=unit.code, name=unit.name_zh, status=unit.status)
    return unit


def resolve_all(
    addresses: Iterable[Address], directory: Directory
) -> tuple[list[str], list[Finding]]:
    """The codes of the units behind the addresses, each once, and why others lead to none."""
    codes: list[str] = []
    misses: list[Finding] = []
    for address in addresses:
        unit = resolve(address, directory)
        if isinstance(unit, Finding):
            misses.append(unit)
        elif unit.code not in codes:
            codes.append(unit.code)
    return codes, misses


def _nearest(address: Address, directory: Directory) -> str:
    known = {
        (unit.external.get(address.scheme, "") if address.scheme else code): unit
        for code, unit in directory.units.items()
    }
    near = difflib.get_close_matches(address.code, [k for k in known if k], n=3, cutoff=0.6)
    return "; ".join(f"{code} {known[code].name_zh}" for code in near) or "-"


def judge(
    envelope: Envelope, directory: Directory, roles: StepRoles, *, check_copies: bool = True
) -> list[Finding]:
    """What the directory and the step's roles say of a package's sender and recipients.

    Refuses: unknown sender (FG-RTE-003) or not active (004), sender's role may not send this step
    (005), receiver unknown or not active (001, 002), receiver's role may not get it (006), no
    version in common (007), test traffic to a real unit (008).
    """
    header = envelope.header
    sender = directory.units.get(header.sender)
    if sender is None:
        return [finding("FG-RTE-003", value=header.sender)]
    if sender.status != ACTIVE:
        return [
            finding("FG-RTE-004", value=header.sender, name=sender.name_zh, status=sender.status)
        ]
    found: list[Finding] = []
    if roles.from_roles and not _may(sender, roles.from_roles):
        found.append(
            finding(
                "FG-RTE-005",
                value=header.message_type,
                name=sender.name_zh,
                roles=", ".join(roles.from_roles),
            )
        )
    copies = {c.unit for c in envelope.copies} if check_copies else set()
    for code in dict.fromkeys((*envelope.receivers, *sorted(copies))):
        unit = resolve(Address(code), directory)
        if isinstance(unit, Finding):
            found.append(unit)
            continue
        if code in envelope.receivers and roles.to_roles and not _may(unit, roles.to_roles):
            found.append(
                finding(
                    "FG-RTE-006",
                    value=code,
                    name=unit.name_zh,
                    type=header.message_type,
                    roles=", ".join(roles.to_roles),
                )
            )
        if not _understands(unit, header.standard):
            found.append(
                finding(
                    "FG-RTE-007",
                    value=header.standard,
                    name=unit.name_zh,
                    versions=", ".join(unit.versions),
                )
            )
        if header.test_flag and not unit.is_test and unit.code != sender.code:
            found.append(finding("FG-RTE-008", value=code, name=unit.name_zh))
        if unit.is_test and not header.test_flag and not sender.is_test:
            found.append(finding("FG-RTE-009", Severity.WARNING, value=code, name=unit.name_zh))
    return found


def _understands(unit: Unit, version: str) -> bool:
    """Minor versions only add: who knows one of a major version can read all of it."""
    return version.partition(".")[0] in {v.partition(".")[0] for v in unit.versions}


def _may(unit: Unit, roles: Iterable[str]) -> bool:
    wanted = set(roles)
    return "any" in wanted or bool(wanted & set(unit.roles))


def choose_app(flow: str, in_reply_to_app: str, apps: Sequence[tuple[str, Sequence[str]]]) -> str:
    """The app of a unit that gets a message: who sent what it answers, else whose flows name it,
    else the first; empty where the unit has no apps. apps: (name, flows) in the order of settings.
    """
    if in_reply_to_app and any(name == in_reply_to_app for name, _ in apps):
        return in_reply_to_app
    for name, flows in apps:
        if flow in flows:
            return name
    return apps[0][0] if apps else ""
