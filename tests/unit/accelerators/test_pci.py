"""Which vendors are on the bus, read from a tree as sysfs shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicp.accelerators._pci import PciBus, numa_node


def add(root: Path, address: str, vendor: str, kind: str, numa: str = "-1") -> None:
    directory = root / address
    directory.mkdir()
    (directory / "vendor").write_text(f"{vendor}\n")
    (directory / "class").write_text(f"{kind}\n")
    (directory / "numa_node").write_text(f"{numa}\n")


def test_a_vendor_is_there_when_it_has_what_may_be_an_accelerator(tmp_path: Path) -> None:
    add(tmp_path, "0000:01:00.0", "0x19E5", "0x120000")
    add(tmp_path, "0000:00:00.0", "0x1d94", "0x060000")  # a bridge of the processor's maker
    (tmp_path / "0000:02:00.0").mkdir()  # gone while we look
    bus = PciBus(tmp_path)
    assert bus.has("0x19e5")
    assert not bus.has("0x1d94")


def test_a_card_that_is_added_is_seen_within_half_a_minute(tmp_path: Path) -> None:
    now = 0.0
    bus = PciBus(tmp_path, monotonic=lambda: now)
    assert not bus.has("0x9999")
    add(tmp_path, "0000:0e:00.0", "0x9999", "0x038000")
    now = 29.0
    assert not bus.has("0x9999")
    now = 30.0
    assert bus.has("0x9999")


def test_a_machine_without_the_bus_has_no_vendor(tmp_path: Path) -> None:
    assert not PciBus(tmp_path / "nowhere").has("0x10de")


@pytest.mark.parametrize(
    ("address", "node"),
    [("00000000:18:00.0", 1), ("0000:18:00.0", 1), ("0000:2a:00.0", None), ("0000:99:00.0", None), (None, None)],
)
def test_the_nearest_memory_node(tmp_path: Path, address: str | None, node: int | None) -> None:
    add(tmp_path, "0000:18:00.0", "0x10de", "0x030200", numa="1")
    add(tmp_path, "0000:2a:00.0", "0x10de", "0x030200", numa="-1")
    assert numa_node(address, tmp_path) == node
