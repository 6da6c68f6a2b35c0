"""Looks of the command line at a hub's cases: in its audit chain before anything is shown, as those of
the console are.

The running hub keeps them. Where none runs, this process does, under the journal's lock: the projections
can be read then too. Where neither is possible nothing is shown: a look without a trace is what stopping
the daemon, or filling its disk, must not give.
"""

from __future__ import annotations

from frontgate.cli.node import Node
from frontgate.errors import ConsoleError, FrontgateError


def keep_look(node: Node, what: str, /, **data: object) -> None:
    """Record a look; of a gateway nothing, whose cases are its own. data: empty values are left out.

    Raises: ConsoleError FG-CON-004 where it cannot be kept.
    """
    if node.role != "hub":
        return
    try:
        node.record(f"cli-look-{what}", **{k: str(v)[:100] for k, v in data.items() if v != ""})
    except (FrontgateError, OSError, ValueError) as error:
        raise ConsoleError("FG-CON-004", detail=str(error)) from error
