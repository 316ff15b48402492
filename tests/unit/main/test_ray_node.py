"""A joined machine's Ray and its agent, when Ray ends, starts no agent, or is to have other papers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.platform import eventually

from aicp.core.ray_member import AGENT_RECORD, MARK_VARIABLE, RayMember
from aicp.main import ray_node
from aicp.main.ray_node import LOOK_SECONDS, STAND_IN_SECONDS, RayNode
from aicp.telemetry.processes import read_identity

WAITS = [sys.executable, "-c", "import time; time.sleep(120)"]


class Machine:
    """A node whose Ray is a process that waits, and whose agent is another one."""

    def __init__(self, directory: Path) -> None:
        self.member = RayMember(directory, "10.0.0.1:6379", "10.0.0.2")
        self.rays: list[subprocess.Popen[bytes]] = []
        self.renewed = threading.Event()
        self.node = RayNode(self.start_ray, self.member, WAITS, dict(os.environ), self.renewed)

    def start_ray(self) -> subprocess.Popen[bytes]:
        mark = {MARK_VARIABLE: str(self.member.directory)}
        self.rays.append(subprocess.Popen(WAITS, env={**os.environ, **mark}))
        return self.rays[-1]

    def agent(self) -> int:
        """Pid of the agent, 0 where there is none."""
        with suppress(OSError):
            found = read_identity(json.loads((self.member.directory / AGENT_RECORD).read_text()))
            return found.pid if found is not None and found.alive() else 0
        return 0

    def end(self) -> None:
        with suppress(ProcessLookupError):
            if pid := self.agent():
                os.kill(pid, signal.SIGKILL)
        for ray in self.rays:
            ray.kill()
            ray.wait()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(ray_node, "_PAUSE_SECONDS", 0.0)
    made = Machine(tmp_path)
    yield made
    made.end()


def test_where_ray_starts_no_agent_one_is_started_without_it(machine: Machine):
    for _ in range(int(STAND_IN_SECONDS / LOOK_SECONDS) - 1):
        machine.node.look()
    assert not (machine.member.directory / AGENT_RECORD).exists()
    machine.node.look()
    agent = eventually("an agent runs", machine.agent)
    for _ in range(2 * int(STAND_IN_SECONDS / LOOK_SECONDS)):
        machine.node.look()
    assert machine.agent() == agent
    assert len(machine.rays) == 1


def test_where_ray_ends_it_is_started_again_and_an_agent_at_once(machine: Machine):
    machine.rays[0].kill()
    machine.rays[0].wait()
    machine.node.look()
    agent = eventually("an agent runs", machine.agent)
    assert machine.rays[1].poll() is None
    # once more: the agent that is there goes on
    machine.rays[1].kill()
    machine.rays[1].wait()
    machine.node.look()
    assert machine.agent() == agent
    assert len(machine.rays) == 3


def test_new_papers_are_for_a_ray_that_is_started_anew(machine: Machine):
    machine.renewed.set()
    machine.node.look()
    assert [ray.poll() is None for ray in machine.rays] == [False, True]
    eventually("an agent runs meanwhile", machine.agent)
    machine.node.look()
    assert len(machine.rays) == 2
