"""Finding and reading the settings file of a node."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from frontgate.errors import SettingsError
from frontgate.settings.gateway import GatewaySettings
from frontgate.settings.hub import HubSettings
from frontgate.settings.section import Section
from frontgate.settings.walk import Fault, read_section

_S = TypeVar("_S", bound=Section)


def find_config(given: str | None, role: Literal["gateway", "hub"]) -> Path:
    """The settings file: as given, else /etc/frontgate/<role>.toml, else ./<role>.toml.

    Raises: SettingsError FG-CFG-001.
    """
    candidates = (
        [Path(given)] if given else [Path("/etc/frontgate") / f"{role}.toml", Path(f"{role}.toml")]
    )
    for path in candidates:
        if path.is_dir():
            path = path / f"{role}.toml"
        if path.is_file():
            return path.resolve()
    raise SettingsError("FG-CFG-001", path=str(candidates[0]))


def load_gateway(path: Path) -> GatewaySettings:
    """Read `gateway.toml`. Raises: SettingsError FG-CFG-001..003."""
    return _load(path, GatewaySettings, base=path.parent)


def load_hub(path: Path) -> HubSettings:
    """Read `hub.toml`. Raises: SettingsError FG-CFG-001..003."""
    return _load(path, HubSettings, base=path.parent, file=str(path))


def _load(path: Path, model: type[_S], **given: object) -> _S:
    data, text = _read(path)
    section, faults = read_section(model, data, **given)
    if section is None:
        raise _refused(path, text, faults)
    return section


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("FG-CFG-001", path=str(path), detail=str(error)) from error
    try:
        return tomllib.loads(text), text
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError("FG-CFG-002", path=str(path), reason=str(error)) from error


def _refused(path: Path, text: str, faults: list[Fault]) -> SettingsError:
    """All faults in one error: line, key, what is wrong, the nearest known key."""
    from frontgate.settings.lines import line_of

    told = []
    for fault in faults:
        number = line_of(text, fault.place)
        told.append(f"{path.name}:{number}" if number else path.name)
        told[-1] += f": {fault.key}: {fault.what}" if fault.key else f": {fault.what}"
    return SettingsError("FG-CFG-003", path=str(path), count=len(faults), detail="; ".join(told))
