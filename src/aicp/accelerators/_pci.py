"""Which vendors have a device on the PCI bus, read from sysfs.

Every driver is asked every few seconds on every node, and most nodes have devices of one vendor only. So a vendor's
library is not even looked for unless its number is on the bus.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_CLASSES = ("0x03", "0x0b", "0x12")  # display, processor and accelerator, by the PCI code and ID assignment
_OTHER_CLASSES = ("0x02",)  # some inference cards call themselves network controllers
_FRESH_SECONDS = 30.0  # a card can be added to a running machine, though rarely


class PciBus:
    """Vendor numbers, e.g. `0x19e5`, of the devices that may be accelerators; read again twice a minute."""

    def __init__(
        self, root: Path = Path("/sys/bus/pci/devices"), monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._vendors: frozenset[str] = frozenset()

    def has(self, vendor: str) -> bool:
        """Whether a device of `vendor` is there. False on a machine without PCI."""
        with self._lock:
            now = self._monotonic()
            if self._read_at is None or now - self._read_at >= _FRESH_SECONDS:
                self._vendors = frozenset(self._read())
                self._read_at = now
            return vendor in self._vendors

    def _read(self) -> set[str]:
        found: set[str] = set()
        with suppress(OSError):
            for directory in self._root.iterdir():
                with suppress(OSError):
                    if (directory / "class").read_text().startswith(_CLASSES + _OTHER_CLASSES):
                        found.add((directory / "vendor").read_text().strip().lower())
        return found


bus = PciBus()


def numa_node(address: str | None, root: Path = Path("/sys/bus/pci/devices")) -> int | None:
    """The memory node nearest to the device at `address`; None where the machine has but one or does not say."""
    if not address:
        return None
    domain, _, rest = address.lower().partition(":")
    with suppress(OSError, ValueError):
        # the kernel writes four digits of the domain, some vendors eight
        node = int((root / f"{domain[-4:]}:{rest}" / "numa_node").read_text())
        return node if node >= 0 else None
    return None
