"""Undo what was begun where the rest of it fails."""

from __future__ import annotations

from collections.abc import Callable


class on_failure:  # noqa: N801 (reads as a statement: with on_failure(…))
    """Around steps that belong together: calls `undo` if they do not end well, whatever ends them, an
    interrupt too. Nothing is swallowed; what `undo` itself raises has the first error as its context.

    but: after these errors what was begun is kept.
    """

    __slots__ = ("_but", "_undo")

    def __init__(
        self, undo: Callable[[], object], *, but: tuple[type[Exception], ...] = ()
    ) -> None:
        self._undo = undo
        self._but = but

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, self._but):
            self._undo()
