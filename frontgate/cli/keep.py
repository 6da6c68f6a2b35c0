"""`frontgate archive|prune|backup|restore`: what is kept, where, and how long.

While the daemon runs it does the work, asked through its control socket; else the command does, under the
journal's lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from frontgate.cli.moments import SPAN, moment_of
from frontgate.cli.node import Node, find_node
from frontgate.cli.output import Existing, Output, say

if TYPE_CHECKING:
    from frontgate.pipeline.keeper import Keeper

LONG_S = 7 * 86400.0


@contextlib.contextmanager
def keeper_of(node: Node) -> Iterator[Keeper]:
    """The node's keeper while no daemon runs. Raises: JournalError FG-JRN-002."""
    from frontgate.settings import HubSettings

    with node.journal() as journal:
        if isinstance(node.settings, HubSettings):
            from frontgate.hub import build as hub

            yield hub.build_keeper(node.settings, journal, hub.hub_signer(node.settings))
        else:
            from frontgate.gateway import build as gateway

            signer = gateway.gateway_signer(node.settings)
            yield gateway.build_keeper(node.settings, journal, signer)


def ask_keeper(node: Node, request: dict[str, Any]) -> dict[str, Any]:
    """Let the daemon do it, or do it here. Raises: what either raises."""
    reply = node.ask(request, LONG_S)
    if reply is not None:
        return {k: v for k, v in reply.items() if k != "ok"}
    with keeper_of(node) as keeper:
        return keeper.handlers()[request["act"]](request)


@click.command()
@click.option(
    "--until",
    default="",
    metavar="TIME",
    callback=moment_of,
    help=f"Archive what was made before this time; else now. {SPAN}.",
)
@click.pass_obj
def archive(out: Output, until: str) -> None:
    """Write sealed originals, receipts and audit entries into self-verifying archive files.

    Each file is read back and verified before it counts. Nothing is removed: see prune. JSON: archives
    (name, size_bytes, packages, receipts, events).
    """
    value = ask_keeper(find_node(out), {"act": "archive", "until": until})
    if out.as_json:
        out.json(value)
        return
    for row in value["archives"]:
        say(f"✓ {row['name']}  {row['size_bytes']} B")
        out.line(
            f"  报文包 {row['packages']}，回执 {row['receipts']}，审计记录 {row['events']}",
            f"  {row['packages']} packages, {row['receipts']} receipts, {row['events']} audit entries",
        )
    if not value["archives"]:
        out.line("没有需要归档的内容", "There is nothing to archive")


@click.command()
@click.pass_obj
def prune(out: Output) -> None:
    """Remove what is archived and past its term: contents first, audit entries after 400 days.

    Terms: [retention] in the settings. Receipts and the identities of messages are never removed.
    """
    value = ask_keeper(find_node(out), {"act": "prune"})
    out.emit(
        value,
        f"已清除：段文件 {value['segments']} 个（{value['size_bytes']} 字节），审计记录 {value['events']} 条",
        f"Removed: {value['segments']} segment files ({value['size_bytes']} bytes),"
        f" {value['events']} audit entries",
    )


@click.command()
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="A new folder, or with --file one file.",
)
@click.option("--file", "as_file", is_flag=True, help="Write one file instead of a folder.")
@click.option(
    "--with-keys",
    "passphrase_file",
    type=Existing(dir_okay=False),
    metavar="FILE",
    help="Take the keys along, encrypted with the passphrase in this file.",
)
@click.pass_obj
def backup(out: Output, target: Path, as_file: bool, passphrase_file: Path | None) -> None:
    """Back the node up while it runs: journal, packages, settings, what it trusts.

    A folder shares the packages' files with the node (hard links) where it can: copy it to another
    machine. Keys go along only with --with-keys. JSON: path, digest, members, size_bytes, missing.
    Exit 1 if some package's file could not be read.
    """
    passphrase = _passphrase(passphrase_file)
    value = ask_keeper(
        find_node(out),
        {
            "act": "backup",
            "target": str(target.absolute()),
            "as_file": as_file,
            "passphrase": passphrase,
        },
    )
    out.emit(
        value,
        f"✓ 已备份到 {value['path']}：{value['members']} 个文件，{value['size_bytes']} 字节",
        f"✓ backed up to {value['path']}: {value['members']} files, {value['size_bytes']} bytes",
    )
    if value["missing"]:
        if not out.as_json:
            for name in value["missing"][:50]:
                out.line(f"  ✗ 读不出：{name}", f"  ✗ cannot be read: {name}")
        raise click.exceptions.Exit(1)


def _passphrase(path: Path | None) -> str:
    if path is None:
        return ""
    text = path.read_text("utf-8").strip("\r\n")
    if len(text) < 12:
        raise click.UsageError(
            "the passphrase must have at least 12 characters / 口令至少 12 个字符"
        )
    return text


@click.command()
@click.argument("source", type=Existing())
@click.argument("home", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--keys",
    "passphrase_file",
    type=Existing(dir_okay=False),
    metavar="FILE",
    help="Restore the keys too, with the passphrase in this file.",
)
@click.pass_obj
def restore(out: Output, source: Path, home: Path, passphrase_file: Path | None) -> None:
    """Put a backup in place below HOME, which must not hold a journal.

    Keys and settings that are there already stay. At its next start the node opens a new signed epoch
    of its audit chain and asks its peers for all that happened since the backup. JSON: node, made_at,
    digest, members, has_keys.
    """
    from frontgate.pipeline.backup import restore as put_in_place
    from frontgate.values import asdict

    text = _passphrase(passphrase_file)
    done = put_in_place(source, home, passphrase=text.encode() if text else None)
    out.emit(
        asdict(done),
        f"✓ {done.node} 已恢复到 {home}（备份时间 {done.made_at:%Y-%m-%d %H:%M:%SZ}，{done.members} 个文件）。"
        "启动后将与对方对账。",
        f"✓ {done.node} is restored to {home} (backup of {done.made_at:%Y-%m-%d %H:%M:%SZ},"
        f" {done.members} files). Once started it asks its peers for what happened since.",
    )
    if not done.has_keys:
        out.line(
            "  备份不含密钥：请放回密钥，或用 init 后重新登记",
            "  No keys came along: put them back, or init and have the unit admitted anew",
        )
