"""REST: files of projects, which batches read and write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, status
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.files import Files, NewFile
from aicp.core.errors import MalformedError
from aicp.core.file import File, FilePurpose
from aicp.core.identity import Permission
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/files", tags=["files"])
FilesUse = Annotated[Files, use_case(Files)]
READ, WRITE = [permits(Permission.BATCH_READ)], [permits(Permission.BATCH_WRITE)]
_RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("", status_code=status.HTTP_201_CREATED, dependencies=WRITE, openapi_extra=_RAW_BODY)
async def create_file(
    files: FilesUse,
    caller: CallerDep,
    request: Request,
    filename: Annotated[str, Query(min_length=1, max_length=1000, description="its name for people")],
    project: Annotated[str, Query(max_length=63, description="whose it is")] = "default",
    life_seconds: Annotated[
        int | None, Query(ge=3600, le=2_592_000, description="removed after so long; else never")
    ] = None,
) -> File:
    """Makes the body a file, the input of batches."""
    async with files.receive(caller, project) as arrival:
        async for piece in pieces_of(request):
            await arrival.write(piece)
        return await files.keep(caller, arrival, NewFile(project, filename, life_seconds=life_seconds))


@router.get("", dependencies=READ)
async def list_files(
    files: FilesUse,
    caller: CallerDep,
    project: str | None = None,
    purpose: FilePurpose | None = None,
    search: Search = None,
    sort: Sort = "-created_at",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[File]:
    """Files that the caller may see."""
    return await files.list(
        caller, project=project, purpose=purpose, search=search, sort=sort, offset=offset, limit=limit
    )


@router.get("/{file_id}", dependencies=READ)
async def get_file(files: FilesUse, caller: CallerDep, file_id: str) -> File:
    """One file."""
    return await files.get(caller, file_id)


@router.get("/{file_id}/content", dependencies=READ, response_class=FileResponse, responses=_BYTES)
async def get_file_content(files: FilesUse, caller: CallerDep, file_id: str) -> FileResponse:
    """The bytes of a file."""
    file, path = await files.content(caller, file_id)
    return FileResponse(path, media_type="application/octet-stream", filename=file.filename)


@router.delete("/{file_id}", status_code=status.HTTP_204_NO_CONTENT, dependencies=WRITE)
async def delete_file(files: FilesUse, caller: CallerDep, file_id: str) -> None:
    """Removes a file that no batch reads any more."""
    await files.delete(caller, file_id)


async def pieces_of(request: Request) -> AsyncIterator[bytes]:
    """A body as it comes. Raises MalformedError when its sender leaves in the middle."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise MalformedError("The file did not come whole.") from error
