"""What an engine consumes, measured while it runs; its log is kept within limits at the same beat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from aicp.agent.processes import EngineProcess
from aicp.core.launch import ReplicaState
from aicp.core.registry import Registry
from aicp.enforcers.base import Consumption, Enforcer
from aicp.telemetry.log_files import LogFile
from aicp.telemetry.processes import cpu_seconds, group_members, memory_bytes

_BEAT_SECONDS = 5.0
_RELEASE_TRIES = 20
_LOADING_BEAT_SECONDS = 1.0  # peaks while weights load are short


class Sampler:
    """Memory (proportional set size over all processes, with its peak) and processor time of one replica."""

    def __init__(self, enforcers: Registry[Enforcer], names: Sequence[str], replica_id: str, log: LogFile) -> None:
        self.latest = Consumption()
        self._enforcers = [enforcers.get(name) for name in names]
        self._replica_id = replica_id
        self._log = log

    async def run(self, process: EngineProcess, state: Callable[[], ReplicaState]) -> None:
        """Measures until canceled."""
        self.latest = Consumption()
        while True:
            self.latest = await asyncio.to_thread(self._measure, process, self.latest)
            await asyncio.sleep(_LOADING_BEAT_SECONDS if state() is ReplicaState.LOADING else _BEAT_SECONDS)

    def memory_kills(self) -> int:
        """How many processes of the group the kernel has ended for want of memory so far."""
        return sum(enforcer.usage(self._replica_id).out_of_memory_kills or 0 for enforcer in self._enforcers)

    def grouped(self) -> list[int]:
        """Every process that is in one of the replica's groups."""
        return [pid for enforcer in self._enforcers for pid in enforcer.pids(self._replica_id)]

    async def release(self) -> None:
        """Removes the groups; the kernel may need a moment to see that they are empty."""
        for _ in range(_RELEASE_TRIES):
            # a vendor's tool may take its time
            if all(await asyncio.to_thread(self._release)):
                return
            await asyncio.sleep(0.05)

    def _release(self) -> list[bool]:
        return [enforcer.release(self._replica_id) for enforcer in self._enforcers]

    def _measure(self, process: EngineProcess, before: Consumption) -> Consumption:
        with suppress(OSError):
            self._log.rotate()
        members = group_members(process.pid)
        memory = sum(memory_bytes(pid) or 0 for pid in members)
        seconds = sum(cpu_seconds(pid) or 0.0 for pid in members)
        return Consumption(
            memory_bytes=memory,
            memory_peak_bytes=max(memory, before.memory_peak_bytes or 0),
            # processes that ended take their time with them; a sum that shrinks would look like a restart
            cpu_seconds=max(seconds, before.cpu_seconds or 0.0),
        )
