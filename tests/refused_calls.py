"""The kernel refuses a system call of this process from now on, with an error of choice (seccomp(2)).

For errors that no file system here can be brought to give: what a library makes of them is then its own
doing and not a stand-in's. There is no way back; use it in a child.
"""

from __future__ import annotations

import ctypes
import platform
import struct

_PWRITE = {"x86_64": 18, "aarch64": 68}
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


def refuse_pwrite(number: int) -> None:
    """number: the errno of every pwrite(2) to come; write(2) goes on."""
    program = b"".join(
        struct.pack("=HBBI", *line)
        for line in (
            (_LOAD, 0, 0, 0),
            (_IF_EQUAL, 0, 1, _PWRITE[platform.machine()]),
            (_RETURN, 0, 0, _ERRNO | number),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    lines = ctypes.create_string_buffer(program, len(program))
    told = struct.pack("@HxxxxxxP", 4, ctypes.addressof(lines))
    where = ctypes.create_string_buffer(told, len(told))
    libc = ctypes.CDLL(None, use_errno=True)
    for act in ((_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER, where, 0, 0)):
        if libc.prctl(*act) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {act[0]}")
