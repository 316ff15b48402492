"""What an accelerator driver is: it finds one vendor's devices and says how a process is made to see some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from aicp.core.accelerator import Accelerator, AcceleratorMetrics
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing


class AcceleratorDriver(Protocol):
    """The required part. A driver's module ends in `driver = ...`; its file name is the vendor's name.

    Importing the module needs no vendor library, and no method raises because hardware or library is absent.
    """

    title: str
    """The vendor as people write it."""
    evidence: str
    """What the driver was tested against: `recorded` output of real devices, `constructed from documentation`,
    `this machine`, or `simulated` where there is no device. The table in the documentation shows this word."""

    def discover(self) -> list[Accelerator]:
        """All devices with their metrics of now, ordered by index; empty when there are none. Never raises.

        What ails a device stands in its findings: a code that all vendors share, the cause, and what to do next. Every
        node asks every few seconds, so with the hardware absent the answer must cost next to nothing.
        """
        ...

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """Variables that make a process see exactly `devices`; with none, that hide every device of this vendor."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A driver that can measure its devices without listing them anew."""

    def measure(self) -> dict[str, AcceleratorMetrics]:
        """Metrics of now by device_id; empty when there are no devices. Never raises."""
        ...


@runtime_checkable
class Sliceable(Protocol):
    """A vendor whose devices can be cut."""

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Ways this device can be cut, the best first; empty when it cannot be cut now. Never raises.

        The agent drops those whose enforcer is not available on the node.
        """
        ...


@runtime_checkable
class Simulates(Protocol):
    """A driver that makes devices up, and none before it is told which."""

    def simulate(self, cards: Sequence[tuple[str, int]]) -> None:
        """From now on there are these: (name in the accelerator catalogue, how many).

        Raises NotFoundError for a name that the catalogue does not have.
        """
        ...


@runtime_checkable
class Topological(Protocol):
    """A vendor that knows how its devices are wired to each other."""

    def links(self) -> dict[tuple[str, str], str]:
        """(device_id, device_id) -> kind of link, e.g. `nvlink` or `pcie`; the nearest kind for each pair."""
        ...
