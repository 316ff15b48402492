"""Starting, watching and ending engine processes, whether this agent started them or an earlier one did."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from aicp.agent.launcher import LaunchPlan
from aicp.telemetry.log_files import LogFile
from aicp.telemetry.processes import ProcessIdentity, environment_of, identify, pids_marked, session_of, wait_for_end

MARK = "AICP_REPLICA"
TOKEN = "AICP_REPLICA_TOKEN"
_LEFTOVERS_SECONDS = 5.0


class EngineProcess:
    """A running engine with all its descendants. `started` is None for one that an earlier agent started.

    `proven` says whether it is known to hold the token of its start.
    """

    def __init__(
        self,
        identity: ProcessIdentity,
        replica_id: str,
        started: subprocess.Popen[bytes] | None,
        *,
        proven: bool = True,
    ) -> None:
        self.identity = identity
        self.replica_id = replica_id
        self.proven = proven
        self._started = started

    @property
    def pid(self) -> int:
        """Also the process group and the session of the engine."""
        return self.identity.pid

    async def wait(self) -> int | None:
        """Waits for the end; the exit code (negative: the signal), None for a process that is not our child."""
        await wait_for_end(self.identity)
        return None if self._started is None else self._started.wait()

    def terminate(self) -> None:
        """Asks the engine's first process to end; it is the one that knows how to end the others."""
        if self.identity.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def spawn(plan: LaunchPlan, replica_id: str, log: LogFile) -> EngineProcess:
    """Starts the launcher in a session of its own with `log` as its output; it becomes the engine.

    Raises OSError when no process can be made.
    """
    output = log.open()
    try:
        started = subprocess.Popen(
            [sys.executable, "-I", "-m", "aicp.agent.launcher"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin", MARK: replica_id},
        )
    finally:
        os.close(output)
    identity = identify(started.pid)
    assert started.stdin is not None
    with suppress(BrokenPipeError):
        started.stdin.write(plan.as_json())
        started.stdin.close()
    return EngineProcess(identity or ProcessIdentity(started.pid, -1, ""), replica_id, started)


async def sweep(
    replica_id: str, leader: ProcessIdentity | None, grouped: Callable[[], list[int]] = lambda: []
) -> list[int]:
    """SIGKILL to every process of a replica; the pids that would not go within five seconds.

    They are found by the session of their `leader`, which may be gone already, by the mark in their environment, which
    also those carry that left the session, and by `grouped` (its cgroup).
    """
    deadline = asyncio.get_running_loop().time() + _LEFTOVERS_SECONDS
    while True:
        found = {*(session_of(leader) if leader else []), *pids_marked(MARK, replica_id), *grouped()}
        left = sorted(pid for pid in found if identify(pid) is not None)
        if not left or asyncio.get_running_loop().time() > deadline:
            return left
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.02)


def digest_of(token: str) -> str:
    """What may be written where others can read of a token: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


def adopt(
    identity: ProcessIdentity | None, digest: str | None, replica_id: str, token: str | None
) -> EngineProcess | None:
    """The engine behind a written identity, or None when that very process is gone or belongs to another start.

    Pid, start time and boot must match; so must the token's `digest`, written down with them, and the token in its
    environment. A program that has written over its environment (process titles do that) is answered not `proven`:
    it must still accept the token.
    """
    if identity is None or not identity.alive():
        return None
    if digest is not None and digest != digest_of(token or ""):
        return None
    environment = environment_of(identity.pid)
    if environment.get(TOKEN, token) != token or environment.get(MARK, replica_id) != replica_id:
        return None
    return EngineProcess(identity, replica_id, None, proven=TOKEN in environment)
