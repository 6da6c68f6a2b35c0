"""The envelope of a sealed package: the routing header and the manifest of its parts."""

from __future__ import annotations

from frontgate.model.message import Header
from frontgate.values import Struct


class Part(Struct, frozen=True):
    """One entry of the manifest. path: name in the ZIP. digest: SHA-256, 64 lower-case hex."""

    path: str
    size_bytes: int
    media_type: str
    digest: str


class Copy(Struct, frozen=True):
    """A cc recipient. mode: `full` (the same package) or `narrowed` (an extract, its own package)."""

    unit: str
    mode: str = "full"


class Envelope(Struct, frozen=True):
    """`envelope.xml`. It holds no time of sealing and nothing random: its SHA-256 is the
    ContentDigest, the same for the same content sealed again.

    receivers: unit codes, resolved; external codes never travel. original_message_id and
    original_digest name the original where this package is a narrowed copy.
    """

    header: Header
    receivers: tuple[str, ...]
    copies: tuple[Copy, ...] = ()
    parts: tuple[Part, ...] = ()
    original_message_id: str = ""
    original_digest: str = ""
    on_behalf_of: str = ""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Receivers, then those who get the same package as a copy; each unit once, in order."""
        full = (c.unit for c in self.copies if c.mode == "full")
        return tuple(dict.fromkeys((*self.receivers, *full)))
