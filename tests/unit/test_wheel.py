"""What is installed is all that runs: the wheel holds every file that the program reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = (".toml", ".sql", ".csv", ".html", ".css", ".js", ".xsd", ".sch", ".xsl", ".xml", ".svg")


def test_the_wheel_holds_every_data_file_and_nothing_of_the_tests(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for top, inside in (("frontgate", "frontgate"), ("standards", "frontgate/_standards")):
        wanted = {
            f"{inside}/{path.relative_to(ROOT / top).as_posix()}"
            for path in (ROOT / top).rglob("*")
            if path.is_file() and (path.suffix in DATA or path.suffix == ".py")
        }
        assert len(wanted) > 100
        assert wanted <= names, sorted(wanted - names)[:10]
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/")) or ".pyc" in n]
