"""The coordinator of one machine: a file that its gateway processes share, whoever of them lives.

No process owns it, so none has to be elected, waited for or believed after a crash: who needs units takes the file's
lock for some microseconds and changes one cell. A cell is a row of `coordination.py`, written in one piece; the kernel
keeps it when its writer is killed, and ends the lock. Each start of the machine has a file of its own, because its
clock begins anew.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from aicp.core.clock import Clock
from aicp.gateway.coordination import Ask, LostCoordinator, Row, Settled, Told, settle
from aicp.gateway.presence import Presence

_CELL_BYTES = 4096
_LENGTH_BYTES = 4
_CELLS = 1 << 16
_PROBES = 64
_LEFT_SECONDS = (3600.0, 3600.0, 40 * 86400.0)
"""By kind: a cell that nobody has touched for so long may become another row's."""
_ROWS_UNDER_LOCK = 32
_TRIES = 200
_AGAIN_SECONDS = 0.002


class _Cell(msgspec.Struct, array_like=True):
    name: str
    kind: int
    row: Row


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Cell).decode


class SharedLedger:
    """`folder` is the same for all processes that share limits. The file has no content where nothing was limited."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock, self._presence = clock, Presence(folder, clock)
        path = folder / f"ledger-{_boot()}"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for other in folder.glob("ledger-*"):
            if other != path:
                other.unlink(missing_ok=True)
        self._places: dict[str, int] = {}
        self._sequence = 0

    async def settle(self, asks: Sequence[Ask]) -> Settled:
        """See Coordinator."""
        told: list[Told] = []
        for first in range(0, len(asks), _ROWS_UNDER_LOCK):
            part = asks[first : first + _ROWS_UNDER_LOCK]
            if first:
                await asyncio.sleep(0)  # requests are served between them
            for _ in range(_TRIES):
                settled = self.settle_at_once(part)
                if settled is not None:
                    told += settled.told
                    break
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                raise LostCoordinator("the file's lock is not given back")
        self._presence.look()
        return Settled(told, self._presence.living)

    def settle_at_once(self, asks: Sequence[Ask]) -> Settled | None:
        """The same, for few rows; None while another process is at it. Raises LostCoordinator."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        try:
            self._sequence += 1
            return Settled([self._settle(ask) for ask in asks], self._presence.living)
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise LostCoordinator(f"its file cannot be used: {error}") from error
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    async def close(self) -> None:
        """See Coordinator."""
        self._presence.close()
        os.close(self._file)

    def _settle(self, ask: Ask) -> Told:
        now = self._clock.monotonic()
        place, cell = self._find(ask, now)
        told = settle(cell.row, self._presence.name, self._sequence, ask, now, self._presence.ended)
        data = _encode(cell)
        if len(data) > _CELL_BYTES - _LENGTH_BYTES:
            raise ValueError("too many processes share one limit")
        os.pwrite(self._file, len(data).to_bytes(_LENGTH_BYTES, "little") + data, place * _CELL_BYTES)
        return told

    def _find(self, ask: Ask, now: float) -> tuple[int, _Cell]:
        place = self._places.get(ask.name)
        if place is not None:
            cell = self._read(place)
            if cell is not None and cell.name == ask.name:
                return place, cell
        place, cell = self._search(ask, now)
        self._places[ask.name] = place
        return place, cell

    def _search(self, ask: Ask, now: float) -> tuple[int, _Cell]:
        """The row's cell, or the first that may become it."""
        free: int | None = None
        start = zlib.crc32(ask.name.encode())
        for probe in range(_PROBES):
            place = (start + probe) % _CELLS
            cell = self._read(place)
            if cell is not None and cell.name == ask.name:
                return place, cell
            if free is None and (cell is None or now - cell.row.now > _LEFT_SECONDS[cell.kind]):
                free = place
            if cell is None:
                break
        if free is None:
            raise ValueError("too many limits are in use")
        return free, _Cell(ask.name, ask.kind, Row())

    def _read(self, place: int) -> _Cell | None:
        data = os.pread(self._file, _CELL_BYTES, place * _CELL_BYTES)
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        try:
            return _decode(data[_LENGTH_BYTES : _LENGTH_BYTES + length]) if length else None
        except msgspec.DecodeError:
            return None  # of another version, or a disk that failed: it begins anew


def _boot() -> str:
    """The machine's present run."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
