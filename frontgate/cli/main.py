"""Entry point: `frontgate` and `frontgate hub`, with commands loaded on demand.

Exit codes: 0 done · 1 the answer is no · 2 usage or settings · 3 permanent failure ·
4 transient, try again. They are part of the contract and never change.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Mapping, Sequence

import click

from frontgate.cli.commands import EVERYDAY, HUB
from frontgate.cli.output import LINES, Output, say
from frontgate.errors import FrontgateError, SettingsError


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is named.

    table: as in `frontgate.cli.commands`.
    """

    def __init__(
        self, *args: object, table: Mapping[str, tuple[str, str]], **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, self._table))
        rows = [
            (name, click.Command(name, help=text).get_short_help_str(limit))
            for name, (_, text) in self._table.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], list(self._table), n=1) if args else []
            if near:
                raise click.UsageError(
                    f"{error.message} Did you mean '{near[0]}'?", ctx=ctx
                ) from None
            raise


@click.group(
    cls=LazyGroup,
    table=EVERYDAY,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-c",
    "--config",
    envvar="FRONTGATE_CONFIG",
    metavar="FILE",
    help="Settings file; else $FRONTGATE_CONFIG, else /etc/frontgate/gateway.toml or hub.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with documented fields.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of texts; else the locale.")
@click.version_option(package_name="frontgate", message="frontgate %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: str | None, as_json: bool, lang: str | None) -> None:
    """frontgate: the front-end exchange server.

    Case software drops files into outbound/; the gateway checks, seals and relays them to the
    provincial hub and puts what comes back into inbound/. Start with: frontgate demo
    """
    ctx.obj = Output(config=config, as_json=as_json, lang=lang)


@click.group(cls=LazyGroup, table=HUB)
def hub() -> None:
    """The provincial hub: set up, admit units, run."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a code of the contract."""
    try:
        code = cli.main(args=list(args) if args is not None else None, standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.Abort:
        say("aborted", err=True)
        code = 1
    except click.ClickException as error:
        text = io.StringIO()  # it may say what it was given
        error.show(text)
        say(text.getvalue(), err=True, nl=False, keep=LINES)
        code = 2
    except SettingsError as error:
        _complain(error)
        code = 2
    except FrontgateError as error:
        _complain(error)
        code = 4 if error.is_transient else 3
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: FrontgateError) -> None:
    from frontgate.cli.output import locale_language

    lang = locale_language()
    row = error.text
    say(f"{error.code}: {error.message(lang)}", err=True, keep=LINES)
    if error.detail:
        say(f"  {error.detail}", err=True, keep=LINES)
    say(f"  → {row.advice_zh if lang == 'zh' else row.advice_en}", err=True)
