"""Settings files: what is taken, what is refused, and that every fault is told, with its place."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from frontgate.errors import SettingsError
from frontgate.settings import GatewaySettings, HubSettings, load_gateway, load_hub, replace
from frontgate.settings.lines import line_of
from frontgate.settings.section import Section, keys_of
from frontgate.settings.walk import read_section

UNIT = '[[unit]]\ncode = "5201021100X"\nspool = "s"\nkey = "k.key"\ncertificate = "k.pem"\n'
HUB_UNIT = '[[directory]]\nunit = "5201021100X"\nout = "o"\nin = "i"\n'


def gateway(tmp_path: Path, text: str, unit: str = UNIT) -> GatewaySettings:
    path = tmp_path / "gateway.toml"
    path.write_text(text + unit, "utf-8")
    return load_gateway(path)


def hub(tmp_path: Path, text: str) -> HubSettings:
    path = tmp_path / "hub.toml"
    path.write_text(text, "utf-8")
    return load_hub(path)


def faults(load: Any, *arguments: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(*arguments)
    assert caught.value.code == "FG-CFG-003"
    told: list[str] = caught.value.detail.split("; ")
    assert caught.value.params["count"] == len(told)
    return told


def test_defaults_and_relative_paths(tmp_path: Path) -> None:
    settings = gateway(tmp_path, "")
    assert settings.base == tmp_path
    assert settings.path(settings.node.state) == tmp_path / "state"
    assert settings.path(settings.unit[0].spool) == tmp_path / "s"
    assert settings.path(Path("/srv/x")) == Path("/srv/x")
    assert settings.account == "u5201021100x"
    assert settings.relay.delayed_after_s == (1800.0, 259200.0)
    assert settings.limits.package_bytes == 64 << 30
    assert settings.hub.host_keys == []
    assert settings.hub.directory is None
    empty = hub(tmp_path, "")
    assert empty.file == str(tmp_path / "hub.toml")
    assert empty.limits.account_waiting_bytes == 256 << 30
    assert empty.unit == "52000090005"


def test_defaults_are_not_shared(tmp_path: Path) -> None:
    one, other = gateway(tmp_path, ""), gateway(tmp_path, "")
    one.hub.host_keys.append("x")
    assert other.hub.host_keys == []
    assert gateway(tmp_path, "").hub.host_keys == []


def test_nested_tables_and_lists_of_them(tmp_path: Path) -> None:
    settings = gateway(
        tmp_path,
        '[hub]\ntransport = "directory"\nhost_keys = ["a", "b"]\n'
        '[hub.directory]\nout = "o"\nin = "i"\npoll_s = 3\n'
        '[[relay.rate_limit]]\nbegins = "08:00"\nends = "18:30"\nbytes_per_s = 2048\n'
        '[[relay.rate_limit]]\nbegins = "22:00"\nends = "06:00"\nbytes_per_s = 0\n',
        UNIT + '[[unit.app]]\nname = "a"\nflows = ["x.y"]\n[[unit.app]]\nname = "b"\n'
        'dialect = "d"\n' + UNIT.replace("5201021100X", "52010221005"),
    )
    assert settings.hub.directory is not None
    assert settings.hub.directory.into == Path("i")
    assert settings.hub.directory.poll_s == 3.0
    assert settings.hub.host_keys == ["a", "b"]
    assert [(w.begins, w.ends, w.bytes_per_s) for w in settings.relay.rate_windows()] == [
        (480, 1110, 2048),
        (1320, 360, 0),
    ]
    assert [unit.code for unit in settings.unit] == ["5201021100X", "52010221005"]
    assert [(app.name, app.flows, app.dialect) for app in settings.unit[0].app] == [
        ("a", ["x.y"], None),
        ("b", [], Path("d")),
    ]
    assert hub(tmp_path, HUB_UNIT).directory[0].into == Path("i")


def test_they_are_frozen_copied_and_sent(tmp_path: Path) -> None:
    settings = hub(tmp_path, "[console]\nport = 1\n")
    with pytest.raises(AttributeError):
        settings.unit = "x"  # type: ignore[misc]
    other = replace(settings, console=replace(settings.console, port=2))
    assert (settings.console.port, other.console.port) == (1, 2)
    assert other.sftp == settings.sftp
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[intake]\nsettle_s = true", "intake.settle_s", "`float`, got `bool`"),
        ("[limits]\nfiles = true", "limits.files", "`int`, got `bool`"),
        ("[limits]\nfiles = 2.0", "limits.files", "`int`, got `float`"),
        ('[limits]\nfiles = "2"', "limits.files", "`int`, got `str`"),
        ("[limits]\nfiles = 1979-05-27", "limits.files", "`int`, got `date`"),
        ("[limits]\nfiles = 0", "limits.files", ">= 1"),
        ("[relay]\nbundle_members = 257", "relay.bundle_members", "<= 256"),
        ("[relay]\nretry_first_s = 0", "relay.retry_first_s", "> 0"),
        ("[relay]\nretry_first_s = nan", "relay.retry_first_s", "> 0"),
        ("[relay]\nretry_first_s = inf", "relay.retry_first_s", "finite"),
        ("[relay]\ndelayed_after_s = [1, nan]", "relay.delayed_after_s", "finite"),
        ("[relay]\ndelayed_after_s = [1]", "relay.delayed_after_s", "length 2"),
        ("[disk]\nhigh_water_percent = 1", "disk.high_water_percent", "> 1"),
        ("[disk]\nhigh_water_percent = 100.5", "disk.high_water_percent", "<= 100"),
        ("[retention]\nautomatic = 1", "retention.automatic", "`bool`, got `int`"),
        ('[retention]\nautomatic = "yes"', "retention.automatic", "`bool`, got `str`"),
        ("[hub]\nport = 65536", "hub.port", "<= 65535"),
        ("[hub]\nhost = 1", "hub.host", "`str`, got `int`"),
        ('[hub]\nhost_keys = "one"', "hub.host_keys", "`array`, got `str`"),
        ('[hub]\nhost_keys = ["one", 2]', "hub.host_keys", "`str`, got `int`"),
        ('[hub]\ntransport = "pigeon"', "hub.transport", "one of 'sftp', 'directory'"),
        ("[hub]\ntransport = [1]", "hub.transport", "one of 'sftp', 'directory'"),
        ('[hub]\ntransport = "directory"', "hub", "needs [hub.directory]"),
        ('[hub.directory]\nout = "o"', "hub.directory.in", "missing"),
        ('[hub.directory]\nout = "o"\ninto = "i"\nin = "i"', "hub.directory.into", "'in'"),
        ("[node]\nstate = 1", "node.state", "`str`, got `int`"),
        ("[node]\nstandards = 1", "node.standards", "`str`, got `int`"),
        ('[node]\nstate = "a\\u0000"', "node.state", "U+0000"),
        ("node = 1", "node", "must be a table"),
        ("[[node]]", "node", "must be a table"),
        ("[relay.rate_limit]", "relay.rate_limit", "[[rate_limit]]"),
        ("[relay]\nrate_limit = [1]", "relay.rate_limit", "must be a table"),
        ('base = "/etc"', "base", "unknown key"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(
    tmp_path: Path, text: str, key: str, words: str
) -> None:
    (told,) = faults(gateway, tmp_path, text + "\n")
    place, named, what = told.split(": ", 2)
    assert named == key
    assert words in what
    assert place.startswith("gateway.toml:")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a" * 41, "a\\n", "软件"])
def test_the_name_of_a_program_is_a_folder_name(tmp_path: Path, name: str) -> None:
    told = faults(gateway, tmp_path, "", UNIT + f'[[unit.app]]\nname = "{name}"\n')
    assert "unit.app.name: Expected `str` matching" in told[0]


@pytest.mark.parametrize("url", ["ftp://x", "https://x/y", "https://x\\n", "x"])
def test_the_address_of_the_console_is_an_origin(tmp_path: Path, url: str) -> None:
    assert "console.url" in faults(hub, tmp_path, f'[console]\nurl = "{url}"\n')[0]
    assert hub(tmp_path, '[console]\nurl = "https://[::1]:1"\n').console.url == "https://[::1]:1"


def test_an_integer_is_a_number_and_stays_exact(tmp_path: Path) -> None:
    settings = gateway(tmp_path, f"[intake]\nsettle_s = 3\n[limits]\npackage_bytes = {1 << 70}\n")
    assert isinstance(settings.intake.settle_s, float)
    assert settings.intake.settle_s == 3.0
    assert settings.limits.package_bytes == 1 << 70
    assert math.isfinite(settings.relay.overdue_s)


@pytest.mark.parametrize(("rate", "good"), [(0, True), (1023, False), (1024, True), (-1, False)])
def test_a_rate_is_nothing_or_useful(tmp_path: Path, rate: int, good: bool) -> None:
    text = f'[[relay.rate_limit]]\nbegins = "00:00"\nends = "23:59"\nbytes_per_s = {rate}\n'
    if good:
        assert gateway(tmp_path, text).relay.rate_limit[0].bytes_per_s == rate
    else:
        assert "relay.rate_limit.bytes_per_s" in faults(gateway, tmp_path, text)[0]
    for clock in ("24:00", "8:00", "08:00:00", "08:00\\n"):
        assert "begins" in faults(gateway, tmp_path, text.replace('"00:00"', f'"{clock}"'))[0]


def test_every_fault_is_told_at_once_and_each_in_its_table(tmp_path: Path) -> None:
    told = faults(
        gateway,
        tmp_path,
        "[intake]\nsetle_s = 2\nrescan_s = true\n"
        '[relay]\nbundle_members = 9999\nnothing_like_it = 1\n[lgo]\nlevel = "info"\n',
        UNIT
        + '[[unit.app]]\nname = "a/b"\n'
        + UNIT.replace("5201021100X", "1").replace("key =", "kee =")
        + '[[unit.app]]\nname = "a"\nname2 = "b"\n[[unit.app]]\nname = "ü"\n',
    )
    assert told == [
        "gateway.toml:15: unit.app.name: Expected `str` matching regex '^[A-Za-z0-9_-]{1,40}\\\\Z'",
        "gateway.toml:17: unit.code: not a unit code (11 characters, check character last)",
        "gateway.toml:16: unit.key: missing, but required",
        "gateway.toml:23: unit.app.name2: unknown key, did you mean 'name'?",
        "gateway.toml:25: unit.app.name: Expected `str` matching regex '^[A-Za-z0-9_-]{1,40}\\\\Z'",
        "gateway.toml:19: unit.kee: unknown key, did you mean 'key'?",
        "gateway.toml:3: intake.rescan_s: Expected `float`, got `bool`",
        "gateway.toml:2: intake.setle_s: unknown key, did you mean 'settle_s'?",
        "gateway.toml:5: relay.bundle_members: Expected `int` <= 256",
        "gateway.toml:6: relay.nothing_like_it: unknown key",
        "gateway.toml:7: lgo: unknown key, did you mean 'log'?",
    ]


def test_a_unit_at_least(tmp_path: Path) -> None:
    assert faults(gateway, tmp_path, "", "") == ["gateway.toml: unit: missing, but required"]
    assert "at least 1" in faults(gateway, tmp_path, "unit = []\n", "")[0]


def test_a_key_of_another_section_is_named(tmp_path: Path) -> None:
    (told,) = faults(gateway, tmp_path, "[intake]\nbundle_members = 3\n")
    assert "did you mean 'bundle_members'?" in told


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    for text in ("[", "a = " + "[" * 9000, "\N{BOM}x"):
        with pytest.raises(SettingsError) as caught:
            gateway(tmp_path, text, "")
        assert caught.value.code == "FG-CFG-002"
    (tmp_path / "gateway.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError) as caught:
        load_gateway(tmp_path / "gateway.toml")
    assert caught.value.code == "FG-CFG-001"


TEXT = """a = 1
[t]
"x" = 1
[ t . u ]
x = 1
# x
[[r]]
  x=1
[[r.s]]
y = 1
[[r.s]]
y = 2
[[r]] # x
x.z = 1
[v]
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("a",), 1),
        (("t", "x"), 3),
        (("t", "u", "x"), 5),
        (("r", 0, "x"), 8),
        (("r", 0, "s", 0, "y"), 10),
        (("r", 0, "s", 1, "y"), 12),
        (("r", 1, "x", "z"), 14),
        (("r", 1, "missing"), 13),
        (("v", "w"), 15),
        (("nowhere",), 0),
    ],
)
def test_the_line_of_a_key(place: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, place) == line


def every(model: type[Section]) -> list[type[Section]]:
    return [model, *(s for key in keys_of(model) if key.section for s in every(key.section))]


@pytest.mark.parametrize("model", [GatewaySettings, HubSettings])
def test_every_key_has_a_meaning_in_both_languages(model: type[Section]) -> None:
    for section in every(model):
        for key in keys_of(section):
            if key.section is None:
                zh, _, en = key.meaning.partition(" | ")
                assert zh, key.name
                assert en, key.name


@pytest.mark.parametrize("model", [GatewaySettings, HubSettings])
def test_every_default_would_be_accepted_from_the_file(model: type[Section]) -> None:
    for section in every(model):
        table = {
            key.name: _plain(key.default)
            for key in keys_of(section)
            if key.section is None and not key.is_required and key.default is not None
        }
        needed = {key.name for key in keys_of(section) if key.is_required}
        _, told = read_section(section, table)
        assert {fault.key for fault in told} == needed


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
