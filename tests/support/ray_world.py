"""A whole platform whose runner is `ray`, started by its own commands, and a machine that joined it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.support.certificates import Authority
from tests.support.joined_node import LinkedMachine, linked_machine
from tests.support.joined_world import World
from tests.support.platform import Platform, free_ports
from tests.support.redis_server import RedisServer

from aicp.core.node import NodeState
from aicp.main.ray_start import temporary_directory
from aicp.telemetry.processes import environment_of, pids_marked

_GONE = "gone"


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket beyond loopback: where it is reached, and what the process behind it does."""

    host: str
    port: int
    role: str
    member: Path
    """Membership of Ray that the process has; an empty path where it has none."""


class RayWorld(World):
    """`redis` holds the state of Ray's head."""

    def __init__(self, platform: Platform, machine: LinkedMachine, folder: Path, redis: RedisServer) -> None:
        super().__init__(platform, machine, folder)
        self.redis = redis

    @property
    def head(self) -> Path:
        """Membership of the platform's machine in Ray."""
        return self.platform.data_dir / "run" / "ray"

    @property
    def member(self) -> Path:
        """Membership of the machine that joined."""
        return self.node.data_dir / "run" / "ray"

    def ray_pid(self, member: Path, command: str) -> int:
        """The process of a member's Ray whose program is called `command`; 0 where there is none."""
        for pid in pids_marked("AICP_RAY_MEMBER", str(member)):
            with suppress(psutil.Error):
                if Path(psutil.Process(pid).cmdline()[0]).name == command:
                    return pid
        return 0

    def keeper_pid(self) -> int:
        """Ray's actor on the machine that joined; 0 where there is none."""
        for pid in pids_marked("AICP_RAY_MEMBER", str(self.member)):
            with suppress(psutil.Error, IndexError):
                if psutil.Process(pid).cmdline()[0].startswith("ray::_OnNode"):
                    return pid
        return 0

    def agent_pid(self) -> int:
        """The agent of the machine that joined; 0 where none runs."""
        with suppress(OSError, ValueError, psutil.Error):
            pid = int(json.loads((self.member / "agent.json").read_text())["pid"])
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return pid
        return 0

    def of_ray(self) -> bool:
        """Whether the machine's agent is the child of Ray's actor there, and the platform hears from it."""
        agent, keeper = self.agent_pid(), self.keeper_pid()
        with suppress(psutil.Error):
            return bool(agent and keeper) and psutil.Process(agent).ppid() == keeper and self.is_ready()
        return False

    def is_ready(self) -> bool:
        """Whether the platform counts on the machine."""
        return self.state() == NodeState.READY

    def listening(self) -> list[Listening]:
        """Every TCP and UDP socket beyond loopback of the platform, its Redis, and all of the other machine."""
        own = [one for one in _sockets([]) if self._is_ours(one[2])]
        there = _sockets(["ip", "netns", "exec", self.machine.name])
        found = [Listening(self.machine.gateway, port, *_role(pid)) for _, port, pid in own]
        found += [Listening(self.machine.host, port, *_role(pid)) for _, port, pid in there]
        return [one for one in found if one.role != _GONE]

    def _is_ours(self, pid: int) -> bool:
        if self.redis.process is not None and pid == self.redis.process.pid:
            return True
        named = environment_of(pid)
        marks = (named.get("AICP_DATA_DIR"), named.get("AICP_RAY_MEMBER"))
        return marks[0] == str(self.platform.data_dir) or marks[1] == str(self.head)


def _sockets(enter: list[str]) -> list[tuple[str, int, int]]:
    told = subprocess.run([*enter, "ss", "-Hltunp"], capture_output=True, text=True, check=True).stdout
    found: list[tuple[str, int, int]] = []
    for line in told.splitlines():
        host, _, port = line.split()[4].rpartition(":")
        if host.startswith("127.") or host in ("[::1]", "[::ffff:127.0.0.1]"):
            continue
        user = re.search(r"pid=(\d+)", line)
        found.append((host, int(port), int(user[1]) if user else 0))  # 0: in a container beside this one
    return found


def _role(pid: int) -> tuple[str, Path]:
    """`control`, `agent` ... for the platform's processes, the program's name for others; and the membership."""
    try:
        command = psutil.Process(pid).cmdline() or [_GONE]
    except psutil.NoSuchProcess:
        command = [_GONE]  # it ended between the two looks
    member = Path(environment_of(pid).get("AICP_RAY_MEMBER", ""))
    if "aicp.main.server" in command:
        return command[command.index("aicp.main.server") + 1], member
    return Path(command[0].split()[0]).name, member


@contextmanager
def ray_world(folder: Path, environments: str, **settings: str) -> Iterator[RayWorld]:
    """`aicp up --runner ray --cluster ...` with a Redis that speaks TLS, and `aicp node join` on a machine of its own.

    `folder` is short, as sockets lie below it.
    """
    cluster_port, ray_port = free_ports()
    with linked_machine() as machine:
        authority = Authority(folder / "redis")
        redis = RedisServer(host=machine.gateway, tls=authority.issue(f"IP:{machine.gateway}"))
        platform = Platform(
            folder / "p",
            AICP_CLUSTER_ADDRESS=f"{machine.gateway}:{cluster_port}",
            AICP_RAY_ADDRESS=f"{machine.gateway}:{ray_port}",
            AICP_RAY_REDIS=redis.url.removesuffix("/0"),
            AICP_RAY_REDIS_AUTHORITY=str(authority.file),
            AICP_RUNNER="ray",
            **settings,
        )
        world = RayWorld(platform, machine, folder, redis)
        try:
            redis.start()
            address = platform.env["AICP_CLUSTER_ADDRESS"]
            up = [sys.executable, "-m", "aicp.cli.app", "up", "--runner", "ray", "--cluster", address]
            platform.start(up)
            platform.import_demo("demo")
            world.join()
            yield world
        finally:
            _end(world)


def _end(world: RayWorld) -> None:
    """Both machines stop in an orderly way; what is left is killed."""
    with suppress(Exception):
        world.node.stop()
    with suppress(Exception):
        world.platform.stop()
    left = [pid for one in (world.platform, world.node) for pid in pids_marked("AICP_DATA_DIR", str(one.data_dir))]
    left += [pid for one in (world.head, world.member) for pid in pids_marked("AICP_RAY_MEMBER", str(one))]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    world.redis.stop()
    for member in (world.head, world.member):
        shutil.rmtree(temporary_directory(member), ignore_errors=True)
