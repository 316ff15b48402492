"""Processes of this machine by an identity that a re-used pid cannot fake, and what they consume. Linux /proc."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid with its start (clock ticks since boot, field 22 of /proc/<pid>/stat) and the boot it belongs to."""

    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        """Whether that very process still runs (a zombie does not)."""
        return identify(self.pid) == self

    def as_json(self) -> dict[str, Any]:
        """For a file; `read_identity` is the way back. `start_time` (seconds since 1970) is for readers outside."""
        return asdict(self) | {"start_time": _boot_time() + self.start_ticks / _TICKS}


def read_identity(data: dict[str, Any]) -> ProcessIdentity | None:
    """The identity in a decoded JSON object, or None when it is not whole."""
    try:
        return ProcessIdentity(int(data["pid"]), int(data["start_ticks"]), str(data["boot_id"]))
    except (KeyError, TypeError, ValueError):
        return None


def identify(pid: int) -> ProcessIdentity | None:
    """Who runs under `pid` now; None for nobody and for a zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return ProcessIdentity(pid, int(fields[19]), _BOOT_ID.read_text().strip())


async def wait_for_end(identity: ProcessIdentity) -> None:
    """Returns once that process has ended, our child or not. A child is left for its parent to reap."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # asked after the descriptor was opened: from here on the pid cannot come to mean another process unseen
        if not identity.alive():
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


def environment_of(pid: int) -> dict[str, str]:
    """The variables a process was started with; empty when they cannot be read or were overwritten."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.decode(errors="replace").partition("=") for entry in raw.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def group_members(group: int) -> list[int]:
    """Pids of all processes, zombies excepted, whose process group or session is `group`."""
    members: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields is not None and fields[0] != "Z" and group in (int(fields[2]), int(fields[3])):
                members.append(int(entry))
    return members


def session_of(leader: ProcessIdentity) -> list[int]:
    """Pids of the processes in the session that `leader` began, also when the leader itself is gone.

    The kernel gives a number to nobody while a session bears it. So a process of that number with another start, or
    another boot, means that the session is gone and the number is a stranger's.
    """
    here = identify(os.getpid())
    present = identify(leader.pid)
    if here is None or here.boot_id != leader.boot_id or present not in (None, leader):
        return []
    stats = ((int(entry), _stat(int(entry))) for entry in os.listdir("/proc") if entry.isdigit())
    return [
        pid
        for pid, fields in stats
        if fields is not None
        and fields[0] not in ("Z", "X")
        and int(fields[3]) == leader.pid
        and int(fields[19]) >= leader.start_ticks
    ]


def pids_marked(name: str, value: str) -> list[int]:
    """Pids of all processes that were started with the variable `name` set to `value`."""
    mark = f"{name}={value}".encode()
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if (
                    mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                    and identify(int(entry)) is not None
                ):
                    found.append(int(entry))
    return found


class OrphanReaper:
    """Takes in processes whose parent died below this one, and clears them away when they end.

    Without it they would fall to the first process of the machine, which in many containers never clears any.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def reap(self, *, at_once: bool = False) -> None:
        """Clears ended children that nobody waited for since the last call; `at_once` does not give them that time."""
        ended = {pid for pid in _children(os.getpid()) if (_stat(pid) or [""])[0] == "Z"}
        for pid in ended if at_once else ended & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended


def end_with_parent(parent: int) -> None:
    """This process is killed when its parent, the process `parent`, ends in whatever way; at once if it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def memory_bytes(pid: int) -> int | None:
    """Proportional set size of a process; resident size where the kernel does not give the former; None when gone."""
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
    return None


def cpu_seconds(pid: int) -> float | None:
    """User and system time a process has used; None when it is gone."""
    fields = _stat(pid)
    return None if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS


def _boot_time() -> int:
    return next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line[:6] == "btime ")


def _children(parent: int) -> list[int]:
    stats = ((int(entry), _stat(int(entry))) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid, fields in stats if fields is not None and int(fields[1]) == parent]


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from `state` (field 3) on; the name before them may hold any character."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
