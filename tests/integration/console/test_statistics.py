"""The statistics page: published months as they were signed, and counts that were spread."""

from console_site import Site
from ledger import HUB, STANDARDS

from frontgate.cases import stats
from frontgate.cases.publish import Publisher
from frontgate.suites import load_signer


def test_a_published_month_is_listed_and_given_out_as_signed_to_who_sees_the_province(
    site: Site,
) -> None:
    ledger = site.ledger
    keys = ledger.home / "hub" / "keys"
    signer = load_signer(keys / "hub.key", keys / "hub.pem", HUB)
    folder = ledger.state / "published"
    publisher = Publisher(ledger.journal, ledger.state / "cases.db", folder, signer, STANDARDS)
    made = publisher.publish("2026-10", actor="tests")
    assert made["number"] == 0
    name = "2026-10.000.json"
    committee, clerk = site.client("committee"), site.client("clerk")
    assert f"/statistics/{name}" in committee.get("/statistics").text
    assert committee.get(f"/statistics/{name}").content == (folder / name).read_bytes()
    assert committee.get("/statistics/2026-10.001.json").status_code == 404
    assert name not in clerk.get("/statistics").text
    assert clerk.get(f"/statistics/{name}").status_code == 404
    seen = [e.get("sheet") for e in site.events("console-look-statistics")]
    assert seen.count(name) == 1


def test_counts_that_were_spread_are_marked_and_real_ones_are_not(site: Site) -> None:
    committee = site.client("committee")
    assert "unnamed rest" not in committee.get("/statistics?lang=en").text
    with site.ledger.journal.write() as tx:
        tx.set_meta(stats.SPREAD, "arrest-request")
    try:
        page = committee.get("/statistics").text
        assert "余量平均分摊" in page
        assert "批准逮捕 *" in page
    finally:
        with site.ledger.journal.write() as tx:
            tx.set_meta(stats.SPREAD, "")
    assert "余量平均分摊" not in committee.get("/statistics").text
