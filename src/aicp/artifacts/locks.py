"""Exclusive locks on files and folders that their owner may move or remove at the end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


def lock_in_place(path: Path, open_path: Callable[[], int]) -> int | None:
    """The locked handle of what lies at `path` (`open_path` opens it, making it if need be); None while another has it.

    Whoever closes the handle, or dies, gives the lock up.
    """
    while True:
        handle = open_path()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        try:
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # its owner moved it away between our open and our lock
