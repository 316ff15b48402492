"""Machines of a platform whose runner is `ray`, on this one: each in its own network and process namespace."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from aicp.core.clock import SystemClock
from aicp.core.launch import ObservedReplica
from aicp.core.ray_member import RayMember
from aicp.core.registry import Registry
from aicp.main.ray_membership import write_membership
from aicp.main.ray_start import temporary_directory
from aicp.runners.base import AgentAddress, Runner, RunnerDriver
from aicp.security.ray_trust import RayTrust

BRIDGE = "aicpraybr"
NET = "10.231.7"
PORT = 6381


def unavailable() -> str | None:
    """Why such machines cannot be made here; None when they can."""
    if importlib.util.find_spec("ray") is None:
        return "not run: ray is not installed (pip install --require-hashes -r requirements/ray.txt)"
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare") and shutil.which("ss")):
        return "not run: network namespaces need root, and the packages iproute2 and util-linux"
    name = f"aicpraytry{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return f"not run: no network namespaces here ({made.stderr.decode().strip()})" if made.returncode else None


@dataclass
class Machine:
    """One of them; number 1 is the head, on the bridge's own address."""

    number: int
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{NET}.{self.number}"

    @property
    def name(self) -> str:
        return f"node_{self.number}"

    @property
    def data_dir(self) -> Path:
        return self.folder / str(self.number)

    @property
    def member(self) -> RayMember:
        return RayMember(self.data_dir / "run" / "ray", f"{NET}.1:{PORT}", self.address)

    @property
    def enter(self) -> list[str]:
        """How to run something in its network."""
        return [] if self.number == 1 else ["ip", "netns", "exec", f"aicpray{self.number}"]

    def start(self) -> None:
        """Its process of Ray, with all it starts, in a process namespace that ends with it."""
        process = "ray-head" if self.number == 1 else "ray-node"
        apart = ["unshare", "-pf", "--kill-child", "--mount-proc"]
        command = [sys.executable, "-m", "aicp.main.server", process, "--data-dir", str(self.data_dir)]
        with (self.folder / f"{self.number}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.enter, *apart, *command], env=self.environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """As when the power fails: every process of the machine at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def listening(self) -> list[tuple[str, int, str]]:
        """(address, port, process) of each TCP socket that this machine's Ray and agents listen on."""
        told = subprocess.run([*self.enter, "ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        found: list[tuple[str, int, str]] = []
        for line in told.splitlines():
            host, _, port = line.split()[3].rpartition(":")
            user = re.search(r'\(\("([^"]*)",pid=(\d+)', line)
            if user and (self.number != 1 or self._is_ours(int(user[2]))):
                found.append((host, int(port), user[1]))
        return found

    def _is_ours(self, pid: int) -> bool:
        mark = f"AICP_RAY_MEMBER={self.member.directory}".encode()
        try:
            return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False  # it has ended since


@dataclass
class RayMachines:
    """A head and nodes 2, 3, ... with their agents; `redis` is where the head keeps its state."""

    folder: Path
    count: int = 2
    redis: str = ""
    machines: list[Machine] = field(default_factory=list[Machine])

    def start(self) -> None:
        """Networks, membership papers and processes; returns once the head accepts connections."""
        _lay_network(self.count)
        keep = {name: text for name, text in os.environ.items() if not name.startswith(("AICP_", "RAY_"))}
        settings = {"AICP_RUNNER": "ray", "AICP_RAY_ADDRESS": f"{NET}.1:{PORT}", "AICP_RAY_REDIS": self.redis}
        # the engine is a script of the tests, which an unprivileged user may not read
        settings |= {"AICP_ENGINE_USER": "root"}
        environment = keep | settings | {"AICP_ENVIRONMENTS_DIR": str(self.folder / "environments")}
        self.machines = [Machine(number, self.folder, environment) for number in range(1, self.count + 2)]
        self.head.start()
        trust = RayTrust(self.head.data_dir / "run" / "ray-authority", SystemClock().now())
        for machine in self.nodes:
            trust.admit(machine.address).write(machine.member.directory)
            write_membership(machine.member, machine.name, 300)
            (machine.data_dir / "agent").mkdir(parents=True)
            (machine.data_dir / "agent" / "node.id").write_text(machine.name)
            (machine.data_dir / "run" / "internal.token").write_text("word")
        self.wait_for_head()
        for machine in self.nodes:
            machine.start()

    @property
    def head(self) -> Machine:
        return self.machines[0]

    @property
    def nodes(self) -> list[Machine]:
        return self.machines[1:]

    def wait_for_head(self) -> None:
        """Returns once it accepts connections."""
        deadline = time.monotonic() + 60
        while not any(port == PORT for _, port, _ in self.head.listening()):
            assert time.monotonic() < deadline, (self.folder / "1.log").read_text()[-4000:]
            time.sleep(0.1)

    def runner(self) -> Runner:
        """The real driver; agents are reached over their unix sockets, which all these machines share."""
        agents = [AgentAddress(f"unix:{one.data_dir / 'agent' / 'agent.sock'}", "word") for one in self.nodes]
        options = {"address": f"{NET}.1:{PORT}", "run_dir": self.head.data_dir / "run", "reconnect_seconds": 300}
        return Registry[RunnerDriver]("aicp.runners").get("ray").connect(agents, options)

    def stop(self) -> None:
        """Everything gone, the networks too."""
        for machine in self.machines:
            machine.kill()
            shutil.rmtree(temporary_directory(machine.member.directory), ignore_errors=True)
        _remove_network(self.count)


async def until(what: str, check: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Seconds until `check` holds. Fails with `what`."""
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
    return time.monotonic() - began


def _lay_network(count: int) -> None:
    _remove_network(count)
    _ip(f"link add {BRIDGE} type bridge", f"addr add {NET}.1/24 dev {BRIDGE}", f"link set {BRIDGE} up")
    for number in range(2, count + 2):
        _ip(
            f"netns add aicpray{number}",
            f"link add aicprayv{number} type veth peer name eth0 netns aicpray{number}",
            f"link set aicprayv{number} master {BRIDGE} up",
            f"-n aicpray{number} addr add {NET}.{number}/24 dev eth0",
            f"-n aicpray{number} link set eth0 up",
            f"-n aicpray{number} link set lo up",
        )


def _remove_network(count: int) -> None:
    for number in range(2, count + 2):
        # the network goes with its last process, which may take a moment: its link must be gone now
        subprocess.run(["ip", "link", "del", f"aicprayv{number}"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", f"aicpray{number}"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def _ip(*lines: str) -> None:
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True)


async def answers(replica: ObservedReplica) -> bool:
    """Whether one call to an engine succeeds."""
    assert replica.address is not None
    transport = httpx.AsyncHTTPTransport(uds=replica.address.removeprefix("unix:"))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=2) as client:
            return (await client.get("/health")).is_success
    except httpx.HTTPError:
        return False
