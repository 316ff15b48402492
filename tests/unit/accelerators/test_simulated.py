"""Simulated accelerators: any card of the catalogue, and marked as made up wherever one looks."""

from __future__ import annotations

import pytest

from aicp.accelerators.base import Metered, Simulates, Sliceable
from aicp.accelerators.simulated import SimulatedDriver
from aicp.core.accelerator_catalog import accelerator_catalog, find_catalog_accelerator
from aicp.core.errors import NotFoundError
from aicp.core.launch import DeviceShare
from aicp.core.quantity import GIB
from aicp.core.slice import SliceRequest, choose_slicing

EVERYTHING = [(card.name, 2) for card in accelerator_catalog()]


def test_there_are_none_until_some_are_asked_for():
    driver = SimulatedDriver()
    assert driver.discover() == []
    assert driver.measure() == {}
    driver.simulate([("L20", 2)])
    assert len(driver.discover()) == 2
    driver.simulate([])
    assert driver.discover() == []


def test_any_card_of_the_catalogue_in_any_number():
    devices = SimulatedDriver(EVERYTHING).discover()
    assert len(devices) == 2 * len(accelerator_catalog())
    assert [device.index for device in devices] == list(range(len(devices)))
    assert len({device.device_id for device in devices}) == len(devices)
    assert [device.memory_bytes for device in devices[::2]] == [card.memory_bytes for card in accelerator_catalog()]


def test_every_one_says_that_it_is_made_up():
    for device in SimulatedDriver(EVERYTHING).discover():
        assert device.simulated
        assert device.vendor == "simulated", "nothing that looks for a maker's devices finds it"
        assert device.product.endswith("(simulated)")
        assert device.device_id.startswith("simulated-")
        assert device.facts["stands_for_vendor"] == find_catalog_accelerator(device.facts["catalog_name"]).vendor


def test_metrics_are_those_of_an_idle_device():
    driver = SimulatedDriver([("H100", 1), ("L4", 1)])
    known, unknown = driver.discover()
    assert driver.measure() == {device.device_id: device.metrics for device in (known, unknown)}
    assert (known.metrics.memory_used_bytes, known.metrics.utilization_percent) == (0, 0)
    assert 0 < (known.metrics.power_watts or 0) < 700
    assert unknown.metrics.power_watts is None, "no design power in the catalogue"


def test_cut_in_the_shapes_of_the_real_card_and_held_by_nothing():
    driver = SimulatedDriver([("910B3", 1), ("L20", 1), ("MI300X", 1)])
    coarse, fine, whole = driver.discover()
    asked = SliceRequest(compute_percent=10, memory_bytes=2 * GIB)
    size = choose_slicing(asked, driver.slicing(coarse))
    assert size is not None
    assert (size.profile, size.memory_bytes, size.mechanism) == ("vir05_1c_16g", 16 * GIB, "none")
    size = choose_slicing(asked, driver.slicing(fine))
    assert size is not None
    assert (size.compute_percent, size.rounding, size.mechanism) == (10, None, "none")
    assert driver.slicing(whole) == []
    ways = [*driver.slicing(coarse), *driver.slicing(fine)]
    assert all(way.note.startswith("Simulated: a real one is cut by") and not way.isolated for way in ways)


def test_what_it_can_do():
    driver = SimulatedDriver()
    assert isinstance(driver, Metered)
    assert isinstance(driver, Sliceable)
    assert isinstance(driver, Simulates)


def test_a_process_is_told_and_shown_nothing():
    share = DeviceShare(vendor="simulated", device_id="simulated-0-l20", index=0)
    assert SimulatedDriver().environment([share]) == {"AICP_SIMULATED_DEVICES": "simulated-0-l20"}
    assert SimulatedDriver().environment([]) == {}


def test_an_unknown_card_is_refused():
    with pytest.raises(NotFoundError, match="L20"):
        SimulatedDriver([("L21", 1)])
