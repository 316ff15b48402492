"""A platform in memory that takes uploads, and fails when told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from aicp.client.rest import Client
from aicp.client.uploads import Uploads

Fault = Callable[[httpx.Request], httpx.Response | None]


class UploadPlatform:
    """Keeps what comes; each of `faults` is asked once, in order, before a piece or a look is answered."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.announced: list[dict[str, Any]] = []
        self.project = ""
        self.state = "receiving"
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.deleted = 0
        self.waits: list[float] = []
        self.client = Client("http://platform")
        self.client.transport._http = httpx.Client(
            base_url="http://platform", transport=httpx.MockTransport(self.answer)
        )
        self.client.uploads = Uploads(self.client.transport, sleep=self.waits.append)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        if request.method == "POST":
            body = json.loads(request.content)
            self.project, self.announced = body["project"], body["files"]
            self.files = {file["path"]: bytearray() for file in self.announced}
            return httpx.Response(201, json=self.upload())
        if self.faults and (found := self.faults.pop(0)(request)) is not None:
            return found
        if request.method == "DELETE":
            self.deleted += 1
            return httpx.Response(204)
        if request.method == "GET":
            return httpx.Response(200, json=self.upload())
        held, offset = self.files[request.url.path.split("/files/")[1]], int(request.url.params["offset"])
        if offset != len(held):
            return refusal(409, "wrong_offset")
        held += request.content
        return httpx.Response(200, json={"offset": len(held), "size_bytes": 0, "complete": False})

    def upload(self) -> dict[str, Any]:
        files = [{**file, "offset": len(self.files[file["path"]])} for file in self.announced]
        at = "2026-01-01T00:00:00Z"
        facts = {"id": "upl_1", "project": self.project, "state": self.state, "files": files, "created_by": "me"}
        return {**facts, "error": "a.bin is damaged", "created_at": at, "expires_at": at}


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": code}})
