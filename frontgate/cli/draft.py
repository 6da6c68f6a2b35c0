"""`frontgate draft`: the next message of a case, with all that is known filled in."""

from __future__ import annotations

from pathlib import Path

import click

from frontgate.cli.archive import MOST_MESSAGE_BYTES, packages_of
from frontgate.cli.node import find_node
from frontgate.cli.output import LINES, Output, say
from frontgate.core.visible import is_hidden
from frontgate.settings import GatewaySettings


@click.command()
@click.argument("message_type", metavar="TYPE")
@click.option("--case", "case_uid", required=True, metavar="CASE", help="CaseUid.")
@click.option("--person", "persons", multiple=True, metavar="PERSON", help="Only these persons.")
@click.option("--reply-to", default="", metavar="ID", help="MessageId that it answers.")
@click.option("--unit", default="", metavar="CODE", help="Sending unit, where there are several.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file; it must not exist. Else to standard output.",
)
@click.pass_obj
def draft(
    out: Output,
    message_type: str,
    case_uid: str,
    persons: tuple[str, ...],
    reply_to: str,
    unit: str,
    output: Path | None,
) -> None:
    """Write the next message of a case: persons, charges, measures and numbers that earlier
    messages of this gateway said are filled in; what is new is left open and listed.

    JSON: message, answers, to_fill (xpath, zh, en, type, codes). Exit 1 if no message of the case
    is known here.
    """
    from frontgate import clock, safexml
    from frontgate.standard import Standards
    from frontgate.standard.draft import write_draft
    from frontgate.standard.known import read_known

    node = find_node(out)
    if not isinstance(node.settings, GatewaySettings):
        raise click.UsageError(out.pick("枢纽不发送业务报文", "a hub sends no such messages"))
    units = [u.code for u in node.settings.unit]
    if unit and unit not in units:
        raise click.UsageError(
            out.pick(f"本机没有单位 {unit}", f"{unit} is no unit of this gateway")
        )
    root = node.settings.node.standards
    standards = Standards.load(node.settings.path(root) if root else None)
    roots = (
        safexml.parse(package.read("message.xml", MOST_MESSAGE_BYTES))
        for _, package in packages_of(node.state, about=case_uid)
    )
    known = read_known(standards, roots)
    made = write_draft(
        standards.version(standards.newest),
        message_type,
        known,
        sender=unit or units[0],
        case_uid=case_uid,
        now=clock.now(),
        persons=persons,
        reply_to=reply_to,
    )
    if not known.messages:
        say(
            out.pick(f"本机没有案件 {case_uid} 的报文", f"no message of {case_uid} is known here"),
            err=True,
        )
        raise click.exceptions.Exit(1)
    if out.as_json:
        out.json(
            {
                "message": made.data.decode(),
                "answers": made.answers,
                "to_fill": [
                    {
                        "xpath": o.xpath,
                        "zh": o.zh,
                        "en": o.en,
                        "type": o.type_name,
                        "codes": o.codes,
                    }
                    for o in made.to_fill
                ],
            }
        )
        return
    if output is None:
        say(_referred(made.data.decode()), nl=False, keep=LINES)
    else:
        with output.open("xb") as file:
            file.write(made.data)
    say(
        out.pick(
            f"依据本案 {len(known.messages)} 份报文；待填 {len(made.to_fill)} 处：",
            f"from {len(known.messages)} messages of the case; {len(made.to_fill)} places to fill:",
        ),
        err=True,
    )
    for one in made.to_fill:
        more = " · ".join(t for t in (one.type_name, one.codes) if t)
        say(f"  {one.xpath}  {out.pick(one.zh, one.en)}  {more}", err=True)


def _referred(xml: str) -> str:
    """The same document for a terminal: hidden characters, which only texts of earlier messages bring
    in, as character references."""
    return "".join(f"&#x{ord(c):x};" if is_hidden(c) and c not in LINES else c for c in xml)
