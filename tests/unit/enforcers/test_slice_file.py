"""The slice library's two files as the platform writes them; what the library reads is in test_interposer.py."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import MIB
from aicp.enforcers.interposer import InterposerEnforcer
from aicp.enforcers.interposer import slice_file as files


def allocation(*device_ids: str) -> Allocation:
    shares = [
        DeviceShare(
            vendor="nvidia", device_id=id, index=0, compute_percent=10, memory_bytes=MIB, mechanism="interposer"
        )
        for id in device_ids
    ]
    return Allocation(node_id="node_1", devices=shares, cpu_cores=1, memory_bytes=0)


@pytest.fixture
def enforcer(tmp_path: Path) -> InterposerEnforcer:
    library = tmp_path / "library.so"
    library.touch()
    return InterposerEnforcer(tmp_path / "slices", library)


def test_replicas_that_start_at_once_share_the_files_of_their_devices(
    enforcer: InterposerEnforcer, tmp_path: Path
) -> None:
    def begin(number: int) -> int:
        applied = enforcer.apply(f"rep_{number}", allocation("GPU-a", "GPU-b"))
        assert applied.enforced, applied.note
        return os.stat(applied.writable[1]).st_ino

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(10):
            assert len(set(pool.map(begin, range(24)))) == 1, attempt
            for card in (tmp_path / "slices").glob("*.card"):
                card.unlink()


def test_a_file_is_whole_though_the_kernel_takes_it_in_parts(
    enforcer: InterposerEnforcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, body: whole(file, body[:1000]))
    applied = enforcer.apply("rep_a", allocation("GPU-a"))
    assert [os.stat(path).st_size for path in applied.writable] == [files.SLICE_BYTES, files.CARD_BYTES]


def test_the_same_devices_in_another_order_keep_the_file(enforcer: InterposerEnforcer) -> None:
    path = enforcer.apply("rep_a", allocation("GPU-a", "GPU-b")).writable[0]
    before = os.stat(path).st_ino
    assert enforcer.apply("rep_a", allocation("GPU-b", "GPU-a")).writable[0] == path
    assert os.stat(path).st_ino == before
    enforcer.apply("rep_a", allocation("GPU-b", "GPU-c"))
    assert os.stat(path).st_ino != before, "other devices are another slice"
