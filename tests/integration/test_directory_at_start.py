"""A directory that the administrator changes while the hub starts."""

from pathlib import Path

import pytest
from by_hand import ByHand
from province import POLICE, PROCURATORATE

from frontgate.hub import daemon
from frontgate.trust.store import TrustStore


def test_a_unit_suspended_while_the_hub_starts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub read the old one; that it stands there no more must not be taken for known."""
    hand = ByHand(tmp_path)
    try:
        real, changed = daemon.load_trust, False

        def changed_just_then(folder: Path) -> TrustStore:
            nonlocal changed
            trust = real(folder)
            if not changed:
                changed = True
                hand.province.administration.set_status(POLICE, "suspended")
            return trust

        with monkeypatch.context() as patch:
            patch.setattr(daemon, "load_trust", changed_just_then)
            hand.restart_hub()
        hand.admit()
        hand.relay()
        assert hand.rows(PROCURATORATE, "SELECT count(*) FROM package") == [(0,)]
        assert ("relay-rejected",) in hand.rows("hub", "SELECT kind FROM receipt")
    finally:
        hand.close()
