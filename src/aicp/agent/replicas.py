"""All replicas of this node, running and lately ended."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from aicp.agent.disk import explain_disk
from aicp.agent.records import ReplicaFiles, ReplicaRecord, replica_directories
from aicp.agent.site import Site
from aicp.agent.supervision import Supervision
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.launch import LaunchSpec, ObservedReplica, ReplicaLaunch, ReplicaResize, ReplicaState
from aicp.core.mutual import replica_name

log = logging.getLogger(__name__)

_REMEMBER_ENDED = timedelta(minutes=10)
_KEEP_LOGS = timedelta(days=14)
_FENCE_SECONDS = 10.0
_KEEP_LOGS_OF = 50  # the newest replicas keep their logs whatever their age


class Replicas:
    """Starts, stops, observes and adopts. Calls return at once; what takes time goes on in tasks of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._replicas: dict[str, Supervision] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_at: dict[str, datetime] = {}

    async def adopt_all(self, fenced: str | None = None) -> None:
        """Takes over every replica an earlier agent left: live engines go on untouched, missing ones are started.

        `fenced` is why none may run here: then they are only taken over to be stopped.
        """
        resumed: list[Supervision] = []
        for directory in replica_directories(self._site.replicas_dir):
            record = ReplicaFiles(directory).read()
            if record is not None and record.ended is None:
                supervision = self._supervision(record)
                if supervision is not None:
                    self._replicas[record.launch.replica_id] = supervision
                    resumed.append(supervision)
        unwanted = [one for one in resumed if not one.record.wanted]
        for one in resumed if fenced else ():
            one.intend_stop(_FENCE_SECONDS)
        await asyncio.gather(*(one.resume() for one in resumed))
        for one in resumed:
            if fenced and one not in unwanted:
                self._spawn(one.finish_stop(ReplicaState.FENCED, fenced))
            elif not one.record.wanted:
                self._spawn(one.stop(one.record.grace_seconds))

    def observe(self) -> list[ObservedReplica]:
        """Every replica, also those that ended within the last ten minutes."""
        now = self._site.clock.now()
        for replica_id, supervision in list(self._replicas.items()):
            if supervision.ended and now - self._ended_at.setdefault(replica_id, now) > _REMEMBER_ENDED:
                del self._replicas[replica_id], self._ended_at[replica_id]
        return [supervision.observed() for supervision in self._replicas.values()]

    def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        """Starts the member of `launch` that belongs here; the same launch again changes nothing.

        A newer generation ends the older one first. Raises ConflictError for an older one, InvalidError without a
        member for this node, NoSpaceError when not even its record can be kept.
        """
        known = self._replicas.get(launch.replica_id)
        if known is not None:
            present = known.record.launch.generation
            if launch.generation == present:
                return known.observed()
            if launch.generation < present:
                raise ConflictError(f"Replica {launch.replica_id} is already at generation {present}.")
        supervision = self._supervision(ReplicaRecord(launch=launch))
        if supervision is None:
            raise InvalidError(f"Replica {launch.replica_id} has no member for node {self._site.node_id}.")
        if known is None:
            begin(supervision)
        self._replicas[launch.replica_id] = supervision
        self._ended_at.pop(launch.replica_id, None)
        if known is not None:
            self._spawn(self._replace(known, supervision))
        return supervision.observed()

    def stop(self, replica_id: str, generation: int | None, grace_seconds: float) -> None:
        """Stops a replica. Unknown, ended, and of a newer generation than asked: success, nothing is done."""
        known = self._replicas.get(replica_id)
        if known is None or known.ended or (generation is not None and generation < known.record.launch.generation):
            return
        # Written before the caller hears of it: an agent that dies now must not bring the replica back.
        if known.intend_stop(grace_seconds):
            self._spawn(known.finish_stop())

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        """Holds a running replica to another allocation; the same again changes nothing.

        Raises NotFoundError when it is not here, ConflictError when it is at another generation or cannot change.
        """
        known = self._replicas.get(wanted.replica_id)
        if known is None or known.ended:
            raise NotFoundError(f"This node runs no replica {wanted.replica_id!r}.")
        present = known.record.launch.generation
        if present != wanted.generation:
            raise ConflictError(f"Replica {wanted.replica_id} is at generation {present}, not {wanted.generation}.")
        await known.resize(wanted.allocation)
        return known.observed()

    def log(self, replica_id: str, *, tail: int, follow: bool) -> AsyncIterator[str]:
        """The last `tail` lines of a log, then with `follow` what is added while the replica lives.

        Raises NotFoundError when this node never had the replica, or forgot it.
        """
        files = self._files(replica_id)
        if not files.directory.is_dir():
            raise NotFoundError(f"This node knows no replica {replica_id!r}.")
        return self._log(files, replica_id, tail, follow)

    def launches(self) -> list[LaunchSpec]:
        """What the replicas here that have not ended run."""
        members = (one.record.member(self._site.node_id) for one in self._replicas.values() if not one.ended)
        return [member.launch for member in members if member is not None]

    def own_address(self, name: str) -> str | None:
        """Where the engine listens on this node whose name others ask for (aicp.core.mutual); None: there is none."""
        for one in self._replicas.values():
            if not one.ended and replica_name(one.replica_id, self._site.node_id) == name:
                return one.record.address
        return None

    async def fence(self, reason: str) -> None:
        """Stops every engine for good because nobody may know of it any more; `reason` is told when somebody asks."""
        ending = [one for one in self._replicas.values() if one.intend_stop(_FENCE_SECONDS)]
        await asyncio.gather(*(one.finish_stop(ReplicaState.FENCED, reason) for one in ending))

    async def shut_down(self) -> None:
        """Stops every engine in order, each with its own grace; the next agent starts them again."""
        await self._settle()
        await asyncio.gather(*(one.halt() for one in self._replicas.values() if not one.ended))

    async def leave(self) -> None:
        """Stops watching and leaves every engine running."""
        await self._settle()
        await asyncio.gather(*(one.detach() for one in self._replicas.values()))

    def forget_old(self) -> None:
        """Removes logs of replicas that ended more than two weeks ago, the newest 50 excepted."""
        oldest = self._site.clock.now() - _KEEP_LOGS
        for directory in list(replica_directories(self._site.replicas_dir))[_KEEP_LOGS_OF:]:
            changed = datetime.fromtimestamp(directory.stat().st_mtime, oldest.tzinfo)
            if directory.name not in self._replicas and changed < oldest:
                shutil.rmtree(directory, ignore_errors=True)

    async def _log(self, files: ReplicaFiles, replica_id: str, tail: int, follow: bool) -> AsyncIterator[str]:
        def finished() -> bool:
            supervision = self._replicas.get(replica_id)
            return supervision is None or supervision.ended

        yield files.log.tail(tail)
        if follow:
            async for piece in files.log.follow(finished):
                yield piece

    async def _replace(self, old: Supervision, new: Supervision) -> None:
        await old.stop(old.record.grace_seconds)
        begin(new)

    async def _settle(self) -> None:
        for task in list(self._tasks):
            with suppress(Exception):
                await task

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _supervision(self, record: ReplicaRecord) -> Supervision | None:
        member = record.member(self._site.node_id)
        if member is None:
            return None
        return Supervision(self._site, self._files(record.launch.replica_id), record, member)

    def _files(self, replica_id: str) -> ReplicaFiles:
        if not replica_id.replace("_", "").replace("-", "").isalnum():
            raise InvalidError(f"{replica_id!r} is not the id of a replica.")
        return ReplicaFiles(self._site.replicas_dir / replica_id)


def begin(supervision: Supervision) -> None:
    """Starts a replica. Raises NoSpaceError when its record cannot be written."""
    try:
        supervision.begin()
    except OSError as error:
        raise explain_disk(error, "The replica was not started") from error
