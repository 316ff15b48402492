"""Masks of compute units over a copy of what the kernel shows, which was written after its sources."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.core.slice import SlicePolicy
from aicp.enforcers._ledger import Ledger
from aicp.enforcers.amd_cu_mask import AmdCuMaskEnforcer

FIXTURE = json.loads((Path(__file__).parents[2] / "fixtures" / "enforcers" / "amd_cu_mask.json").read_text())
MI300X, MI210 = (f"GPU-{FIXTURE['nodes'][node]['unique_id']:016x}" for node in ("1", "2"))
RADEON = "GPU-0000000000000003"
UNITS, PIECE = {MI300X: 304, MI210: 104, RADEON: 60}, {MI300X: 8, MI210: 1, RADEON: 2}


def share(device_id: str, percent: int = 25, **changes: object) -> DeviceShare:
    fields = {"index": list(UNITS).index(device_id) if device_id in UNITS else 0, "memory_bytes": GIB} | changes
    return DeviceShare.model_validate(
        {"vendor": "amd", "device_id": device_id, "compute_percent": percent, "mechanism": "amd_cu_mask", **fields}
    )


def allocation(*shares: DeviceShare) -> Allocation:
    return Allocation(node_id="node_1", devices=list(shares), cpu_cores=1, memory_bytes=0)


def write_topology(directory: Path, **changes: int | None) -> Path:
    """The kernel's directory; `changes` are to node 1, None leaves a property out."""
    for number, properties in FIXTURE["nodes"].items():
        node = directory / number
        node.mkdir(parents=True)
        fields = {**properties, **changes} if number == "1" else properties
        lines = [f"{name} {value}" for name, value in fields.items() if value is not None]
        (node / "properties").write_text("\n".join(lines) + "\n")
    return directory


def units(mask: str) -> dict[int, set[int]]:
    """What a mask enables, by the place of the device, read as ROCm's page says."""
    enabled: dict[int, set[int]] = {}
    for part in mask.split(";"):
        place, ranges = part.split(":")
        ends = [[int(end) for end in one.split("-")] for one in ranges.split(",")]
        assert int(place) not in enabled
        enabled[int(place)] = {unit for one in ends for unit in range(one[0], one[-1] + 1)}
    return enabled


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    return write_topology(tmp_path / "nodes")


@pytest.fixture
def enforcer(topology: Path, tmp_path: Path) -> AmdCuMaskEnforcer:
    return AmdCuMaskEnforcer(tmp_path / "run", topology)


def test_units_are_whole_pieces_and_the_rounding_is_told(enforcer: AmdCuMaskEnforcer) -> None:
    applied = enforcer.apply("rep_a", allocation(share(MI300X, 5)))
    assert applied.enforced
    assert applied.env == {"HSA_CU_MASK": "0:0-7"}  # 15 units are one of each of the 8 dies, and 7 that fit nowhere
    assert applied.note == (
        f"accelerator slices by compute units: 8 of 304 compute units of {MI300X} (5 % became 2.63 %); "
        "their memory is not limited"
    )
    assert enforcer.apply("rep_b", allocation(share(RADEON, 25))).env == {"HSA_CU_MASK": "0:0-13"}
    assert enforcer.apply("rep_c", allocation(share(MI210, 25))).env == {"HSA_CU_MASK": "0:0-25"}


def test_a_place_is_counted_over_all_devices_that_the_engine_sees(enforcer: AmdCuMaskEnforcer) -> None:
    whole = share(RADEON, 100, mechanism=None)
    applied = enforcer.apply("rep_a", allocation(whole, share(MI300X, 50), share(MI210, 50)))
    assert {place: len(part) for place, part in units(applied.env["HSA_CU_MASK"]).items()} == {1: 152, 2: 52}


def test_without_numbers_of_their_own_devices_go_by_index(enforcer: AmdCuMaskEnforcer) -> None:
    applied = enforcer.apply("rep_a", allocation(share("0000:26:00.0", 50, index=1)))
    assert applied.env == {"HSA_CU_MASK": "1:0-51"}
    assert not enforcer.apply("rep_b", allocation(share("0000:99:00.0", 50, index=9))).enforced


def test_freed_units_are_given_again_also_in_pieces(enforcer: AmdCuMaskEnforcer) -> None:
    for group in ("rep_a", "rep_b", "rep_c", "rep_d"):
        assert enforcer.apply(group, allocation(share(RADEON, 25))).enforced
    assert enforcer.release("rep_a")
    assert enforcer.release("rep_c")
    assert enforcer.apply("rep_e", allocation(share(RADEON, 50))).env == {"HSA_CU_MASK": "0:0-13,28-41,56-57"}


def test_another_agent_goes_on_where_the_last_one_ended(
    enforcer: AmdCuMaskEnforcer, topology: Path, tmp_path: Path
) -> None:
    first = enforcer.apply("rep_a", allocation(share(MI210, 60)))
    other = AmdCuMaskEnforcer(tmp_path / "run", topology)
    assert other.apply("rep_a", allocation(share(MI210, 60))) == first
    refused = other.apply("rep_b", allocation(share(MI210, 60)))
    assert not refused.enforced
    assert "has 42 free compute units, and 62 are needed" in refused.note
    assert other.release("rep_a")
    assert enforcer.apply("rep_b", allocation(share(MI210, 60))).enforced


def test_what_ended_while_the_disk_was_full_is_free_afterwards(
    enforcer: AmdCuMaskEnforcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforcer.apply("rep_a", allocation(share(MI210, 60)))
    kept = enforcer.apply("rep_c", allocation(share(MI210, 20)))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Ledger, "write", refuse)
        assert not enforcer.release("rep_a")
        assert enforcer.apply("rep_c", allocation(share(MI210, 20))) == kept, "nothing new is to be written for it"
    assert enforcer.apply("rep_b", allocation(share(MI210, 60))).enforced


def test_a_replica_that_starts_again_keeps_its_units_though_its_end_was_not_written(
    enforcer: AmdCuMaskEnforcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = enforcer.apply("rep_a", allocation(share(MI210, 60)))
    with monkeypatch.context() as full:
        full.setattr(Ledger, "_read", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        assert not enforcer.release("rep_a")
    assert enforcer.apply("rep_a", allocation(share(MI210, 60))) == first
    assert not enforcer.apply("rep_b", allocation(share(MI210, 60))).enforced, "rep_a has them"


def test_a_ledger_that_cannot_be_read_gives_nothing_away(enforcer: AmdCuMaskEnforcer, tmp_path: Path) -> None:
    enforcer.apply("rep_a", allocation(share(MI210)))
    (tmp_path / "run" / "groups.json").write_text('{"rep_a": ')
    refused = enforcer.apply("rep_b", allocation(share(MI210)))
    assert not refused.enforced
    assert "groups.json cannot be read" in refused.note


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (share(MI300X, 1), "1 % of {} is less than its smallest part, 8 of 304 compute units (2.63 %)"),
        (share(MI300X, 50, policy=SlicePolicy.WEIGHT), "ask for policy cap"),
    ],
)
def test_what_cannot_be_held_is_refused(enforcer: AmdCuMaskEnforcer, asked: DeviceShare, why: str) -> None:
    refused = enforcer.apply("rep_a", allocation(asked))
    assert not refused.enforced
    assert not refused.env
    assert why.format(MI300X) in refused.note


def test_a_kernel_that_hides_the_dies_is_refused(tmp_path: Path) -> None:
    enforcer = AmdCuMaskEnforcer(tmp_path / "run", write_topology(tmp_path / "nodes", num_xcc=None))
    assert "does not say how many dies" in enforcer.apply("rep_a", allocation(share(MI300X, 50))).note
    assert enforcer.apply("rep_b", allocation(share(MI210, 50))).enforced


@pytest.fixture(scope="module")
def kernel() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp())
    yield write_topology(directory / "nodes")
    shutil.rmtree(directory)


_STEPS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(list(UNITS)), st.integers(0, 100)), min_size=1, max_size=25
)


@settings(max_examples=40, deadline=None)
@given(_STEPS)
def test_no_unit_is_ever_two_groups(kernel: Path, steps: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as run:
        enforcer = AmdCuMaskEnforcer(Path(run), kernel)
        held: dict[str, tuple[str, set[int]]] = {}
        for group, device_id, percent in steps:
            if percent == 0:
                assert enforcer.release(group)
                held.pop(group, None)
                continue
            applied = enforcer.apply(group, allocation(share(device_id, percent)))
            if applied.enforced:
                held[group] = (device_id, units(applied.env["HSA_CU_MASK"])[0])
            check_masks(held)


def check_masks(held: dict[str, tuple[str, set[int]]]) -> None:
    for device_id, count in UNITS.items():
        parts = [part for owner, part in held.values() if owner == device_id]
        together: set[int] = set().union(*parts)
        assert sum(map(len, parts)) == len(together), "two groups share a unit"
        assert together <= set(range(count))
        size = PIECE[device_id]
        for part in parts:
            assert all({unit // size * size + step for step in range(size)} <= part for unit in part)
