"""Enrolment, the signed directory and every judgement of a certificate."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from province import DETENTION, HUB, POLICE, PROCURATORATE

from frontgate.errors import FrontgateError, SettingsError, TrustError
from frontgate.gateway.setup import make_home, take_bundle
from frontgate.hub.admin import Administration, set_up
from frontgate.settings import load_gateway, load_hub
from frontgate.suites import signer_of, suite
from frontgate.trust.authority import Authority, certificate_der
from frontgate.trust.directory import read_units, to_body
from frontgate.trust.reference import units_csv
from frontgate.trust.request import read_request
from frontgate.trust.signed import read_signed, write_signed
from frontgate.trust.store import load_trust
from frontgate.trust.unit_bundle import read_unit_bundle
from frontgate.values import replace

TABLE = f"""code,name_zh,name_en,roles
{POLICE},公安,police,police
{PROCURATORATE},检察院,procuratorate,procuratorate
{DETENTION},看守所,detention,detention
"""


@pytest.fixture
def administration(tmp_path: Path) -> Administration:
    set_up(tmp_path / "hub", HUB, "平台")
    (tmp_path / "hub" / "hub.toml").write_text(f'unit = "{HUB}"\n')
    made = Administration(load_hub(tmp_path / "hub" / "hub.toml"))
    made.import_units(TABLE.encode(), "units.csv")
    return made


@pytest.fixture
def request_path(tmp_path: Path) -> Path:
    return make_home(tmp_path / "gw", [POLICE, DETENTION])


def test_one_file_each_way(
    administration: Administration, request_path: Path, tmp_path: Path
) -> None:
    (result,) = administration.admit([request_path], tmp_path / "out")
    assert result.error is None
    bundle = read_unit_bundle(Path(result.bundle).read_bytes())
    assert set(bundle.certificates) == {POLICE, DETENTION}
    settings = tmp_path / "gw" / "gateway.toml"
    take_bundle(tmp_path / "gw", settings, bundle)
    loaded = load_gateway(settings)
    assert loaded.account == "u" + POLICE.lower()
    assert [u.code for u in loaded.unit] == [POLICE, DETENTION]
    store = load_trust(tmp_path / "gw" / "keys" / "trust")
    assert store.directory.units[DETENTION].account == "u" + POLICE.lower(), (
        "one gateway carries both"
    )
    for code, der in bundle.certificates.items():
        store.judge(der, code, datetime.now(UTC))
    take_bundle(tmp_path / "gw", settings, bundle)
    assert load_gateway(settings).hub.host == loaded.hub.host, "enrolling again is safe"
    for path in (tmp_path / "gw" / "keys").glob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_init_again_keeps_the_keys(tmp_path: Path, request_path: Path) -> None:
    before = (tmp_path / "gw" / "keys" / f"{POLICE}.key").read_bytes()
    make_home(tmp_path / "gw", [POLICE, DETENTION])
    assert (tmp_path / "gw" / "keys" / f"{POLICE}.key").read_bytes() == before


def test_a_hub_is_not_made_twice(administration: Administration, tmp_path: Path) -> None:
    with pytest.raises(TrustError) as caught:
        set_up(tmp_path / "hub", HUB, "平台")
    assert caught.value.code == "FG-TRU-018"


def test_a_batch_goes_on_past_bad_requests(administration: Administration, tmp_path: Path) -> None:
    good = make_home(tmp_path / "a", [POLICE])
    stranger = make_home(tmp_path / "b", ["52230111000"])
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    also_good = make_home(tmp_path / "c", [PROCURATORATE])
    results = administration.admit([stranger, good, broken, also_good], tmp_path / "out")
    codes = {r.path: r.error.code if r.error else "" for r in results}
    assert codes == {
        str(stranger): "FG-TRU-012",
        str(good): "",
        str(broken): "FG-TRU-010",
        str(also_good): "",
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="x"),
        lambda d: d.pop("ssh_key"),
        lambda d: d.update(ssh_key="ssh-rsa AAAA"),
        lambda d: d.update(ssh_key="ssh-ed25519 " + "A" * 68),
        lambda d: d.update(units={}),
        lambda d: d.update(units={PROCURATORATE: d["units"][POLICE]}),
        lambda d: d.update(units={"123": d["units"][POLICE]}),
        lambda d: d["units"].update({POLICE: "-----BEGIN"}),
        lambda d: d.update(units=[1, 2]),
    ],
)
def test_changed_requests_are_refused(change: object, request_path: Path) -> None:
    document = json.loads(request_path.read_bytes())
    change(document)  # type: ignore[operator]
    with pytest.raises(TrustError) as caught:
        read_request(json.dumps(document).encode())
    assert caught.value.code in ("FG-TRU-010", "FG-TRU-011")


def test_every_changed_byte_of_a_unit_bundle_is_refused(
    administration: Administration, request_path: Path, tmp_path: Path
) -> None:
    (result,) = administration.admit([request_path], tmp_path / "out")
    data = Path(result.bundle).read_bytes()
    for at in range(0, len(data), 97):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            read = read_unit_bundle(bytes(changed))
        except FrontgateError:
            continue
        assert json.loads(changed) == json.loads(data) or read.trust.directory is not None
        assert json.loads(changed)["body"] == json.loads(data)["body"], at


def test_the_ca_fingerprint_is_compared(
    administration: Administration, request_path: Path, tmp_path: Path
) -> None:
    (result,) = administration.admit([request_path], tmp_path / "out")
    data = Path(result.bundle).read_bytes()
    real = read_unit_bundle(data).ca_fingerprint
    read_unit_bundle(data, ca_fingerprint=real[:32].upper())
    for wrong in ("00" * 16, real[:8]):
        with pytest.raises(TrustError) as caught:
            read_unit_bundle(data, ca_fingerprint=wrong)
        assert caught.value.code == "FG-TRU-014"


def test_a_bundle_for_another_machine_is_refused(
    administration: Administration, request_path: Path, tmp_path: Path
) -> None:
    (result,) = administration.admit([request_path], tmp_path / "out")
    make_home(tmp_path / "other", [POLICE, DETENTION])
    with pytest.raises(TrustError) as caught:
        take_bundle(
            tmp_path / "other",
            tmp_path / "other" / "gateway.toml",
            read_unit_bundle(Path(result.bundle).read_bytes()),
        )
    assert caught.value.code == "FG-TRU-015"


def test_every_reason_to_distrust_a_certificate(
    administration: Administration, request_path: Path, tmp_path: Path
) -> None:
    (result,) = administration.admit([request_path], tmp_path / "out")
    certificate = read_unit_bundle(Path(result.bundle).read_bytes()).certificates[POLICE]
    store, now = administration.trust, datetime.now(UTC)

    def code(der: bytes, unit: str, at: datetime = now) -> str:
        with pytest.raises(FrontgateError) as caught:
            store.judge(der, unit, at)
        return caught.value.code

    store.judge(certificate, POLICE, now)
    assert code(certificate, POLICE, now + timedelta(days=4000)) == "FG-TRU-002"
    assert code(certificate, POLICE, now - timedelta(days=1)) == "FG-TRU-002"
    assert code(certificate, PROCURATORATE) == "FG-TRU-003"
    assert code(b"junk", POLICE) == "FG-SIG-004"
    foreign = Authority.create(HUB, "x")
    key = suite("ecdsa-p256-sha256").generate()
    assert (
        code(certificate_der(foreign.issue(key.public_key(), POLICE, "x")), POLICE) == "FG-TRU-001"
    )
    own = Authority.load(tmp_path / "hub" / "keys")
    assert code(certificate_der(own.issue(key.public_key(), POLICE, "x")), POLICE) == "FG-TRU-004"
    stranger = own.issue(key.public_key(), "52230111000", "x")
    assert code(certificate_der(stranger), "52230111000") == "FG-TRU-007"
    assert code(certificate_der(own.certificate), HUB) in ("FG-TRU-005", "FG-TRU-004")
    administration.set_status(POLICE, "revoked")
    store = administration.trust
    assert code(certificate, POLICE) == "FG-TRU-006"
    assert not (tmp_path / "hub" / "sftp-keys" / ("u" + POLICE.lower())).exists()


def test_the_directory_never_rolls_back_and_only_the_hub_signs_it(
    administration: Administration,
) -> None:
    old = administration.trust
    administration.import_units(TABLE.replace("公安", "公安局").encode(), "units.csv")
    new = administration.trust
    assert new.directory.version > old.directory.version
    with pytest.raises(TrustError) as caught:
        new.with_directory(old.directory_document)
    assert caught.value.code == "FG-TRU-016"
    key = suite("ecdsa-p256-sha256").generate()
    stranger = signer_of(key, Authority.create(HUB, "x").issue(key.public_key(), HUB, "x"), HUB)
    forged = write_signed(
        "frontgate-directory-1", to_body(replace(new.directory, version=99)), stranger
    )
    with pytest.raises(TrustError) as caught:
        new.with_directory(forged)
    assert caught.value.code == "FG-TRU-017"
    with pytest.raises(FrontgateError):
        read_signed(
            new.directory_document.replace("公安局".encode(), "检察".encode()),
            "frontgate-directory-1",
        )


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("code,name_zh,roles\n5201021100X,a,police\n5201021100X,b,police\n", "twice"),
        ("code,name_zh,roles\n52010211001,a,police\n", "check character"),
        ("code,name_zh,roles\n5201021100X,a,polise\n", "police?"),
        ("code,name_zh,roles\n5201021100X,,police\n", "name_zh"),
        ("code,name,roles\n5201021100X,a,police\n", "unknown column"),
        ("code,name_zh\n5201021100X,a\n", "column roles is missing"),
        ("code,name_zh,roles,front_end\n5201021100X,a,police,52010221005\n", "front_end"),
        ("code,name_zh,roles,external\n5201021100X,a,police,x\n", "scheme=code"),
    ],
)
def test_faults_of_a_unit_table_are_named(table: str, word: str) -> None:
    with pytest.raises(TrustError) as caught:
        read_units(table.encode())
    assert caught.value.code == "FG-TRU-019"
    assert word in caught.value.detail


def test_the_reference_table_begins_no_formula(administration: Administration) -> None:
    units = administration.trust.directory.units
    bad = replace(units[POLICE], name_zh="=cmd()", name_en="+1", code=POLICE)
    text = units_csv(replace(administration.trust.directory, units={**units, POLICE: bad}))
    assert text.startswith(b"\xef\xbb\xbf")
    assert b",'=cmd(),'+1," in text


def test_settings_name_every_fault_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[intake]\nsetle_s = 2\n[relay]\nbundle_members = 9999\n[[unit]]\ncode = "1"\nspool = "s"\n'
    )
    with pytest.raises(SettingsError) as caught:
        load_gateway(path)
    assert caught.value.code == "FG-CFG-003"
    for part in (
        "gateway.toml:2",
        "did you mean 'settle_s'",
        "gateway.toml:4",
        "unit.code",
        "unit.key",
    ):
        assert part in caught.value.detail, part
    path.write_text("[")
    with pytest.raises(SettingsError) as caught:
        load_gateway(path)
    assert caught.value.code == "FG-CFG-002"


def test_five_hundred_requests_in_one_batch(administration: Administration, tmp_path: Path) -> None:
    """One signed directory for all; every unit gets a bundle that verifies."""
    from frontgate.core.identifiers import unit_code
    from frontgate.trust.request import write_request

    codes = [unit_code(f"5201{n:02d}11{k:02d}") for n in range(1, 26) for k in range(20)]
    table = "code,name_zh,roles\n" + "".join(f"{c},{c},police\n" for c in codes)
    administration.import_units(table.encode(), "units.csv")
    ssh = (
        "ssh-ed25519 "
        + json.loads(make_home(tmp_path / "one", [codes[0]]).read_bytes())["ssh_key"].split()[1]
    )
    key = load_pem_private_key((tmp_path / "one" / "keys" / f"{codes[0]}.key").read_bytes(), None)
    paths = []
    for code in codes:
        path = tmp_path / f"{code}.json"
        path.write_bytes(write_request({code: key}, ssh))
        paths.append(path)
    results = administration.admit(paths, tmp_path / "out")
    assert len(results) == 500
    assert all(r.error is None for r in results)
    read_unit_bundle(Path(results[-1].bundle).read_bytes())
