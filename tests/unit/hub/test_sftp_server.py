"""The embedded SFTP server's own promises, where a live session cannot stand between two of its steps."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from frontgate.hub.sftp_server import Mailbox

NAME = f"{1:016d}-{'a' * 64}.bundle"


class _Channel:
    def get_extra_info(self, _: str) -> str:
        return "u5201021100x"

    def __getattr__(self, _: str) -> Any:
        return lambda *a, **k: None


def test_an_upload_that_the_hub_takes_at_once_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub sees the name, takes the upload and removes both names before the server's next step."""
    box = tmp_path / "u5201021100x" / "to-hub"
    box.mkdir(parents=True)
    (box / f".{NAME}.part").write_bytes(b"whole")
    link = os.link

    def taken_at_once(*args: Any, **named: Any) -> None:
        link(*args, **named)
        assert (box / NAME).read_bytes() == b"whole"
        (box / NAME).unlink()
        (box / f".{NAME}.part").unlink()

    monkeypatch.setattr(os, "link", taken_at_once)
    mailbox = Mailbox(cast(Any, _Channel()), tmp_path, unsynced=set())
    mailbox.posix_rename(f"/to-hub/.{NAME}.part".encode(), f"/to-hub/{NAME}".encode())
    assert not list(box.iterdir())


def test_a_sync_whose_session_ends_before_its_turn_leaves_nothing_open(tmp_path: Path) -> None:
    """The threads are busy with others' uploads, and the unit goes away."""
    large = tmp_path / "part"
    large.write_bytes(bytes(3 << 20))
    mailbox = Mailbox(cast(Any, _Channel()), tmp_path, unsynced=set())
    free = threading.Event()

    async def session() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, free.wait)
        with large.open("r+b", buffering=0) as file:
            waiting = asyncio.ensure_future(mailbox.fsync(file))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.sleep(0.05)
        free.set()
        await busy
        await loop.shutdown_default_executor()

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(session())
    assert len(os.listdir("/proc/self/fd")) == before
