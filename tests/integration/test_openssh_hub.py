"""The whole exchange with OpenSSH as the hub's SFTP front: a gateway does not know the difference."""

from pathlib import Path

import pytest
from openssh import openssh_province
from province import POLICE, PROCURATORATE, message, wait_for


@pytest.mark.needs_root
def test_exchange_over_openssh(tmp_path: Path) -> None:
    with openssh_province(tmp_path) as province:
        province.start()
        for n in range(20):
            province.drop(POLICE, f"d{n}.xml", message(ref=f"o{n}"))
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 20, 60), (
            province.log(POLICE) + province.log("hub") + (tmp_path / "sshd.log").read_text()
        )
        assert wait_for(
            lambda: sum("-delivered-" in n for n in province.receipts(POLICE)) == 20, 60
        )
        province.kill(PROCURATORATE)
        province.drop(POLICE, "later.xml", message(ref="later"))
        province.start(PROCURATORATE)
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 21, 60)
        assert set(province.stop().values()) == {0}
