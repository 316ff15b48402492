"""What the gateway does about its own mistakes: a logged 500 in the client's schema, one record, no reset."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.gateway_bench import ANSWER, Bench

from aicp.core.route import ArmEntry, ChoiceEntry, Target
from aicp.gateway import detours
from aicp.gateway import gateway as front
from aicp.gateway.openai_responses import Translation


def failing(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("a detail that is nobody's business")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_request_on_which_the_gateway_stumbles_is_500_and_the_next_one_is_served(
    bench: Bench, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(front, "unknown_model", failing)
        bench.ask(path, model="gone", messages=[])
    head, _, body = bench.client_wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"x-request-id: req_" in head
    error = json.loads(body)
    assert ("type" in error) is (path == "/v1/messages")
    assert "detail" not in body.decode()
    assert "a detail that is nobody's business" in caplog.text
    assert [record["outcome"] for record in bench.records()] == ["engine_error"]
    bench.client_wire.written = b""
    bench.ask("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}])
    bench.answer()
    assert bench.client_wire.written.endswith(ANSWER)
    assert not bench.client_wire.ended


async def test_an_answer_on_which_the_gateway_stumbles_is_500_with_one_record(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Translation, "whole", failing)
    bench.ask("/v1/responses", input="Hi")
    bench.answer()
    assert bench.client_wire.written.startswith(b"HTTP/1.1 500 ")
    assert b"detail" not in bench.client_wire.written
    assert "a detail that is nobody's business" in caplog.text
    assert [(record["outcome"], record["status"]) for record in bench.records()] == [("engine_error", 500)]


async def test_a_detour_on_which_the_gateway_stumbles_leaves_the_first_error_and_one_record(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(bench.table.routes[0], name="other", targets=[Target("rep_2", "unix:/elsewhere")])
    choice = ChoiceEntry("chat", "default", [ArmEntry("demo")], ["other"])
    bench.routes.swap(replace(bench.table, routes=[*bench.table.routes, other], choices=[choice]))
    monkeypatch.setattr(detours, "make_call", failing)
    bench.ask("/v1/chat/completions", model="chat", messages=[{"role": "user", "content": "Hi"}])
    body = b'{"error":{"message":"no"}}'
    head = b"HTTP/1.1 500 No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    bench.engine.data_received(head + body)
    assert b"HTTP/1.1 50" in bench.client_wire.written
    assert "a detail that is nobody's business" in caplog.text
    assert [record["outcome"] for record in bench.records()] == ["engine_error"]
    assert bench.replica.inflight == 0


async def test_a_client_that_reads_slowly_slows_its_engine_and_nobody_else_s(bench: Bench) -> None:
    bench.ask("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], stream=True)
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    bench.engine.data_received(start)
    assert bench.client_wire.written == b"", "a head went out before the engine had said anything"
    bench.client.pause_writing()
    bench.client.resume_writing()
    bench.client.pause_writing()
    assert bench.engine_wire.reading == [False, True, False]
    event = b'data: {"choices":[]}\n\n'
    bench.engine.data_received(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
    assert bench.engine_wire.reading[-1], "the connection went back to the pool without reading"


async def test_a_refusal_of_a_head_request_has_no_body_even_before_its_head_is_whole(bench: Bench) -> None:
    bench.client.data_received(b"HEAD /v1/models HTTP/1.1\r\nhost: x\r\nx-big: ")
    bench.client.data_received(b"a" * 100_000)
    head, _, body = bench.client_wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert body == b""
