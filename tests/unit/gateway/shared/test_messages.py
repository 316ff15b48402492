"""Anthropic's messages over an engine that only knows chat completions, with the official SDK."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
import pytest_asyncio
from tests.support.control_plane import ControlPlane
from tests.support.engine_scripts import WEATHER, calls_a_tool, dies_midway
from tests.support.gateway_process import GatewayProcess, route_to
from tests.support.openai_engine import Engine, Wire
from tests.unit.gateway.shared.conftest import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(standing: Standing, engine: Engine) -> GatewayProcess:
    """The module's, with no usage from before still on its way."""
    await standing.gateway.shipped()
    standing.control.usage.clear()
    return standing.gateway


def anthropic_client(gateway: GatewayProcess) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=gateway.key, base_url=gateway.base_url, max_retries=0)


async def test_whole(gateway: GatewayProcess, engine: Engine) -> None:
    answer = await anthropic_client(gateway).messages.create(
        model="demo",
        max_tokens=9,
        system="Be brief.",
        messages=[{"role": "user", "content": "Hi"}],
        stop_sequences=["END"],
        extra_body={"temperature": 0.5, "top_p": 0.9},
    )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "Hello to you"
    assert (answer.stop_reason, answer.model, answer.role, answer.type) == (
        "end_turn",
        "demo",
        "assistant",
        "message",
    )
    assert (
        answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0),
        answer.usage.output_tokens,
    ) == (7, 3)
    body = engine.asked[0].json()
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (body["stop"], body["temperature"], body["top_p"]) == (["END"], 0.5, 0.9)
    assert 9 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    (record,) = await gateway.recorded(1)
    assert (record["endpoint"], record["prompt_tokens"], record["completion_tokens"]) == ("/v1/messages", 7, 3)


async def test_stream(gateway: GatewayProcess, engine: Engine) -> None:
    client = anthropic_client(gateway)
    stream = await client.messages.create(
        model="demo", max_tokens=9, messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    kinds = [event.type async for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds[1] == "content_block_start"
    assert kinds[-3] == "content_block_stop"
    assert set(kinds[2:-3]) <= {"content_block_delta", "ping"}
    async with client.messages.stream(
        model="demo", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
    ) as accumulating:
        text = "".join([piece async for piece in accumulating.text_stream])
        final = await accumulating.get_final_message()
    assert text == "Hello to you"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 3
    for record in await gateway.recorded(2):
        assert (record["stream"], record["completion_tokens"], record["outcome"]) == (True, 3, "ok")


@pytest.mark.parametrize("stream", [False, True])
async def test_tools(gateway: GatewayProcess, engine: Engine, stream: bool) -> None:
    engine.script = calls_a_tool()
    client = anthropic_client(gateway)
    options: dict[str, Any] = {
        "model": "demo",
        "max_tokens": 50,
        "tools": [{"name": "weather", "description": "d", "input_schema": WEATHER}],
    }
    question: Any = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    choice = {"type": "tool", "name": "weather"}
    if stream:
        async with client.messages.stream(**options, tool_choice=choice, messages=[question]) as running:
            answer: Any = await running.get_final_message()
    else:
        answer = await client.messages.create(**options, tool_choice=choice, messages=[question])
    assert [block.type for block in answer.content] == ["text", "tool_use"]
    assert answer.content[0].text == "Let me look."
    assert (answer.content[1].id, answer.content[1].name, answer.content[1].input) == (
        "call_1", "weather", {"city": "Taipei"},
    )  # fmt: skip
    assert answer.stop_reason == "tool_use"
    body = engine.asked[0].json()
    assert body["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "d", "parameters": WEATHER}}
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}]}
    blocks = [block.model_dump(exclude_none=True) for block in answer.content]
    history: Any = [
        question,
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
    ]
    await client.messages.create(**options, messages=history)
    messages = engine.asked[1].json()["messages"]
    assert messages[1]["role"] == "assistant"
    assert messages[1]["content"] == "Let me look."
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Taipei"}
    assert messages[2] == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    assert messages[3]["role"] == "user"
    assert "and?" in json.dumps(messages[3]["content"])


async def test_images_and_system_blocks(gateway: GatewayProcess, engine: Engine) -> None:
    source: Any = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    await anthropic_client(gateway).messages.create(
        model="demo",
        max_tokens=5,
        system=[
            {"type": "text", "text": "A."},
            {"type": "text", "text": "B.", "cache_control": {"type": "ephemeral"}},
        ],
        messages=[{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "?"}]}],
    )
    messages = engine.asked[0].json()["messages"]
    assert "A." in str(messages[0]["content"])
    assert "B." in str(messages[0]["content"])
    urls = [part["image_url"]["url"] for part in messages[1]["content"] if part["type"] == "image_url"]
    assert urls == ["data:image/png;base64,AAAA"]


async def test_stop_reasons(gateway: GatewayProcess, engine: Engine) -> None:
    for finish, reason in (("length", "max_tokens"), ("stop", "end_turn"), ("tool_calls", "tool_use")):
        engine.script = calls_a_tool(finish)
        answer = await gateway.ask(
            "/v1/messages", {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
        )
        assert answer.json()["stop_reason"] == reason or (finish, answer.json()["stop_reason"]) == (
            "stop",
            "tool_use",
        )


async def test_a_missing_max_tokens_is_named(gateway: GatewayProcess) -> None:
    answer = await gateway.ask("/v1/messages", {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]})
    assert answer.status == 400
    assert "max_tokens" in answer.json()["error"]["message"]


async def test_an_engine_s_refusal_speaks_anthropic(gateway: GatewayProcess, engine: Engine) -> None:
    async def refuses(wire: Wire, asked: Any) -> None:
        await wire.json({"error": {"message": "maximum context length is 5"}}, 400)

    engine.script = refuses
    with pytest.raises(anthropic.BadRequestError, match="maximum context length"):
        await anthropic_client(gateway).messages.create(
            model="demo", max_tokens=5, messages=[{"role": "user", "content": "Hi"}]
        )
    with pytest.raises(anthropic.AuthenticationError):
        await anthropic.AsyncAnthropic(api_key="sk-wrong", base_url=gateway.base_url, max_retries=0).messages.create(
            model="demo", max_tokens=5, messages=[{"role": "user", "content": "Hi"}]
        )


async def test_an_engine_that_dies_midway(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = dies_midway
    body = {"model": "demo", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    answer = await gateway.ask("/v1/messages", body)
    assert b"event: error" in answer.body
    assert b"message_stop" not in answer.body
    (record,) = await gateway.recorded(1)
    assert record["outcome"] == "engine_error"


@pytest.mark.parametrize(
    "messages",
    [5, [5], [{"role": "user"}], [{"role": "x", "content": "a"}], [{"role": "user", "content": [{"type": "zz"}]}],
     [{"role": "user", "content": [{"type": "tool_result"}]}], [{"role": "user", "content": 5}], [],
     [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/"}}]}]],
)  # fmt: skip
async def test_messages_that_make_no_sense_are_400(gateway: GatewayProcess, engine: Engine, messages: Any) -> None:
    answer = await gateway.ask("/v1/messages", {"model": "demo", "max_tokens": 5, "messages": messages})
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not engine.asked


async def test_counting_tokens_is_the_engine_s_own_or_refused(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    client = anthropic_client(gateway)
    with pytest.raises(anthropic.BadRequestError, match="does not serve"):
        await client.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "Hi"}])

    async def counts(wire: Wire, asked: Any) -> None:
        await wire.json({"input_tokens": 11})

    engine.script = counts
    await gateway.add_route(route_to([engine], "counting", endpoints=["/v1/messages/count_tokens"]))
    count = await client.messages.count_tokens(model="counting", messages=[{"role": "user", "content": "Hi"}])
    assert count.input_tokens == 11
