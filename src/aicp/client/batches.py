"""Files of projects, and the batches that read and write them."""

from __future__ import annotations

import builtins
import time
from collections.abc import Mapping
from pathlib import Path

from aicp.client.transport import Transport
from aicp.core.batch import FINISHED_BATCH_STATES, Batch, BatchCreate, BatchEndpoint, BatchState
from aicp.core.errors import UnavailableError
from aicp.core.file import File, FilePurpose

_LOOK_SECONDS = 1.0


class Files:
    """Files of projects."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(
        self, path: Path, *, project: str = "default", filename: str | None = None, life_seconds: int | None = None
    ) -> File:
        """Sends a file of this machine as the input of batches. Raises TooLargeError beyond 200 MiB or the quota."""
        query = {"project": project, "filename": filename or path.name, "life_seconds": life_seconds}
        response = self._transport.send("POST", "/api/v1/files", content=path.read_bytes(), query=query)
        return File.model_validate_json(response.content)

    def list(
        self, *, project: str | None = None, purpose: FilePurpose | None = None, search: str | None = None
    ) -> builtins.list[File]:
        """Files that the caller may see, newest first."""
        query = {"project": project, "purpose": purpose, "search": search}
        return self._transport.every("/api/v1/files", File, query)

    def get(self, file_id: str) -> File:
        """One file."""
        return self._transport.get(f"/api/v1/files/{file_id}", File)

    def content(self, file_id: str) -> bytes:
        """Its bytes."""
        return self._transport.send("GET", f"/api/v1/files/{file_id}/content").content

    def delete(self, file_id: str) -> None:
        """Removes a file that no batch reads any more."""
        self._transport.delete(f"/api/v1/files/{file_id}")


class Batches:
    """Batches."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        input_file_id: str,
        api_key_id: str,
        *,
        endpoint: BatchEndpoint = BatchEndpoint.CHAT,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        output_seconds: int | None = None,
    ) -> Batch:
        """Orders a batch; its requests are counted to the key. `completion_window` is as `24h`, `90m` or `7d`."""
        wanted = BatchCreate(
            input_file_id=input_file_id,
            api_key_id=api_key_id,
            endpoint=endpoint,
            completion_window=completion_window,
            metadata=dict(metadata or {}),
            output_seconds=output_seconds,
        )
        return self._transport.post("/api/v1/batches", Batch, wanted)

    def list(
        self, *, project: str | None = None, state: BatchState | None = None, search: str | None = None
    ) -> builtins.list[Batch]:
        """Batches that the caller may see, newest first."""
        query = {"project": project, "state": state, "search": search}
        return self._transport.every("/api/v1/batches", Batch, query)

    def get(self, batch_id: str) -> Batch:
        """One batch."""
        return self._transport.get(f"/api/v1/batches/{batch_id}", Batch)

    def cancel(self, batch_id: str) -> Batch:
        """Asks a batch to stop; what was answered by then is kept."""
        return self._transport.post(f"/api/v1/batches/{batch_id}/cancel", Batch)

    def wait(self, batch_id: str, *, timeout_seconds: float = 86_400.0) -> Batch:
        """The batch once it has ended. Raises UnavailableError when it has not in time."""
        deadline = time.monotonic() + timeout_seconds
        while (batch := self.get(batch_id)).state not in FINISHED_BATCH_STATES:
            if time.monotonic() > deadline:
                raise UnavailableError(f"Batch {batch_id} has not ended within {timeout_seconds:g} s.")
            time.sleep(_LOOK_SECONDS)
        return batch
