"""The command line in tests: a node's command, its exit code and its JSON."""

from __future__ import annotations

import json
from typing import Any

from forked import command
from province import Province


def frontgate(
    province: Province, name: str, *arguments: str, code: int = 0, as_json: bool = True
) -> Any:
    """Run `frontgate` for a node of the province. Returns: its JSON, or its text."""
    config = province.home / name / ("hub.toml" if name == "hub" else "gateway.toml")
    done = command(
        ["-c", str(config), "--lang", "en", *(["--json"] if as_json else []), *arguments]
    )
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout) if as_json else done.stdout
