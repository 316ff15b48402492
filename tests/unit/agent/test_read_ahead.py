"""Model files are asked for ahead of an engine, as far as there is memory that nobody needs."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from tests.support.clock import FakeClock

from aicp.agent import model_copies as copies_module
from aicp.agent.model_copies import CopySource, ModelCopies
from aicp.agent.read_ahead import read_ahead

MIB = 2**20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of two files, 20 MiB and 1 MiB."""
    folder = tmp_path / "models" / "abc"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "a.safetensors").write_bytes(bytes(20 * MIB))
    (folder / "z.json").write_bytes(bytes(MIB))
    return folder


def memory(folder: Path, available: int, total: int = 100) -> Path:
    """A /proc/meminfo, in MiB."""
    path = folder / "meminfo"
    path.write_text(f"MemTotal: {total * 1024} kB\nMemFree: 1 kB\nMemAvailable: {available * 1024} kB\n")
    return path


@pytest.fixture
def advised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """What the kernel was asked: offset, length, advice."""
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, at, size, advice: asked.append((at, size, advice)))
    return asked


def test_all_files_are_asked_for_in_pieces(model: Path, tmp_path: Path, advised: list[tuple[int, int, int]]) -> None:
    assert read_ahead(model, memory(tmp_path, available=50)) == 21 * MIB
    assert [(at // MIB, size // MIB) for at, size, _ in advised] == [(0, 16), (16, 4), (0, 1)]
    assert {advice for *_, advice in advised} == {os.POSIX_FADV_WILLNEED}


@pytest.mark.parametrize(("available", "asked"), [(31, 21), (30, 20), (29, 0), (5, 0)])
def test_a_tenth_of_all_memory_is_left_alone(
    model: Path, tmp_path: Path, advised: list[tuple[int, int, int]], available: int, asked: int
) -> None:
    assert read_ahead(model, memory(tmp_path, available)) == asked * MIB


def test_without_knowing_the_memory_nothing_is_asked(
    model: Path, tmp_path: Path, advised: list[tuple[int, int, int]]
) -> None:
    assert read_ahead(model, tmp_path / "none") == 0
    assert advised == []


async def test_a_copy_is_read_once_at_a_time_and_an_absent_one_not(
    model: Path, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, done = list[str](), threading.Event()

    def note(path: Path) -> int:
        read.append(path.name)
        done.set()
        return 0

    monkeypatch.setattr(copies_module, "read_ahead", note)
    copies = ModelCopies(tmp_path / "models", CopySource("http://127.0.0.1:1", "t"), clock)
    for _ in range(2):
        copies.read_ahead("abc")
    copies.read_ahead("def")
    assert await asyncio.to_thread(done.wait, 5)
    assert read == ["abc"]
