"""Folders sent in pieces."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from aicp.client.rest import Client


def test_names_are_quoted_and_the_id_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "a#b?.txt").write_text("abc")
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        if request.method == "POST":
            files = [{**file, "offset": 0} for file in json.loads(request.content)["files"]]
            return httpx.Response(201, json={"id": "upl_1", "files": files})
        return httpx.Response(200, json={})

    client = Client("http://platform")
    client.transport._http = httpx.Client(base_url="http://platform", transport=httpx.MockTransport(answer))
    seen: list[int] = []
    client.uploads.send_directory(tmp_path, started=lambda _: seen.append(len(asked)))
    assert seen == [1]
    assert asked[1] == "/api/v1/uploads/upl_1/files/a%23b%3F.txt?offset=0"
