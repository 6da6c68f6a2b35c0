"""What a process loads to start: commands and daemons import nothing that they do not use.

Held by names, not by a clock: a library that comes back into a start is a failure on any machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from frontgate.cli import main as command_line
from frontgate.cli.commands import EVERYDAY, HUB
from frontgate.journal import Journal
from frontgate.lean import without

UNIT = "5201021100X"
NEVER = {"rich", "pygments", "invoke", "yaml", "pydantic"}
"""Optional to libraries that we use, and used by no daemon; pydantic was the settings' library."""
FOR_DAEMONS = {
    "paramiko", "asyncssh", "nacl", "cryptography", "lxml", "xmlschema", "structlog", "jinja2",
    "starlette", "uvicorn", "watchdog", "xlsxwriter", "asyncio", "multiprocessing", "email",
    "http", "ssl", "urllib.request", "logging", "typing_extensions",
    "frontgate.standard", "frontgate.seal", "frontgate.gateway", "frontgate.hub", "frontgate.cases",
}  # fmt: skip
"""What the commands that people call all day have no use for."""

ASKED = """
import sys
try:
    {code}
finally:
    with open({out!r}, "w") as file:
        file.write("\\n".join(name for name, module in sys.modules.items() if module is not None))
"""


def loaded(code: str, out: Path, *, status: int = 0) -> set[str]:
    """The modules of a fresh process after `code`. Raises: AssertionError with what it wrote."""
    # Without the coverage tool in the child: what it imports is not ours.
    plain = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")}
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(code=code, out=str(out))],
        capture_output=True, text=True, timeout=60, check=False, env=plain,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return set(out.read_text().splitlines())


def families(modules: set[str], watched: set[str]) -> set[str]:
    return {name for name in watched if name in modules}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gateway")
    subprocess.run(
        [sys.executable, "-m", "frontgate", "init", str(home), "--unit", UNIT],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    Journal.open(home / "state" / "journal.db", node=f"gateway:{UNIT}").close()
    return home


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["status"], 1),  # it is not running
        (["list"], 0),
        (["trace", "nothing"], 3),
        (["send", os.devnull, "--wait", "0.01"], 4),
        (["--help"], 0),
        (["hub", "--help"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_everyday_commands_load_little(
    home: Path, tmp_path: Path, arguments: list[str], status: int
) -> None:
    code = f"from frontgate.cli.main import main; main({['-c', str(home), *arguments]!r})"
    modules = loaded(code, tmp_path / "modules", status=status)
    assert "frontgate.cli.main" in modules
    assert families(modules, NEVER | FOR_DAEMONS) == set()


@pytest.mark.parametrize(
    ("module", "uses", "not_used"),
    [
        ("frontgate.gateway.daemon", {"paramiko", "structlog", "xml.sax.saxutils"}, {"click"}),
        ("frontgate.hub.daemon", {"structlog", "msgspec"}, {"click", "paramiko", "asyncssh"}),
        ("frontgate.hub.sftp_server", {"asyncssh"}, {"click", "paramiko", "structlog"}),
        ("frontgate.cases.process", {"structlog", "lxml"}, {"click", "cryptography"}),
        ("frontgate.console.server", {"starlette", "jinja2"}, {"paramiko", "xlsxwriter"}),
    ],
)  # fmt: skip
def test_daemons_load_what_they_use(
    tmp_path: Path, module: str, uses: set[str], not_used: set[str]
) -> None:
    modules = loaded(f"import {module}", tmp_path / "modules")
    assert families(modules, uses) == uses
    assert families(modules, NEVER | {"xmlschema"} | not_used) == set()


def test_a_daemon_without_file_handles_still_has_the_words_for_it(tmp_path: Path) -> None:
    """What a refusal or a fault needs is in memory when the daemon runs, not read when it happens."""
    code = (
        "import resource; from datetime import UTC, datetime;"
        " import frontgate.gateway.daemon; from frontgate.spool.rejected import report_xml;"
        " from frontgate.pipeline.service import set_up_logs; set_up_logs('json', 'info');"
        " out = open({0!r}, 'w'); limit = resource.getrlimit(resource.RLIMIT_NOFILE);"
        " resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]));"
        " from frontgate.errors import SpoolError; from frontgate.model.finding import Report, finding;"
        " told = report_xml(b'a.xml', Report((finding('FG-SPL-014', value='a.xml'),)), datetime.now(UTC));"
        " assert b'FG-SPL-014' in told and str(SpoolError('FG-SPL-030', what='x'));"
        " resource.setrlimit(resource.RLIMIT_NOFILE, limit)"
    ).replace("{0!r}", repr(str(tmp_path / "out")))
    assert "frontgate.spool.rejected" in loaded(code, tmp_path / "modules")


def test_what_was_hidden_can_be_imported_afterwards(tmp_path: Path) -> None:
    code = "import frontgate.gateway.daemon, invoke, rich.console, typing_extensions"
    modules = loaded(code, tmp_path / "modules")
    assert {"rich.console", "invoke", "typing_extensions"} <= modules


def test_a_module_is_hidden_only_as_long_as_asked() -> None:
    already = sys.modules["click"]
    with without("click", "wave", "no_such_module"):
        assert import_module("click") is already  # imported before: it stays
        for name in ("wave", "no_such_module"):
            with pytest.raises(ImportError):
                import_module(name)
    assert import_module("wave").Error
    assert "no_such_module" not in sys.modules
    with pytest.raises(RuntimeError), without("no_such_module"):
        raise RuntimeError
    assert "no_such_module" not in sys.modules


def test_log_lines_and_tracebacks_are_plain(tmp_path: Path) -> None:
    """One record a line for machines, Python's own traceback; the same for people, without frames."""
    code = (
        "from frontgate.pipeline.service import set_up_logs;"
        "from frontgate.log import get_logger;"
        "set_up_logs({form!r}, 'info'); log = get_logger('x');\n"
        "    try: 1 / 0\n"
        "    except ZeroDivisionError: log.exception('broke', id='甲')"
    )
    for form, parts in (
        ("json", ('"id": "甲"', '"event": "broke"', '"level": "error"', "ZeroDivisionError")),
        ("text", ("broke", "id=甲", "Traceback (most recent call last)", "ZeroDivisionError")),
    ):
        done = subprocess.run(
            [sys.executable, "-c", ASKED.format(code=code.format(form=form), out=os.devnull)],
            capture_output=True, text=True, timeout=60, check=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        for part in parts:
            assert part in done.stderr, (form, part)
        assert not set("╭│╰") & set(done.stderr)
        assert form == "text" or len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("group", "table"), [("cli", EVERYDAY), ("hub", HUB)])
def test_the_list_of_commands_says_what_each_says_of_itself(
    group: str, table: dict[str, tuple[str, str]]
) -> None:
    top = getattr(command_line, group)
    context = click.Context(top)
    for name, (_, text) in table.items():
        command = top.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(1000) == text, name
        assert not command.hidden, name
