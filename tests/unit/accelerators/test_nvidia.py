"""The NVIDIA driver against a library object built from documentation."""

from __future__ import annotations

import pynvml
import pytest
from tests.support.nvidia_library import FixtureLibrary

from aicp.accelerators.nvidia import NvidiaDriver
from aicp.core.accelerator import AcceleratorHealth, HealthCode
from aicp.core.launch import DeviceShare


class NoLibrary:
    def nvmlInit(self) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def test_without_the_library_there_are_no_devices() -> None:
    driver = NvidiaDriver(NoLibrary())
    assert driver.discover() == []
    assert driver.measure() == {}


def test_inventory_and_metrics() -> None:
    first, second = NvidiaDriver(FixtureLibrary("nvidia-h200.json")).discover()
    assert (first.vendor, first.index, first.product) == ("nvidia", 0, "NVIDIA H200")
    assert first.device_id == "GPU-11111111-2222-3333-4444-555555555555"
    assert first.memory_bytes == 150754820096
    assert first.driver_version == "580.65.06"
    assert first.features == ["mig", "ecc"]
    assert first.facts["cuda_version"] == "13.0"
    assert first.facts["compute_capability"] == "9.0"
    assert first.metrics.memory_used_bytes == 97710505984
    assert first.metrics.utilization_percent == 87
    assert first.metrics.temperature_celsius == 61
    assert first.metrics.power_watts == pytest.approx(512.345)
    (process,) = first.metrics.processes
    assert (process.pid, process.name, process.memory_bytes) == (4321, "/environments/vllm/bin/python", 97000000000)
    assert second.health is AcceleratorHealth.HEALTHY
    assert second.metrics.processes[0].memory_bytes is None, "inside a container the library does not say"
    assert "power_limit_watts" not in second.facts


def test_a_process_whose_name_is_no_text_hides_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FixtureLibrary("nvidia-h200.json")
    monkeypatch.setattr(library, "nvmlSystemGetProcessName", lambda pid: b"/opt/caf\xe9".decode())
    first, _ = NvidiaDriver(library).discover()
    assert [(process.pid, process.name) for process in first.metrics.processes] == [(4321, "")]


@pytest.mark.parametrize(
    ("uuid", "health", "words"),
    [
        ("GPU-rows-pending", AcceleratorHealth.DEGRADED, "set aside at the next reset"),
        ("GPU-rows-failed", AcceleratorHealth.FAILED, "can no longer be set aside"),
        ("GPU-pages-pending", AcceleratorHealth.DEGRADED, "retired at the next restart"),
        ("GPU-uncorrected", AcceleratorHealth.DEGRADED, "2 uncorrected memory errors"),
        ("GPU-link", AcceleratorHealth.FAILED, "NVLink (XID 74)"),
        ("nvidia-lost-8", AcceleratorHealth.FAILED, "fallen off the bus"),
        ("GPU-hot", AcceleratorHealth.DEGRADED, "too hot"),
        ("GPU-power", AcceleratorHealth.DEGRADED, "power supply"),
    ],
)
def test_ill_devices_say_why(uuid: str, health: AcceleratorHealth, words: str) -> None:
    devices = {device.device_id: device for device in NvidiaDriver(FixtureLibrary("nvidia-ill.json")).discover()}
    assert devices[uuid].health is health
    assert words in (devices[uuid].health_reason or "")
    assert devices["GPU-program-fault"].health is AcceleratorHealth.HEALTHY, "XID 31 and 43 are a program's fault"


def test_an_error_event_is_remembered_though_the_library_tells_it_once() -> None:
    driver = NvidiaDriver(FixtureLibrary("nvidia-ill.json"))
    driver.discover()
    again = {device.device_id: device for device in driver.discover()}
    assert again["GPU-link"].health is AcceleratorHealth.FAILED


def test_a_device_that_falls_off_the_bus_keeps_its_name() -> None:
    library = FixtureLibrary("nvidia-h200.json")
    driver = NvidiaDriver(library)
    before = driver.discover()
    library.data["devices"][1]["lost"] = True
    after = driver.discover()
    assert [device.device_id for device in after] == [device.device_id for device in before]
    assert after[1].health is AcceleratorHealth.FAILED
    assert after[0].health is AcceleratorHealth.HEALTHY


def test_visibility_is_by_uuid() -> None:
    shares = [DeviceShare(vendor="nvidia", device_id=f"GPU-{name}", index=index) for index, name in enumerate("ab")]
    env = NvidiaDriver(NoLibrary()).environment(shares)
    assert env == {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert NvidiaDriver(NoLibrary()).environment([])["CUDA_VISIBLE_DEVICES"] == "", "none means none, not all"


def test_findings_have_a_code_and_what_to_do() -> None:
    devices = {device.device_id: device for device in NvidiaDriver(FixtureLibrary("nvidia-ill.json")).discover()}
    codes = {name: [found.code.value for found in device.findings] for name, device in devices.items()}
    assert codes == {
        "GPU-rows-pending": ["memory_repair_pending"],
        "GPU-rows-failed": ["memory_uncorrectable"],
        "GPU-pages-pending": ["memory_repair_pending"],
        "GPU-uncorrected": ["memory_uncorrectable"],
        "GPU-link": ["link"],
        "GPU-program-fault": [],
        "GPU-hot": ["overheating"],
        "GPU-power": ["power"],
        "nvidia-lost-8": ["device_lost"],
    }
    assert all(found.action.endswith(".") for device in devices.values() for found in device.findings)


@pytest.mark.parametrize(
    ("number", "words"),
    [(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "does not fit"), (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "no answer")],
)
def test_devices_whose_driver_goes_away_are_kept(number: int, words: str) -> None:
    library = FixtureLibrary("nvidia-h200.json")
    driver = NvidiaDriver(library)
    before = driver.discover()

    def refuse() -> int:
        raise pynvml.NVMLError(number)

    library.nvmlDeviceGetCount = refuse  # type: ignore[method-assign]
    after = driver.discover()
    assert [device.device_id for device in after] == [device.device_id for device in before]
    assert {device.findings[0].code for device in after} == {HealthCode.DRIVER}
    assert words in (after[0].health_reason or "")
    del library.nvmlDeviceGetCount
    assert driver.discover() == before


def test_links_by_nvlink_or_by_what_both_hang_from() -> None:
    library = FixtureLibrary("nvidia-h200.json")
    driver = NvidiaDriver(library)
    assert driver.links() == {}, "nothing was seen yet"
    first, second = (device.device_id for device in driver.discover())
    assert driver.links() == {(first, second): "nvlink", (second, first): "nvlink"}
    for device in library.data["devices"]:
        del device["nvlinks"]
        device["ancestors"] = {first: 50, second: 50}
    assert driver.links() == {(first, second): "socket", (second, first): "socket"}
    for device in library.data["devices"]:
        device["ancestors"] = {first: 77, second: 77}
    assert driver.links() == {}, "a level that is not known is not guessed"


def test_how_it_can_be_cut() -> None:
    library = FixtureLibrary("nvidia-h200.json")
    library.data["devices"][1]["mig_mode"] = [1, 1]
    driver = NvidiaDriver(library)
    ways = [[way.mechanism for way in driver.slicing(device)] for device in driver.discover()]
    assert ways == [["mps", "interposer", "mig"], ["mig"]]
