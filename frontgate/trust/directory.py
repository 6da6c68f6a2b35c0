"""The unit directory: from `units.csv`, and as the document that the hub signs."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from frontgate.core.identifiers import is_unit_code
from frontgate.errors import TrustError
from frontgate.model.unit import ACTIVE, REVOKED, SUSPENDED, Directory, Unit
from frontgate.values import replace

COLUMNS = (
    "code",
    "name_zh",
    "name_en",
    "roles",
    "division",
    "parent",
    "front_end",
    "external",
    "versions",
    "status",
    "successor",
)
ROLES = frozenset(
    [
        "police",
        "procuratorate",
        "court",
        "prison",
        "prison-admin",
        "detention",
        "justice-bureau",
        "correction",
        "legal-aid",
        "committee",
        "state-security",
        "supervisory",
        "property-centre",
        "hub",
    ]
)
FORMAT = "frontgate-directory-1"


def read_units(data: bytes, path: str = "units.csv") -> list[Unit]:
    """Units from a CSV in UTF-8 (BOM allowed) with the columns of `COLUMNS`, `;` inside lists.

    Raises: TrustError FG-TRU-019 with every fault and its line in `detail`.
    """
    faults: list[str] = []
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
        header = [name.strip() for name in rows.fieldnames or ()]
    except UnicodeDecodeError as error:
        raise TrustError("FG-TRU-019", path=path, count=1, detail=f"not UTF-8: {error}") from None
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            faults.append(f"line 1: unknown column {name!r}" + (f" ({near[0]}?)" if near else ""))
    for name in ("code", "name_zh", "roles"):
        if name not in header:
            faults.append(f"line 1: column {name} is missing")
    units: dict[str, Unit] = {}
    for line, row in enumerate(rows, 2):
        unit = _unit({k: (v or "").strip() for k, v in row.items() if k}, line, faults)
        if unit.code in units:
            faults.append(f"line {line}: {unit.code} comes twice")
        units[unit.code] = unit
    for unit in units.values():
        if unit.front_end and unit.front_end not in units:
            faults.append(f"{unit.code}: front_end {unit.front_end} is not in the table")
        if unit.successor and unit.successor not in units:
            faults.append(f"{unit.code}: successor {unit.successor} is not in the table")
    if faults:
        raise TrustError("FG-TRU-019", path=path, count=len(faults), detail="; ".join(faults[:50]))
    return list(units.values())


def _unit(row: Mapping[str, str], line: int, faults: list[str]) -> Unit:
    code = row.get("code", "")
    if not is_unit_code(code):
        faults.append(f"line {line}: {code!r} is not a unit code (check character)")
    if not row.get("name_zh"):
        faults.append(f"line {line}: name_zh is empty")
    roles = tuple(r for r in row.get("roles", "").replace(";", " ").split() if r)
    for role in roles:
        if role not in ROLES:
            near = difflib.get_close_matches(role, ROLES, n=1)
            faults.append(
                f"line {line}: unknown role {role!r}" + (f" ({near[0]}?)" if near else "")
            )
    if not roles:
        faults.append(f"line {line}: roles is empty")
    external: dict[str, str] = {}
    for pair in row.get("external", "").split(";"):
        if pair.strip():
            scheme, equals, value = pair.partition("=")
            if not equals:
                faults.append(f"line {line}: external {pair!r} is not scheme=code")
            external[scheme.strip()] = value.strip()
    status = row.get("status") or ACTIVE
    if status not in (ACTIVE, SUSPENDED, REVOKED):
        faults.append(f"line {line}: status {status!r}")
    return Unit(
        code=code,
        name_zh=row.get("name_zh", ""),
        name_en=row.get("name_en", ""),
        roles=roles,
        division=row.get("division") or code[:6],
        parent=row.get("parent", ""),
        front_end=row.get("front_end", ""),
        external=external,
        versions=tuple(row.get("versions", "").replace(";", " ").split()) or ("1.0",),
        status=status,
        successor=row.get("successor", ""),
    )


def merge(known: Directory, units: Sequence[Unit]) -> Directory:
    """A new directory with these units; certificates and a stricter status are kept."""
    merged: dict[str, Unit] = {}
    for unit in units:
        old = known.units.get(unit.code)
        if old is not None:
            status = old.status if old.status != ACTIVE else unit.status
            unit = replace(unit, certificates=old.certificates, status=status)
        merged[unit.code] = unit
    return Directory(known.version + 1, merged, known.hub)


def with_unit(known: Directory, unit: Unit) -> Directory:
    """A new directory in which one unit is replaced."""
    return Directory(known.version + 1, {**known.units, unit.code: unit}, known.hub)


def to_body(directory: Directory) -> dict[str, Any]:
    """The directory as JSON values, for signing."""
    return {
        "version": directory.version,
        "hub": directory.hub,
        "units": [
            {
                "code": u.code,
                "name_zh": u.name_zh,
                "name_en": u.name_en,
                "roles": list(u.roles),
                "division": u.division,
                "parent": u.parent,
                "front_end": u.front_end,
                "external": dict(u.external),
                "certificates": list(u.certificates),
                "versions": list(u.versions),
                "status": u.status,
                "successor": u.successor,
            }
            for u in sorted(directory.units.values(), key=lambda u: u.code)
        ],
    }


def from_body(body: Any) -> Directory:
    """The directory in a verified document. Raises: TrustError FG-TRU-017 for a wrong form."""
    try:
        units = {
            str(u["code"]): Unit(
                code=str(u["code"]),
                name_zh=str(u["name_zh"]),
                name_en=str(u["name_en"]),
                roles=tuple(map(str, u["roles"])),
                division=str(u["division"]),
                parent=str(u["parent"]),
                front_end=str(u["front_end"]),
                external={str(k): str(v) for k, v in u["external"].items()},
                certificates=tuple(map(str, u["certificates"])),
                versions=tuple(map(str, u["versions"])),
                status=str(u["status"]),
                successor=str(u["successor"]),
            )
            for u in body["units"]
        }
        return Directory(int(body["version"]), units, str(body["hub"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TrustError("FG-TRU-017") from None
