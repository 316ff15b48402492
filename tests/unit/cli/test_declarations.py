"""What `aicp export` writes of a version's origin, and what `aicp apply` makes of it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import yaml

from aicp.cli.declarations import UPLOAD, apply_key, apply_model, documents_of, source_of
from aicp.client.rest import Client
from aicp.core.errors import InvalidError
from aicp.core.model import Architecture, ImportRequest, ModelFormat, ModelVersion

AT = "2026-01-01T00:00:00Z"


def version(source: str, name: str = "v1", **lineage: Any) -> ModelVersion:
    fixed: dict[str, Any] = {"id": "ver", "model": "m", "digest": "d", "files": [], "created_at": AT}
    sizes = {"size_bytes": 1, "weight_bytes": 1, "format": ModelFormat.GGUF, "architecture": Architecture(name="a")}
    return ModelVersion(**fixed, **sizes, version=name, source=source, lineage=lineage)


@pytest.mark.parametrize(
    ("found", "source", "words"),
    [
        (version("directory:/models/a:b"), {"kind": "directory", "path": "/models/a:b"}, "own machine"),
        (
            version("huggingface:o/n", revision="abc", include=["*.gguf"], credentials=["token"]),
            {"kind": "huggingface", "repo": "o/n", "revision": "abc", "include": ["*.gguf"]},
            "(token)",
        ),
        (
            version("modelscope:o/n", revision="master", endpoint="http://hub"),
            {"kind": "modelscope", "repo": "o/n", "revision": "master", "endpoint": "http://hub"},
            "",
        ),
        (
            version("s3://bucket/a/b/", endpoint="http://s3", region="r", credentials=["access_key", "secret_key"]),
            {"kind": "s3", "bucket": "bucket", "prefix": "a/b/", "endpoint": "http://s3", "region": "r"},
            "(access_key, secret_key)",
        ),
        (version("https://h/x.tar", sha256="0a"), {"kind": "url", "url": "https://h/x.tar", "sha256": "0a"}, ""),
        (version("https://h/x.tar", credentials=["url"]), {"kind": "url", "url": "https://h/x.tar"}, "signed"),
        (version("upload:up_1"), UPLOAD, "--upload"),
    ],
    ids=lambda value: value.source if isinstance(value, ModelVersion) else "",
)
def test_a_source_is_named_again(found: ModelVersion, source: Any, words: str) -> None:
    written, notes = source_of(found)
    assert written == source
    assert words in " ".join(notes)
    if isinstance(source, dict):
        ImportRequest.model_validate({"source": written})


class Models:
    """A platform that knows the versions of one model, newest first; without any the model is not there."""

    def __init__(self, *known: ModelVersion) -> None:
        self.known = [one.model_dump(mode="json") for one in known]
        self.changes: list[str] = []
        self.client = Client("http://platform")
        transport = httpx.MockTransport(self._answer)
        self.client.transport._http = httpx.Client(base_url="http://platform", transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method != "GET":
            self.changes.append(f"{request.method} {path} {json.loads(request.content)}")
        model = {"id": "x", "name": "m", "type": "chat", "visibility": "public", "project": "default"}
        model |= {"created_at": AT, "updated_at": AT, "aliases": {"latest": "v2", "prod": "v1"}}
        if "/keys" in path:
            keys = [
                {"id": name, "name": name, "project": "default", "prefix": name, "created_at": AT} for name in "bca"
            ]
            keys[0] |= {"limits": {"rpm": 5, "budget_per_day": 12.345678}, "tags": ["team=shop"]}
            return httpx.Response(200, json={"items": keys, "total": 3} if path.endswith("/keys") else keys[0])
        if path.endswith("/versions"):
            return httpx.Response(200, json={"items": self.known, "total": len(self.known)})
        if path.endswith("/models"):
            return httpx.Response(200, json={"items": [model], "total": 1})
        if path.endswith("/m") and self.known:
            return httpx.Response(200, json=model)
        if path.endswith("/m"):
            return httpx.Response(404, json={})
        return httpx.Response(200, json={"items": [], "total": 0})


def test_every_version_is_a_document_and_the_last_has_the_aliases() -> None:
    platform = Models(version("upload:u", "v2"), version("directory:/m", "v1", skip_unsafe=True))
    documents = [document for document, _ in documents_of(platform.client, None)]
    first, last = (document for document in documents if document["kind"] == "model")
    assert [document["name"] for document in documents if document["kind"] == "key"] == ["a", "b", "c"]
    assert (first["version"], first["skip_unsafe"]) == ("v1", True)
    assert "aliases" not in first
    assert (last["version"], last["source"], last["aliases"]) == ("v2", UPLOAD, {"prod": "v1"})
    assert [apply_model(platform.client, document, True) for document in (first, last)] == ["unchanged"] * 2
    assert platform.changes == []


def test_money_and_tags_of_a_key_stand_in_a_document_as_they_are() -> None:
    platform = Models()
    key = next(document for document, _ in documents_of(platform.client, None) if document["name"] == "b")
    assert (key["limits"], key["tags"]) == ({"rpm": 5, "budget_per_day": 12.345678}, ["team=shop"])
    read = yaml.safe_load(yaml.safe_dump(key))
    assert apply_key(platform.client, read, True) == "unchanged"
    assert apply_key(platform.client, read | {"limits": {"budget_per_day": 12}}, True) == "changed"
    assert "'limits': {'budget_per_day': 12.0" in platform.changes[0]


def test_an_upload_that_is_not_there_is_refused_before_anything_is_made() -> None:
    platform = Models()
    with pytest.raises(InvalidError, match="sent from somebody's machine") as caught:
        apply_model(platform.client, {"kind": "model", "name": "m", "version": "v2", "source": UPLOAD}, True)
    assert "--upload --name m --version v2" in (caught.value.hint or "")
    assert platform.changes == []
