"""Limits through the gateway's own process: exact with many at once, and after a crash."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import PEPPER, GatewayProcess, entry_of, until
from tests.support.http_wire import Answer, request
from tests.support.openai_engine import Engine, Wire, answer_normally

from aicp.core.route import LimitsEntry, ScopeEntry
from aicp.security.keys import key_digest, make_key

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
PATH = "/v1/chat/completions"


async def limit(
    gateway: GatewayProcess, control: ControlPlane, limits: LimitsEntry | None = None, **fields: Any
) -> None:
    """Gives the test's key limits, or other fields, and returns when the gateway knows them."""
    assert control.table is not None
    key = replace(entry_of(gateway.key), limits=limits, **fields)
    etag = f"{control.table.etag}+"
    control.publish(replace(control.table, etag=etag, keys=[key], projects=[ScopeEntry("default", None, "default")]))
    await gateway.with_table(etag)
    await until(lambda: etag in (gateway.directory / "routes.json").read_text())


async def test_sixty_four_clients_cannot_overshoot(gateway: GatewayProcess, control: ControlPlane) -> None:
    await limit(gateway, control, LimitsEntry(rpm=20))
    answers = await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(64)))
    assert Counter(answer.status for answer in answers) == {200: 20, 429: 44}
    refusal = next(answer for answer in answers if answer.status == 429)
    assert 1 <= int(refusal.headers["retry-after"]) <= 61
    assert refusal.json()["error"]["code"] == "rate_limit_exceeded"
    assert refusal.headers["x-ratelimit-remaining-requests"] == "0"
    left = {answer.headers["x-ratelimit-remaining-requests"] for answer in answers if answer.status == 200}
    assert left == {str(number) for number in range(20)}
    outcomes = Counter(record["outcome"] for record in await gateway.recorded(64))
    assert outcomes == {"ok": 20, "rejected": 44}


async def test_a_stream_in_flight_is_not_cut_and_holds_its_place(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await limit(gateway, control, LimitsEntry(concurrency=1, tpm=1))
    go_on = asyncio.Event()

    async def slow(wire: Wire, asked: Any) -> None:
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "He"}}]})
        await go_on.wait()
        await wire.event({"choices": [], "usage": {"prompt_tokens": 900, "completion_tokens": 90}})
        await wire.event("[DONE]")
        await wire.end()

    engine.script = slow
    streaming = asyncio.ensure_future(gateway.ask(PATH, CHAT | {"stream": True}))
    await until(lambda: engine.asked)
    assert (await gateway.ask(PATH, CHAT)).status == 429
    go_on.set()
    answer = await streaming
    assert (answer.status, b"[DONE]" in answer.body) == (200, True)
    engine.script = answer_normally
    refused = await gateway.ask(PATH, CHAT)
    assert (refused.status, "tokens a minute" in refused.json()["error"]["message"]) == (429, True)


@pytest.mark.parametrize("control_lives", [True, False])
async def test_a_quota_holds_over_kill_9_with_and_without_a_control_plane(
    gateway: GatewayProcess, control: ControlPlane, control_lives: bool
) -> None:
    await limit(gateway, control, LimitsEntry(tokens_per_day=60))
    if not control_lives:
        await control.stop()
    served = 0
    while (answer := await gateway.ask(PATH, CHAT)).status == 200:
        served += 1
        assert served <= 6, "each takes 10 of 60 tokens"
    assert (answer.status, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert served >= 3
    await gateway.stop(signal.SIGKILL)
    await gateway.start()
    assert (await gateway.ask(PATH, CHAT)).status == 429
    if not control_lives:
        await control.start()
    await gateway.recorded(served + 2)
    await gateway.shipped()
    asked = control.paths.total()
    await until(lambda: control.paths.total() > asked + 3)
    assert (await gateway.ask(PATH, CHAT)).status == 429


async def test_a_key_works_from_its_networks_only(gateway: GatewayProcess, control: ControlPlane) -> None:
    await limit(gateway, control, LimitsEntry(), networks=["10.0.0.0/8", "::1/128"])
    answer = await gateway.ask(PATH, CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "network_not_allowed")
    assert "127.0.0.1" in answer.json()["error"]["message"]
    assert (await gateway.ask("/v1/models", method="GET")).status == 403
    await limit(gateway, control, LimitsEntry(), networks=["127.0.0.0/8"])
    assert (await gateway.ask(PATH, CHAT)).status == 200


async def test_a_refusal_in_anthropic_s_words(gateway: GatewayProcess, control: ControlPlane) -> None:
    await limit(gateway, control, LimitsEntry(rpm=1))
    body = {"model": "demo", "max_tokens": 3, "messages": [{"role": "user", "content": "Hi"}]}
    answers: list[Answer] = [await gateway.ask("/v1/messages", body) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[1].json()["error"]["type"] == "rate_limit_error"


async def test_pipelined_requests_count_one_by_one(gateway: GatewayProcess, control: ControlPlane) -> None:
    await limit(gateway, control, LimitsEntry(rpm=3))
    reader, writer = await gateway.connect()
    writer.write(request("POST", PATH, CHAT, key=gateway.key) * 5)
    heads = 0
    codes: list[bytes] = []
    while heads < 5:
        line = await asyncio.wait_for(reader.readline(), 10)
        if line.startswith(b"HTTP/1.1 "):
            heads += 1
            codes.append(line.split()[1])
        elif b"HTTP/1.1 " in line:
            heads += 1
            codes.append(line.split(b"HTTP/1.1 ")[1].split()[0])
    writer.close()
    assert codes == [b"200"] * 3 + [b"429"] * 2


async def test_both_secrets_of_a_rotated_key_open_until_the_old_one_ends(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    old, new = gateway.key, make_key(entry_of(gateway.key).id).secret
    ends = time.time() + 5
    digests = {"digest": key_digest(PEPPER, new), "previous_digest": key_digest(PEPPER, old), "previous_until": ends}
    await limit(gateway, control, LimitsEntry(rpm=2), **digests)
    assert [(await gateway.ask(PATH, CHAT, key=key)).status for key in (old, new)] == [200, 200]
    assert (await gateway.ask(PATH, CHAT, key=old)).status == 429, "both are the same key"
    statuses: list[int] = []
    while not statuses or statuses[-1] == 200:
        statuses.append((await gateway.ask("/v1/models", method="GET", key=old)).status)
        assert time.time() < ends + 10
        await asyncio.sleep(0.05)
    assert statuses[-1] == 401
    assert time.time() >= ends
    assert (await gateway.ask("/v1/models", method="GET", key=new)).status == 200


async def test_a_key_s_parameters_go_where_a_request_names_none(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await limit(gateway, control, max_output_tokens=50, defaults={"temperature": 0.2, "top_k": 5, "seed": 7})
    bare = {"model": "demo", "messages": CHAT["messages"]}
    assert (await gateway.ask(PATH, bare)).status == 200
    asked = engine.asked[-1].json()
    assert (asked["temperature"], asked["top_k"], asked["seed"], asked["max_tokens"]) == (0.2, 5, 7, 50)
    assert (await gateway.ask(PATH, bare | {"temperature": 1, "max_completion_tokens": 9})).status == 200
    asked = engine.asked[-1].json()
    assert (asked["temperature"], asked["max_completion_tokens"], "max_tokens" in asked) == (1, 9, False)
    refused = await gateway.ask(PATH, bare | {"max_tokens": 51})
    assert (refused.status, refused.json()["error"]["param"]) == (400, "max_tokens")
    assert (await gateway.ask(PATH, bare | {"max_tokens": "51"})).status == 400
    answer = await gateway.ask("/v1/messages", bare | {"max_tokens": 20})
    assert answer.status == 200
    assert engine.asked[-1].json()["temperature"] == 0.2
    assert "seed" not in engine.asked[-1].json()
    embedded = await gateway.ask("/v1/embeddings", {"model": "embed", "input": "x"})
    assert embedded.status == 200
    assert "temperature" not in engine.asked[-1].json()
