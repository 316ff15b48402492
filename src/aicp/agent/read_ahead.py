"""Weights in memory before an engine asks for them: the kernel reads model files into its page cache on its own.

While an engine's interpreter starts, which takes seconds, its weights come from the disk beside that; and the weights
of a service that went to sleep stay in memory that nobody else needs. The cache is the kernel's: it gives it up for
whoever needs memory, and engines that share a version share it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_MEMORY = Path("/proc/meminfo")
_SPARE_SHARE = 0.1
"""Of all memory that stays free: a cache is worth nobody's swap."""
_PIECE_BYTES = 16 * 2**20
"""The kernel is asked for so much at a time: it reads no more than fits its queue of one call."""


def read_ahead(directory: Path, memory: Path = _MEMORY) -> int:
    """Has the kernel read all files below `directory`, as long as there is memory that nobody uses; answers bytes asked
    for. A file that cannot be read, or a kernel that does not do it, costs the speed alone."""
    left = _free_bytes(memory)
    asked = 0
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        try:
            size = path.stat().st_size
            if asked + size > left:
                log.info("not all of %s is read into memory ahead: there is too little of it", directory)
                break
            _advise(path, size)
        except OSError as error:
            log.debug("%s is not read ahead: %s", path, error)
            continue
        asked += size
    return asked


def _advise(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for offset in range(0, size, _PIECE_BYTES):
            os.posix_fadvise(descriptor, offset, min(_PIECE_BYTES, size - offset), os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)


def _free_bytes(memory: Path) -> int:
    """What may be taken without taking it from anybody: memory that is available, less a reserve."""
    values: dict[str, int] = {}
    try:
        for line in memory.read_text().splitlines():
            name, _, rest = line.partition(":")
            values[name] = int(rest.split()[0]) * 1024
        return max(0, values["MemAvailable"] - int(values["MemTotal"] * _SPARE_SHARE))
    except (OSError, ValueError, IndexError, KeyError):
        return 0
