"""How this node's devices can be cut: what each card can do, less what nobody here can enforce; and their links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aicp.accelerators.base import AcceleratorDriver, Sliceable, Topological
from aicp.core.accelerator import Accelerator
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError
from aicp.core.registry import Registry
from aicp.core.slice import Slicing
from aicp.enforcers.base import Enforcer

_FRESH_SECONDS = 30.0  # an enforcer becomes available when somebody starts its daemon or opens a directory to us


class Cutting:
    """Answers of the enforcers are kept for half a minute, wiring for as long as the devices are the same."""

    def __init__(self, enforcers: Registry[Enforcer], clock: Clock) -> None:
        self._enforcers = enforcers
        self._clock = clock
        self._reasons: dict[str, tuple[float, str | None]] = {}
        self._links: dict[str, tuple[tuple[str, ...], dict[str, dict[str, str]]]] = {}

    def describe(self, driver: AcceleratorDriver, devices: Sequence[Accelerator]) -> list[Accelerator]:
        """The devices of one driver with their ways of being cut here, or why there are none, and `links` in facts."""
        links = self._wiring(driver, devices)
        return [self._described(driver, device, links.get(device.device_id, {})) for device in devices]

    def _described(self, driver: AcceleratorDriver, device: Accelerator, links: Mapping[str, str]) -> Accelerator:
        update: dict[str, object] = {"facts": {**device.facts, "links": links}} if links else {}
        if isinstance(driver, Sliceable):
            ways, reasons = self._possible(driver.slicing(device))
            update["slicing"] = ways
            if not ways:
                update["slicing_reason"] = "; ".join(reasons) or "this model cannot be cut"
        return device.model_copy(update=update)

    def _possible(self, ways: Sequence[Slicing]) -> tuple[list[Slicing], list[str]]:
        reasons = {way.mechanism: self._unavailable(way.mechanism) for way in ways}
        possible = [way for way in ways if reasons[way.mechanism] is None]
        return possible, [f"{name}: {reason}" for name, reason in reasons.items() if reason is not None]

    def _unavailable(self, mechanism: str) -> str | None:
        now = self._clock.monotonic()
        known = self._reasons.get(mechanism)
        if known is None or now - known[0] > _FRESH_SECONDS:
            known = self._reasons[mechanism] = (now, self._ask(mechanism))
        return known[1]

    def _ask(self, mechanism: str) -> str | None:
        try:
            return self._enforcers.get(mechanism).unavailable()
        except InvalidError:
            return "nothing on this node enforces it"

    def _wiring(self, driver: AcceleratorDriver, devices: Sequence[Accelerator]) -> dict[str, dict[str, str]]:
        if len(devices) < 2 or not isinstance(driver, Topological):
            return {}
        vendor, ids = devices[0].vendor, tuple(device.device_id for device in devices)
        known = self._links.get(vendor)
        if known is None or known[0] != ids:
            near: dict[str, dict[str, str]] = {}
            for (one, other), kind in driver.links().items():
                near.setdefault(one, {})[other] = kind
            known = self._links[vendor] = (ids, near)
        return known[1]
