"""What every client does: models, chat streamed and not, embeddings, with the official SDK; keys; the usage of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import openai
import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, until, without_key
from tests.support.http_wire import Asked
from tests.support.openai_engine import Engine, Wire

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}


def client_of(gateway: GatewayProcess) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0)


async def test_the_openai_client_works_unmodified(gateway: GatewayProcess, engine: Engine) -> None:
    client = client_of(gateway)
    models = await client.models.list()
    assert [model.id for model in models.data] == ["demo", "embed", "rank"]
    assert (await client.models.retrieve("demo")).id == "demo"
    answer = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == "Hello to you"
    stream = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello to you"
    text = await client.completions.create(model="demo", prompt="Hi")
    assert text.choices[0].text == "Hello to you"
    vector = await client.embeddings.create(model="embed", input="Hi", encoding_format="float")
    assert vector.data[0].embedding == [0.25, -0.5]
    assert {asked.json()["model"] for asked in engine.asked} == {"inner"}
    assert {asked.headers["authorization"] for asked in engine.asked} == {"Bearer engine-token"}


async def test_usage_of_a_stream_is_asked_of_the_engine_and_shown_only_to_whom_wants_it(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    plain = await gateway.ask("/v1/chat/completions", CHAT | {"stream": True})
    wanted = await gateway.ask(
        "/v1/chat/completions", CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    )
    assert engine.asked[0].json()["stream_options"] == {"include_usage": True}
    assert b"usage" not in plain.body
    assert plain.body.endswith(b"data: [DONE]\n\n")
    assert b'"prompt_tokens": 7' in wanted.body
    for record in await gateway.recorded(2):
        assert (record["prompt_tokens"], record["completion_tokens"], record["cached_tokens"]) == (7, 3, 4)
        assert 0 < record["ttft_ms"] <= record["duration_ms"] < 5000


async def test_a_usage_record_says_who_what_and_how(
    gateway: GatewayProcess, control: ControlPlane, secret: str
) -> None:
    answer = await gateway.ask("/v1/chat/completions", CHAT)
    (record,) = await gateway.recorded(1)
    assert record["request_id"] == answer.headers["x-request-id"]
    assert record["api_key_id"] == entry_of(secret).id
    assert (record["project"], record["service"], record["replica_id"]) == ("default", "demo", "rep_a")
    assert (record["endpoint"], record["stream"], record["status"]) == ("/v1/chat/completions", False, 200)
    assert record["outcome"] == "ok"
    assert 0 < record["duration_ms"] < 5000
    assert (record["prompt_tokens"], record["completion_tokens"], record["cached_tokens"]) == (7, 3, 4)


async def test_tokens_of_every_endpoint_are_counted(gateway: GatewayProcess) -> None:
    await gateway.ask("/v1/embeddings", {"model": "embed", "input": "Hi"})
    await gateway.ask("/v1/rerank", {"model": "rank", "query": "q", "documents": ["a"]})
    records = await gateway.recorded(2)
    assert {record["service"]: record["prompt_tokens"] for record in records} == {"embed": 2, "rank": 5}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Basic Zm9vOmJhcg=="},
        {"authorization": "Bearer sk-not-a-key"},
        {"authorization": f"Bearer {new_secret()}"},
        {"authorization": "Bearer " + "x" * 5000},
        {"authorization": "Bearer sk-'; drop table keys; --"},
        {"x-api-key": new_secret()},
    ],
)
async def test_every_wrong_key_gets_the_same_answer(
    gateway: GatewayProcess, engine: Engine, headers: dict[str, str]
) -> None:
    answer = await gateway.ask("/v1/chat/completions", CHAT, key="", headers=headers)
    missing = await gateway.ask("/v1/chat/completions", CHAT, key="")
    assert answer.status == missing.status == 401
    assert answer.json() == missing.json()
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert not engine.asked


async def test_a_key_with_its_check_cut_off_or_changed_is_refused(gateway: GatewayProcess) -> None:
    last = "0" if gateway.key[-1] != "0" else "1"
    for wrong in (gateway.key[:-1], gateway.key[:-1] + last, gateway.key + "0", gateway.key.upper()):
        assert (await gateway.ask("/v1/models", method="GET", key=wrong)).status == 401


async def test_the_key_may_come_as_anthropic_clients_send_it(gateway: GatewayProcess) -> None:
    answer = await gateway.ask("/v1/models", method="GET", key="", headers={"x-api-key": gateway.key})
    assert answer.status == 200


async def test_a_model_of_another_project_does_not_exist(gateway: GatewayProcess) -> None:
    for name in ("foreign", "nothing"):
        answer = await gateway.ask("/v1/chat/completions", CHAT | {"model": name})
        assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert (await gateway.ask(f"/v1/models/{name}", method="GET")).status == 404


async def test_a_key_for_certain_models_sees_only_those(gateway: GatewayProcess, control: ControlPlane) -> None:
    assert control.table is not None
    control.publish(replace(control.table, etag="2", keys=[entry_of(gateway.key, models=["embed"])]))
    await gateway.with_table("2")
    models = (await gateway.ask("/v1/models", method="GET")).json()["data"]
    assert [model["id"] for model in models] == ["embed"]
    assert (await gateway.ask("/v1/chat/completions", CHAT)).status == 404


async def test_a_revoked_key_is_refused_within_a_second(gateway: GatewayProcess, control: ControlPlane) -> None:
    assert control.table is not None
    assert (await gateway.ask("/v1/models", method="GET")).status == 200
    control.publish(without_key(control.table, "2"))
    await asyncio.sleep(0.9)
    assert (await gateway.ask("/v1/models", method="GET")).status == 401


async def test_an_expired_key_is_refused(gateway: GatewayProcess, control: ControlPlane) -> None:
    assert control.table is not None
    control.publish(replace(control.table, etag="2", keys=[replace(entry_of(gateway.key), expires_at=1.0)]))
    await gateway.with_table("2")
    assert (await gateway.ask("/v1/models", method="GET")).status == 401


async def test_the_bytes_of_the_client_reach_the_engine(gateway: GatewayProcess, engine: Engine) -> None:
    """Unknown fields, odd spacing, escapes and large numbers pass; only what must change does."""
    fields = '"temperature":0.10, "top_k" : 12345678901234567890123, "x": [1,{"y":null}],"user":"\\u00e9\\ud83d\\ude00"'
    body = f'{{ "messages": [ {{"role":"user","content":"a\\u0000b"}} ], {fields}, "model":"demo"}}'
    assert (await gateway.ask("/v1/chat/completions", body.encode())).status == 200
    sent = engine.asked[0].body.decode()
    assert json.loads(sent) == json.loads(body) | {"model": "inner"}
    for part in ("0.10", "12345678901234567890123", "\\u00e9\\ud83d\\ude00", '"a\\u0000b"'):
        assert part in sent


async def test_heartbeats_say_what_is_in_flight(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    hold = asyncio.Event()
    normal = engine.script

    async def slow(wire: Wire, asked: Asked) -> None:
        await hold.wait()
        await normal(wire, asked)

    engine.script = slow
    request = asyncio.ensure_future(gateway.ask("/v1/chat/completions", CHAT))
    await until(lambda: control.beats[-1]["inflight"].get("rep_a") == 1)
    hold.set()
    assert (await request).status == 200
    await until(lambda: not control.beats[-1]["inflight"].get("rep_a"))
