"""A province of 500 and more units with keys and certificates, from the standard's division list.

Each county has police, procuratorate, court, detention centre, justice bureau, correction agency and
legal aid; each prefecture the upper ones and a prison. The units of a prefecture share one front end.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from frontgate.core.identifiers import unit_code
from frontgate.hub.admin import lay_out_mailboxes, set_up
from frontgate.model.unit import Directory, Unit
from frontgate.settings import HubSettings, load_hub
from frontgate.standard import Catalogue
from frontgate.suites import Signer, load_signer, signer_of, suite
from frontgate.trust.authority import Authority, fingerprint
from frontgate.trust.directory import FORMAT, to_body
from frontgate.trust.signed import write_signed
from frontgate.trust.store import load_trust
from frontgate.values import Struct

HUB = "52000090005"
VALID_DAYS = 1100
"""The play is longer than a certificate usually lives, and renews none."""
COUNTY = ("1100", "1300", "2100", "3100", "4100", "4200", "4400")
PREFECTURE = ("0100", "1100", "2100", "3100", "4100", "5201")
PROVINCE = ("0100", "1100", "2100", "3100", "5100")
"""Type and serial of the units that each level has."""


class Province(Struct, frozen=True):
    """signers: by unit code. counties: divisions that units of every kind have."""

    home: Path
    settings: HubSettings
    directory: Directory
    signers: dict[str, Signer]
    counties: tuple[str, ...]


def found(home: Path, catalogue: Catalogue, now: datetime) -> Province:
    """Make a hub's home with the whole province admitted. home: a new folder."""
    hub = home / "hub"
    hub.mkdir(parents=True)
    set_up(hub, HUB, "省级交换平台")
    (hub / "hub.toml").write_text(
        f'unit = "{HUB}"\n[sftp]\nserver = "embedded"\n[cases]\nproject = false\n', "utf-8"
    )
    settings = load_hub(hub / "hub.toml")
    places = _places(catalogue)
    authority = Authority.load(hub / "keys")
    signers: dict[str, Signer] = {}
    units: dict[str, Unit] = {}
    maker = suite("ecdsa-p256-sha256")
    for division, name in places.items():
        front = unit_code(f"{division[:4]}{'00' if division[2:4] != '00' else division[4:]}1100")
        for kind in _kinds(division):
            code = unit_code(f"{division}{kind}")
            key = maker.generate()
            certificate = authority.issue(key.public_key(), code, name, days=VALID_DAYS)
            signers[code] = signer_of(key, certificate, code)
            units[code] = Unit(
                code=code,
                name_zh=f"{name}{_word(catalogue, kind[:2])}",
                roles=tuple(sorted(catalogue.roles_by_type(code))),
                division=division,
                front_end="" if code == front else front,
                certificates=(fingerprint(certificate),),
            )
    trust = load_trust(hub / "keys" / "trust")
    known = {HUB: trust.directory.units[HUB], **units}
    directory = Directory(trust.directory.version + 1, known, HUB)
    signer = load_signer(hub / "keys" / "hub.key", hub / "keys" / "hub.pem", HUB)
    trust.with_directory(write_signed(FORMAT, to_body(directory), signer)).save(
        hub / "keys" / "trust"
    )
    lay_out_mailboxes(settings, directory)
    counties = tuple(d for d in places if not d.endswith("00"))
    return Province(home, settings, directory, signers, counties)


def _places(catalogue: Catalogue) -> dict[str, str]:
    """Divisions in force with their names: province, prefectures, counties."""
    rows = catalogue.code_list("division").codes
    return {code: r[-1].zh for code, r in rows.items() if r[-1].valid_to is None}


def _kinds(division: str) -> tuple[str, ...]:
    if division.endswith("0000"):
        return PROVINCE
    return PREFECTURE if division.endswith("00") else COUNTY


def _word(catalogue: Catalogue, kind: str) -> str:
    return catalogue.code_list("unit-type").text(kind, "zh")
