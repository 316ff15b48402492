"""A model's cache through the gateway's own process: what is answered without an engine, and what never is."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, route_to, until
from tests.support.http_wire import Answer, Asked
from tests.support.openai_engine import USAGE, Engine, Wire, answer_normally

from aicp.core.route import CacheEntry, LimitsEntry, PriceEntry

PATH = "/v1/chat/completions"
RULE = CacheEntry("default", "demo", 3600.0, generation="1")
LIKE = replace(RULE, embedding_model="embed")


def chat(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], "temperature": 0, **fields}


async def rules(gateway: GatewayProcess, control: ControlPlane, *caches: CacheEntry, **fields: Any) -> None:
    """Publishes rules and returns when the gateway has them."""
    assert control.table is not None
    etag = f"{control.table.etag}+"
    control.publish(replace(control.table, etag=etag, caches=list(caches), **fields))
    await gateway.with_table(etag)
    kept = gateway.directory / "routes.json"
    await until(lambda: kept.exists() and f'"{etag}"' in kept.read_text())


def asked(engine: Engine, path: str = PATH) -> int:
    return sum(one.path == path for one in engine.asked)


def how(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers.get("x-aicp-cache", "none")


def text_of(answer: Answer) -> str:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    return "".join(
        choice["delta"].get("content") or "" for event in events_of(answer) for choice in event.get("choices", [])
    )


def events_of(answer: Answer) -> list[dict[str, Any]]:
    *events, done, rest = answer.body.split(b"\n\n")
    assert done == b"data: [DONE]"
    assert not rest
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def answers(of: Callable[[str], str], vectors: dict[str, list[float]] | None = None) -> Any:
    """An engine that answers each question by `of` and embeds by `vectors`; what is not there is like nothing else."""

    async def script(wire: Wire, asked: Asked) -> None:
        body = asked.json()
        if asked.path == "/v1/embeddings":
            texts: list[str] = body["input"]
            data = [{"index": n, "embedding": _vector(text, vectors or {})} for n, text in enumerate(texts)]
            await wire.json({"data": data, "usage": {"prompt_tokens": 2 * len(texts), "total_tokens": 2 * len(texts)}})
            return
        content = of(body["messages"][-1]["content"])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        await wire.json({"id": "x", "object": "chat.completion", "created": 1, "choices": [choice], "usage": USAGE})

    return script


def _vector(text: str, known: dict[str, list[float]]) -> list[float]:
    if text in known:
        return known[text]
    return [float(byte) - 127.5 for byte in sha256(text.encode()).digest()[:8]]


async def value(gateway: GatewayProcess, name: str, project: str = "default") -> int:
    """A number of /metrics."""
    answer = await gateway.ask("/metrics", method="GET", key=TOKEN)
    start = f'aicp_gateway_cache_{name.partition(":")[0]}{{project="{project}",model="demo"'
    result = name.partition(":")[2]
    start += f',result="{result}"}} ' if result else "} "
    lines = [line for line in answer.body.decode().splitlines() if line.startswith(start)]
    return int(lines[0].rpartition(" ")[2]) if lines else 0


async def reaches(gateway: GatewayProcess, name: str, number: int) -> None:
    async with asyncio.timeout(15):
        for _ in count():
            if await value(gateway, name) >= number:
                return
            await asyncio.sleep(0.02)


async def test_without_a_rule_nothing_is_kept(gateway: GatewayProcess, engine: Engine) -> None:
    for _ in range(2):
        answer = await gateway.ask(PATH, chat())
        assert "x-aicp-cache" not in answer.headers
    assert asked(engine) == 2
    assert not (gateway.directory / "cache.log").exists()
    records = await gateway.recorded(2)
    assert records[0]["cache"] is None


async def test_the_same_request_is_answered_without_an_engine(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    assert control.table is not None
    priced = [replace(route, price=PriceEntry(10**6, 10**6, 10**6)) for route in control.table.routes]
    await rules(gateway, control, RULE, routes=priced)
    first = await gateway.ask(PATH, chat(user="alice"))
    again = await gateway.ask(PATH, {**chat(user="bob"), "metadata": {"a": "b"}})
    assert [how(first), how(again)] == ["miss", "exact"]
    assert first.json() == again.json()
    assert asked(engine) == 1
    records = await gateway.recorded(2)
    paid, free = ({name: record.get(name) for name in FIELDS} for record in records)
    assert paid == dict(zip(FIELDS, ["ok", 200, "miss", "demo", None, 7, 3, 10, "rep_a"], strict=True))
    assert free == dict(zip(FIELDS, ["ok", 200, "exact", "demo", 10, 0, 0, 0, None], strict=True))


FIELDS = (
    "outcome", "status", "cache", "cache_model", "saved_tokens", "prompt_tokens", "completion_tokens", "cost_micros",
    "replica_id",
)  # fmt: skip


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
async def test_streams_and_whole_answers_are_made_of_each_other(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, first: bool, path: str
) -> None:
    await rules(gateway, control, RULE)
    body = chat() if path == PATH else {"model": "demo", "prompt": "Hi", "temperature": 0}
    shown = {"stream_options": {"include_usage": True}}
    kinds = [{"stream": first}, {"stream": not first}, {"stream": True}, {"stream": True, **shown}]
    got = [await gateway.ask(path, body | kind) for kind in kinds]
    assert [how(answer) for answer in got] == ["miss", "exact", "exact", "exact"]
    assert asked(engine, path) == 1
    if path == PATH:
        assert {text_of(answer) for answer in got} == {"Hello to you"}
    whole = next(answer for answer in got if answer.headers["content-type"] == "application/json").json()
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["total_tokens"] == 10
    plain, counted = events_of(got[2]), events_of(got[3])
    assert not any("usage" in event for event in plain)
    assert counted[-1]["usage"]["completion_tokens"] == 3
    assert counted[-1]["choices"] == []
    assert [event["choices"][0]["finish_reason"] for event in plain][-1] == "stop"
    assert {event["object"] for event in plain} == {"chat.completion.chunk" if path == PATH else "text_completion"}
    record = (await gateway.recorded(3))[2]
    assert record["stream"] is True
    assert record["ttft_ms"] is not None


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"max_tokens": 5},
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Hi"}]},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"n": 2},
    ],
)
async def test_whatever_may_change_the_answer_is_another_request(
    gateway: GatewayProcess, control: ControlPlane, change: dict[str, Any]
) -> None:
    await rules(gateway, control, RULE)
    await gateway.ask(PATH, chat())
    assert how(await gateway.ask(PATH, chat() | change)) == "miss"


async def test_answers_that_hold_more_than_a_text_are_given_as_they_came(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await rules(gateway, control, RULE)
    body = chat(tools=[{"type": "function", "function": {"name": "f"}}])
    kinds = [{"stream": True}, {"stream": True}, {}, {}]
    got = [await gateway.ask(PATH, body | kind) for kind in kinds]
    assert [how(answer) for answer in got] == ["miss", "exact", "miss", "exact"]
    assert got[0].body == got[1].body
    assert got[2].body == got[3].body
    assert asked(engine) == 2


async def test_embeddings_are_kept_whatever_their_temperature(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await rules(gateway, control, replace(RULE, model="embed"))
    got = [await gateway.ask("/v1/embeddings", {"model": "embed", "input": ["a"]}) for _ in range(2)]
    assert [how(answer) for answer in got] == ["miss", "exact"]
    assert got[0].body == got[1].body


async def test_only_what_an_engine_would_repeat_is_kept(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await rules(gateway, control, RULE)
    for temperature in ({"temperature": 0.7}, {"temperature": None}, {}):
        body = {name: value for name, value in chat().items() if name != "temperature"} | temperature
        assert [how(await gateway.ask(PATH, body)) for _ in range(2)] == ["bypass", "bypass"]
    await rules(gateway, control, replace(RULE, any_temperature=True))
    body = chat(temperature=0.7)
    assert [how(await gateway.ask(PATH, body)) for _ in range(2)] == ["miss", "exact"]


async def test_a_client_may_refuse_what_is_kept(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    await rules(gateway, control, RULE)
    number = iter(range(10))
    engine.script = answers(lambda text: f"{text} {next(number)}")
    assert how(await gateway.ask(PATH, chat(), headers={"cache-control": "no-store"})) == "bypass"
    assert text_of(await gateway.ask(PATH, chat())) == "Hi 1"
    fresh = await gateway.ask(PATH, chat(), headers={"cache-control": "no-cache"})
    assert (how(fresh), text_of(fresh)) == ("miss", "Hi 2")
    assert text_of(await gateway.ask(PATH, chat())) == "Hi 2"


async def test_no_error_and_no_half_answer_is_kept(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await rules(gateway, control, RULE)

    async def broken(wire: Wire, asked: Asked) -> None:
        await wire.json({"error": {"message": "no"}}, 400)

    async def cut(wire: Wire, asked: Asked) -> None:
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "He"}}]})
        await wire.cut()

    engine.script = broken
    assert (await gateway.ask(PATH, chat())).status == 400
    engine.script = cut
    assert b"error" in (await gateway.ask(PATH, chat(stream=True))).body
    engine.script = answer_normally
    assert how(await gateway.ask(PATH, chat(stream=True))) == "miss"
    assert how(await gateway.ask(PATH, chat())) == "exact"


async def test_no_other_project_is_answered_from_it(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    other = new_secret()
    await rules(
        gateway,
        control,
        RULE,
        replace(RULE, project="other"),
        keys=[entry_of(gateway.key), entry_of(other, project="other")],
        routes=[route_to([engine], project=None)],
    )
    assert how(await gateway.ask(PATH, chat())) == "miss"
    assert how(await gateway.ask(PATH, chat(), key=other)) == "miss"
    assert asked(engine) == 2
    assert how(await gateway.ask(PATH, chat(), key=other)) == "exact"


async def test_a_hit_counts_as_a_request_and_takes_no_tokens(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    keys = [replace(entry_of(gateway.key), limits=LimitsEntry(rpm=3, tpm=100_000))]
    await rules(gateway, control, RULE, keys=keys)
    got = [await gateway.ask(PATH, chat(max_tokens=50)) for _ in range(3)]
    left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in got]
    assert [how(answer) for answer in got] == ["miss", "exact", "exact"]
    assert left[1] == left[2]
    assert (await gateway.ask(PATH, chat(max_tokens=50))).status == 429


async def test_another_generation_empties_it(gateway: GatewayProcess, control: ControlPlane) -> None:
    await rules(gateway, control, RULE)
    await gateway.ask(PATH, chat())
    await rules(gateway, control, replace(RULE, generation="2"))
    assert [how(await gateway.ask(PATH, chat())) for _ in range(2)] == ["miss", "exact"]


async def test_what_is_kept_outlives_kill_9(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    await rules(gateway, control, RULE)
    await gateway.ask(PATH, chat())
    await gateway.ask(PATH, chat("Second"))
    await reaches(gateway, "entries", 2)
    await gateway.stop(signal.SIGKILL)
    path = gateway.directory / "cache.log"
    path.write_bytes(path.read_bytes()[:-5])
    await gateway.start()
    assert how(await gateway.ask(PATH, chat())) == "exact"
    assert how(await gateway.ask(PATH, chat("Second"))) == "miss"
    assert how(await gateway.ask(PATH, chat("Second"))) == "exact"
    assert asked(engine) == 3


ENABLE = "How do I enable 2FA?"
AGAIN = "how do I enable 2fa"
DISABLE = "How do I disable 2FA?"
NEAR = {ENABLE: [1.0, 0.0, 0.05], AGAIN: [1.0, 0.02, 0.0], DISABLE: [1.0, 0.0, 0.0]}


async def ready(gateway: GatewayProcess, control: ControlPlane, rule: CacheEntry = LIKE) -> None:
    """A cache that compares questions; skipped where its library is not installed."""
    pytest.importorskip("usearch.index")
    await rules(gateway, control, rule)
    await reaches(gateway, "likeness_ready", 1)


async def test_a_like_question_is_answered_and_its_opposite_is_not(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await ready(gateway, control)
    engine.script = answers(lambda text: f"About: {text}", NEAR)
    assert how(await gateway.ask(PATH, chat(ENABLE))) == "miss"
    await reaches(gateway, "vectors", 1)
    like = await gateway.ask(PATH, chat(AGAIN, stream=True))
    assert (how(like), text_of(like)) == ("semantic", f"About: {ENABLE}")
    opposite = await gateway.ask(PATH, chat(DISABLE))
    assert (how(opposite), text_of(opposite)) == ("miss", f"About: {DISABLE}")
    assert how(await gateway.ask(PATH, chat(AGAIN, seed=1))) == "miss"
    system = [{"role": "system", "content": "Be short."}, *chat(AGAIN)["messages"]]
    assert how(await gateway.ask(PATH, chat() | {"messages": system})) == "miss"
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, *chat(AGAIN)["messages"]]
    assert how(await gateway.ask(PATH, chat() | {"messages": turns})) == "miss"
    records = await gateway.recorded(7)
    hit = next(record for record in records if record.get("cache") == "semantic")
    assert (hit["outcome"], hit["replica_id"], hit["saved_tokens"], hit["prompt_tokens"]) == ("ok", None, 10, 0)
    embedded = [record for record in records if record["endpoint"] == "/v1/embeddings"]
    assert {record["project"] for record in embedded} == {"default"}
    assert embedded[0]["prompt_tokens"] == 2


async def test_words_alone_make_no_hit(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    await ready(gateway, control)
    engine.script = answers(lambda text: text, {ENABLE: [1.0, 0.0], AGAIN: [0.9, 0.43]})
    await gateway.ask(PATH, chat(ENABLE))
    await reaches(gateway, "vectors", 1)
    assert how(await gateway.ask(PATH, chat(AGAIN))) == "miss"


@pytest.mark.parametrize("trouble", ["silent", "broken", "odd", "gone"])
async def test_an_embedding_model_that_fails_is_a_miss(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, trouble: str
) -> None:
    await ready(gateway, control)
    fine = engine.script = answers(lambda text: text, NEAR)
    await gateway.ask(PATH, chat(ENABLE))
    await reaches(gateway, "vectors", 1)

    async def script(wire: Wire, asked: Asked) -> None:
        if asked.path != "/v1/embeddings":
            await fine(wire, asked)
        elif trouble == "silent":
            await asyncio.Event().wait()
        elif trouble == "odd":
            await wire.json({"data": [{"embedding": [0.0, 0.0]}]})
        else:
            await wire.json({"error": "no"}, 500)

    engine.script = script
    if trouble == "gone":
        assert control.table is not None
        routes = [replace(route, targets=[]) if route.name == "embed" else route for route in control.table.routes]
        await rules(gateway, control, LIKE, routes=routes)
    answer = await gateway.ask(PATH, chat(AGAIN))
    assert (how(answer), text_of(answer)) == ("miss", AGAIN)


async def test_a_client_that_leaves_while_its_question_is_compared_is_let_go(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await ready(gateway, control)
    fine = engine.script = answers(lambda text: text, NEAR)
    await gateway.ask(PATH, chat(ENABLE))
    await reaches(gateway, "vectors", 1)
    asked_once = asyncio.Event()

    async def script(wire: Wire, asked: Asked) -> None:
        if asked.path != "/v1/embeddings":
            await fine(wire, asked)
            return
        asked_once.set()
        await asyncio.Event().wait()

    engine.script = script
    before = asked(engine)
    leaving = asyncio.ensure_future(gateway.ask(PATH, chat(AGAIN)))
    await asked_once.wait()
    leaving.cancel()
    await until(lambda: any(record["outcome"] == "canceled" and record["endpoint"] == PATH for record in control.usage))
    assert asked(engine) == before


async def test_vectors_are_there_again_after_kill_9(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await ready(gateway, control)
    engine.script = answers(lambda text: text, NEAR)
    await gateway.ask(PATH, chat(ENABLE))
    await reaches(gateway, "vectors", 1)
    await gateway.stop(signal.SIGKILL)
    await gateway.start()
    await reaches(gateway, "likeness_ready", 1)
    answer = await gateway.ask(PATH, chat(AGAIN))
    assert (how(answer), text_of(answer)) == ("semantic", ENABLE)


async def test_measuring_asks_the_engine_and_counts_who_was_right(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    same, other = "How  do I enable 2FA", "HOW DO I ENABLE 2FA"
    vectors = {**NEAR, same: [1.0, 0.0, 0.01], other: [1.0, 0.01, 0.01]}
    await ready(gateway, control, replace(LIKE, measure=True))
    engine.script = answers(lambda text: "In 3 steps." if text != other else "In 4 steps.", vectors)
    assert how(await gateway.ask(PATH, chat(ENABLE))) == "miss"
    await reaches(gateway, "vectors", 1)
    assert how(await gateway.ask(PATH, chat(same))) == "miss"
    await reaches(gateway, "events_total:agreed", 1)
    assert how(await gateway.ask(PATH, chat(DISABLE))) == "miss"
    await reaches(gateway, "events_total:gated", 1)
    assert how(await gateway.ask(PATH, chat(other))) == "miss"
    await reaches(gateway, "events_total:disagreed", 1)
    assert asked(engine) == 4
    await until(lambda: len([one for one in control.usage if one["endpoint"] == "cache"]) == 3)
    verdicts = [record for record in control.usage if record["endpoint"] == "cache"]
    assert sorted(record["cache"] for record in verdicts) == ["agreed", "disagreed", "gated"]
    assert {record["cache_model"] for record in verdicts} == {"demo"}
