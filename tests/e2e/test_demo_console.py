"""`frontgate demo --serve`: the hub starts its console, and the printed login opens the case."""

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest


@pytest.mark.timeout(300)
def test_the_demo_ends_with_a_console_and_a_login_to_try(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "frontgate", "--lang", "en", "demo"),
            *("--dir", str(home), "--serve", "--packages", "20"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        stop = threading.Timer(240, process.kill)
        stop.start()
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            told = "".join(lines)
            address = re.search(r"Console: (http\S+)", told)
            assert address is not None, told[-3000:]
            people = dict(re.findall(r"^  (\w+) +(\w+-\w+-\w+)   ", told, re.MULTILINE))
            assert {"committee", "police", "operator", "hub", "auditor"} <= set(people)
            assert ", 0 did not" in told, told[-3000:]
            with httpx.Client(base_url=address[1], timeout=60) as client:
                page = client.get("/login").text
                token = re.search(r'name="csrf" value="([^"]+)"', page)
                assert token is not None
                form = {"login": "police", "password": people["police"], "csrf": token[1]}
                assert client.post("/login", data=form).status_code == 303
                listed = client.get("/cases").text
                case = re.search(r'href="/cases/(C\w+)"', listed)
                assert case is not None, listed[-2000:]
                course = client.get(f"/cases/{case[1]}").text
                assert "<svg" in course
                assert "贵阳市公安局南明分局" in course or "Nanming police" in course
        finally:
            process.send_signal(signal.SIGINT)
            stop.cancel()
            process.communicate(timeout=60)
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True, check=False)
    assert left.stdout == "", "processes were left behind"
