"""REST: uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from starlette.requests import ClientDisconnect

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.uploads import Uploads
from aicp.core.identity import Permission
from aicp.core.upload import Upload, UploadCreate, UploadOffset, UploadSummary
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"], dependencies=[])
UploadsUse = Annotated[Uploads, use_case(Uploads)]
WRITE = [permits(Permission.MODEL_WRITE)]
_RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("", status_code=status.HTTP_201_CREATED, dependencies=WRITE)
async def create_upload(uploads: UploadsUse, caller: CallerDep, body: UploadCreate) -> Upload:
    """Announces files; send each with PUT, then import with source kind `upload`."""
    return await uploads.create(caller, body)


@router.get("", dependencies=WRITE)
async def list_uploads(
    uploads: UploadsUse, caller: CallerDep, offset: Offset = 0, limit: Limit = 100
) -> Page[UploadSummary]:
    """The caller's own uploads, newest first."""
    return await uploads.list(caller, offset=offset, limit=limit)


@router.get("/{upload_id}", dependencies=WRITE)
async def get_upload(uploads: UploadsUse, caller: CallerDep, upload_id: str) -> Upload:
    """An upload with the offset of each file, to continue after an interruption."""
    return await uploads.get(caller, upload_id)


@router.delete("/{upload_id}", status_code=status.HTTP_204_NO_CONTENT, dependencies=WRITE)
async def delete_upload(uploads: UploadsUse, caller: CallerDep, upload_id: str) -> None:
    """Gives an upload up."""
    await uploads.delete(caller, upload_id)


@router.put("/{upload_id}/files/{path:path}", dependencies=WRITE, openapi_extra=_RAW_BODY)
async def put_upload_piece(
    uploads: UploadsUse,
    caller: CallerDep,
    request: Request,
    upload_id: str,
    path: str,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> UploadOffset:
    """Appends the body to a file at `offset`; 409 with the right offset in `details` when that is not its end."""
    return await uploads.write(caller, upload_id, path, offset, _pieces(request))


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as far as it comes: what arrived before the connection broke need not be sent again."""
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            yield chunk
