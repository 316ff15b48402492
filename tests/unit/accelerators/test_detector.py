"""The vendors that are read through the detection library, against answers built from documentation."""

from __future__ import annotations

import importlib
import json
import logging
from typing import Any

import pytest
from tests.support.detector_library import FIXTURES, FixtureDetection

from aicp.accelerators._detector import DetectedDriver
from aicp.core.accelerator import AcceleratorHealth, HealthCode
from aicp.core.launch import DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SliceRequest, choose_slicing

NAMES = {
    "amd": "amd-mi300x.json",
    "ascend": "ascend-910b3.json",
    "cambricon": "cambricon-mlu370.json",
    "hygon": "hygon-k100.json",
    "iluvatar": "iluvatar-bi-v150.json",
    "metax": "metax-c500.json",
    "mthreads": "mthreads-s4000.json",
}
VENDORS = sorted(NAMES)


class Steps:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def kind_of(vendor: str) -> type[DetectedDriver]:
    return type(importlib.import_module(f"aicp.accelerators.{vendor}").driver)


def make(name: str, **given: Any) -> tuple[FixtureDetection, DetectedDriver]:
    library = FixtureDetection(name)
    arguments = {"load_module": library.load, "on_bus": library.on_bus, **given}
    return library, kind_of(library.vendor)(**arguments)


def share(vendor: str, index: int, device_id: str = "") -> DeviceShare:
    return DeviceShare(vendor=vendor, index=index, device_id=device_id or f"device-{index}")


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_device_is_what_the_library_says(vendor: str) -> None:
    library, driver = make(NAMES[vendor])
    devices = driver.discover()
    assert [device.device_id for device in devices] == [found["uuid"] for found in library.data["devices"]]
    for device, found, usage in zip(devices, library.data["devices"], library.data["usages"], strict=True):
        assert (device.vendor, device.index, device.product) == (vendor, found["index"], found["name"])
        assert device.memory_bytes == found["memory"] * MIB
        assert device.driver_version == library.data["driver_version"]
        assert device.metrics.memory_used_bytes == usage["memory_used"] * MIB
        assert device.metrics.utilization_percent == usage["cores_utilization"]
        assert device.metrics.temperature_celsius == usage["temperature"]
        assert device.facts["pci_bus_id"] == found["appendix"]["bdf"]
        assert device.facts["numa_node"] == int(found["appendix"]["numa"])
        assert device.metrics.power_watts is None or 10 < device.metrics.power_watts < 800, "watts, in whatever unit"
    assert set(driver.measure()) == {device.device_id for device in devices}


def test_the_library_is_not_touched_when_the_vendor_is_not_on_the_bus(vendor: str) -> None:
    library, driver = make(NAMES[vendor], on_bus=lambda number: False)
    assert driver.discover() == []
    assert driver.links() == {}
    assert library.loads == 0


def test_the_bus_is_asked_for_the_vendors_own_number() -> None:
    asked: list[str] = []
    for vendor in VENDORS:
        make(NAMES[vendor], on_bus=lambda number: bool(asked.append(number)))[1].discover()
    assert asked == ["0x1002", "0x19e5", "0xcabc", "0x1d94", "0x1e3e", "0x9999", "0x1ed5"]


def test_without_the_package_there_are_no_devices_and_one_line_says_why(
    vendor: str, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> Any:
        raise ImportError("No module named 'gpustack_runtime'")

    clock = Steps()
    driver = make(NAMES[vendor], load_module=missing, monotonic=clock)[1]
    with caplog.at_level(logging.WARNING):
        for clock.now in (0.0, 30.0, 61.0, 200.0):
            assert driver.discover() == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{driver.title} devices are not used: the package gpustack-runtime is not installed "
        "(No module named 'gpustack_runtime'); tools/install.sh installs it"
    ]


def test_a_driver_that_is_installed_later_is_found_within_a_minute() -> None:
    clock = Steps()
    library, driver = make(NAMES["metax"], monotonic=clock)
    library.supported = False
    assert driver.discover() == []
    library.supported = True
    clock.now = 59.0
    assert driver.discover() == []
    clock.now = 60.0
    assert len(driver.discover()) == 2


def test_what_is_not_measured_is_not_zero(vendor: str) -> None:
    library, driver = make(NAMES[vendor])
    library.broken = {"usage"}
    for device in driver.discover():
        assert device.metrics.memory_used_bytes is None
        assert device.metrics.utilization_percent is None


def test_devices_that_stop_answering_are_kept_and_called_so(vendor: str) -> None:
    library, driver = make(NAMES[vendor])
    before = driver.discover()
    library.broken = {"info"}
    after = driver.discover()
    assert [device.device_id for device in after] == [device.device_id for device in before]
    for device in after:
        assert device.health is AcceleratorHealth.FAILED
        assert device.findings[0].code is HealthCode.DRIVER
        assert device.findings[0].action
        assert device.metrics.memory_used_bytes is None
    library.broken = set()
    assert driver.discover() == before


def test_a_device_that_is_gone_has_failed(vendor: str) -> None:
    library, driver = make(NAMES[vendor])
    before = driver.discover()
    gone = library.data["devices"].pop()
    after = driver.discover()
    assert [device.device_id for device in after] == [device.device_id for device in before]
    assert after[-1].device_id == gone["uuid"]
    assert after[-1].health is AcceleratorHealth.FAILED
    assert after[-1].findings[0].code is HealthCode.DEVICE_LOST


def test_devices_without_a_number_of_their_own_are_known_by_their_place() -> None:
    library, driver = make(NAMES["metax"])
    for device in library.data["devices"]:
        device["uuid"] = "same"
    assert [device.device_id for device in driver.discover()] == ["metax-0000:0e:00.0", "metax-0000:0f:00.0"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("amd-mi300x.json", {1: ("degraded", [HealthCode.MEMORY_UNCORRECTABLE])}),
        ("ascend-910b3.json", {1: ("degraded", [HealthCode.INTERNAL, HealthCode.MEMORY_WEAR])}),
        (
            "cambricon-mlu370.json",
            {1: ("failed", [HealthCode.DRIVER]), 2: ("failed", [HealthCode.UNKNOWN])},
        ),
        ("hygon-k100.json", {1: ("degraded", [HealthCode.MEMORY_UNCORRECTABLE])}),
        ("iluvatar-bi-v150.json", {1: ("failed", [HealthCode.LINK])}),
        ("metax-c500.json", {1: ("failed", [HealthCode.UNKNOWN])}),
        ("mthreads-s4000.json", {}),
    ],
)
def test_health_has_a_code_a_cause_and_what_to_do(name: str, expected: dict[int, tuple[str, list[HealthCode]]]) -> None:
    for device in make(name)[1].discover():
        health, codes = expected.get(device.index, ("healthy", []))
        assert (device.health.value, [found.code for found in device.findings]) == (health, codes)
        assert bool(device.health_reason) == bool(codes)
        assert all(found.cause and found.action.endswith(".") for found in device.findings)


def test_a_library_without_the_question_still_tells_of_memory() -> None:
    library, driver = make(NAMES["ascend"])
    library.broken = {"health"}
    assert [found.code for found in driver.discover()[1].findings] == [HealthCode.MEMORY_WEAR]


@pytest.mark.parametrize("state", [3, 0xFFFFFFFF])
def test_an_ascend_that_must_not_work_has_failed(state: int) -> None:
    library, driver = make(NAMES["ascend"])
    library.data["library"]["health"]["0,0"] = state
    assert driver.discover()[0].health is AcceleratorHealth.FAILED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("amd-mi300x.json", "xgmi"),
        ("ascend-910b3.json", "hccs"),
        ("ascend-310p3.json", "board"),
        ("cambricon-mlu370.json", None),
        ("hygon-k100.json", "host"),
        ("iluvatar-bi-v150.json", "board"),
        ("metax-c500.json", "metaxlink"),
        ("mthreads-s4000.json", "pcie"),
    ],
)
def test_links(name: str, kind: str | None) -> None:
    library, driver = make(name)
    first, second, *_ = (device.device_id for device in driver.discover())
    assert driver.links() == ({(first, second): kind, (second, first): kind} if kind else {})
    library.broken = {"topology"}
    assert driver.links() == {}


@pytest.mark.parametrize(
    ("vendor", "variable", "hidden"),
    [
        ("ascend", "ASCEND_RT_VISIBLE_DEVICES", "-1"),
        ("cambricon", "MLU_VISIBLE_DEVICES", "-1"),
        ("hygon", "HIP_VISIBLE_DEVICES", "-1"),
        ("iluvatar", "CUDA_VISIBLE_DEVICES", ""),
        ("metax", "CUDA_VISIBLE_DEVICES", ""),
        ("mthreads", "MUSA_VISIBLE_DEVICES", "-1"),
    ],
)
def test_visibility(vendor: str, variable: str, hidden: str) -> None:
    driver = kind_of(vendor)()
    assert driver.environment([share(vendor, 3), share(vendor, 0)]) == {variable: "0,3"}
    assert driver.environment([]) == {variable: hidden}


def test_amd_devices_are_shown_by_their_own_number() -> None:
    driver = kind_of("amd")()
    own = [share("amd", 1, "GPU-9f7a4b2c1a8d3e6f"), share("amd", 0, "GPU-4b2c1a9f8d3e6f7a")]
    assert driver.environment(own) == {
        "ROCR_VISIBLE_DEVICES": "GPU-9f7a4b2c1a8d3e6f,GPU-4b2c1a9f8d3e6f7a",
        "HIP_VISIBLE_DEVICES": "0,1",
    }
    assert driver.environment([share("amd", 1, "amd-0000:26:00.0")]) == {"HIP_VISIBLE_DEVICES": "1"}
    assert driver.environment([]) == {"HIP_VISIBLE_DEVICES": "-1"}


@pytest.mark.parametrize(
    ("name", "mechanism", "compute", "memory_bytes", "profile"),
    [
        # 10 % and 2 GiB of each
        ("amd-mi300x.json", "amd_cu_mask", 10, 2 * GIB, None),
        ("ascend-310p3.json", "ascend_vnpu", 12, 3 * GIB, "vir01"),
        ("ascend-910b3.json", "ascend_vnpu", 25, 16 * GIB, "vir05_1c_16g"),
        ("cambricon-mlu370.json", "cambricon_smlu", 10, 2 * GIB, None),
        ("hygon-k100.json", "hygon_vdcu", 10, 2 * GIB, None),
        ("iluvatar-bi-v150.json", "iluvatar_vgpu", 10, 2 * GIB, None),
        ("metax-c500.json", "metax_sgpu", 10, 2 * GIB, None),
        ("mthreads-s4000.json", "mthreads_sgpu", 12, 2 * GIB, None),
    ],
)
def test_a_slice_is_rounded_as_the_vendor_cuts(
    name: str, mechanism: str, compute: int, memory_bytes: int, profile: str | None
) -> None:
    driver = make(name)[1]
    size = choose_slicing(SliceRequest(compute_percent=10, memory_bytes=2 * GIB), driver.slicing(driver.discover()[0]))
    assert size is not None
    assert (size.mechanism, size.compute_percent, size.memory_bytes, size.profile) == (
        mechanism,
        compute,
        memory_bytes,
        profile,
    )


def test_amd_units_that_work_in_pairs_are_cut_in_pairs() -> None:
    driver = make("amd-mi300x.json")[1]
    device = driver.discover()[0]
    radeon = device.model_copy(update={"facts": {"compute_units": 60, "compute_capability": "gfx1101"}})
    assert [(way.compute_unit_percent, way.at_most) for way in driver.slicing(radeon)] == [(100 / 30, 30)]
    assert [way.at_most for way in driver.slicing(device)] == [304]
    assert driver.slicing(device.model_copy(update={"facts": {}})) == []


def test_every_way_of_cutting_leaves_the_device_its_size(vendor: str) -> None:
    driver = make(NAMES[vendor])[1]
    for device in driver.discover():
        for way in driver.slicing(device):
            assert 0 < way.compute_unit_percent <= 100
            assert way.memory_unit_bytes % (256 * MIB) == 0
            assert all(shape.memory_bytes <= device.memory_bytes for shape in way.profiles)
            assert all(0 < shape.compute_percent <= 100 for shape in way.profiles)


@pytest.mark.parametrize(
    ("product", "memory_gib", "driver_version", "mechanisms"),
    [
        ("910B3", 64, "25.5.0", ["ascend_vnpu", "ascend_share"]),
        ("Ascend 910B3", 64, "24.1.0", ["ascend_vnpu"]),
        ("910B4", 32, "25.5.0", ["ascend_vnpu"]),
        ("Ascend910", 64, "25.5.1", ["ascend_vnpu", "ascend_share"]),
        ("910", 32, "25.5.0", []),
        ("950PR", 128, "26.0.0", []),
    ],
)
def test_ascend_is_cut_by_its_chip(product: str, memory_gib: int, driver_version: str, mechanisms: list[str]) -> None:
    driver = make(NAMES["ascend"])[1]
    update = {"product": product, "memory_bytes": memory_gib * GIB, "driver_version": driver_version}
    device = driver.discover()[0].model_copy(update=update)
    assert [way.mechanism for way in driver.slicing(device)] == mechanisms


def test_what_is_not_known_is_not_cut() -> None:
    metax = make(NAMES["metax"])[1]
    old = metax.discover()[0].model_copy(update={"driver_version": "2.31.4"})
    assert metax.slicing(old) == []
    amd = make(NAMES["amd"])[1]
    assert amd.slicing(amd.discover()[0].model_copy(update={"facts": {}})) == []


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*-*.json")), ids=lambda path: path.name)
def test_every_fixture_says_where_it_comes_from(path: Any) -> None:
    content = json.loads(path.read_text())
    assert content["source"]
    assert content["driver_version"]
    assert content["evidence"] in ("recorded", "constructed from documentation")
