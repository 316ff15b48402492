"""Accelerators that are not there: any number of any card of the catalogue, for tests, demonstrations and planning.

None unless the setting `simulated_accelerators` names some. Every one says that it is simulated: in `simulated`, in its
vendor, which is this driver's name, in its product and in its id. Its maker stands in `facts`, so that nothing that
looks for devices of a maker ever finds one.
"""

from __future__ import annotations

from collections.abc import Sequence

from aicp.core.accelerator import SIMULATED, Accelerator, AcceleratorMetrics
from aicp.core.accelerator_catalog import CatalogAccelerator, find_catalog_accelerator
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

_IDLE_CELSIUS = 30.0
_IDLE_POWER_SHARE = 0.1
"""Of the design power: what an idle card of that size roughly draws. Made up, like the temperature."""


class SimulatedDriver:
    """Makes `cards`, (name in the catalogue, how many); `simulate` says so later."""

    title = "Simulated"
    evidence = "simulated"

    def __init__(self, cards: Sequence[tuple[str, int]] = ()) -> None:
        self._devices: list[Accelerator] = []
        self.simulate(cards)

    def simulate(self, cards: Sequence[tuple[str, int]]) -> None:
        """From now on there are these. Raises NotFoundError for a card that the catalogue does not have."""
        wanted = [find_catalog_accelerator(name) for name, count in cards for _ in range(count)]
        self._devices = [_device(index, card) for index, card in enumerate(wanted)]

    def discover(self) -> list[Accelerator]:
        return list(self._devices)

    def measure(self) -> dict[str, AcceleratorMetrics]:
        return {device.device_id: device.metrics for device in self._devices}

    def slicing(self, device: Accelerator) -> list[Slicing]:
        return next((one.slicing for one in self._devices if one.device_id == device.device_id), [])

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """Nothing can see such a device; a process that was given some is told which, for its log."""
        names = ",".join(device.device_id for device in devices)
        return {"AICP_SIMULATED_DEVICES": names} if names else {}


def _device(index: int, card: CatalogAccelerator) -> Accelerator:
    power = None if card.power_watts is None else round(card.power_watts * _IDLE_POWER_SHARE, 1)
    return Accelerator(
        vendor=SIMULATED,
        index=index,
        device_id=f"simulated-{index}-{card.name.lower()}",
        product=f"{card.product} (simulated)",
        memory_bytes=card.memory_bytes,
        driver_version=SIMULATED,
        simulated=True,
        slicing=[_way(way) for way in card.slicing],
        features=[SIMULATED],
        facts={"catalog_name": card.name, "stands_for_vendor": card.vendor, "metrics": "made up, as of an idle device"},
        metrics=AcceleratorMetrics(
            memory_used_bytes=0, utilization_percent=0.0, temperature_celsius=_IDLE_CELSIUS, power_watts=power
        ),
    )


def _way(way: Slicing) -> Slicing:
    """The shapes of the real card, held by nothing: the enforcer of the real one would look for a device."""
    note = f"Simulated: a real one is cut by {way.mechanism}, in the same shapes. Nothing is enforced. {way.note}"
    return way.model_copy(
        update={"mechanism": "none", "isolated": False, "oversubscribable": not way.profiles, "note": note}
    )


driver = SimulatedDriver()
