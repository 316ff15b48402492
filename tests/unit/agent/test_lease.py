"""The lease of a joined node: renewed by calls, kept over a restart of the agent, never made longer by one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aicp.agent import lease as module
from aicp.agent.lease import Lease, keep_fence


class Boot:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_call_renews_it_and_silence_ends_it(tmp_path: Path) -> None:
    boot = Boot()
    lease = Lease(tmp_path / "lease.json", boot, "boot-1")
    assert not lease.held()
    lease.renew(300)
    boot.seconds += 299
    assert lease.held()
    lease.renew(300)
    boot.seconds += 301
    assert not lease.held()


def test_a_restart_goes_on_with_it_and_never_gets_more(tmp_path: Path) -> None:
    boot, file = Boot(), tmp_path / "lease.json"
    first = Lease(file, boot, "boot-1")
    for _ in range(100):
        first.renew(300)
        boot.seconds += 1
    again = Lease(file, boot, "boot-1")
    assert again.held()
    boot.seconds += 298
    assert first.held()
    boot.seconds += 2
    assert not again.held()


def test_another_boot_holds_nothing(tmp_path: Path) -> None:
    boot = Boot()
    Lease(tmp_path / "lease.json", boot, "boot-1").renew(300)
    assert not Lease(tmp_path / "lease.json", boot, "boot-2").held()
    (tmp_path / "lease.json").write_text("nonsense")
    assert not Lease(tmp_path / "lease.json", boot, "boot-1").held()


async def test_it_is_waited_for(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease.json", Boot(), "boot-1")
    waiting = asyncio.create_task(lease.wait(30))
    await asyncio.sleep(0)
    lease.renew(300)
    assert await waiting
    assert not await Lease(tmp_path / "other.json", Boot(), "boot-1").wait(0.01)


class Running:
    def __init__(self) -> None:
        self.count = 2
        self.reasons: list[str] = []
        self.fenced = asyncio.Event()

    def launches(self) -> list[int]:
        return [1] * self.count

    async def fence(self, reason: str) -> None:
        self.reasons.append(reason)
        self.count = 0
        self.fenced.set()


async def test_engines_are_stopped_once_when_it_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)
    boot, running = Boot(), Running()
    lease = Lease(tmp_path / "lease.json", boot, "boot-1")
    lease.renew(10)
    task = asyncio.create_task(keep_fence(lease, running))  # type: ignore[arg-type]
    await asyncio.sleep(0.02)
    assert running.reasons == []
    boot.seconds += 11
    await asyncio.wait_for(running.fenced.wait(), 5)
    await asyncio.sleep(0.02)
    task.cancel()
    assert len(running.reasons) == 1
