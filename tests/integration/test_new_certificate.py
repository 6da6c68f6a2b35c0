"""A certificate that was registered a moment ago: what it signed may come before the directory is in use."""

import shutil
from pathlib import Path

from by_hand import ByHand
from province import POLICE, PROCURATORATE

from frontgate.gateway.setup import make_home, take_bundle
from frontgate.hub.admin import Administration
from frontgate.settings import load_hub
from frontgate.trust.unit_bundle import read_unit_bundle


def replace(by_hand: ByHand, unit: str) -> None:
    """New disk, new keys, registered at the hub; the hub's daemon has yet to notice."""
    by_hand.gateways[unit].journal.close()
    home = by_hand.province.home / unit
    settings = (home / "gateway.toml").read_text()
    shutil.rmtree(home)
    administration = Administration(load_hub(by_hand.province.home / "hub" / "hub.toml"))
    request = make_home(home, [unit])
    (result,) = administration.admit([request], by_hand.province.home / "bundles")
    assert result.error is None
    data = (by_hand.province.home / "bundles" / f"{unit}.bundle").read_bytes()
    (home / "gateway.toml").write_text(settings)
    take_bundle(home, home / "gateway.toml", read_unit_bundle(data))
    by_hand.gateways[unit] = by_hand.open_gateway(unit)
    by_hand.gateways[unit].prepare()


def test_a_package_of_a_new_certificate_is_taken_before_the_directory_is_in_use(
    tmp_path: Path,
) -> None:
    by_hand = ByHand(tmp_path)
    try:
        by_hand.turn("hub", "tend")
        old = by_hand.gateways[PROCURATORATE].trust.directory.version
        replace(by_hand, POLICE)
        by_hand.turn("hub", "trust")
        by_hand.admit()
        by_hand.relay()
        assert by_hand.gateways[PROCURATORATE].trust.directory.version == old
        assert by_hand.rows(PROCURATORATE, "SELECT code FROM quarantine") == []
        admitted = "SELECT count(*) FROM package WHERE direction = 'in' AND state = 'ADMITTED'"
        assert by_hand.rows(PROCURATORATE, admitted) == [(1,)]
    finally:
        by_hand.close()
