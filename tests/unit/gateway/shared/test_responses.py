"""OpenAI's responses over an engine that only knows chat completions, with the official SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
import pytest_asyncio
from tests.support.control_plane import ControlPlane
from tests.support.engine_scripts import ARGUMENTS, WEATHER, calls_a_tool, dies_midway
from tests.support.gateway_process import GatewayProcess, route_to, until
from tests.support.http_wire import read_head, request
from tests.support.openai_engine import Engine, Wire
from tests.unit.gateway.shared.conftest import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(standing: Standing, engine: Engine) -> GatewayProcess:
    """The module's, with no usage from before still on its way."""
    await standing.gateway.shipped()
    standing.control.usage.clear()
    return standing.gateway


def openai_client(gateway: GatewayProcess) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0)


async def test_whole(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    answer = await openai_client(gateway).responses.create(
        model="demo", input="Hi", instructions="Be brief.", max_output_tokens=9, temperature=0.5
    )
    assert answer.output_text == "Hello to you"
    assert (answer.status, answer.model, answer.object) == ("completed", "demo", "response")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 3, 10)
    assert answer.usage.input_tokens_details.cached_tokens == 4
    sent = engine.asked[0]
    assert sent.path == "/v1/chat/completions"
    body = sent.json()
    assert body["model"] == "inner"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"] == "Be brief."
    assert 9 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert body["temperature"] == 0.5
    assert "instructions" not in body
    (record,) = await gateway.recorded(1)
    assert (record["endpoint"], record["prompt_tokens"], record["completion_tokens"]) == ("/v1/responses", 7, 3)


async def test_stream(gateway: GatewayProcess, engine: Engine) -> None:
    stream = await openai_client(gateway).responses.create(model="demo", input="Hi", stream=True)
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    order = ["response.created", "response.output_item.added", "response.content_part.added"]
    order += ["response.output_text.delta", "response.output_text.done", "response.content_part.done"]
    order += ["response.output_item.done", "response.completed"]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "Hello to you"
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Hello to you"
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 3
    (record,) = await gateway.recorded(1)
    assert (record["stream"], record["completion_tokens"], record["outcome"]) == (True, 3, "ok")


async def test_the_sdk_s_own_stream_accumulator(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = calls_a_tool()
    tool: Any = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}
    async with openai_client(gateway).responses.stream(model="demo", input="Hi", tools=[tool]) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    assert final.output_text == "Let me look."
    call = next(item for item in final.output if item.type == "function_call")
    assert (call.name, call.arguments, call.call_id) == ("weather", ARGUMENTS, "call_1")


async def test_tools_and_their_results(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = calls_a_tool()
    client = openai_client(gateway)
    tool: Any = {"type": "function", "name": "weather", "parameters": WEATHER, "description": "d", "strict": False}
    answer = await client.responses.create(
        model="demo", input="Hi", tools=[tool], tool_choice={"type": "function", "name": "weather"}
    )
    call = next(item for item in answer.output if item.type == "function_call")
    assert (call.name, call.arguments, call.call_id) == ("weather", ARGUMENTS, "call_1")
    body = engine.asked[0].json()
    assert body["tools"][0]["function"]["name"] == "weather"
    assert body["tools"][0]["function"]["parameters"] == WEATHER
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    items: Any = [
        {"role": "user", "content": "Hi"},
        *(item.model_dump(exclude_none=True) for item in answer.output),
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    ]
    await client.responses.create(model="demo", input=items, tools=[tool])
    messages = engine.asked[1].json()["messages"]
    assert messages[0] == {"role": "user", "content": "Hi"}
    assert messages[-1] == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("call_1", ARGUMENTS)]
    assert all(message["role"] in ("user", "assistant", "tool") for message in messages)


async def test_content_parts_and_json_schema(gateway: GatewayProcess, engine: Engine) -> None:
    picture = "data:image/png;base64,AAAA"
    await openai_client(gateway).responses.create(
        model="demo",
        input=[
            {"role": "developer", "content": "Rules."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": picture, "detail": "auto"},
                ],
            },
        ],
        text={"format": {"type": "json_schema", "name": "answer", "schema": WEATHER, "strict": True}},
    )
    body = engine.asked[0].json()
    assert body["messages"][0]["role"] in ("system", "developer")
    parts = body["messages"][1]["content"]
    assert parts[0] == {"type": "text", "text": "What is this?"}
    assert parts[1]["type"] == "image_url"
    assert parts[1]["image_url"]["url"] == picture
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == WEATHER
    assert body["response_format"]["json_schema"]["name"] == "answer"


async def test_an_answer_cut_by_the_limit_is_incomplete(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = calls_a_tool("length")
    client = openai_client(gateway)
    answer = await client.responses.create(model="demo", input="Hi")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    events = [event async for event in await client.responses.create(model="demo", input="Hi", stream=True)]
    assert events[-1].type == "response.incomplete"


async def test_what_needs_a_memory_of_the_platform_is_refused_by_name(gateway: GatewayProcess) -> None:
    for field, value in (("previous_response_id", "resp_1"), ("background", True), ("conversation", "c")):
        answer = await gateway.ask("/v1/responses", {"model": "demo", "input": "Hi", field: value})
        assert (answer.status, answer.json()["error"]["param"]) == (400, field)


async def test_an_engine_that_dies_midway_ends_the_stream_as_failed(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = dies_midway
    answer = await gateway.ask("/v1/responses", {"model": "demo", "input": "Hi", "stream": True})
    assert b"response.completed" not in answer.body
    assert b"response.failed" in answer.body or b"event: error" in answer.body
    (record,) = await gateway.recorded(1)
    assert record["outcome"] == "engine_error"


@pytest.mark.parametrize(
    "value",
    [5, [5], [{"role": "user"}], [{"role": "x", "content": "a"}], [{"role": "user", "content": [{"type": "zz"}]}],
     [{"type": "function_call_output"}], [{"type": "unknown_item"}], {"a": 1},
     [{"role": "user", "content": {"a": 1}}]],
)  # fmt: skip
async def test_input_that_makes_no_sense_is_400(gateway: GatewayProcess, engine: Engine, value: Any) -> None:
    answer = await gateway.ask("/v1/responses", {"model": "demo", "input": value})
    assert answer.status == 400
    assert "input" in (answer.json()["error"]["param"] or "")
    assert not engine.asked


async def test_an_engine_that_speaks_it_gets_it_as_it_is(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    async def native(wire: Wire, asked: Any) -> None:
        if asked.json().get("stream"):
            await wire.start()
            for kind in ("response.created", "response.completed"):
                usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
                event = {"type": kind, "response": {"usage": usage if kind == "response.completed" else None}}
                await wire.piece(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode())
            return await wire.end()
        usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
        await wire.json({"id": "r", "object": "response", "output": [], "usage": usage})

    engine.script = native
    await gateway.add_route(route_to([engine], "native", endpoints=["/v1/chat/completions", "/v1/responses"]))
    for stream in (False, True):
        body = {"model": "native", "input": "Hi", "store": False, "stream": stream}
        assert (await gateway.ask("/v1/responses", body)).status == 200
        assert engine.asked[-1].path == "/v1/responses"
        assert engine.asked[-1].json() == body | {"model": "inner"}
    for record in await gateway.recorded(2):
        assert (record["prompt_tokens"], record["completion_tokens"], record["outcome"]) == (5, 2, "ok")


async def test_the_second_form_of_rerank(gateway: GatewayProcess, engine: Engine) -> None:
    answer = await gateway.ask("/v2/rerank", {"model": "rank", "query": "q", "documents": ["a"]})
    assert answer.status == 200
    assert answer.json()["results"][0]["relevance_score"] == 0.5
    assert engine.asked[0].path == "/v1/rerank"


async def test_a_client_that_leaves_a_translated_stream_ends_the_engine_s_work(
    gateway: GatewayProcess, engine: Engine
) -> None:
    async def endless(wire: Wire, asked: Any) -> None:
        await wire.start()
        while True:
            await wire.event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
            await asyncio.sleep(0.01)

    engine.script = endless
    reader, writer = await gateway.connect()
    writer.write(request("POST", "/v1/responses", {"model": "demo", "input": "Hi", "stream": True}, key=gateway.key))
    assert (await read_head(reader)).status == 200
    writer.transport.abort()
    await until(lambda: engine.aborted, 2)
