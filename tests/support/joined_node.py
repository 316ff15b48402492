"""A machine that joins a platform: its processes in a network namespace of their own, behind a link that can be cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

_NAME = "aicpjoin"


def need_namespaces() -> None:
    """Skips where no network namespace can be made."""
    with suppress(OSError):
        made = subprocess.run(["ip", "netns", "add", f"{_NAME}try"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", f"{_NAME}try"], capture_output=True, check=False)
        if made.returncode == 0:
            return
    pytest.skip("not run: it needs network namespaces (root, and the program `ip`)")


@contextmanager
def linked_machine() -> Iterator[LinkedMachine]:
    """A namespace with a link to this machine; both go at the end. Each process of tests has names of its own."""
    machine = LinkedMachine(os.getpid())
    machine.remove()
    _ip("netns", "add", machine.name)
    try:
        _ip("link", "add", machine.link, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
        _ip("addr", "add", f"{machine.gateway}/24", "dev", machine.link)
        _ip("link", "set", machine.link, "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{machine.host}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):  # fmt: skip
            _ip("-n", machine.name, *words)
        yield machine
    finally:
        machine.remove()


class LinkedMachine:
    """`host` is its address, `gateway` this machine's on the link."""

    def __init__(self, number: int) -> None:
        self.name = f"{_NAME}{number}"
        self.link = f"aj{number}"
        network = f"10.{128 + number // 250 % 100}.{number % 250}"
        self.gateway, self.host = f"{network}.1", f"{network}.2"

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def heal(self) -> None:
        """All passes again."""
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """Takes both away."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.link], capture_output=True, check=False)


class JoinedNode:
    """`aicp` on another data directory, in the namespace of `machine` (None: here)."""

    def __init__(self, data_dir: Path, environments: str, machine: LinkedMachine | None = None) -> None:
        self.data_dir = data_dir
        self._within = ["ip", "netns", "exec", machine.name] if machine else []
        self._env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AICP_")},
            "AICP_DATA_DIR": str(data_dir),
            "AICP_ENVIRONMENTS_DIR": environments,
        }

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `aicp` there."""
        command = [*self._within, sys.executable, "-m", "aicp.cli.app", *words]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def node_id(self) -> str:
        """Its id."""
        return (self.data_dir / "agent" / "node.id").read_text().strip()

    def engines(self) -> list[int]:
        """Pids of engines that run there."""
        pids: list[int] = []
        for record in (self.data_dir / "agent" / "replicas").glob("*/process.json"):
            with suppress(OSError, ValueError, KeyError):
                pid = json.loads(record.read_text())["pid"]
                if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    pids.append(pid)
        return pids

    def kill(self) -> None:
        """kill -9 of everything at once, the supervisor first."""
        pids = [json.loads((self.data_dir / "run" / f"{name}.json").read_text())["pid"] for name in ("up", "agent")]
        for pid in [*pids, *self.engines()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends it with its engines."""
        self._within = []  # by signals, whatever became of its network
        self.cli("down", check=False)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
