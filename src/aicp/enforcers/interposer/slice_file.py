"""The two files that the slice library's processes share, as `interposer/src/layout.h` defines them.

They are written with pwrite, never mapped here: the engine may write them too, and one that cuts its file short would
take the agent down with it. A number is eight or four aligned bytes, which the kernel copies at once.
"""

from __future__ import annotations

import errno
import os
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aicp.telemetry.processes import identify

LAYOUT = 1
MOST_DEVICES = 16
_SLICE_MAGIC = int.from_bytes(b"AIPSLICE", "little")
_CARD_MAGIC = int.from_bytes(b"AIPCARD ", "little")
_MOST_PROCESSES = 256
_HEAD = struct.Struct("=QIIQ")  # magic, layout, size, id; then boot and lock, which the library fills in
_COUNT_AT, _DEVICES_AT = 96, 104
_DEVICE = struct.Struct("=64s256sQIIQ")  # uuid, card, memory limit, percent, policy, refused
_MEMORY_AT, _PERCENT_AT, _POLICY_AT = 320, 328, 332
_PROCESS = struct.Struct(f"=qQ{MOST_DEVICES}Q")  # pid, start, used bytes a device
_PROCESSES_AT = _DEVICES_AT + MOST_DEVICES * _DEVICE.size
SLICE_BYTES = _PROCESSES_AT + _MOST_PROCESSES * _PROCESS.size
CARD_BYTES = 160 + 128 * 56 + 256 * 40  # whose turn it is, shares, waiters


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """One device of a slice. `card` is the device's own file; `borrows`: more than the share where others leave it."""

    device_id: str
    card: Path
    memory_bytes: int
    compute_percent: int
    borrows: bool


def write_slice(path: Path, devices: Sequence[DeviceLimits]) -> None:
    """Makes the file, or changes the limits in it while processes use it. Raises OSError.

    Processes count what they hold by a device's place in the file, so it keeps the order that it was made with.
    """
    places = _devices_of(path) or []
    if sorted(places) == sorted(device.device_id for device in devices):
        _change_limits(path, {places.index(device.device_id): device for device in devices})
        return
    body = bytearray(SLICE_BYTES)
    _HEAD.pack_into(body, 0, _SLICE_MAGIC, LAYOUT, SLICE_BYTES, secrets.randbits(63) | 1)
    struct.pack_into("=I", body, _COUNT_AT, len(devices))
    for number, device in enumerate(devices):
        card = os.fsencode(device.card)
        if len(card) > 255:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(device.card))
        uuid = device.device_id.encode()
        limits = (device.memory_bytes, device.compute_percent, int(device.borrows), 0)
        _DEVICE.pack_into(body, _DEVICES_AT + number * _DEVICE.size, uuid, card, *limits)
    _replace(path, bytes(body))


def make_card(path: Path) -> None:
    """Makes the file of a device, or mends one that an engine spoiled, to whom it belongs. Raises OSError.

    Where only the head is wrong it is written anew in place: the processes that have the file still share it.
    """
    head = _HEAD.pack(_CARD_MAGIC, LAYOUT, CARD_BYTES, 0)
    if _size(path) != CARD_BYTES:
        _replace(path, head + bytes(CARD_BYTES - len(head)))
    elif _read(path, 0, _HEAD.size) != head:
        _write(path, {0: head})


def used_bytes(path: Path) -> list[int]:
    """What the living processes of a slice hold of each of its devices. Raises OSError without a file."""
    count = len(_devices_of(path) or [])
    used = [0] * count
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    table = _read(path, _PROCESSES_AT, _MOST_PROCESSES * _PROCESS.size)
    for pid, start, *held in _PROCESS.iter_unpack(table[: len(table) // _PROCESS.size * _PROCESS.size]):
        if pid > 0 and any(held) and (found := identify(pid)) is not None and found.start_ticks == start:
            used = [before + more for before, more in zip(used, held, strict=False)]
    return used


def _devices_of(path: Path) -> list[str] | None:
    """Of a slice file of this layout; None for anything else."""
    body = _read(path, 0, SLICE_BYTES)
    if len(body) < SLICE_BYTES or _HEAD.unpack_from(body)[:3] != (_SLICE_MAGIC, LAYOUT, SLICE_BYTES):
        return None
    count = min(struct.unpack_from("=I", body, _COUNT_AT)[0], MOST_DEVICES)
    places = [_DEVICES_AT + number * _DEVICE.size for number in range(count)]
    return [_DEVICE.unpack_from(body, place)[0].rstrip(b"\0").decode(errors="replace") for place in places]


def _change_limits(path: Path, devices: Mapping[int, DeviceLimits]) -> None:
    """`devices` by their place in the file."""
    parts: dict[int, bytes] = {}
    for number, device in devices.items():
        place = _DEVICES_AT + number * _DEVICE.size
        parts[place + _MEMORY_AT] = struct.pack("=Q", device.memory_bytes)
        parts[place + _PERCENT_AT] = struct.pack("=I", device.compute_percent)
        parts[place + _POLICY_AT] = struct.pack("=I", int(device.borrows))
    _write(path, parts)


def _write(path: Path, parts: Mapping[int, bytes]) -> None:
    """`parts` by their place, into a file that processes may have open."""
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for place, part in parts.items():
            os.pwrite(file, part, place)
    finally:
        os.close(file)


def _replace(path: Path, body: bytes) -> None:
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:  # goes on where the kernel takes only a part
        stream.write(body)
    unfinished.replace(path)


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None


def _read(path: Path, place: int, count: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(file, count, place)
    finally:
        os.close(file)
