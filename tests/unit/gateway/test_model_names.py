"""An answer names the model as the caller did, whatever its engine calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aicp.core.route import RouteEntry
from aicp.gateway.bodies import read_fields
from aicp.gateway.calls import Call, make_call
from aicp.gateway.endpoints import find_endpoint
from aicp.gateway.model_names import named
from aicp.gateway.routes import Route
from aicp.gateway.tokens import Tokens

ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
    "/v1/rerank": {"query": "Hi", "documents": ["a"]},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5},
}


def call(path: str, upstream: str = "inner") -> Call:
    entry = RouteEntry("demo", "demo", None, "chat", "test", upstream, list(ASKED), [], [])
    body = json.dumps({"model": "demo", "stream": True, **ASKED[path]}).encode()
    return make_call(find_endpoint(b"POST", path.encode()), Route(entry, ()), read_fields(body))


@pytest.mark.parametrize("path", ASKED)
def test_a_whole_answer(path: str) -> None:
    one = call(path)
    assert json.loads(one.body)["model"] == "inner"
    assert one.whole is not None
    answer = one.whole(b'{"id": "x", "model": "inner", "n": 1.50, "choices": [{"model": "inner"}]}', "req_1")
    assert answer == b'{"id":"x","model":"demo","n":1.50,"choices":[{"model": "inner"}]}'
    assert call(path, "demo").whole is None, "nothing to do where the names are the same"


@pytest.mark.parametrize(
    ("path", "event"),
    [
        ("/v1/chat/completions", {"model": "inner", "choices": []}),
        ("/v1/completions", {"model": "inner", "choices": []}),
        ("/v1/responses", {"type": "response.created", "response": {"model": "inner", "output": []}}),
        ("/v1/messages", {"type": "message_start", "message": {"model": "inner", "content": []}}),
    ],
)
def test_a_stream(path: str, event: dict[str, Any]) -> None:
    stream = call(path).open_stream(Tokens(), "req_1")
    data = b": ping\n\nevent: x\ndata: " + json.dumps(event).encode() + b"\r\n\r\ndata: [DONE]\n\n"
    seen = b"".join(stream.feed(data[at : at + 5]) for at in range(0, len(data), 5)) + stream.finish()
    assert json.loads(seen.partition(b"data: ")[2].partition(b"\r")[0]) == json.loads(
        json.dumps(event).replace("inner", "demo")
    )
    assert seen.startswith(b": ping\n\nevent: x\ndata: ")
    assert seen.endswith(b"\r\n\r\ndata: [DONE]\n\n")
    assert not stream.failed


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b"{", b'{"a": 1}', b'{"message": "model"}', b"\xff"])
def test_what_names_no_model_stays(body: bytes) -> None:
    assert named(body, "demo") == body
