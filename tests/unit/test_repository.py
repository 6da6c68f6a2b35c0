"""The frame around the code: top level, generated documents, systemd units, configuration samples."""

import re
import subprocess
from pathlib import Path

import pytest

from frontgate.cli.reference import errors_reference
from frontgate.errors import all_codes
from frontgate.settings import load_gateway, load_hub
from frontgate.settings.reference import settings_reference
from frontgate.trust.directory import read_units

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "pyproject.toml", "README.md", "frontgate", "standards", "spool", "config", "systemd", "tests",
    "docs", "benchmarks", "dev", "requirements.lock", "requirements-test.lock",
    "requirements-uv.lock", "README.zh-CN.md", "LICENSE", "SECURITY.md",
}  # fmt: skip


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_top_level_is_the_agreed_one() -> None:
    top = {name.partition("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= ALLOWED


def test_generated_documents_are_up_to_date() -> None:
    assert (ROOT / "docs" / "errors.md").read_text("utf-8") == errors_reference()
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == settings_reference()


def test_every_code_that_is_raised_is_in_the_table() -> None:
    known = set(all_codes())
    used: set[str] = set()
    for path in (ROOT / "frontgate").rglob("*.py"):
        used |= set(re.findall(r"\"(FG-[A-Z]{3}-\d{3})\"", path.read_text("utf-8")))
    assert used - known == set()


def fields(text: str) -> set[str]:
    """Names of the fields of a text; those that come in two languages count as one."""
    return {re.sub("_(zh|en)$", "", name) for name in re.findall(r"{(\w+)}", text)}


def test_every_code_has_both_languages_and_an_advice() -> None:
    for row in all_codes().values():
        assert re.search("[\u4e00-\u9fff]", row.zh), row.code
        assert re.search("[\u4e00-\u9fff]", row.advice_zh), row.code
        assert re.search("[A-Za-z]", row.en), row.code
        assert row.advice_en, row.code
        assert row.disposition in ("transient", "permanent"), row.code
        assert fields(row.zh) == fields(row.en), row.code


@pytest.mark.parametrize("name", ["frontgate-gateway", "frontgate-hub", "frontgate-hub-accounts"])
def test_units_verify_and_are_tightly_confined(name: str, tmp_path: Path) -> None:
    text = (ROOT / "systemd" / f"{name}.service").read_text()
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace("/usr/bin/frontgate", "/bin/true"))
    verify = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in verify.stderr.splitlines() if name in line]
    assert verify.returncode == 0, verify.stderr
    assert complaints == []
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", security.stdout)
    assert level is not None, security.stderr
    assert float(level[1]) <= 2.0


def test_configuration_samples_are_valid() -> None:
    assert load_gateway(ROOT / "config" / "gateway.toml").unit[0].code == "5201021100X"
    assert load_hub(ROOT / "config" / "hub.toml").sftp.server == "openssh"
    units = read_units((ROOT / "config" / "units.csv").read_bytes())
    assert len(units) >= 30
    assert len({role for unit in units for role in unit.roles}) >= 9


def test_both_readmes_name_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        text = (ROOT / name).read_text("utf-8")
        return re.findall(r"`((?:\./dev|frontgate|pip) [^`]*)`", text)

    assert sorted(commands("README.md")) == sorted(commands("README.zh-CN.md"))


def test_the_script_is_posix_sh_and_teaches() -> None:
    assert subprocess.run(["sh", "-n", str(ROOT / "dev")], check=False).returncode == 0
    help_ = subprocess.run(
        [str(ROOT / "dev"), "help"], capture_output=True, text=True, check=True
    ).stdout
    for word in ("demo", "test", "lint", "bench", "chaos"):
        assert f"./dev {word}" in help_
    assert (
        subprocess.run([str(ROOT / "dev"), "nonsense"], capture_output=True, check=False).returncode
        == 2
    )


def test_every_command_has_a_help_text_that_says_something() -> None:
    from click.testing import CliRunner

    from frontgate.cli.main import EVERYDAY, HUB, cli

    runner = CliRunner()
    for name in EVERYDAY:
        result = runner.invoke(cli, [name, "--help"])
        assert result.exit_code == 0, name
        assert len(result.output.splitlines()) >= 4, name
    for name in HUB:
        result = runner.invoke(cli, ["hub", name, "--help"])
        assert result.exit_code == 0, name


@pytest.mark.parametrize(
    "path",
    [*list((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "README.zh-CN.md"],
    ids=lambda p: p.name,
)
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_all_that_a_command_prints_goes_by_one_way() -> None:
    """`frontgate.cli.output` makes hidden characters visible; nothing passes it."""
    for path in sorted((ROOT / "frontgate" / "cli").glob("*.py")):
        if path.name != "output.py":
            found = re.findall(r"click\.(?:echo|secho|style)\(|(?<![\w.])print\(", path.read_text())
            assert not found, path.name
