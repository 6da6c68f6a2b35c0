"""The newest directory that the hub sent, brought into use.

The journal keeps the signed control message; the trust folder and `reference/` follow it. A crash or a
full disk between the two is made good at the next turn or the next start: the hub announces a version
only once.
"""

from __future__ import annotations

from collections.abc import Callable

from frontgate.errors import TrustError
from frontgate.journal import Reader, bundles
from frontgate.seal.control import read_control
from frontgate.trust.store import TrustStore

KIND = "directory"


class NewDirectory:
    """`turn` is the body of a loop. use: works with a trust store from now on; safe to repeat."""

    def __init__(
        self,
        reader: Reader,
        trust: Callable[[], TrustStore],
        use: Callable[[TrustStore], None],
        wake: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._trust = trust
        self._use = use
        self._wake = wake
        self._is_owed = True

    def came(self) -> None:
        """A control message with a directory was committed."""
        self._is_owed = True
        self._wake()

    def turn(self) -> float | None:
        """Use what was not used yet. Raises: what makes it impossible; then it stays owed."""
        if not self._is_owed:
            return None
        trust = self._trust()
        xml = bundles.last_control(self._reader, trust.directory.hub, KIND)
        text = read_control(xml).body.text if xml else None
        if text:
            try:
                self._use(trust.with_directory(text.encode()))
            except TrustError as error:
                if error.code != "FG-TRU-016":  # an older one: a newer came by another way
                    raise
        self._is_owed = False
        return None
