"""Traces: what comes with a request goes on to its engine, and what is sampled reaches a collector by OTLP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import FakeClock
from tests.support.collector import Collector, run_collector
from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.gateway_process import GatewayProcess, route_to, run_gateway, until
from tests.support.http_wire import Asked
from tests.support.openai_engine import Engine, Wire, answer_normally, run_engine
from tests.support.prometheus import read_metrics

from aicp.gateway.record import Record
from aicp.gateway.traces import Context, context_lines, passed_on, read_context
from aicp.gateway.tracing import Tracer
from aicp.telemetry.spans import Span, SpanQueue

PATH = "/v1/chat/completions"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STATES = st.from_regex(rb"[a-z0-9=,]{0,40}", fullmatch=True)
SAMPLED = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A running collector."""
    async with run_collector() as running:
        yield running


@pytest.fixture
async def traced(
    control: ControlPlane, secret: str, tmp_path: Path, collector: Collector
) -> AsyncIterator[GatewayProcess]:
    """A gateway that keeps the trace of every request."""
    rules = {"endpoint": collector.url, "service": "gateway-of-the-test"}
    async with run_gateway(tmp_path / "gateway", control, secret, traces=rules) as running:
        yield running


# The headers


@given(
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.from_regex(rb"[a-z0-9=,]{0,40}", fullmatch=True),
)
def test_a_context_is_read_as_it_was_written(trace: int, span: int, sampled: bool, state: bytes) -> None:
    context = Context(trace, span, sampled, state.strip())
    lines = dict(line.split(b": ", 1) for line in context_lines(context).splitlines())
    assert read_context(lines) == context


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-01\r\nx-evil: 1",
    ],
)
def test_what_is_no_context_is_not_passed_on(text: str) -> None:
    headers = {b"traceparent": text.encode(), b"tracestate": b"a=1"}
    assert read_context(headers) is None
    assert passed_on(headers) is None


def test_a_later_version_of_the_standard_is_passed_on_as_it_came() -> None:
    text = f"cc-{TRACE}-{PARENT}-03-what-comes".encode()
    trace = passed_on({b"traceparent": text, b"tracestate": b"a=1,b=2"})
    assert trace is not None
    assert trace.lines() == b"traceparent: " + text + b"\r\ntracestate: a=1,b=2\r\n"


@given(st.binary(max_size=600))
def test_a_state_never_adds_a_line(state: bytes) -> None:
    trace = passed_on({b"traceparent": SAMPLED.encode(), b"tracestate": state})
    assert trace is not None
    lines = trace.lines()
    assert lines.endswith(b"\r\n")
    assert re.fullmatch(rb"traceparent: [^\r\n]+(\r\ntracestate: [^\r\n]+)?\r\n", lines)


# What is sampled


def tracer(ratio: float, found: list[Span], clock: FakeClock | None = None) -> Tracer:
    numbers = iter(range(1, 10_000))
    return Tracer(ratio, found.extend, lambda bits: next(numbers) * (2**bits // 10_000), clock or FakeClock())


def test_the_ratio_holds_for_requests_without_a_trace() -> None:
    counting = tracer(0.25, [])
    sampled = sum(counting.begin({}).lines().endswith(b"-01\r\n") for _ in range(3000))
    assert 0.2 < sampled / 3000 < 0.3
    assert not any(tracer(0.0, []).begin({}).lines().endswith(b"-01\r\n") for _ in range(10))


def test_a_caller_s_decision_is_kept_whatever_the_ratio() -> None:
    for ratio in (0.0, 1.0):
        yes = tracer(ratio, []).begin({b"traceparent": SAMPLED.encode()})
        no = tracer(ratio, []).begin({b"traceparent": SAMPLED[:-1].encode() + b"0"})
        assert TRACE.encode() in yes.lines()
        assert yes.lines().endswith(b"-01\r\n")
        assert no.lines() == b"traceparent: " + SAMPLED[:-1].encode() + b"0\r\n"


def test_the_wait_and_the_try_that_it_took_back_have_spans(clock: FakeClock) -> None:
    found: list[Span] = []
    trace = tracer(1.0, found, clock).begin({})
    started = clock.now()
    now = clock.monotonic()
    trace.named("demo")
    trace.tried("first", now, 0)
    trace.waited(now + 5, 3)  # it was taken back from there after two seconds, for a higher class
    trace.tried("second", now + 5, 0)
    clock.advance(9)
    record = Record("r", "k", "p", "demo", PATH, stream=False, started_at=started, outcome="ok", status=200)
    trace.closed(record, clock.monotonic())
    request, queue, first, second = found
    assert {span.parent_id for span in found[1:]} == {request.span_id}
    assert len({span.span_id for span in found}) == 4
    begin = request.began
    assert [(span.began - begin, span.ended - begin) for span in found] == [(0, 9), (2, 5), (0, 2), (5, 9)]
    assert (queue.name, first.error, second.error) == ("queue", "connection_lost", None)


async def test_what_the_collector_does_not_take_is_dropped_and_counted() -> None:
    answers = [False, True]
    queue = SpanQueue(lambda spans: answers.pop(0), most=4)
    span = Span("a", "server", 1, 2, None, 0.0, 1.0, {})
    queue.add([span] * 3)
    queue.add([span] * 2)
    assert queue.dropped == 2, "a trace is kept whole or not at all"
    await queue.flush()
    assert (queue.exported, queue.dropped) == (0, 5)
    queue.add([span] * 4)
    await queue.flush()
    assert (queue.exported, queue.dropped) == (4, 5)


# Through the process


async def test_a_context_goes_on_to_the_engine_although_no_traces_are_kept(
    gateway: GatewayProcess, engine: Engine
) -> None:
    headers = {"traceparent": SAMPLED, "tracestate": "vendor=a"}
    assert (await gateway.ask(PATH, CHAT, headers=headers)).status == 200
    assert (await gateway.ask(PATH, CHAT)).status == 200
    assert (await gateway.ask(PATH, CHAT, headers={"traceparent": "nonsense"})).status == 200
    first, *others = [asked.headers for asked in engine.asked]
    assert (first["traceparent"], first["tracestate"]) == (SAMPLED, "vendor=a")
    assert not any("traceparent" in head for head in others)


async def test_a_traced_request_is_a_span_with_its_try_below_it(
    traced: GatewayProcess, engine: Engine, collector: Collector
) -> None:
    answer = await traced.ask(PATH, CHAT | {"stream": True}, headers={"traceparent": SAMPLED, "tracestate": "v=1"})
    assert answer.status == 200
    await until(lambda: collector.named("upstream"))
    assert set(collector.paths) == {"/v1/traces"}
    (request,), (upstream,) = collector.named("chat demo"), collector.named("upstream")
    assert request.resource["service.name"] == "gateway-of-the-test"
    assert {one.span.trace_id.hex() for one in collector.spans} == {TRACE}
    assert request.span.parent_span_id.hex() == PARENT
    assert request.span.trace_state == "v=1"
    assert upstream.span.parent_span_id == request.span.span_id
    told = engine.asked[0].headers
    assert told["traceparent"] == f"00-{TRACE}-{upstream.span.span_id.hex()}-01", "the engine's spans are below the try"
    assert told["tracestate"] == "v=1"
    attributes = request.attributes
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "demo"
    assert attributes["gen_ai.usage.input_tokens"] == 7
    assert attributes["gen_ai.usage.output_tokens"] == 3
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert attributes["http.response.status_code"] == 200
    assert attributes["aicp.project"] == "default"
    assert attributes["aicp.replica"] == upstream.attributes["aicp.replica"] == "rep_a"
    assert "error.type" not in attributes
    assert traced.key.split("-", 2)[2] not in str(collector.spans), "no secret in a trace"
    spans = [one.span for one in (request, upstream)]
    assert spans[0].start_time_unix_nano <= spans[1].start_time_unix_nano
    assert spans[1].end_time_unix_nano == spans[0].end_time_unix_nano
    seconds = (spans[0].end_time_unix_nano - spans[0].start_time_unix_nano) / 1e9
    assert 0 < attributes["gen_ai.latency.time_to_first_token"] <= seconds < 20


async def test_a_try_that_failed_is_told_beside_the_one_that_served(
    traced: GatewayProcess, control: ControlPlane, engine: Engine, collector: Collector, tmp_path: Path
) -> None:
    async with run_engine(tmp_path / "b.sock") as other:
        assert control.table is not None
        control.publish(replace(control.table, etag="2", routes=[route_to([engine, other])]))
        await traced.with_table("2")
        tries = 0

        async def once(wire: Wire, asked: Asked) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                await wire.json({"error": {"message": "busy"}}, 503)
            else:
                await answer_normally(wire, asked)

        engine.script = other.script = once
        assert (await traced.ask(PATH, CHAT)).status == 200
        await until(lambda: len(collector.named("upstream")) == 2)
    failed, served = collector.named("upstream")
    assert failed.attributes["error.type"] == "503"
    assert failed.span.status.code == 2
    assert "error.type" not in served.attributes
    assert {failed.attributes["aicp.replica"], served.attributes["aicp.replica"]} == {"rep_a", "rep_b"}
    assert failed.span.end_time_unix_nano <= served.span.start_time_unix_nano
    names = [asked.headers["traceparent"].split("-")[2] for asked in (*engine.asked, *other.asked)]
    assert sorted(names) == sorted(one.span.span_id.hex() for one in (failed, served))


async def test_refusals_and_clients_that_leave_are_errors(
    traced: GatewayProcess, engine: Engine, collector: Collector
) -> None:
    assert (await traced.ask(PATH, CHAT | {"model": "none"})).status == 404
    never = asyncio.Event()

    async def silent(wire: Wire, asked: Asked) -> None:
        await never.wait()

    engine.script = silent
    asked = asyncio.ensure_future(traced.ask(PATH, CHAT))
    await until(lambda: engine.asked)
    asked.cancel()
    await until(lambda: collector.named("chat demo"))
    (refused,), (left,) = collector.named("chat none"), collector.named("chat demo")
    assert (refused.attributes["error.type"], refused.attributes["aicp.outcome"]) == ("404", "rejected")
    assert left.attributes["error.type"] == collector.named("upstream")[0].attributes["error.type"] == "canceled"


async def test_a_collector_that_is_ill_harms_no_request(traced: GatewayProcess, collector: Collector) -> None:
    collector.status = 400
    for _ in range(3):
        assert (await traced.ask(PATH, CHAT)).status == 200

    async def dropped() -> float:
        metrics = read_metrics((await traced.ask("/metrics", method="GET", key=TOKEN)).body)
        return metrics["aicp_gateway_spans_dropped_total"].value()

    async with asyncio.timeout(20):
        while await dropped() < 6:  # noqa: ASYNC110 another process has no event to wait for
            await asyncio.sleep(0.05)
    collector.status = 200
    assert (await traced.ask(PATH, CHAT)).status == 200
    await until(lambda: collector.named("upstream"))
    assert sum("does not take spans" in line for line in traced.lines) == 1


async def test_what_waits_is_sent_at_the_end(traced: GatewayProcess, collector: Collector) -> None:
    assert (await traced.ask(PATH, CHAT)).status == 200
    assert await traced.stop() == 0
    assert len(collector.spans) == 2
