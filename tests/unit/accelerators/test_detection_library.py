"""The detection library that is installed: it has what the drivers use, and its own reading reaches our devices."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from aicp.accelerators import _detector
from aicp.accelerators.metax import MetaxDriver
from aicp.accelerators.mthreads import MthreadsDriver
from aicp.core.accelerator import AcceleratorHealth, HealthCode
from aicp.core.quantity import GIB

VENDORS = ["amd", "ascend", "cambricon", "hygon", "iluvatar", "metax", "mthreads"]


def test_it_brings_no_container_package_with_it() -> None:
    program = "import sys, gpustack_runtime.detector; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"docker", "podman", "kubernetes", "aiohttp", "requests"} & set(loaded)


@pytest.mark.parametrize("vendor", VENDORS)
def test_it_knows_every_vendor_and_says_no_without_its_hardware(vendor: str) -> None:
    detector = _detector._detector_of(_detector.load(""), vendor)
    assert str(detector.manufacturer) == vendor
    assert detector.is_supported.cache_clear
    assert not _detector._supported(detector)
    assert not detector.detect_info()


def test_its_devices_have_the_fields_that_are_read() -> None:
    fields = {field.name for field in dataclasses.fields(_detector.load("").Device)}
    assert fields >= {"index", "name", "uuid", "driver_version", "runtime_version", "runtime_version_original"}
    assert fields >= {"compute_capability", "cores", "cores_utilization", "memory", "memory_used", "memory_status"}
    assert fields >= {"temperature", "power", "power_used", "appendix"}


def test_its_distances_are_those_that_have_names() -> None:
    distances = _detector.load("__types__").TopologyDistanceEnum
    known = {int(distance) for distance in distances if distance.name != "UNK"}
    assert known == set(_detector._LINKS)


def test_the_questions_about_health_exist() -> None:
    assert _detector.load("pydcmi").dcmi_get_device_health
    assert _detector.load("pymxsml").mxSmlGetDeviceUnavailableReason
    iluvatar = _detector.load("pyixml")
    assert iluvatar.nvmlDeviceGetHandleByUUID
    names = ("SYSHUB", "MC", "ECC", "MEMORY", "PCIE")
    bits = [getattr(iluvatar, f"IXML_HEALTH_{name}_ERROR") for name in names]
    assert bits == list(importlib.import_module("aicp.accelerators.iluvatar")._BITS)
    cambricon = _detector.load("pycndev")
    states = ("BOOT_ERROR", "RESET", "RESET_ERROR")
    numbers = [getattr(cambricon, f"CNDEV_HEALTH_STATE_DRIVER_{state}") for state in states]
    assert numbers == list(importlib.import_module("aicp.accelerators.cambricon")._DRIVER_STATES)


def answer(monkeypatch: pytest.MonkeyPatch, module: Any, answers: dict[str, Any]) -> None:
    for name, value in answers.items():
        monkeypatch.setattr(module, name, value if callable(value) else lambda *_, value=value: value)


@pytest.fixture
def no_bus_check(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = importlib.import_module("gpustack_runtime.envs")
    monkeypatch.setitem(vars(environment), "GPUSTACK_RUNTIME_DETECT_NO_PCI_CHECK", True)


@pytest.mark.usefixtures("no_bus_check")
def test_a_metax_device_with_its_memory_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(
        monkeypatch,
        _detector.load("pymxsml"),
        {
            "mxSmlInit": None,
            "mxSmlGetMacaVersion": "3.0.0.8",
            "mxSmlGetDeviceCount": 1,
            "mxSmlGetDeviceVersion": "2.32.0",
            "mxSmlGetDeviceInfo": SimpleNamespace(uuid="GPU-x", deviceName="MetaX C500", bdfId="0000:0e:00.0"),
            "mxSmlGetMemoryInfo": SimpleNamespace(vramTotal=64 * 1024**2, vramUse=16 * 1024**2),
            "mxSmlGetBoardPowerLimit": 350_000,
            "mxSmlGetNodeAffinity": [1],
            "mxSmlGetTotalEccErrors": SimpleNamespace(dramUE=2),
            "mxSmlGetDeviceIpUsage": 40,
            "mxSmlGetTemperatureInfo": 5500,
            "mxSmlGetBoardPowerInfo": [SimpleNamespace(power=200_000), SimpleNamespace(power=20_000)],
            "mxSmlGetDeviceUnavailableReason": SimpleNamespace(unavailableCode=0, unavailableReason=b""),
        },
    )
    driver = MetaxDriver(on_bus=lambda number: True)
    (device,) = driver.discover()
    assert (device.device_id, device.product, device.memory_bytes) == ("GPU-x", "MetaX C500", 64 * GIB)
    assert device.metrics.memory_used_bytes == 16 * GIB
    assert (device.metrics.utilization_percent, device.metrics.temperature_celsius) == (40, 55)
    assert device.metrics.power_watts == 220
    assert device.facts["power_limit_watts"] == 350
    assert device.health is AcceleratorHealth.DEGRADED
    assert device.findings[0].code is HealthCode.MEMORY_UNCORRECTABLE, "the library looks for errors only when told to"


@pytest.mark.usefixtures("no_bus_check")
def test_a_moore_threads_device_with_its_power_in_watts(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = object()
    answer(
        monkeypatch,
        _detector.load("pymtml"),
        {
            "mtmlLibraryInit": None,
            "mtmlLibraryInitSystem": handle,
            "mtmlLibraryFreeSystem": None,
            "mtmlSystemGetDriverVersion": "2.7.0",
            "mtmlLibraryCountDevice": 1,
            "mtmlLibraryInitDeviceByIndex": handle,
            "mtmlLibraryFreeDevice": None,
            "mtmlDeviceGetUUID": "mt-uuid",
            "mtmlDeviceGetName": "MTT S4000",
            "mtmlDeviceCountGpuCores": 8192,
            "mtmlDeviceGetPciInfo": SimpleNamespace(segment=0, bus=0x31, device=0),
            "mtmlDeviceGetMemoryAffinityWithinNode": [1],
            "mtmlMemoryContext": lambda device: contextlib.nullcontext(device),
            "mtmlGpuContext": lambda device: contextlib.nullcontext(device),
            "mtmlMemoryGetTotal": 48 * GIB,
            "mtmlMemoryGetUsed": 12 * GIB,
            "mtmlMemoryGetEccErrorCounter": 0,
            "mtmlGpuGetUtilization": 33,
            "mtmlGpuGetTemperature": 48,
            "mtmlDeviceGetPowerUsage": 151_250,
        },
    )
    (device,) = MthreadsDriver(on_bus=lambda number: True).discover()
    assert device.metrics.power_watts == pytest.approx(151.25)
    assert (device.metrics.memory_used_bytes, device.memory_bytes) == (12 * GIB, 48 * GIB)
    assert device.health is AcceleratorHealth.HEALTHY
    assert device.facts["pci_bus_id"] == "0000:31:00.0"
