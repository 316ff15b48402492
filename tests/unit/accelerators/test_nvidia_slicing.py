"""Which ways an NVIDIA product can be cut."""

from __future__ import annotations

import pytest

from aicp.accelerators._nvidia_slicing import mig_profiles, ways
from aicp.core.accelerator import Accelerator
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy, SliceRequest, choose_slicing


def device(product: str, memory_bytes: int, **facts: object) -> Accelerator:
    return Accelerator(
        vendor="nvidia", index=0, device_id="GPU-1", product=product, memory_bytes=memory_bytes, facts=facts
    )


@pytest.mark.parametrize(
    ("product", "memory_bytes", "first", "last", "count"),
    [
        # memory as NVML shows it
        ("NVIDIA A30", 25_769_803_776, "1g.6gb", "4g.24gb", 3),
        ("NVIDIA A100-PCIE-40GB", 42_949_672_960, "1g.5gb", "7g.40gb", 6),
        ("NVIDIA A100-SXM4-80GB", 85_899_345_920, "1g.10gb", "7g.80gb", 6),
        ("NVIDIA H100 80GB HBM3", 85_520_809_984, "1g.10gb", "7g.80gb", 6),
        ("NVIDIA H100 NVL", 95_830 * MIB, "1g.12gb", "7g.94gb", 6),
        ("NVIDIA H200", 150_754_820_096, "1g.18gb", "7g.141gb", 6),
        ("NVIDIA H20", 97_871 * MIB, "1g.12gb", "7g.96gb", 6),
        ("NVIDIA B200", 183_359 * MIB, "1g.23gb", "7g.180gb", 6),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97_887 * MIB, "1g.24gb", "4g.96gb", 3),
    ],
)
def test_mig_profiles(product: str, memory_bytes: int, first: str, last: str, count: int) -> None:
    profiles = mig_profiles(product, memory_bytes)
    assert (profiles[0].name, profiles[-1].name, len(profiles)) == (first, last, count)
    assert profiles[-1].compute_percent == 100
    assert all(shape.memory_bytes < memory_bytes for shape in profiles)
    parts = int(last.partition("g")[0])
    assert parts * profiles[0].compute_percent <= 100, "as many of the smallest as there are parts fit"
    # never more than the memory that the profile's name speaks of
    assert all(shape.memory_bytes <= int(shape.name[:-2].partition("g.")[2]) * GIB for shape in profiles)


@pytest.mark.parametrize(
    ("product", "memory_bytes"),
    [
        ("NVIDIA L20", 48 * GIB),
        ("NVIDIA GeForce RTX 4090", 24 * GIB),
        ("NVIDIA A3000", 24 * GIB),
        ("NVIDIA H20", 141 * GIB),
    ],
)
def test_products_without_known_profiles_have_none(product: str, memory_bytes: int) -> None:
    assert mig_profiles(product, memory_bytes) == []
    assert [way.mechanism for way in ways(device(product, memory_bytes))] == ["mps", "interposer"]


def test_a_device_in_mig_mode_is_cut_by_mig_alone() -> None:
    h200 = 150_754_820_096
    assert [way.mechanism for way in ways(device("NVIDIA H200", h200, mig_mode="enabled"))] == ["mig"]
    assert [way.mechanism for way in ways(device("NVIDIA H200", h200, mig_mode="disabled"))] == [
        "mps",
        "interposer",
        "mig",
    ]


def test_a_guarantee_is_held_by_the_interposer_alone() -> None:
    asked = SliceRequest(compute_percent=30, memory_bytes=4 * GIB, policy=SlicePolicy.WEIGHT)
    size = choose_slicing(asked, ways(device("NVIDIA H200", 150_754_820_096)))
    assert size is not None
    assert size.mechanism == "interposer"


def test_only_mig_keeps_faults_apart() -> None:
    isolated = [way.mechanism for way in ways(device("NVIDIA H200", 150_754_820_096)) if way.isolated]
    assert isolated == ["mig"]
