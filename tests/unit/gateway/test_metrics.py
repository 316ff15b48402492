"""What /metrics says: its format, its names, its sums; by the rules of Prometheus and of the reference page."""

from __future__ import annotations

import asyncio
import string
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, until
from tests.support.openai_engine import Engine
from tests.support.prometheus import Metric, read_metrics

from aicp.gateway.exposition import exposition
from aicp.gateway.loads import Load
from aicp.gateway.metric_names import FAMILIES
from aicp.gateway.metrics import BETWEEN_TOKENS_SECONDS, FIRST_TOKEN_SECONDS, WHOLE_SECONDS, Histogram, Metrics
from aicp.gateway.record import Record

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"
AT = datetime(2026, 1, 5, tzinfo=UTC)


def record(**fields: object) -> Record:
    base = Record("req_1", "key_1", "p", "demo", PATH, stream=True, started_at=AT, outcome="ok", status=200)
    for name, value in fields.items():
        setattr(base, name, value)
    return base


def shown(metrics: Metrics, loads: list[Load] | None = None) -> dict[str, Metric]:
    return read_metrics(exposition(metrics, loads or [], {}, {}))


async def scraped(gateway: GatewayProcess) -> dict[str, Metric]:
    answer = await gateway.ask("/metrics", method="GET", key=TOKEN)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read_metrics(answer.body)


def test_every_name_has_one_meaning_and_the_form_that_prometheus_wants() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.kind != "histogram" or family.name.endswith("_seconds")
        assert family.help.endswith(".")


@pytest.mark.parametrize("bounds", [FIRST_TOKEN_SECONDS, BETWEEN_TOKENS_SECONDS, WHOLE_SECONDS])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


@given(st.lists(st.floats(0, 2000, allow_nan=False), max_size=30))
def test_a_histogram_counts_every_value_once_and_at_or_below_its_bound(values: list[float]) -> None:
    histogram = Histogram(FIRST_TOKEN_SECONDS)
    for value in values:
        histogram.add(value)
    assert histogram.count == sum(histogram.buckets) == len(values)
    reached = 0
    for bound, number in zip(FIRST_TOKEN_SECONDS, histogram.buckets, strict=False):
        reached += number
        assert reached == sum(value <= bound for value in values)


@given(st.text(max_size=20), st.sampled_from(["interactive", 'a"b', "c\\", "d\ne", ""]), st.text(string.printable))
def test_labels_come_back_as_they_were(service: str, priority: str, route: str) -> None:
    metrics = Metrics()
    metrics.series(service, priority).count(record(prompt_tokens=3))
    metrics.waits.refused(priority, "slo")
    found = shown(metrics, [Load(route, service, 4, 1, {priority: 2})])
    assert found["aicp_gateway_prompt_tokens_total"].value(service=service, **{"class": priority}) == 3
    assert found["aicp_gateway_num_requests_waiting"].value(service=service, **{"class": priority}) == 2
    assert found["aicp_gateway_places"].value(route=route) == 4
    assert found["aicp_gateway_requests_shed_total"].value(reason="slo", **{"class": priority}) == 1


def test_a_request_is_counted_in_its_service_and_class() -> None:
    metrics = Metrics()
    first = metrics.series("demo", "interactive")
    first.open += 2
    first.count(
        record(prompt_tokens=100, completion_tokens=11, cached_tokens=64, ttft_ms=200, duration_ms=1200, queue_ms=50)
    )
    metrics.series("demo", "batch").count(record(outcome="rejected", status=429, duration_ms=1))
    found = shown(metrics, [Load("demo", "demo", 2, 1, {"interactive": 1})])

    def value(name: str, suffix: str = "", priority: str = "interactive", **labels: str) -> float:
        return found[f"aicp_gateway_{name}"].value(suffix, service="demo", **{"class": priority}, **labels)

    assert value("requests_total", endpoint=PATH, outcome="ok") == 1
    assert value("requests_total", priority="batch", endpoint=PATH, outcome="rejected") == 1
    assert (value("prompt_tokens_total"), value("generation_tokens_total")) == (100, 11)
    assert value("prompt_tokens_cached_total") == 64
    assert value("time_to_first_token_seconds", "_sum") == pytest.approx(0.2)
    assert value("inter_token_latency_seconds", "_sum") == pytest.approx(0.1), "ten gaps in a second"
    assert value("e2e_request_latency_seconds", "_sum") == pytest.approx(1.2)
    assert value("request_queue_time_seconds", "_count") == 1
    assert value("request_queue_time_seconds", "_count", "batch") == 0
    assert (value("num_requests_running"), value("num_requests_waiting")) == (1, 1)


@pytest.mark.parametrize("tokens", [None, 0, 1])
def test_an_answer_without_two_tokens_has_no_time_between_them(tokens: int | None) -> None:
    metrics = Metrics()
    metrics.series("demo", "default").count(record(completion_tokens=tokens, ttft_ms=10, duration_ms=20))
    assert metrics.series("demo", "default").between.count == 0


async def test_the_process_tells_all_of_them_and_no_other(
    gateway: GatewayProcess, engine: Engine, secret: str, control: ControlPlane
) -> None:
    assert control.table is not None
    key = replace(entry_of(secret), priority="interactive")
    control.publish(replace(control.table, etag="2", keys=[key]))
    await gateway.with_table("2")
    assert (await gateway.ask(PATH, CHAT | {"stream": True})).status == 200
    assert (await gateway.ask(PATH, CHAT, headers={"x-priority": "batch"})).status == 200
    assert (await gateway.ask(PATH, CHAT | {"model": "none"})).status == 404
    found = await scraped(gateway)
    assert list(found) == [family.name for family in FAMILIES]
    for family in FAMILIES:
        for _, labels in found[family.name].samples:
            assert {name for name, _ in labels} - {"le"} == set(family.labels)
        if not family.labels and "coordinator" not in family.name:  # nothing is shared here
            assert found[family.name].samples, f"{family.name} has a value from the start"
    requests = found["aicp_gateway_requests_total"]
    assert requests.value(service="demo", endpoint=PATH, outcome="ok", **{"class": "interactive"}) == 1
    assert requests.value(service="demo", endpoint=PATH, outcome="ok", **{"class": "batch"}) == 1
    assert requests.value(service="", endpoint=PATH, outcome="rejected", **{"class": "interactive"}) == 1
    between = found["aicp_gateway_inter_token_latency_seconds"]
    assert between.value("_count", service="demo", **{"class": "interactive"}) == 1


async def test_what_runs_is_told_while_it_runs_and_not_afterwards(gateway: GatewayProcess, engine: Engine) -> None:
    go_on = asyncio.Event()
    normally = engine.script

    async def slowly(wire: object, asked: object) -> None:
        await go_on.wait()
        await normally(wire, asked)  # type: ignore[arg-type]

    engine.script = slowly  # type: ignore[assignment]
    asked = asyncio.ensure_future(gateway.ask(PATH, CHAT))
    await until(lambda: engine.asked)
    labels = {"service": "demo", "class": "default"}
    found = await scraped(gateway)
    assert found["aicp_gateway_num_requests_running"].value(**labels) == 1
    assert found["aicp_gateway_replica_requests_running"].value(replica="rep_a") == 1
    go_on.set()
    assert (await asked).status == 200
    found = await scraped(gateway)
    assert found["aicp_gateway_num_requests_running"].value(**labels) == 0


@pytest.mark.parametrize("key", [None, "wrong", "own"])
async def test_only_the_platform_may_look(gateway: GatewayProcess, key: str | None) -> None:
    text = gateway.key if key == "own" else key or ""
    answer = await gateway.ask("/metrics", method="GET", key=text)
    assert answer.status == 401
    assert b"aicp_gateway" not in answer.body
