"""What a node says of how its devices can be cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.clock import FakeClock

from aicp.agent.cutting import Cutting
from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing


class Enforcers:
    """A registry of enforcers by what stands in their way; counts how often they are asked."""

    def __init__(self, **reasons: str | None) -> None:
        self.reasons = reasons
        self.asked = 0

    def get(self, name: str) -> Any:
        if name not in self.reasons:
            raise InvalidError(f"There is no driver {name!r} in enforcers.")
        return self

    def unavailable(self) -> str | None:
        self.asked += 1
        return next(iter(self.reasons.values()))


class Card:
    title, evidence = "Card", "this machine"

    def __init__(self, *mechanisms: str) -> None:
        self.mechanisms = mechanisms
        self.wired = 0

    def discover(self) -> list[Accelerator]:
        return []

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return {}

    def slicing(self, device: Accelerator) -> list[Slicing]:
        return [Slicing(mechanism=name) for name in self.mechanisms]

    def links(self) -> dict[tuple[str, str], str]:
        self.wired += 1
        return {("a", "b"): "nvlink", ("b", "a"): "nvlink"}


def device(device_id: str) -> Accelerator:
    return Accelerator(vendor="card", index=ord(device_id), device_id=device_id, product="Card", memory_bytes=1)


def make(enforcers: Enforcers) -> tuple[Cutting, FakeClock]:
    clock = FakeClock()
    return Cutting(enforcers, clock), clock  # type: ignore[arg-type]


def test_only_what_can_be_enforced_here_is_offered() -> None:
    cutting, _ = make(Enforcers(mps=None))
    (found,) = cutting.describe(Card("mps", "mig"), [device("a")])
    assert [way.mechanism for way in found.slicing] == ["mps"]
    assert found.slicing_reason is None


def test_when_nothing_is_left_the_node_says_why() -> None:
    cutting, _ = make(Enforcers(mps="its control daemon is not installed"))
    (found,) = cutting.describe(Card("mps", "mig"), [device("a")])
    assert found.slicing == []
    assert found.slicing_reason == ("mps: its control daemon is not installed; mig: nothing on this node enforces it")
    (whole,) = cutting.describe(Card(), [device("a")])
    assert whole.slicing_reason == "this model cannot be cut"


def test_enforcers_are_asked_again_after_half_a_minute() -> None:
    enforcers = Enforcers(mps="not there yet")
    cutting, clock = make(enforcers)
    for _ in range(5):
        cutting.describe(Card("mps"), [device("a"), device("b")])
    assert enforcers.asked == 1
    enforcers.reasons["mps"] = None
    clock.advance(31)
    assert cutting.describe(Card("mps"), [device("a")])[0].slicing


def test_links_are_read_once_for_the_same_devices() -> None:
    cutting, _ = make(Enforcers())
    card = Card()
    for _ in range(3):
        found = cutting.describe(card, [device("a"), device("b")])
    assert [one.facts["links"] for one in found] == [{"b": "nvlink"}, {"a": "nvlink"}]
    assert card.wired == 1
    cutting.describe(card, [device("a"), device("b"), device("c")])
    assert card.wired == 2
    assert "links" not in cutting.describe(card, [device("a")])[0].facts, "a single device has none"


def test_a_driver_that_knows_nothing_of_slices_is_left_alone() -> None:
    class Plain:
        title, evidence = "Plain", "this machine"

        def discover(self) -> list[Accelerator]:
            return []

        def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
            return {}

    cutting, _ = make(Enforcers())
    assert cutting.describe(Plain(), [device("a")]) == [device("a")]
