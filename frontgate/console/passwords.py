"""Passwords: Argon2id (RFC 9106), and what makes one good enough."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from frontgate.errors import ConsoleError

SHORTEST, LONGEST = 12, 256
# RFC 9106 section 4, the second recommended option but for the lanes: 64 MiB, three passes. One lane:
# with more, OpenSSL takes them from one pool of threads, and two derivations at once wait for ever
# or fail.
MEMORY_KIB, PASSES, LANES = 64 * 1024, 3, 1
# Two at once: a flood of logins takes two threads and 128 MiB, never the machine.
_turns = threading.BoundedSemaphore(2)
# So many wait for one of the two, some seconds at most; the threads that serve pages are twice as many.
PLACES, BUSY_S = 20, 5
# Of those so many are for known browsers and sessions alone; networks that failed within the hour have
# no more than so many together, and none has more than so many (see `throttle.py` for why).
FOR_KNOWN, OF_FAILED, EACH = 4, 8, 6
_taken: Counter[str] = Counter()
_door = threading.Lock()


def check(password: str, login: str) -> None:
    """Raises: ConsoleError FG-CON-005 for one that is too short, too plain or holds the login."""
    plain = password.lower()
    if (
        not SHORTEST <= len(password) <= LONGEST
        or len(set(plain)) < 5
        or (login and login.lower() in plain)
    ):
        raise ConsoleError("FG-CON-005", least=SHORTEST)


def conceal(password: str) -> str:
    """The PHC string that is kept instead of the password."""
    with _turns:
        kdf = Argon2id(
            salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
        )
        return kdf.derive_phc_encoded(password.encode())


@contextmanager
def place(whose: str, *, is_known: bool = False, has_failed: bool = False) -> Iterator[None]:
    """Wait among those whose password is to be looked at. whose: network, known browser or session.

    Raises: ConsoleError FG-CON-002 at once where all places that they might have are taken.
    """
    counted = {"all": PLACES, f"of {whose}": EACH}
    if not is_known:
        counted["strangers"] = PLACES - FOR_KNOWN
        if has_failed:
            counted["failed"] = OF_FAILED
    with _door:
        if any(_taken[name] >= most for name, most in counted.items()):
            raise ConsoleError("FG-CON-002", seconds=BUSY_S)
        _taken.update(counted.keys())
    try:
        yield
    finally:
        with _door:
            _taken.subtract(counted.keys())
            for name in [n for n in counted if _taken[n] <= 0]:
                del _taken[name]


def matches(password: str, kept: str) -> bool:
    """Whether this is the password. kept: empty where there is no such account; that takes as long."""
    with _turns:
        try:
            Argon2id.verify_phc_encoded(password[:LONGEST].encode(), kept or _nobody())
        except InvalidKey:
            return False
    return bool(kept)


@cache
def _nobody() -> str:
    kdf = Argon2id(
        salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return kdf.derive_phc_encoded(os.urandom(32))
