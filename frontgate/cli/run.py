"""`frontgate run` and `frontgate hub run`: the daemons."""

from __future__ import annotations

import click

from frontgate.cli.output import Output
from frontgate.heap import make_without_collecting


@click.command()
@click.pass_obj
def run(out: Output) -> None:
    """Run the gateway. SIGTERM drains and stops within 10 s; SIGHUP reads the trust files again."""
    from frontgate.pipeline.service import Stop, made_when_writable, set_up_logs

    make_without_collecting()
    stop = Stop()
    from frontgate.gateway.daemon import Gateway
    from frontgate.settings import find_config, load_gateway

    settings = load_gateway(find_config(out.config, "gateway"))
    set_up_logs(settings.log.format, settings.log.level)
    daemon = made_when_writable(lambda: Gateway(settings), stop)
    if daemon is not None:
        daemon.run(stop)
    if stop.code:
        raise click.exceptions.Exit(stop.code)


@click.command()
@click.pass_obj
def hub_run(out: Output) -> None:
    """Run the hub, with its SFTP server unless OpenSSH serves the units."""
    from frontgate.pipeline.service import Stop, made_when_writable, set_up_logs

    make_without_collecting()
    stop = Stop()
    from frontgate.hub.daemon import Hub
    from frontgate.settings import find_config, load_hub

    settings = load_hub(find_config(out.config, "hub"))
    set_up_logs(settings.log.format, settings.log.level)
    daemon = made_when_writable(lambda: Hub(settings), stop)
    if daemon is not None:
        daemon.run(stop)
    if stop.code:
        raise click.exceptions.Exit(stop.code)
