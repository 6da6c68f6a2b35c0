"""Importing a library without the extras that it would only load to be ready for anything.

Several libraries try to import others "if they are there" (`try: import rich … except ImportError`).
Installed for another purpose, those cost each process a quarter of a second and megabytes that it
never uses. `without` makes them look absent while the library is imported, and only then: afterwards
each can be imported as usual by whoever wants it. Only imports that the library itself declares as
optional may be named, and a test holds that no daemon has them (`tests/unit/test_starts.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """While this lasts, `import name` raises ImportError, unless it was imported before.

    Meant for the import of one library at the head of the one module that uses it; imports in other
    threads would see the same, so it must not be used later than that.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to say "absent"
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]
