"""Values: what the rooms hand each other. Frozen, compared and hashed by what is in them.

Made by msgspec, which is imported here and in the settings alone. A class of fifteen fields costs a start 0.03 ms where a
frozen dataclass costs 1.6; an object is made three to seven times, a changed copy 27 times as fast (ADR 0022).
"""

from __future__ import annotations

from typing import Any

from frontgate.lean import without

with without("typing_extensions"):
    from msgspec import Struct, field, to_builtins
    from msgspec.structs import replace

__all__ = ["Struct", "asdict", "field", "replace"]


def asdict(value: object) -> dict[str, Any]:
    """A value's fields by name as JSON has them, those of values within it too: times and enumerations are text.

    Bytes stay what they are: who writes JSON of them has to say how. Raises: TypeError for what is no value, or
    holds a path, an error or anything else that JSON has no form for.
    """
    made = to_builtins(value, builtin_types=(bytes,))
    if not isinstance(made, dict) or isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} is no value")
    return made
