"""`frontgate export|import`: evidence for a third party, and transfer by a medium across an air gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from frontgate.cli.keep import LONG_S, ask_keeper
from frontgate.cli.node import Node, actor, find_node
from frontgate.cli.output import Existing, Output


@click.command()
@click.argument("ident", required=False, default="")
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file.",
)
@click.option(
    "--waiting", is_flag=True, help="What waits for the other side, to be carried on a medium."
)
@click.option("--for", "unit", default="", metavar="UNIT", help="At a hub: whose mailbox.")
@click.option(
    "--again", is_flag=True, help="With --waiting at a unit: also what was sent, not answered."
)
@click.pass_obj
def export(out: Output, ident: str, target: Path, waiting: bool, unit: str, again: bool) -> None:
    """Write evidence about IDENT (a MessageId, FlowUid or CaseUid), or, with --waiting, a medium.

    Evidence holds the sealed packages, all receipts, the audit entries they name and what was trusted, in
    one signed file; frontgate verify judges it anywhere. A medium is taken in by frontgate import on the
    other side, with the same checks and receipts as by the line. JSON: path, digest, and counts.
    """
    node = find_node(out)
    if waiting == bool(ident):
        raise click.UsageError("either IDENT or --waiting / 须给出编号或 --waiting 之一")
    if waiting:
        if (node.role == "hub") != bool(unit):
            raise click.UsageError(
                "--for UNIT is needed at a hub, and only there / 平台须给出 --for"
            )
        value = _of_daemon(
            node,
            {
                "act": "medium-write",
                "target": str(target.absolute()),
                "unit": unit,
                "again": again,
            },
        )
        out.emit(
            value,
            f"✓ {value['bundles']} 个传输包已写入 {value['path']}",
            f"✓ {value['bundles']} bundles written to {value['path']}",
        )
        return
    value = ask_keeper(
        node,
        {"act": "export", "about": ident, "target": str(target.absolute()), "actor": actor()},
    )
    out.emit(
        value,
        f"✓ 已写入 {value['path']}：报文包 {value['packages']} 件，回执 {value['receipts']} 份",
        f"✓ written to {value['path']}: {value['packages']} packages, {value['receipts']} receipts",
    )
    if not out.as_json:
        for message_id, name in value["pruned"]:
            out.line(
                f"  {message_id} 的内容已按期清除，在归档 {name} 中",
                f"  the content of {message_id} was pruned; it is in archive {name}",
            )


@click.command("import")
@click.argument("source", type=Existing(dir_okay=False))
@click.pass_obj
def import_(out: Output, source: Path) -> None:
    """Take in a medium that the other side wrote with export --waiting.

    It is verified whole before anything of it counts; taking it in again has no second effect. JSON:
    bundles, digest; at a unit also new, at a hub fetched (bundles the unit has taken).
    """
    node = find_node(out)
    value = _of_daemon(node, {"act": "medium-read", "source": str(source.absolute())})
    out.emit(
        value,
        f"✓ 已导入 {value['bundles']} 个传输包",
        f"✓ {value['bundles']} bundles taken in",
    )


def _of_daemon(node: Node, request: dict[str, Any]) -> dict[str, Any]:
    from frontgate.errors import KeepError

    reply = node.ask(request, LONG_S)
    if reply is None:
        raise KeepError("FG-KEP-012")
    return {k: v for k, v in reply.items() if k != "ok"}
