"""Writes the generated documents: `python -m frontgate.cli.reference errors|settings`."""

from __future__ import annotations

import sys

from frontgate.errors import all_codes


def errors_reference() -> str:
    """The text of `docs/errors.md`."""
    out = [
        "# Codes / 代码",
        "",
        "Generated from `frontgate/error_codes/`. A code is never renumbered or reused;",
        "`frontgate explain CODE` shows one. 代码永不改号、永不复用。",
    ]
    family = ""
    for code, row in all_codes().items():
        if code[:6] != family:
            family = code[:6]
            out += [
                "",
                f"## {family}",
                "",
                "| code | meaning | what to do |",
                "| --- | --- | --- |",
            ]
        mark = " *(transient)*" if row.disposition == "transient" else ""
        out.append(
            f"| `{code}`{mark} | {_cell(row.zh)}<br>{_cell(row.en)} "
            f"| {_cell(row.advice_zh)}<br>{_cell(row.advice_en)} |"
        )
    return "\n".join(out) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    from frontgate.settings.reference import settings_reference

    texts = {"errors": errors_reference, "settings": settings_reference}
    if len(sys.argv) != 2 or sys.argv[1] not in texts:
        sys.stderr.write("usage: python -m frontgate.cli.reference errors|settings\n")
        sys.exit(2)
    sys.stdout.write(texts[sys.argv[1]]())


if __name__ == "__main__":
    main()
