"""What every accelerator driver keeps, built-in or installed by others, on a machine with or without its hardware."""

from __future__ import annotations

import pytest

from aicp.accelerators.base import AcceleratorDriver, Metered
from aicp.core.launch import DeviceShare
from aicp.core.registry import Registry

REGISTRY = Registry[AcceleratorDriver]("aicp.accelerators")


@pytest.fixture(params=REGISTRY.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def driver(name: str) -> AcceleratorDriver:
    return REGISTRY.get(name)


def test_discovers_without_raising_and_under_its_own_name(name: str, driver: AcceleratorDriver) -> None:
    devices = driver.discover()
    assert all(device.vendor == name for device in devices)
    assert [device.index for device in devices] == sorted({device.index for device in devices})
    assert len({device.device_id for device in devices}) == len(devices)
    assert all(device.memory_bytes >= 0 for device in devices)


def test_devices_keep_their_ids(driver: AcceleratorDriver) -> None:
    assert [one.device_id for one in driver.discover()] == [one.device_id for one in driver.discover()]


def test_environment_is_plain_text_and_differs_when_nothing_is_visible(name: str, driver: AcceleratorDriver) -> None:
    share = DeviceShare(vendor=name, device_id="device-a", index=0)
    shown, hidden = driver.environment([share]), driver.environment([])
    for env in (shown, hidden):
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in env.items())
    assert name == "cpu" or shown != hidden, "a process without devices must not see those of others"


def test_measures_what_it_discovers(driver: AcceleratorDriver) -> None:
    if not isinstance(driver, Metered):
        pytest.skip("this driver does not measure apart from discovery")
    assert set(driver.measure()) == {device.device_id for device in driver.discover()}


def test_says_what_it_was_tested_against(driver: AcceleratorDriver) -> None:
    assert driver.title
    assert driver.evidence in ("recorded", "constructed from documentation", "this machine", "simulated")
