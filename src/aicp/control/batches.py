"""Batches: ordered, looked at, canceled; the batch loop does the rest."""

from __future__ import annotations

from aicp.core.access import Caller
from aicp.core.batch import FINISHED_BATCH_STATES, Batch, BatchCreate, BatchState, parse_window
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.file import FilePurpose
from aicp.core.identity import Permission
from aicp.core.ids import new_id
from aicp.core.value import Page
from aicp.store.api_keys import ApiKeys
from aicp.store.batches import Batches as BatchQueries
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.files import Files

_MOST_UNFINISHED = 100


class Batches:
    """Use cases over batches."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def create(self, caller: Caller, wanted: BatchCreate) -> Batch:
        """Orders a batch in the project of its file. Raises NotFoundError for a file out of the caller's sight."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            project = await _input_project(tx, caller, wanted.input_file_id)
            await _check_key(tx, wanted.api_key_id, project)
            if len(await BatchQueries(tx).unfinished(project)) >= _MOST_UNFINISHED:
                raise ConflictError(
                    f"Project {project!r} has {_MOST_UNFINISHED} batches that have not ended.",
                    hint="Wait for one to end, or cancel one.",
                    code="too_many_batches",
                )
            batch = Batch(
                **wanted.model_dump(),
                id=new_id("batch"),
                project=project,
                state=BatchState.VALIDATING,
                created_by=caller.user,
                created_at=now,
                expires_at=now + parse_window(wanted.completion_window),
            )
            await BatchQueries(tx).create(batch)
            await Events(tx).audit(
                caller,
                now,
                "batch.create",
                "batch",
                batch.id,
                project=project,
                details=wanted.model_dump(mode="json", exclude={"metadata"}),
            )
        self._bell.ring("batch", batch.id)
        return batch

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        state: BatchState | None = None,
        search: str | None = None,
        after: str | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Batch]:
        """Batches that the caller may see."""
        projects = caller.visible_projects(Permission.BATCH_READ)
        if project is not None:
            caller.require(Permission.BATCH_READ, project, what=f"Project {project!r}")
            projects = frozenset({project})
        async with self._database.snapshot() as tx:
            return await BatchQueries(tx).list(
                projects=projects, state=state, search=search, after=after, sort=sort, offset=offset, limit=limit
            )

    async def get(self, caller: Caller, batch_id: str) -> Batch:
        """One batch. Raises NotFoundError, also for a batch of a project the caller does not see."""
        async with self._database.snapshot() as tx:
            return _visible(caller, await BatchQueries(tx).get(batch_id))

    async def cancel(self, caller: Caller, batch_id: str) -> Batch:
        """Asks a batch to stop; what was answered is kept. One that is ending or has ended stays as it is."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            batch = _visible(caller, await BatchQueries(tx).get(batch_id))
            caller.require(Permission.BATCH_WRITE, batch.project, what=f"Batch {batch_id!r}")
            if batch.state in FINISHED_BATCH_STATES | {BatchState.CANCELLING, BatchState.FINALIZING}:
                return batch
            await BatchQueries(tx).move(batch_id, batch.state, BatchState.CANCELLING, now)
            await Events(tx).audit(caller, now, "batch.cancel", "batch", batch_id, project=batch.project)
            batch = await BatchQueries(tx).get(batch_id)
        self._bell.ring("batch", batch_id)
        return batch


async def _input_project(tx: Transaction, caller: Caller, file_id: str) -> str:
    file = await Files(tx).get(file_id)
    if not caller.may(Permission.BATCH_READ, file.project):
        raise NotFoundError(f"There is no file {file_id!r}.", hint="It may have been removed.")
    caller.require(Permission.BATCH_WRITE, file.project, what=f"File {file_id!r}")
    if file.purpose is not FilePurpose.BATCH:
        raise InvalidError(
            f"File {file_id!r} was written by a batch and cannot be the input of one.",
            hint="Send it again as a file of purpose 'batch'.",
        )
    return file.project


async def _check_key(tx: Transaction, key_id: str, project: str) -> None:
    key = await ApiKeys(tx).find(key_id)
    if key is None or key.project != project:
        raise NotFoundError(f"Project {project!r} has no key {key_id!r}.", hint="Choose a key of the file's project.")
    if key.revoked_at is not None:
        raise ConflictError("The key was revoked.", hint="Choose another one.")


def _visible(caller: Caller, batch: Batch) -> Batch:
    if not caller.may(Permission.BATCH_READ, batch.project):
        raise NotFoundError(f"There is no batch {batch.id!r}.")
    return batch
