"""Files and batches in OpenAI's form, for gateways: they have checked the key and say whose it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aicp.api.access import require_internal
from aicp.api.files import pieces_of
from aicp.api.multipart import read_form
from aicp.api.use_cases import use_case
from aicp.control.batches import Batches
from aicp.control.files import Files, NewFile
from aicp.core.access import Caller
from aicp.core.batch import Batch, BatchCreate
from aicp.core.errors import InvalidError, MalformedError
from aicp.core.file import File, FilePurpose
from aicp.core.identity import Permission

router = APIRouter(prefix="/internal/v1", dependencies=[Depends(require_internal)], include_in_schema=False)
FilesUse = Annotated[Files, use_case(Files)]
BatchesUse = Annotated[Batches, use_case(Batches)]
_MAY = frozenset({Permission.BATCH_READ, Permission.BATCH_WRITE})
_MOST_FILES = 10_000
_MOST_BATCHES = 100


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who called the gateway."""

    project: str
    key_id: str
    caller: Caller


def key_holder(
    request: Request, x_aicp_project: Annotated[str, Header()], x_aicp_key: Annotated[str, Header()]
) -> KeyHolder:
    """A key may do in its project what files and batches need, and nothing else."""
    name = f"key {x_aicp_key}"
    caller = Caller(user=name, user_id=x_aicp_key, projects={x_aicp_project: _MAY}, request_id=request.state.request_id)
    return KeyHolder(project=x_aicp_project, key_id=x_aicp_key, caller=caller)


Holder = Annotated[KeyHolder, Depends(key_holder)]


class ExpiresAfter(BaseModel):
    """OpenAI's way to say how long a file lives; `anchor` is its creation."""

    anchor: str = "created_at"
    seconds: int = Field(ge=3600, le=2_592_000)


class OpenAiBatchCreate(BaseModel):
    """OpenAI's request; what it may have beside that is passed over."""

    model_config = ConfigDict(extra="ignore")
    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None


@router.post("/files")
async def upload_file(files: FilesUse, holder: Holder, request: Request) -> dict[str, Any]:
    """Takes a form with the fields `purpose`, `file` and maybe `expires_after[seconds]`."""
    async with files.receive(holder.caller, holder.project) as arrival:
        form = await read_form(request.headers.get("content-type", ""), pieces_of(request), arrival.write)
        if form.filename is None:
            raise InvalidError("The form has no file.", hint="Send it as the field `file`.")
        seconds = form.fields.get("expires_after[seconds]")
        wanted = NewFile(
            project=holder.project,
            filename=form.filename,
            purpose=form.fields.get("purpose", ""),
            life_seconds=None if seconds is None else _life(seconds),
        )
        return file_object(await files.keep(holder.caller, arrival, wanted))


@router.get("/files")
async def list_openai_files(
    files: FilesUse,
    holder: Holder,
    purpose: str | None = None,
    after: str | None = None,
    order: str = "desc",
    limit: Annotated[int, Query(ge=1)] = _MOST_FILES,
) -> dict[str, Any]:
    """The project's files, by the time they were made."""
    known = purpose in {each.value for each in FilePurpose}
    if purpose and not known:
        return _listed([], more=False)
    page = await files.list(
        holder.caller,
        project=holder.project,
        purpose=FilePurpose(purpose) if purpose else None,
        after=after,
        sort="id" if order == "asc" else "-id",
        limit=min(limit, _MOST_FILES),
    )
    return _listed([file_object(file) for file in page.items], more=page.total > len(page.items))


@router.get("/files/{file_id}")
async def get_openai_file(files: FilesUse, holder: Holder, file_id: str) -> dict[str, Any]:
    """One file."""
    return file_object(await files.get(holder.caller, file_id))


@router.delete("/files/{file_id}")
async def delete_openai_file(files: FilesUse, holder: Holder, file_id: str) -> dict[str, Any]:
    """Removes a file."""
    await files.delete(holder.caller, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/files/{file_id}/content", response_class=FileResponse)
async def get_openai_file_content(files: FilesUse, holder: Holder, file_id: str) -> FileResponse:
    """The bytes of a file."""
    _, path = await files.content(holder.caller, file_id)
    return FileResponse(path, media_type="application/octet-stream")


@router.post("/batches")
async def create_openai_batch(batches: BatchesUse, holder: Holder, request: Request) -> dict[str, Any]:
    """Orders a batch, counted to the calling key."""
    try:
        given = OpenAiBatchCreate.model_validate(json.loads(await request.body()))
        life = given.output_expires_after
        wanted = BatchCreate.model_validate(
            {
                **given.model_dump(include={"input_file_id", "endpoint", "completion_window"}),
                "metadata": given.metadata or {},
                "output_seconds": None if life is None else life.seconds,
                "api_key_id": holder.key_id,
            }
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InvalidError(f"The batch cannot be made: {problems}.") from error
    except ValueError as error:
        raise MalformedError("The body is not valid JSON.") from error
    return batch_object(await batches.create(holder.caller, wanted))


@router.get("/batches")
async def list_openai_batches(
    batches: BatchesUse, holder: Holder, after: str | None = None, limit: Annotated[int, Query(ge=1)] = 20
) -> dict[str, Any]:
    """The project's batches, newest first."""
    most = min(limit, _MOST_BATCHES)
    page = await batches.list(holder.caller, project=holder.project, after=after, sort="-id", limit=most)
    return _listed([batch_object(batch) for batch in page.items], more=page.total > len(page.items))


@router.get("/batches/{batch_id}")
async def get_openai_batch(batches: BatchesUse, holder: Holder, batch_id: str) -> dict[str, Any]:
    """One batch."""
    return batch_object(await batches.get(holder.caller, batch_id))


@router.post("/batches/{batch_id}/cancel")
async def cancel_openai_batch(batches: BatchesUse, holder: Holder, batch_id: str) -> dict[str, Any]:
    """Asks a batch to stop."""
    return batch_object(await batches.cancel(holder.caller, batch_id))


def file_object(file: File) -> dict[str, Any]:
    """A file as OpenAI's clients read it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": _seconds(file.created_at),
        "expires_at": _seconds(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose.value,
        "status": "processed",
        "status_details": None,
    }


def batch_object(batch: Batch) -> dict[str, Any]:
    """A batch as OpenAI's clients read it."""
    times = [name for name in Batch.model_fields if name.endswith("_at")]
    problems = [problem.model_dump() for problem in batch.problems]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint.value,
        "model": batch.model,
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.state.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        **{name: _seconds(getattr(batch, name)) for name in times},
        "request_counts": batch.counts.model_dump(),
        "metadata": batch.metadata or None,
    }


def _listed(items: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": None, "last_id": None}
    return {"object": "list", "data": items, **ends, "has_more": more}


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _life(text: str) -> int:
    try:
        return ExpiresAfter(seconds=int(text)).seconds
    except ValueError as error:
        raise InvalidError("A file lives from 3600 to 2592000 seconds.") from error
