"""Slices of NVIDIA devices by a library that is preloaded into CUDA processes (`interposer/` at the repository root).

It caps memory exactly and shares compute by turns of a few milliseconds. It is a fence, not a wall: a program that
unsets LD_PRELOAD, or edits its slice's file, is outside. Tested against a stand-in for the driver (interposer/tests);
it never ran on a real device.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import format_bytes
from aicp.core.slice import SlicePolicy
from aicp.enforcers._ledger import locked
from aicp.enforcers.base import Applied, Consumption
from aicp.enforcers.interposer.slice_file import (
    LAYOUT,
    MOST_DEVICES,
    DeviceLimits,
    make_card,
    used_bytes,
    write_slice,
)

MECHANISM = "interposer"


def library_path() -> Path:
    """Where tools/build_interposer.py puts the library: in the environment that the platform runs from."""
    return Path(sys.prefix) / "lib" / "aicp-interposer" / f"libaicpslice-{LAYOUT}.so"


class InterposerEnforcer:
    """A file for each replica (its limits and what it holds) and one for each device (whose turn it is).

    Their names tell their layout: what is in them is the engines' to change, the directory is not.
    """

    def __init__(self, directory: Path | None = None, library: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"aicp-interposer-{os.geteuid()}"
        self._library = library or library_path()

    def keep_in(self, directory: Path) -> None:
        self._directory = directory

    def unavailable(self) -> str | None:
        if sys.platform != "linux":
            return "the slice library needs Linux"
        if any(letter in str(self._library) for letter in " :"):
            return f"LD_PRELOAD cannot hold a path with a space or a colon: {self._library}"
        if not self._library.is_file():
            return "the slice library was not built: install a C compiler and run tools/build_interposer.py"
        return None

    def apply(self, group: str, allocation: Allocation) -> Applied:
        shares = [device for device in allocation.devices if device.mechanism == MECHANISM]
        if not shares:
            return Applied(False, "no slice is held by the interposer")
        problem = self.unavailable() or self._misfit(shares)
        if problem is not None:
            return Applied(False, f"accelerator slices are not enforced: {problem}")
        try:
            writable = self._write(group, shares)
        except OSError as error:
            return Applied(False, f"accelerator slices are not enforced: {error.strerror}: {error.filename}")
        return Applied(
            True,
            "accelerator slices by interposer: " + ", ".join(map(_describe, shares)),
            env={"LD_PRELOAD": str(self._library), "AICP_SLICE": str(self._slice(group))},
            readable=(str(self._library),),
            writable=tuple(map(str, writable)),
        )

    def usage(self, group: str) -> Consumption:
        try:
            return Consumption(accelerator_memory_bytes=sum(used_bytes(self._slice(group))))
        except OSError:
            return Consumption()

    def pids(self, group: str) -> list[int]:
        """None: the file names some, but the engine can write there what it likes."""
        return []

    def release(self, group: str) -> bool:
        with suppress(OSError):
            for path in self._directory.glob("*.slice"):
                if path.name.split(".")[0] == group:  # of whatever layout
                    path.unlink(missing_ok=True)
        return True

    def can_resize(self) -> bool:
        return self.unavailable() is None

    def _slice(self, group: str) -> Path:
        return self._directory / f"{group}.{LAYOUT}.slice"

    def _card(self, device_id: str) -> Path:
        return self._directory / f"{_short(device_id)}.{LAYOUT}.card"

    def _strange_cards(self, device_id: str) -> list[Path]:
        """The device's files of other layouts."""
        return [path for path in self._directory.glob(f"{_short(device_id)}*.card") if path != self._card(device_id)]

    def _write(self, group: str, shares: Sequence[DeviceShare]) -> list[Path]:
        """The files of the replica and of its devices. Raises OSError."""
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        with locked(self._directory):  # two replicas of a device must find the same file
            return self._write_alone(group, shares)

    def _write_alone(self, group: str, shares: Sequence[DeviceShare]) -> list[Path]:
        cards = [self._card(share.device_id) for share in shares]
        for share, card in zip(shares, cards, strict=True):
            for stranger in self._strange_cards(share.device_id):
                stranger.unlink(missing_ok=True)
            make_card(card)
        limits = [
            DeviceLimits(
                device_id=share.device_id,
                card=card,
                memory_bytes=share.memory_bytes,
                compute_percent=share.compute_percent,
                borrows=share.policy is SlicePolicy.WEIGHT,
            )
            for share, card in zip(shares, cards, strict=True)
        ]
        write_slice(self._slice(group), limits)
        return [self._slice(group), *cards]

    def _misfit(self, shares: Sequence[DeviceShare]) -> str | None:
        if len(shares) > MOST_DEVICES:
            return f"a replica may hold slices of {MOST_DEVICES} devices on a node, not of {len(shares)}"
        strangers = any(self._strange_cards(share.device_id) for share in shares)
        ours = f".{LAYOUT}.slice"
        if strangers and any(not path.name.endswith(ours) for path in self._directory.glob("*.slice")):
            return "replicas with another version of the slice library still run here; stop them or start them anew"
        return None


def _short(device_id: str) -> str:
    """A name for a device in a file's name."""
    return sha256(device_id.encode()).hexdigest()[:16]


def _describe(share: DeviceShare) -> str:
    words = "at least" if share.policy is SlicePolicy.WEIGHT else "at most"
    memory = format_bytes(share.memory_bytes)
    text = f"{words} {share.compute_percent} % of compute and {memory} of {share.device_id}"
    return f"{text} ({share.rounding})" if share.rounding else text


driver = InterposerEnforcer()
