"""`frontgate init` and `frontgate enrol`: making a gateway's home, and joining the province."""

from __future__ import annotations

from pathlib import Path

import click

from frontgate.cli.output import Existing, Output


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--unit",
    "units",
    multiple=True,
    required=True,
    metavar="CODE",
    help="Unit code; repeat it for several units of one gateway, its own unit first.",
)
@click.option(
    "--suite",
    default="ecdsa-p256-sha256",
    show_default=True,
    type=click.Choice(["ecdsa-p256-sha256", "rsa-3072-sha256"]),
    help="Signature suite of new keys.",
)
@click.pass_obj
def init(out: Output, directory: Path, units: tuple[str, ...], suite: str) -> None:
    """Make a gateway's home: settings, keys, spool folders and request.json.

    Safe to repeat: existing keys and settings are kept. Send request.json to the hub and read its
    fingerprint out by phone; the hub answers with a bundle for `frontgate enrol`.
    """
    from frontgate.gateway.setup import make_home
    from frontgate.trust.authority import spoken
    from frontgate.trust.request import read_request

    request = make_home(directory, units, suite)
    print_ = spoken(read_request(request.read_bytes()).fingerprint)
    value = {
        "home": str(directory),
        "request": str(request),
        "fingerprint": print_,
        "units": list(units),
    }
    out.emit(
        value,
        f"已建立 {directory}\n请把 {request} 交给省级平台，并电话核对指纹：\n  {print_}\n"
        f"收到登记包后运行：frontgate -c {directory}/gateway.toml enrol <登记包>",
        f"Made {directory}\nSend {request} to the hub and read out its fingerprint by phone:\n  {print_}\n"
        f"Then, with the bundle you get: frontgate -c {directory}/gateway.toml enrol <bundle>",
    )


@click.command()
@click.argument("bundle", type=Existing(dir_okay=False))
@click.option(
    "--ca-fingerprint",
    default="",
    metavar="HEX",
    help="The CA's fingerprint as the hub read it out; blanks do not matter.",
)
@click.pass_obj
def enrol(out: Output, bundle: Path, ca_fingerprint: str) -> None:
    """Take the hub's answer: certificates, trust, address and host keys.

    Without --ca-fingerprint the CA is trusted on first use, and the command says so.
    """
    from frontgate.gateway.setup import take_bundle
    from frontgate.settings import find_config
    from frontgate.trust.authority import spoken
    from frontgate.trust.unit_bundle import read_unit_bundle

    settings = find_config(out.config, "gateway")
    read = read_unit_bundle(bundle.read_bytes(), ca_fingerprint=ca_fingerprint, path=str(bundle))
    take_bundle(settings.parent, settings, read)
    compared = bool(ca_fingerprint)
    shown = spoken(read.ca_fingerprint)
    value = {
        "settings": str(settings),
        "units": list(read.certificates),
        "hub": read.host,
        "port": read.port,
        "ca_fingerprint": read.ca_fingerprint,
        "compared": compared,
        "directory": read.trust.directory.version,
    }
    zh = "CA 指纹已核对" if compared else f"首次信任：CA 指纹未核对，请电话核对：{shown}"
    en = (
        "The CA fingerprint was compared"
        if compared
        else f"Trust on first use: the CA fingerprint was not compared; compare it by phone: {shown}"
    )
    out.emit(
        value,
        f"已登记：{', '.join(read.certificates)} → {read.host}:{read.port}\n{zh}\n"
        f"下一步：frontgate -c {settings} doctor，然后 frontgate -c {settings} run",
        f"Enrolled: {', '.join(read.certificates)} → {read.host}:{read.port}\n{en}\n"
        f"Next: frontgate -c {settings} doctor, then frontgate -c {settings} run",
    )
