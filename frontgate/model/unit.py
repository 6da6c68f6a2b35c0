"""Units and their directory: who exists, in which roles, behind which front end."""

from __future__ import annotations

from collections.abc import Mapping

from frontgate.values import Struct, field

ACTIVE = "active"
SUSPENDED = "suspended"
REVOKED = "revoked"


class Unit(Struct, frozen=True):
    """One row of the signed unit directory.

    code: 11 characters (division 6, type 2, serial 2, check). roles: see code list `unit-role`.
    external: scheme → code of other numbering systems. front_end: code of the unit whose gateway
    (SFTP account `u<code>`) carries this one; its own code where it has its own gateway.
    certificates: SHA-256 fingerprints (hex) of the unit's registered signing certificates.
    versions: versions of the standard the unit accepts. status: active, suspended or revoked.
    successor: the unit that took its place, if any.
    """

    code: str
    name_zh: str
    name_en: str = ""
    roles: tuple[str, ...] = ()
    division: str = ""
    parent: str = ""
    front_end: str = ""
    external: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("1.0",)
    status: str = ACTIVE
    successor: str = ""

    @property
    def is_test(self) -> bool:
        """Serials 90 to 99 are test units (code list rule of the unit code)."""
        return self.code[8:9] == "9" and self.code[6:8] not in ("90", "91")

    @property
    def account(self) -> str:
        return account_of(self.front_end or self.code)


def account_of(unit_code: str) -> str:
    """The SFTP account of a unit's gateway: `u` + unit code in lower case."""
    return "u" + unit_code.lower()


class Directory(Struct, frozen=True):
    """The signed list of all units. version: number that only grows, set by the hub."""

    version: int
    units: Mapping[str, Unit]
    hub: str = ""

    def find(self, code: str, scheme: str = "") -> Unit | None:
        """The unit for a unit code, or for an external code under `scheme`; None if unknown."""
        if not scheme:
            return self.units.get(code)
        for unit in self.units.values():
            if unit.external.get(scheme) == code:
                return unit
        return None

    def carried_by(self, front_end: str) -> tuple[Unit, ...]:
        """The units whose packages come and go through the gateway of `front_end`."""
        return tuple(u for u in self.units.values() if (u.front_end or u.code) == front_end)
