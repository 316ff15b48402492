"""A stream whose engine dies under it: another replica makes the rest, and its client reads one answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.clock import FakeClock
from tests.support.gateway_bench import Bench, make_bench
from tests.support.replica_pair import (
    CHAT,
    CONTINUES,
    PIECES,
    PROMPT,
    TEXT,
    TEXTS,
    Pair,
    asked,
    chunk_of,
    framed,
    make_pair,
    stream_of,
)

from aicp.core.route import Target
from aicp.gateway.exposition import exposition


@pytest.fixture
async def pair(bench: Bench) -> Pair:
    return make_pair(bench)


def check_one_answer(events: list[Any], path: str, *, usage: bool = True) -> None:
    """What the client reads is what one engine would have said."""
    assert events[-1] == "[DONE]"
    assert events.count("[DONE]") == 1
    chunks = [event for event in events[:-1] if event["choices"]]
    assert {(event["id"], event["created"], event["model"]) for event in events[:-1]} == {("cmpl-one", 3, "demo")}
    choices = [event["choices"][0] for event in chunks]
    if path == CHAT:
        assert "".join(choice["delta"].get("content") or "" for choice in choices) == TEXT
        assert ["role" in choice["delta"] for choice in choices] == [True] + [False] * (len(choices) - 1)
    else:
        assert "".join(choice["text"] for choice in choices) == TEXT
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    told = [event["usage"] for event in events[:-1] if event.get("usage")]
    assert len(told) == usage
    for counts in told:
        assert (counts["prompt_tokens"], counts["completion_tokens"]) == (PROMPT, len(PIECES))
        assert counts["total_tokens"] == PROMPT + len(PIECES)
        assert counts["prompt_tokens_details"]["cached_tokens"] <= PROMPT


def attempt(pair: Pair, path: str, cut: int, size: int) -> bool:
    """The first engine dies after `cut` bytes of its answer; whether one of both could tell what it cost."""
    pair.refresh()
    whole = stream_of(pair.ask(path, stream_options={"include_usage": True}))
    pair.lose(whole[:cut], size)
    finished = whole.find(b'"finish_reason": "stop"')
    finished = whole.find(b"\n\n", finished) + 2
    counted = whole.find(b"\n\n", whole.find(b'"usage": {')) + 2
    if cut < finished:
        connection, wire = pair.working()
        connection.data_received(stream_of(asked(wire), "one" if not pair.bench.client_wire.written else "other"))
    told = not finished <= cut < counted
    check_one_answer(pair.read(), path, usage=told)
    return told


@pytest.mark.parametrize("path", [CHAT, TEXTS])
async def test_an_answer_cut_at_any_byte_is_whole(pair: Pair, path: str) -> None:
    whole = stream_of(pair.ask(path))
    pair.lose(whole[:-1])
    begun = len(pair.bench.records())
    cuts = range(1, len(whole))
    counted = [attempt(pair, path, cut, 1 << 20) for cut in cuts]
    records = pair.bench.records()[begun:]
    assert {record["outcome"] for record in records} == {"ok"}
    assert len({record["request_id"] for record in records}) == len(records) == len(cuts)
    assert {record["completion_tokens"] for record in records} == {len(PIECES)}
    assert {record.get("prompt_tokens") for record in records} <= {PROMPT, None}
    lacking = sum(record.get("prompt_tokens") is None for record in records)
    assert lacking == counted.count(False), "the prompt's tokens are missing only where nothing else was"
    assert {record["replica_id"] for record in records} == {"rep_1", "rep_2"}


async def test_in_pieces_of_any_size(tmp_path: Path, clock: FakeClock) -> None:
    pair = make_pair(make_bench(tmp_path, clock))
    whole = stream_of(pair.ask(CHAT))
    pair.lose(whole[:-1])

    @given(st.integers(1, len(whole) - 1), st.integers(1, 60))
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def cut(at: int, size: int) -> None:
        attempt(pair, CHAT, at, size)

    cut()


def cut_after(body: dict[str, Any], text: str, name: str = "one") -> bytes:
    """The beginning of an answer, up to the piece that ends with `text`."""
    whole = stream_of(body, name)
    return whole[: whole.index(json.dumps(text)[1:-1].encode()) + len(json.dumps(text)) - 2 + 30]


async def test_the_rest_is_asked_for_as_what_it_is(pair: Pair) -> None:
    first = pair.ask(max_tokens=9, stop=["END"], seed=5, temperature=0.5, min_tokens=3)
    pair.lose(cut_after(first, "- a 😀"))
    second = asked(pair.working()[1])
    assert second["messages"] == [*first["messages"], {"role": "assistant", "content": "Hello wörld \n\n- a 😀"}]
    assert (second["continue_final_message"], second["add_generation_prompt"]) == (True, False)
    assert (second["max_tokens"], second["min_tokens"]) == (4, 0)
    assert {name: second[name] for name in ("stop", "seed", "temperature")} == {
        "stop": ["END"],
        "seed": 5,
        "temperature": 0.5,
    }
    pair.working()[0].data_received(stream_of(second, "other"))
    events = pair.read()
    assert [event["choices"][0]["finish_reason"] for event in events[-2:-1]] == ["length"]
    assert b"\naicp_gateway_continuations_total 1\n" in exposition(pair.bench.metrics, [], {}, {})


def broken(pair: Pair) -> str:
    """The error in which the client's stream ends."""
    events = pair.read()
    assert "[DONE]" not in events
    assert "error" not in events[-2]
    return events[-1]["error"]["message"]


TOOL = {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": '{"ci'}}]}
THOUGHT = {"reasoning_content": "Let me see"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


@pytest.mark.parametrize(
    ("fields", "deltas"),
    [
        ({}, [{"content": "Let me look."}, TOOL]),
        ({}, [TOOL]),
        ({}, [THOUGHT]),
        ({}, [{"refusal": "No"}]),
        ({"response_format": SCHEMA}, [{"content": '{"a"'}]),
        ({"structured_outputs": {"regex": "a"}}, [{"content": "a"}]),
        ({"logprobs": True}, [{"content": "a"}]),
        ({"n": 2}, [{"content": "a"}]),
        ({"prompt_logprobs": 1}, [{"content": "a"}]),
    ],
)
async def test_what_cannot_be_gone_on_with_ends_in_an_error(pair: Pair, fields: Any, deltas: list[Any]) -> None:
    pair.ask(**fields)
    pair.lose(framed([chunk_of({"role": "assistant", "content": ""}), *map(chunk_of, deltas)], end=False))
    assert "ended; try again" in broken(pair)
    assert not any(wire.written for connection, wire in pair.engines if not connection.closed), "nobody else was asked"
    (record,) = pair.bench.records()
    assert record["outcome"] == "engine_error"


@pytest.mark.parametrize(
    ("fields", "deltas"),
    [
        ({"response_format": {"type": "text"}, "n": 1, "logprobs": False, "top_logprobs": 0}, [{"content": "Hello"}]),
        ({"response_format": SCHEMA}, []),
        ({"tools": [{"type": "function", "function": {"name": "weather"}}]}, [{"content": "Hello", "tool_calls": []}]),
        ({}, [THOUGHT, {"content": "Hello", "reasoning_content": None}]),
    ],
)
async def test_what_looks_like_that_and_is_not(pair: Pair, fields: Any, deltas: list[Any]) -> None:
    first = pair.ask(**fields)
    pair.lose(framed([chunk_of({"role": "assistant", "content": ""}), *map(chunk_of, deltas)], end=False))
    second = asked(pair.working()[1])
    turn = {"role": "assistant", "content": "Hello"} | (THOUGHT if THOUGHT in deltas else {})
    assert second["messages"] == first["messages"] + ([turn] if deltas else [])
    assert ("continue_final_message" in second) == bool(deltas)
    pair.working()[0].data_received(stream_of(second, "other"))
    texts = [event["choices"][0]["delta"].get("content") or "" for event in pair.read()[:-1] if event["choices"]]
    assert "".join(texts) == TEXT


async def test_a_model_that_begins_to_think_again_is_not_believed(pair: Pair) -> None:
    pair.ask()
    pair.lose(framed([chunk_of({"role": "assistant", "content": "Hello"})], end=False))
    pair.working()[0].data_received(framed([chunk_of({"role": "assistant"}), chunk_of(THOUGHT)], end=False))
    assert "think again" in broken(pair)


@pytest.mark.parametrize("changes", [{"continues": {}}, {"continues": {TEXTS: "prompt"}}])
async def test_an_engine_that_does_not_go_on_is_not_asked_to(bench: Bench, changes: dict[str, Any]) -> None:
    pair = make_pair(bench, **changes)
    pair.lose(cut_after(pair.ask(), "Hello"))
    assert "ended; try again" in broken(pair)


async def test_a_client_may_forbid_it(pair: Pair) -> None:
    pair.lose(cut_after(pair.ask(headers={"X-Aicp-Continue": "never"}), "Hello"))
    assert "ended; try again" in broken(pair)


async def test_two_engines_that_die_are_enough(pair: Pair) -> None:
    pair.lose(cut_after(pair.ask(), "Hello"))
    pair.lose(cut_after(asked(pair.working()[1]), "list", "other"))
    assert "Two replicas" in broken(pair)
    (record,) = pair.bench.records()
    assert record["outcome"] == "engine_error"


def whole(status: int, body: bytes) -> bytes:
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    return head + body


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (whole(400, b'{"error": {"message": "roles must alternate"}}'), "ended; try again"),
        (whole(503, b"{}"), "busy"),
        (whole(200, b'{"choices": []}'), "did not stream"),
        (whole(200, b"x" * (1 << 19)), "did not stream"),
    ],
)
async def test_an_engine_that_refuses_the_rest(pair: Pair, answer: bytes, words: str) -> None:
    pair.lose(cut_after(pair.ask(), "Hello"))
    pair.working()[0].data_received(answer[:1000])
    with suppress(ValueError):
        pair.working()[0].data_received(answer[1000:])
    assert words in broken(pair)


async def test_a_third_replica_makes_the_rest_when_the_second_is_busy(bench: Bench) -> None:
    pair = make_pair(bench)
    targets = [Target(f"rep_{number}", f"unix:/nowhere-{number}") for number in range(3)]
    table = replace(
        bench.table, etag="3", routes=[replace(bench.table.routes[0], targets=targets, continues=CONTINUES)]
    )
    bench.routes.swap(table)
    pair.refresh()
    pair.lose(cut_after(pair.ask(), "Hello"))
    second = asked(pair.working()[1])
    connection, wire = pair.working()
    connection.data_received(whole(503, b"{}"))
    wire.written = b""
    assert asked(pair.working()[1]) == second
    pair.working()[0].data_received(stream_of(second, "other"))
    assert pair.read()[-1] == "[DONE]"


@pytest.mark.parametrize(("most", "reason"), [(2, "length"), (3, "length")])
async def test_an_answer_of_which_nothing_is_left_is_ended_here(pair: Pair, most: int, reason: str) -> None:
    """The engine died between the last word that was asked for and the end."""
    first = pair.ask(max_tokens=most)
    pair.lose(
        framed([chunk_of({"role": "assistant", "content": word}) for word in ("a", " b", " c")[:most]], end=False)
    )
    assert len(first["messages"]) == 1
    *_, last, done = pair.read()
    assert (last["choices"][0]["finish_reason"], done) == (reason, "[DONE]")
    (record,) = pair.bench.records()
    assert (record["outcome"], record["completion_tokens"]) == ("ok", most)


async def test_a_beginning_that_the_caller_gave_is_gone_on_with(bench: Bench) -> None:
    pair = make_pair(bench, continues={CHAT: "prefill"})
    begun = [{"role": "user", "content": "Say it"}, {"role": "assistant", "content": "Hel"}]
    pair.ask(messages=begun)
    pair.lose(framed([chunk_of({"role": "assistant", "content": "lo"})], end=False))
    assert asked(pair.working()[1])["messages"] == [begun[0], begun[1] | {"content": "Hello"}]


async def test_an_answer_that_is_too_long_is_not_held(pair: Pair) -> None:
    pair.ask()
    long = [chunk_of({"content": "a word and another " * 1000}) for _ in range(20)]
    pair.lose(framed(long, end=False), 4096)
    assert "ended; try again" in broken(pair)


async def test_one_that_is_read_in_between_is_the_same(pair: Pair) -> None:
    text = "".join(f"word {number} " for number in range(9000))
    pair.ask()
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    pair.lose(framed([chunk_of({"content": piece}) for piece in pieces], end=False), 4096)
    assert asked(pair.working()[1])["messages"][-1]["content"] == text.rstrip()


async def test_a_translated_message_goes_on_too(pair: Pair) -> None:
    pair.lose(cut_after(pair.ask("/v1/messages", max_tokens=50), "list"))
    pair.working()[0].data_received(stream_of(asked(pair.working()[1]), "other"))
    events = pair.read()
    deltas = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(deltas) == TEXT
    kinds = [event["type"] for event in events if event["type"] != "content_block_delta"]
    assert kinds == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    usage = events[-2]["usage"]
    assert (usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"]) == (PROMPT, len(PIECES))


async def test_a_translated_response_goes_on_too(pair: Pair) -> None:
    pair.lose(cut_after(pair.ask("/v1/responses", input="Say it", messages=None), "list"))
    pair.working()[0].data_received(stream_of(asked(pair.working()[1]), "other"))
    last = pair.read()[-1]["response"]
    assert (last["status"], last["output"][0]["content"][0]["text"]) == ("completed", TEXT)
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (PROMPT, len(PIECES))


async def test_a_model_s_other_name_stays_hidden(bench: Bench) -> None:
    pair = make_pair(bench, upstream_model="inner")
    pair.lose(cut_after(pair.ask(), "Hello"))
    pair.working()[0].data_received(stream_of(asked(pair.working()[1]), "other"))
    assert {event["model"] for event in pair.read()[:-1]} == {"demo"}


LATE: list[Callable[[bytes], bytes]] = [lambda data: data[:-5], lambda data: data[:-1]]


@pytest.mark.parametrize("cut", LATE)
@pytest.mark.parametrize("continues", [{}, CONTINUES])
async def test_an_engine_that_dies_after_its_last_word_leaves_a_whole_answer(
    bench: Bench, continues: dict[str, str], cut: Callable[[bytes], bytes]
) -> None:
    pair = make_pair(bench, continues=continues)
    pair.lose(cut(stream_of(pair.ask(stream_options={"include_usage": True}))))
    check_one_answer(pair.read(), CHAT)
