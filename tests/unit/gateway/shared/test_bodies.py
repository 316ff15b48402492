"""Bad input: always a clear 4xx in the form the client understands, before an engine is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.gateway_process import GatewayProcess
from tests.support.openai_engine import Engine

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"12",
        b'{"model": "demo", "messages": [{"role": "user", "content": "Hi"}]} trailing',
        b'{"model": "demo", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "demo", "messages": [], "temperature": NaN}',
        b'{"model": "demo", "messages": [], "temperature": Infinity}',
        b'{"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "x": 01}',
        b'{"model": "demo", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": "demo", "messages": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"model": "demo", "messages": [], "x": ' + b"[" * 65 + b"]" * 65 + b"}",
    ],
)
async def test_a_body_that_is_no_sound_json_object(gateway: GatewayProcess, engine: Engine, body: bytes) -> None:
    answer = await gateway.ask(PATH, body)
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 500
    assert not engine.asked


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"model": ["demo"]}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages"),
        ({"tools": 3}, "tools"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream": True, "stream_options": 1}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "x"}}, "stream_options"),
        ({"priority": 1}, "priority"),
        ({"chat_template": "x"}, "chat_template"),
    ],
)
async def test_a_field_of_the_wrong_type_or_not_allowed_is_named(
    gateway: GatewayProcess, engine: Engine, change: dict[str, Any], param: str
) -> None:
    answer = await gateway.ask(PATH, CHAT | change)
    assert answer.status == 400
    assert answer.json()["error"]["param"] == param
    assert param in answer.json()["error"]["message"]
    assert not engine.asked


@pytest.mark.parametrize(
    ("path", "model", "field"),
    [
        ("/v1/chat/completions", "demo", "messages"),
        ("/v1/completions", "demo", "prompt"),
        ("/v1/embeddings", "embed", "input"),
        ("/v1/rerank", "rank", "query"),
    ],
)
async def test_a_missing_field_is_named(gateway: GatewayProcess, path: str, model: str, field: str) -> None:
    answer = await gateway.ask(path, {"model": model})
    assert (answer.status, answer.json()["error"]["param"]) == (400, field)


async def test_a_refused_field_deeper_down_is_content_and_passes(gateway: GatewayProcess) -> None:
    body = CHAT | {"metadata": {"priority": 1}, "messages": [{"role": "user", "content": '"chat_template": 1'}]}
    assert (await gateway.ask(PATH, body)).status == 200


async def test_a_repeated_or_escaped_refused_field_does_not_slip_through(
    gateway: GatewayProcess, engine: Engine
) -> None:
    for name in (r"\u0070riority", r"priorit\u0079"):
        body = json.dumps(CHAT)[:-1] + f', "{name}": 1}}'
        assert (await gateway.ask(PATH, body.encode())).status == 400
    assert not engine.asked


async def test_a_repeated_model_field_cannot_name_another_model(gateway: GatewayProcess, engine: Engine) -> None:
    """What the gateway checked is what the engine gets."""
    body = json.dumps(CHAT | {"model": "foreign", "stream": 1})[:-1] + ', "model": "demo", "stream": false}'
    answer = await gateway.ask(PATH, body.encode())
    if answer.status == 200:
        assert engine.asked[0].body.count(b'"model"') == 1
        assert engine.asked[0].json()["model"] == "inner"
    else:
        assert answer.status in (400, 404)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"])
async def test_another_content_type_is_not_read(gateway: GatewayProcess, kind: str) -> None:
    answer = await gateway.ask(PATH, CHAT, headers={"content-type": kind})
    assert answer.status == 415
    assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"]
)
async def test_json_by_other_spellings_is_read(gateway: GatewayProcess, kind: str) -> None:
    assert (await gateway.ask(PATH, CHAT, headers={"content-type": kind})).status == 200


async def test_an_endpoint_that_the_engine_lacks(gateway: GatewayProcess, engine: Engine) -> None:
    for path, body in (
        ("/v1/embeddings", {"model": "demo", "input": "x"}),
        ("/v1/chat/completions", CHAT | {"model": "embed"}),
        ("/v1/score", {"model": "rank", "text_1": "a", "text_2": "b"}),
        ("/v1/responses", {"model": "embed", "input": "x"}),
    ):
        answer = await gateway.ask(path, body)
        assert (answer.status, answer.json()["error"]["code"]) == (400, "not_supported_by_engine"), path
    assert not engine.asked


async def test_a_long_model_name_is_not_echoed_whole(gateway: GatewayProcess) -> None:
    answer = await gateway.ask(PATH, CHAT | {"model": "x" * 100_000})
    assert answer.status in (400, 404)
    assert len(answer.body) < 1000


async def test_errors_of_messages_speak_anthropic(gateway: GatewayProcess) -> None:
    body = {"model": "nothing", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    answer = await gateway.ask("/v1/messages", body)
    assert answer.status == 404
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "not_found_error"
    answer = await gateway.ask("/v1/messages", body, key="sk-wrong")
    assert (answer.status, answer.json()["error"]["type"]) == (401, "authentication_error")
