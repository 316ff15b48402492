"""Places on disk for gateway processes: each writes in one of its own, and a lock says that it lives.

The first place is the gateway's directory itself, the others are the folders `2`, `3` ... in it. So two processes may
run at once (while one takes over from the other, or for good), and none takes what the other has open for orphans.
What a dead process left in its place is found by the next one that takes it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aicp.core.errors import ConflictError
from aicp.core.ids import new_id

_MOST = 256


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that this process holds until it ends or calls `free`. `home` is the gateway's directory."""

    home: Path
    number: int
    directory: Path
    gateway_id: str
    """Under which this place's batches are counted."""
    lock: int

    def free(self) -> None:
        """Others may have it."""
        os.close(self.lock)


def take_slot(home: Path) -> Slot:
    """The first place that nobody holds. Raises ConflictError when there is none, OSError for a disk that fails."""
    for number in range(1, _MOST + 1):
        slot = try_slot(home, number)
        if slot is not None:
            return slot
    raise ConflictError(f"{_MOST} gateway processes run on {home} already.", hint="Stop some of them.")


def try_slot(home: Path, number: int) -> Slot | None:
    """Place `number`, made if need be; None when a process holds it."""
    directory = slot_directory(home, number)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "slot.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Slot(home, number, directory, _gateway_id(directory / "gateway.id"), descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise


def slot_directory(home: Path, number: int) -> Path:
    """Where place `number` is."""
    return home if number == 1 else home / str(number)


def slot_numbers(home: Path) -> list[int]:
    """The places that were ever taken."""
    with suppress(OSError):
        return [1, *sorted(int(path.name) for path in home.iterdir() if path.name.isdigit() and path.is_dir())]
    return [1]


def newest(slot: Slot, name: str) -> Path:
    """Of the files `name` in all places the one that was written last; else where this place's would be."""
    best, found = -1.0, slot.directory / name
    for number in slot_numbers(slot.home):
        path = slot_directory(slot.home, number) / name
        with suppress(OSError):
            written = path.stat().st_mtime
            if written > best:
                best, found = written, path
    return found


def _gateway_id(path: Path) -> str:
    """The id of a place, made when it is first taken."""
    with suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    fresh = new_id("gw")
    unfinished = path.with_name(f".{path.name}.new")
    with unfinished.open("w") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return fresh
