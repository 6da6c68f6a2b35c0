"""Entry point: `frontgate` and `frontgate hub`, with commands loaded on demand.

Exit codes: 0 done · 1 the answer is no · 2 usage or settings · 3 permanent failure ·
4 transient, try again. They are part of the contract and never change.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence

import click

from frontgate.cli.output import Output
from frontgate.errors import FrontgateError, SettingsError

EVERYDAY: Mapping[str, str] = {
    "demo": "frontgate.cli.demo:demo",
    "init": "frontgate.cli.enrolment:init",
    "enrol": "frontgate.cli.enrolment:enrol",
    "doctor": "frontgate.cli.doctor:doctor",
    "run": "frontgate.cli.run:run",
    "check": "frontgate.cli.check:check",
    "sample": "frontgate.cli.standard:sample",
    "standard": "frontgate.cli.standard:standard",
    "draft": "frontgate.cli.draft:draft",
    "send": "frontgate.cli.send:send",
    "status": "frontgate.cli.status:status",
    "alarms": "frontgate.cli.alarms:alarms",
    "list": "frontgate.cli.transfers:list_",
    "show": "frontgate.cli.transfers:show",
    "trace": "frontgate.cli.transfers:trace",
    "replay": "frontgate.cli.acts:replay",
    "hold": "frontgate.cli.acts:hold",
    "release": "frontgate.cli.acts:release",
    "cancel": "frontgate.cli.acts:cancel",
    "verify": "frontgate.cli.verify:verify",
    "explain": "frontgate.cli.verify:explain",
    "volumes": "frontgate.cli.volumes:volumes",
    "reconcile": "frontgate.cli.reconcile:reconcile",
    "audit": "frontgate.cli.audit:audit",
    "archive": "frontgate.cli.keep:archive",
    "prune": "frontgate.cli.keep:prune",
    "export": "frontgate.cli.medium:export",
    "import": "frontgate.cli.medium:import_",
    "backup": "frontgate.cli.keep:backup",
    "restore": "frontgate.cli.keep:restore",
    "hub": "frontgate.cli.main:hub",
}
HUB: Mapping[str, str] = {
    "init": "frontgate.cli.hub_admin:init",
    "admit": "frontgate.cli.hub_admin:admit",
    "units": "frontgate.cli.hub_admin:units",
    "suspend": "frontgate.cli.hub_admin:suspend",
    "revoke": "frontgate.cli.hub_admin:revoke",
    "sshd-config": "frontgate.cli.hub_admin:sshd_config",
    "reconcile": "frontgate.cli.reconcile:hub_reconcile",
    "run": "frontgate.cli.run:hub_run",
    "project": "frontgate.cli.cases:project",
    "rebuild": "frontgate.cli.cases:rebuild",
    "cases": "frontgate.cli.cases:cases",
    "admit-unit": "frontgate.cli.cases:admit",
    "due": "frontgate.cli.due:due",
    "ask": "frontgate.cli.ask:ask",
    "stats": "frontgate.cli.stats:stats",
    "replay-history": "frontgate.cli.history:replay_history",
    "console": "frontgate.cli.console:console",
    "user": "frontgate.cli.console:user",
    "token": "frontgate.cli.console:token",
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is named."""

    def __init__(self, *args: object, table: Mapping[str, str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self._table.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

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
        click.echo("aborted", err=True)
        code = 1
    except click.ClickException as error:
        error.show()
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
    click.echo(f"{error.code}: {error.message(lang)}", err=True)
    if error.detail:
        click.echo(f"  {error.detail}", err=True)
    click.echo(f"  → {row.advice_zh if lang == 'zh' else row.advice_en}", err=True)
