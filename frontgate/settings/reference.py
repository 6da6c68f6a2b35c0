"""The text of `docs/settings.md`, from the sections themselves."""

from __future__ import annotations

from pathlib import Path

from frontgate.settings.gateway import GatewaySettings
from frontgate.settings.hub import HubSettings
from frontgate.settings.section import Section, keys_of


def settings_reference() -> str:
    """The text of `docs/settings.md`."""
    out = [
        "# Settings / 设置",
        "",
        "Generated from `frontgate/settings/`. Paths are relative to the file.",
        "",
    ]
    models: tuple[tuple[str, type[Section]], ...] = (
        ("gateway.toml", GatewaySettings),
        ("hub.toml", HubSettings),
    )
    for title, model in models:
        out += [f"## `{title}`", "", *_table("", model)]
    return "\n".join(out) + "\n"


def _table(prefix: str, model: type[Section]) -> list[str]:
    rows: list[str] = []
    deeper: list[str] = []
    for key in keys_of(model):
        if key.section is not None:
            path = prefix + key.name
            mark = f"[[{path}]]" if key.is_list else f"[{path}]"
            said = [key.meaning.replace(" | ", "<br>"), ""] if key.meaning else []
            deeper += [f"### `{mark}`", "", *said, *_table(f"{path}.", key.section)]
        else:
            default = "" if key.is_required else f"`{_shown(key.default)}`"
            rows.append(f"| `{key.name}` | {default} | {key.meaning.replace(' | ', '<br>')} |")
    head = ["| key | default | meaning |", "| --- | --- | --- |"] if rows else []
    return [*head, *rows, "", *deeper]


def _shown(value: object) -> str:
    return value.as_posix() if isinstance(value, Path) else str(value)
