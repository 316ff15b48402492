"""One replica on this node: brought up, watched, restarted with a growing pause, stopped, adopted."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from aicp.agent.consumption import Sampler
from aicp.agent.endings import explain_ending
from aicp.agent.health import HealthProbe, refusal_of
from aicp.agent.processes import EngineProcess, adopt, spawn, sweep
from aicp.agent.records import ReplicaFiles, ReplicaRecord
from aicp.agent.reports import cancel, member_report
from aicp.agent.resizing import refuse_resize, with_member
from aicp.agent.seats import mark_of
from aicp.agent.site import Site
from aicp.agent.starts import apply_limits, prepare_start
from aicp.core.errors import AicpError
from aicp.core.launch import (
    Allocation,
    LaunchSpec,
    ObservedReplica,
    ReplicaLaunch,
    ReplicaMember,
    ReplicaState,
)

log = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS = 60.0
_STEADY_SECONDS = 60.0  # ready for so long, an ending is no longer counted as one in a row
_CHECK_SECONDS = 2.0  # between health checks of a ready engine
_ILL_SECONDS = 4.0  # an engine that refuses or answers an error is degraded after that
_BUSY_SECONDS = 30.0  # one that only answers late, after that
_STOP_LOOK_SECONDS = 0.2
_HUNG_SECONDS = 300.0  # and one that stays so is started anew after that
_LAST_LINES = 400  # of the log, to find why the engine ended: one start of a large engine with all its tracebacks


_Kept = datetime | str | int | float | list[str] | ObservedReplica | ReplicaLaunch | None


class Supervision:
    """Owns the processes of one replica's member on this node. `observed` is always true of what was seen last."""

    def __init__(self, site: Site, files: ReplicaFiles, record: ReplicaRecord, member: ReplicaMember) -> None:
        self._site = site
        self._files = files
        self._member = member
        self.record = record
        self._process: EngineProcess | None = None
        self._limits = asyncio.Lock()  # between a start, which sets limits, and a change of them
        self._task: asyncio.Task[None] | None = None
        self._mark = mark_of(record.launch.replica_id, member.seat)
        self._sampler = Sampler(site.enforcers, member.enforcers(), self._mark, files.log)
        self._state = ReplicaState.STARTING
        self._phase: str | None = None
        self._progress: float | None = None
        self._reason: str | None = None
        self._exit_code: int | None = None
        self._failures = 0
        self._adopted = False
        self._ready_since: float | None = None
        self._kill_at: float | None = None

    @property
    def replica_id(self) -> str:
        return self.record.launch.replica_id

    @property
    def ended(self) -> bool:
        """Whether it was stopped and nothing is left of it but its log."""
        return self.record.ended is not None

    def observed(self) -> ObservedReplica:
        """The replica as seen now."""
        if self.record.ended is not None:
            return self.record.ended
        pid = self._process.pid if self._process else None
        own = {"state": self._state, "reason": self._reason, "phase": self._phase}
        member = member_report(self.record, self._member, self._sampler.latest, pid, self._exit_code, **own)
        up = self._process is not None
        return ObservedReplica(
            replica_id=self.replica_id,
            generation=self.record.launch.generation,
            state=self._state,
            reason=self._reason,
            phase=self._phase,
            progress=self._progress,
            address=self._site.shown_address(self.replica_id, self.record.address) if up else None,
            token=self.record.token if up else None,
            started_at=self.record.started_at,
            ready_at=self.record.ready_at,
            restarts=self.record.restarts,
            adopted=self._adopted,
            members=[member],
        )

    def begin(self) -> None:
        """Starts the replica; returns at once."""
        self._files.write(self.record)
        self._task = asyncio.create_task(self._run())

    async def resume(self) -> None:
        """Takes the replica over from an earlier agent: adopts its process, or starts a new one when it is gone.

        A replica that was being stopped is only adopted; `stop` goes on with it.
        """
        identity = self._files.identity()
        self._process = adopt(identity, self._files.token_digest(), self._mark, self.record.token)
        if not self.record.wanted:
            return
        reason = "The engine ended while the agent was away."
        if self._process is not None and (refusal := await self._take_over(self._process)):
            self._process, reason = None, refusal
        if self._process is None and identity is not None:
            # children of a dead engine, or an engine of another start, hold the memory that the next one needs
            await self._sweep(None)
            self._reason = reason
            self._note_restart()
        if self._process is None and self._member.seat is not None and self.record.started_at is not None:
            return await self._give_up(reason)
        self._task = asyncio.create_task(self._run())

    async def _take_over(self, process: EngineProcess) -> str | None:
        """Why the process found is not the engine of this record; None when it is adopted."""
        probe_at = self._probe()
        try:
            if refusal := await refusal_of(process, probe_at):
                return refusal
            probe = await probe_at.ask()
        finally:
            await probe_at.close()
        self._adopted = True
        try:  # an agent that died half-way through a change left other limits than it promised
            await self._hold_to(self._member.allocation)
        except (AicpError, OSError) as error:
            self._files.log.note(f"the limits stay as they are: {error}")
        # one that was ready and is only too busy to answer at once stays ready
        ready = probe.ok or (probe.slow and self.record.ready_at is not None)
        self._say(ReplicaState.READY if ready else ReplicaState.LOADING, phase=None if ready else "loading")
        return None

    async def resize(self, allocation: Allocation) -> None:
        """Holds the replica to another allocation, also while it runs; a later start uses it too.

        Raises ConflictError when it uses more memory than that, or its limits cannot change while it runs.
        """
        async with self._limits:
            await self._resize(allocation)

    async def _resize(self, allocation: Allocation) -> None:
        if self._process is not None:
            # written down only when it is so: asked again after a failure, it is done again
            held = (self._site, self._member.enforcers(), allocation, self._sampler.latest)
            await asyncio.to_thread(refuse_resize, *held)
            await self._hold_to(allocation)
        self._member = self._member.model_copy(update={"allocation": allocation})
        self._keep(launch=with_member(self.record.launch, self._member))

    async def _hold_to(self, allocation: Allocation) -> None:
        held = (self._site, self._mark, self._member.enforcers(), allocation)
        applied = await asyncio.to_thread(apply_limits, *held)
        self._files.log.note("; ".join(one.note for one in applied))
        self._keep(limits=[one.note for one in applied])

    async def stop(self, grace_seconds: float) -> None:
        """Ends the replica for good: SIGTERM, grace, SIGKILL of everything it started. Keeps its log.

        Asked again while it ends, it can only become quicker.
        """
        if self.intend_stop(grace_seconds):
            await self.finish_stop()

    def intend_stop(self, grace_seconds: float) -> bool:
        """Writes down that the replica is to end, so that the next agent goes on with it; whether that is news."""
        kill_at = self._site.clock.monotonic() + grace_seconds
        if self.ended or self._kill_at is not None:
            self._kill_at = min(kill_at, self._kill_at or kill_at)
            return False
        self._kill_at = kill_at
        self._keep(wanted=False, grace_seconds=grace_seconds)
        self._say(ReplicaState.DRAINING, phase="stopping")
        return True

    async def finish_stop(self, state: ReplicaState = ReplicaState.STOPPED, reason: str | None = None) -> None:
        """Does what `intend_stop` wrote down."""
        await self.halt()
        if self._member.launch.model_digest is not None:
            self._site.copies.read_ahead(self._member.launch.model_digest)
        self._say(state, reason=reason)
        self._keep(ended=self.observed())
        self._files.clear()

    async def halt(self) -> None:
        """Ends the processes and leaves the record as it is: the next agent starts the replica again."""
        if self._kill_at is None:
            self._kill_at = self._site.clock.monotonic() + self._member.launch.stop_grace_seconds
        await self.detach()
        process, self._process = self._process, None
        if process is not None:
            await self._end(process)
        else:
            # the engine itself is gone; its children may not be
            await self._sweep(None)
        self._files.forget_process()
        await self._sampler.release()

    async def _end(self, process: EngineProcess) -> None:
        process.terminate()
        exited = asyncio.create_task(process.wait())
        while not exited.done() and self._site.clock.monotonic() < (self._kill_at or 0.0):
            await asyncio.wait({exited}, timeout=_STOP_LOOK_SECONDS)
        await self._sweep(process)
        await asyncio.wait({exited}, timeout=_STOP_LOOK_SECONDS)
        self._exit_code = exited.result() if exited.done() else None
        exited.cancel()

    async def detach(self) -> None:
        """Stops watching; the processes go on."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._ready_since = None
            try:
                if self._process is None:
                    self._process = await self._start()
                reason = await self._watch(self._process)
            except AicpError as error:
                reason = " ".join(filter(None, (error.message, error.hint)))
            except Exception as error:
                log.exception("replica %s", self.replica_id)
                reason = f"The engine cannot be started: {error or type(error).__name__}."
            process, self._process = self._process, None
            if process is not None:
                await self._sweep(process)
                if self._member.seat is not None:
                    return await self._give_up(reason)
                self._note_restart()
            await self._pause(reason)

    async def _give_up(self, reason: str) -> None:
        """Where a replica spans nodes, the others cannot go on with one that was started anew: all end together."""
        self._files.log.note(reason)
        self._files.forget_process()
        await self._sampler.release()
        self._say(ReplicaState.FAILED, reason=reason)
        self._keep(ended=self.observed())
        self._files.clear()

    async def _start(self) -> EngineProcess:
        spec = self._member.launch
        model = await self._fetch_model()
        python = await self._find_python()
        await self._sweep(None)
        async with self._limits:
            self._process = await self._spawn(spec, python, model)
        self._say(ReplicaState.LOADING, phase="loading", reason=self._reason)
        return self._process

    async def _spawn(self, spec: LaunchSpec, python: Path | None, model: Path | None) -> EngineProcess:
        start = await asyncio.to_thread(prepare_start, self._site, self._files, self._mark, self._member, python, model)
        self._files.log.note(f"starting {spec.engine} {spec.engine_version}; " + "; ".join(start.notes))
        self._adopted, self._exit_code = False, None
        self._keep(
            address=start.address,
            token=start.token,
            started_at=self._site.clock.now(),
            ready_at=None,
            limits=start.notes,
        )
        return spawn(start.plan, self._mark, self._files.log)

    async def _fetch_model(self) -> Path | None:
        if (digest := self._member.launch.model_digest) is None:
            return None

        def progress(share: float) -> None:
            phase = f"fetching model {share:.0%}"
            self._say(ReplicaState.STARTING, phase=phase, progress=share, reason=self._reason)

        files, peers = self._member.model_files, self._member.model_sources
        found = await self._site.copies.ensure(digest, files, progress, peers)
        self._site.copies.read_ahead(digest)
        return found

    async def _find_python(self) -> Path | None:
        spec = self._member.launch
        if not spec.environment:
            return None
        name = (spec.engine, spec.engine_version, spec.variant)

        def progress(share: float) -> None:
            phase = self._site.engines.phase(*name) or f"installing engine {spec.engine} {spec.engine_version}"
            self._say(ReplicaState.STARTING, phase=phase, progress=share, reason=self._reason)

        return await self._site.engines.ensure(*name, progress)

    async def _watch(self, process: EngineProcess) -> str:
        """Until the engine ends or must be ended; the reason."""
        kills = self._sampler.memory_kills()
        exited = asyncio.create_task(process.wait())
        ill = asyncio.create_task(self._check_health(process))
        sampling = asyncio.create_task(self._sampler.run(process, lambda: self._state))
        try:
            await asyncio.wait({exited, ill}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                return ill.result()
            self._exit_code = exited.result()
            return explain_ending(
                self._exit_code,
                self._files.log.tail(_LAST_LINES),
                memory_kills=self._sampler.memory_kills() - kills,
                memory_limit_bytes=self._member.allocation.memory_bytes,
            )
        finally:
            await cancel(exited, ill, sampling)

    async def _check_health(self, process: EngineProcess) -> str:
        """Follows the engine's health; returns why it must be ended."""
        check, clock = self._member.launch.health, self._site.clock
        began = last_ok = clock.monotonic()
        probe_at = self._probe()
        try:
            while True:
                probe = await probe_at.ask()
                now = clock.monotonic()
                if probe.ok:
                    last_ok = now
                    if refusal := await refusal_of(process, probe_at):
                        return refusal
                    self._now_ready()
                elif self._state is ReplicaState.LOADING:
                    if now - began > check.start_timeout_seconds:
                        return f"The engine was not ready after {check.start_timeout_seconds:.0f} s ({probe.detail})."
                elif now - last_ok > _HUNG_SECONDS:
                    return f"The engine has not answered its health check for {_HUNG_SECONDS:.0f} s ({probe.detail})."
                elif now - last_ok > (_BUSY_SECONDS if probe.slow else _ILL_SECONDS):
                    self._say(ReplicaState.DEGRADED, reason=f"The engine does not answer ({probe.detail}).")
                loading = self._state is ReplicaState.LOADING
                await asyncio.sleep(check.interval_seconds if loading else max(check.interval_seconds, _CHECK_SECONDS))
        finally:
            await probe_at.close()

    def _now_ready(self) -> None:
        if self._state is not ReplicaState.READY:
            self._say(ReplicaState.READY)
        if self.record.ready_at is None:
            self._keep(ready_at=self._site.clock.now())
        if self._ready_since is None:
            self._ready_since = self._site.clock.monotonic()

    async def _pause(self, reason: str) -> None:
        steady = self._ready_since is not None and self._site.clock.monotonic() - self._ready_since > _STEADY_SECONDS
        self._failures = 1 if steady else self._failures + 1
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0 ** (self._failures - 1))
        self._files.log.note(f"{reason} Next start in {pause:.0f} s.")
        self._say(ReplicaState.STARTING, reason=reason, phase=f"starting again in {pause:.0f} s")
        await asyncio.sleep(pause)

    async def _sweep(self, process: EngineProcess | None) -> None:
        """Ends whatever a gone or unwanted engine has left behind; without `process`, of the one last written down."""
        leader = process.identity if process is not None else self._files.identity()
        left = await sweep(self._mark, leader, self._sampler.grouped)
        if left:
            self._files.log.note(f"processes {left} of the ended engine do not go away")

    def _probe(self) -> HealthProbe:
        return HealthProbe(self._member.launch.health, self.record.address or "", self.record.token)

    def _note_restart(self) -> None:
        self._keep(restarts=self.record.restarts + 1)

    def _keep(self, **changes: _Kept) -> None:
        self.record = self.record.model_copy(update=changes)
        try:
            self._files.write(self.record)
        except OSError as error:
            # the engine goes on; a next agent that finds an older record ends it and starts it anew
            log.warning("replica %s: its record cannot be written (%s)", self.replica_id, error)

    def _say(
        self,
        state: ReplicaState,
        *,
        phase: str | None = None,
        progress: float | None = None,
        reason: str | None = None,
    ) -> None:
        self._state, self._phase, self._progress, self._reason = state, phase, progress, reason
