"""The supervisor's children as real processes: started again, taken over, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from tests.support.agent_process import eventually

from aicp.main.children import Child, ChildPlan, end_unplanned
from aicp.telemetry.processes import identify

SCRIPT = Path(__file__).parents[2] / "support" / "small_child.py"


class Watched:
    """One child, what it said to the terminal, and the task that keeps it running."""

    def __init__(self, data_dir: Path, mode: str = "serve", digest: str = "d1", *, hands_over: bool = False) -> None:
        for name in ("run", "logs"):
            (data_dir / name).mkdir(exist_ok=True)
        self.socket = data_dir / "s"
        self.said: list[str] = []
        command = (sys.executable, str(SCRIPT), str(self.socket), mode)
        plan = ChildPlan("small", command, self.socket, 0.5, signal.SIGHUP, hands_over)
        self.child = Child(plan, data_dir, {"AICP_PORT": "1"}, digest, self.said.append)
        self.record = data_dir / "run" / "small.json"
        self.keeper: asyncio.Task[str] | None = None

    async def start(self) -> int:
        self.keeper = asyncio.create_task(self.child.keep_running())
        await asyncio.wait_for(self.child.wait_until_ready(), 10)
        return self.pid()

    def pid(self) -> int:
        return json.loads(self.record.read_text())["pid"]

    def abandon(self) -> None:
        """What a kill -9 of the supervisor leaves: nobody watches any more."""
        assert self.keeper is not None
        self.keeper.cancel()

    async def until_other(self, pid: int) -> int:
        async def other() -> int:
            return self.pid() if self.record.exists() and self.pid() != pid else 0

        return await eventually("another process", other)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(mode: str = "serve", digest: str = "d1", *, hands_over: bool = False) -> Watched:
        made.append(Watched(tmp_path, mode, digest, hands_over=hands_over))
        return made[-1]

    yield make
    for one in made:
        await one.child.stop()
        if one.keeper is not None:
            one.keeper.cancel()


async def test_a_killed_child_is_back_within_a_second(watched: Callable[..., Watched]) -> None:
    one = watched()
    pid = await one.start()
    assert os.getsid(pid) == pid, "a signal of the terminal must reach the supervisor alone"
    one.socket.unlink()
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    new = await one.until_other(pid)
    await one.child.wait_until_ready()
    assert time.monotonic() - began < 1
    assert psutil.pid_exists(new)
    assert one.said == ["small was ended by SIGKILL; started again"]


async def test_a_child_that_keeps_dying_is_started_ever_more_slowly_and_its_log_is_shown(
    watched: Callable[..., Watched],
) -> None:
    one = watched("die")
    one.keeper = asyncio.create_task(one.child.keep_running())

    async def said_enough() -> bool:
        return len(one.said) >= 4

    await eventually("three starts", said_enough)
    assert one.said[0] == "small ended with exit code 1; started again"
    assert one.said[1].endswith("started again in 0.25 s")
    assert one.said[2].endswith("started again in 0.5 s")
    assert "it died at once" in one.said[3]


async def test_a_child_that_cannot_run_ends_the_supervision_with_its_words(watched: Callable[..., Watched]) -> None:
    one = watched("refuse")
    problem = await asyncio.wait_for(one.child.keep_running(), 10)
    assert "small cannot run" in problem
    assert "the database is of a newer platform" in problem


async def test_a_live_child_of_a_dead_supervisor_is_taken_over_and_watched(watched: Callable[..., Watched]) -> None:
    first = watched()
    pid = await first.start()
    first.abandon()
    second = watched()
    assert await second.child.take_over()
    assert second.said == [f"small goes on (pid {pid})"]
    assert await second.start() == pid
    os.kill(pid, signal.SIGKILL)
    assert await second.until_other(pid) != pid


async def test_a_child_with_other_settings_is_replaced(watched: Callable[..., Watched]) -> None:
    first = watched()
    pid = await first.start()
    first.abandon()
    second = watched(digest="d2")
    assert not await second.child.take_over()
    assert identify(pid) is None, "asked to leave by its own signal"
    assert await second.start() != pid


async def test_a_stranger_with_the_same_pid_is_left_alone(watched: Callable[..., Watched]) -> None:
    one = watched()
    stranger = identify(os.getpid())
    assert stranger is not None
    one.record.write_text(json.dumps(stranger.as_json() | {"start_ticks": 1, "settings": "d1"}))
    assert not await one.child.take_over()
    one.record.write_text("not json")
    assert not await one.child.take_over()


async def test_a_deaf_child_is_killed_after_its_grace(watched: Callable[..., Watched]) -> None:
    one = watched("deaf")
    pid = await one.start()
    await one.child.stop()
    assert identify(pid) is None
    assert "did not stop within" in one.said[-1]
    assert not one.record.exists()


async def test_children_write_to_their_own_log(watched: Callable[..., Watched]) -> None:
    one = watched()
    await one.start()
    assert one.child.log.tail(1) == "started with 1\n"


async def test_a_child_is_taken_over_from_and_only_the_new_one_is_watched(watched: Callable[..., Watched]) -> None:
    one = watched()
    former = await one.start()
    assert await one.child.replace() == ""
    present = one.pid()
    leaving = one.record.with_name(f"small.{former}.json")
    assert (identify(former) is not None, leaving.exists()) == (True, True)
    assert one.said == [f"small was taken over by a new process (pid {former} -> {present})"]
    os.kill(former, signal.SIGKILL)

    async def forgotten() -> bool:
        return not leaving.exists()

    await eventually("the former one is forgotten", forgotten)
    assert one.pid() == present, "its end is no reason to start one"
    os.kill(present, signal.SIGKILL)
    assert await one.until_other(present) != present


async def test_one_that_cannot_take_over_changes_nothing(watched: Callable[..., Watched], tmp_path: Path) -> None:
    one = watched()
    former = await one.start()
    (tmp_path / "s.refuse").touch()
    problem = await one.child.replace()
    assert "the present one goes on" in problem
    assert "it cannot take over" in problem
    assert (one.pid(), identify(former) is not None) == (former, True)
    assert not list(one.record.parent.glob("small.*.json"))


async def test_a_next_supervisor_knows_of_one_that_leaves_and_stops_it_too(watched: Callable[..., Watched]) -> None:
    first = watched()
    former = await first.start()
    await first.child.replace()
    first.abandon()
    second = watched()
    assert await second.child.take_over()
    await second.child.stop()
    assert identify(former) is None
    assert not list(first.record.parent.glob("small*.json"))


async def test_a_child_that_hands_over_is_not_ended_for_other_settings(watched: Callable[..., Watched]) -> None:
    first = watched()
    former = await first.start()
    first.abandon()
    second = watched(digest="d2", hands_over=True)
    assert await second.child.take_over()
    assert second.pid() == former
    second.keeper = asyncio.create_task(second.child.keep_running())
    present = await second.until_other(former)
    assert identify(former) is not None, "it ends with its last request"
    assert json.loads(second.record.read_text())["settings"] == "d2"
    assert present != former


async def test_one_whose_successor_died_before_it_served_is_found_again(watched: Callable[..., Watched]) -> None:
    """And with it whoever took over from it was noted as the present one: the supervisor was killed in between."""
    first = watched()
    former = await first.start()
    first.abandon()
    first.record.rename(first.record.with_name(f"small.{former}.json"))
    second = watched(hands_over=True)
    assert await second.child.take_over()
    second.keeper = asyncio.create_task(second.child.keep_running())
    present = await second.until_other(former)
    assert identify(present) is not None


async def test_what_there_is_too_much_of_ends(tmp_path: Path, watched: Callable[..., Watched]) -> None:
    one = watched()
    pid = await one.start()
    one.abandon()
    said: list[str] = []
    await end_unplanned(tmp_path / "run", "small*.json", {"other"}, said.append)
    assert (identify(pid), one.record.exists(), len(said)) == (None, False, 1)
