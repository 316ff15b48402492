"""Virtual NPUs through a stand-in for npu-smi, which was written after the vendor's documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.npu_smi import FakeNpuSmi

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.enforcers._vendor_tool import VendorTool
from aicp.enforcers.ascend_vnpu import AscendVnpuEnforcer


def share(index: int = 0, **changes: object) -> DeviceShare:
    fields: dict[str, object] = {
        "compute_percent": 25,
        "memory_bytes": 16 * GIB,
        "mechanism": "ascend_vnpu",
        "profile": "vir05_1c_16g",
        **changes,
    }
    return DeviceShare.model_validate({"vendor": "ascend", "device_id": f"VDIE-{index}", "index": index, **fields})


def allocation(*shares: DeviceShare) -> Allocation:
    return Allocation(node_id="node_1", devices=list(shares), cpu_cores=1, memory_bytes=0)


@pytest.fixture
def tool(tmp_path: Path) -> FakeNpuSmi:
    return FakeNpuSmi(tmp_path / "bin")


def make(tool: FakeNpuSmi, tmp_path: Path) -> AscendVnpuEnforcer:
    """As after a restart of the agent: it knows what lies in its directory and nothing else."""
    return AscendVnpuEnforcer(tmp_path / "run", VendorTool("npu-smi", [tool.directory]), privileged=True)


def test_a_slice_is_a_virtual_device_of_its_template(tool: FakeNpuSmi, tmp_path: Path) -> None:
    enforcer = make(tool, tmp_path)
    applied = enforcer.apply("rep_a", allocation(share(1, rounding="10 % of compute became 25 %")))
    assert applied.enforced
    assert tool.there() == {"5/0": {"116": "vir05_1c_16g"}}
    assert applied.env == {"ASCEND_RT_VISIBLE_DEVICES": "116", "ASCEND_VISIBLE_DEVICES": "116"}
    assert applied.note == (
        "accelerator slices by virtual NPU: virtual NPU 116 of VDIE-1, template vir05_1c_16g with 25 % of compute and "
        "16 GiB (10 % of compute became 25 %)"
    )
    assert enforcer.release("rep_a")
    assert tool.there() == {}
    assert tool.calls()[-2] == "set -t destroy-vnpu -i 5 -c 0 -v 116"


def test_the_same_again_makes_nothing_new_also_after_a_restart(tool: FakeNpuSmi, tmp_path: Path) -> None:
    first = make(tool, tmp_path).apply("rep_a", allocation(share()))
    again = make(tool, tmp_path).apply("rep_a", allocation(share()))
    assert again == first
    assert sum("create-vnpu" in call for call in tool.calls()) == 1


def test_groups_have_devices_of_their_own_and_end_their_own(tool: FakeNpuSmi, tmp_path: Path) -> None:
    enforcer = make(tool, tmp_path)
    tool.put({"2/0": {"100": "vir05_1c_16g"}})  # somebody else's
    numbers = [
        enforcer.apply(group, allocation(share())).env["ASCEND_RT_VISIBLE_DEVICES"] for group in ("rep_a", "rep_b")
    ]
    assert numbers == ["101", "102"]
    assert enforcer.release("rep_a")
    assert tool.there() == {"2/0": {"100": "vir05_1c_16g", "102": "vir05_1c_16g"}}


def test_a_start_that_was_cut_off_leaves_nothing_behind(tool: FakeNpuSmi, tmp_path: Path) -> None:
    tool.put({"2/0": {"100": "vir05_1c_16g"}})
    tool.die_after_making(True)
    assert not make(tool, tmp_path).apply("rep_a", allocation(share())).enforced
    assert set(tool.there()["2/0"]) == {"100", "101"}
    assert make(tool, tmp_path).release("rep_a")
    assert tool.there() == {"2/0": {"100": "vir05_1c_16g"}}


def test_a_start_that_was_cut_off_goes_on_with_what_it_made(tool: FakeNpuSmi, tmp_path: Path) -> None:
    tool.die_after_making(True)
    make(tool, tmp_path).apply("rep_a", allocation(share()))
    tool.die_after_making(False)
    assert make(tool, tmp_path).apply("rep_a", allocation(share())).env["ASCEND_RT_VISIBLE_DEVICES"] == "100"
    assert tool.there() == {"2/0": {"100": "vir05_1c_16g"}}


def test_a_device_that_the_machine_forgot_is_made_again(tool: FakeNpuSmi, tmp_path: Path) -> None:
    enforcer = make(tool, tmp_path)
    enforcer.apply("rep_a", allocation(share()))
    tool.put({})  # a reboot
    assert enforcer.apply("rep_a", allocation(share())).enforced
    assert tool.there() == {"2/0": {"100": "vir05_1c_16g"}}
    tool.put({})
    assert enforcer.release("rep_a")


def test_another_template_replaces_the_device_and_a_device_less_ends_it(tool: FakeNpuSmi, tmp_path: Path) -> None:
    enforcer = make(tool, tmp_path)
    both = enforcer.apply("rep_a", allocation(share(1), share(0)))
    assert both.env["ASCEND_RT_VISIBLE_DEVICES"] == "116,100"
    enforcer.apply("rep_a", allocation(share(0, profile="vir10_3c_32g")))
    assert tool.there() == {"2/0": {"100": "vir10_3c_32g"}}


def test_a_device_that_is_busy_is_kept_for_the_next_try(tool: FakeNpuSmi, tmp_path: Path) -> None:
    enforcer = make(tool, tmp_path)
    enforcer.apply("rep_a", allocation(share()))
    tool.refuse("destroy-vnpu")
    assert not enforcer.release("rep_a")
    tool.refuse(None)
    assert enforcer.release("rep_a")
    assert tool.there() == {}


def test_a_device_that_was_busy_for_long_is_ended_by_the_next_start(tool: FakeNpuSmi, tmp_path: Path) -> None:
    make(tool, tmp_path).apply("rep_a", allocation(share()))
    tool.refuse("destroy-vnpu")
    assert not make(tool, tmp_path).release("rep_a")
    applied = make(tool, tmp_path).apply("rep_b", allocation(share()))
    assert applied.env["ASCEND_RT_VISIBLE_DEVICES"] == "101", "one that cannot be ended keeps nobody from starting"
    tool.refuse(None)
    make(tool, tmp_path).apply("rep_c", allocation(share(profile="vir10_3c_32g")))
    assert tool.there() == {"2/0": {"101": "vir05_1c_16g", "100": "vir10_3c_32g"}}


def test_refusals_are_told_in_the_words_of_the_tool(tool: FakeNpuSmi, tmp_path: Path) -> None:
    tool.refuse("create-vnpu")
    applied = make(tool, tmp_path).apply("rep_a", allocation(share()))
    assert not applied.enforced
    assert "create-vnpu -i 2 -c 0 -f vir05_1c_16g: Message : Failed to do it, the device is busy" in applied.note
    assert not applied.env


def test_an_unknown_listing_and_an_unknown_chip_are_refused(tool: FakeNpuSmi, tmp_path: Path) -> None:
    enforcer = make(tool, tmp_path)
    assert "no chip with the logic ID 7" in enforcer.apply("rep_a", allocation(share(7))).note
    tool.put({"2/0": {"100": "vir05_1c_16g"}})
    tool.garble()
    assert "in a form that is not known" in enforcer.apply("rep_b", allocation(share())).note
    assert not any("create-vnpu" in call for call in tool.calls())


def test_needs_the_tool_and_root(tool: FakeNpuSmi, tmp_path: Path) -> None:
    absent = AscendVnpuEnforcer(tmp_path / "run", VendorTool("npu-smi", [tmp_path]), privileged=True)
    assert "not installed" in (absent.unavailable() or "")
    user = AscendVnpuEnforcer(tmp_path / "run", VendorTool("npu-smi", [tool.directory]), privileged=False)
    assert "root" in (user.unavailable() or "")
    assert make(tool, tmp_path).unavailable() is None
