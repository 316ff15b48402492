"""Usage is counted once, and the sums agree with the records."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.store.database import Database
from aicp.store.usage import Usage, UsageFilter, ttft_class, ttft_percentile

START = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
ALL = UsageFilter()


def record(number: int, **changes: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "request_id": f"req-{number}",
        "api_key_id": "key_a",
        "project": "default",
        "service": "demo",
        "endpoint": "/v1/chat/completions",
        "started_at": START + timedelta(seconds=number),
        "outcome": Outcome.OK,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "ttft_ms": 100.0,
        "status": 200,
    }
    return UsageRecord.model_validate(values | changes)


async def accept(database: Database, sequence: int, *records: UsageRecord, gateway: str = "gw_1") -> list[UsageRecord]:
    async with database.transaction() as tx:
        batch = UsageBatch(gateway_id=gateway, sequence=sequence, records=list(records))
        return await Usage(tx).accept(batch, START)


async def sums(database: Database, *apart: str, which: UsageFilter = ALL):
    async with database.snapshot() as tx:
        return await Usage(tx).sums(which, apart)


async def test_a_batch_counts_once_and_a_record_counts_once(database: Database):
    assert len(await accept(database, 1, record(1), record(2))) == 2
    assert await accept(database, 1, record(1), record(2)) == []
    assert await accept(database, 1, record(3)) == []  # the sequence was taken, whatever it holds
    assert [item.request_id for item in await accept(database, 2, record(2), record(4), record(4))] == ["req-4"]
    assert [item.request_id for item in await accept(database, 1, record(5), gateway="gw_2")] == ["req-5"]
    async with database.snapshot() as tx:
        page = await Usage(tx).list(UsageFilter())
    assert [item.request_id for item in page.items] == ["req-5", "req-4", "req-2", "req-1"]
    (total,) = await sums(database)
    assert (total.requests, total.prompt_tokens, total.completion_tokens) == (4, 40, 20)


async def test_what_was_written_is_read_back(database: Database):
    wanted = record(1, stream=True, replica_id="rep_1", duration_ms=12.5, cached_tokens=3, outcome=Outcome.ENGINE_ERROR)
    await accept(database, 1, wanted)
    async with database.snapshot() as tx:
        assert (await Usage(tx).list(UsageFilter())).items == [wanted]


async def test_sums_tell_apart_what_is_asked(database: Database):
    await accept(
        database,
        1,
        record(1),
        record(
            2, api_key_id="key_b", project="other", service="code", outcome=Outcome.ENGINE_ERROR, prompt_tokens=None
        ),
        record(3, started_at=START + timedelta(hours=2), outcome=Outcome.CANCELED),
    )
    by_project = {item.group["project"]: item for item in await sums(database, "project")}
    assert {name: (item.requests, item.errors) for name, item in by_project.items()} == {
        "default": (2, 0),
        "other": (1, 1),
    }
    by_hour = await sums(database, "hour", "service")
    assert [(item.group["hour"].hour, item.group["service"]) for item in by_hour] == [
        (12, "code"),
        (12, "demo"),
        (14, "demo"),
    ]
    only = await sums(database, "key", which=UsageFilter(projects=frozenset({"other"})))
    assert [item.group for item in only] == [{"key": "key_b"}]
    late = await sums(database, which=UsageFilter(since=START + timedelta(hours=2)))
    assert [item.requests for item in late] == [1]
    assert await sums(database, "key", which=UsageFilter(projects=frozenset())) == []


async def test_filters_of_single_records(database: Database):
    await accept(database, 1, record(1), record(2, service="code"), record(3, outcome=Outcome.REJECTED))

    async def found(**changes: Any) -> list[str]:
        async with database.snapshot() as tx:
            return [item.request_id for item in (await Usage(tx).list(UsageFilter(**changes))).items]

    assert await found(service="code") == ["req-2"]
    assert await found(outcome=Outcome.REJECTED) == ["req-3"]
    assert await found(since=START + timedelta(seconds=2), until=START + timedelta(seconds=3)) == ["req-2"]
    assert await found(api_key_id="key_b") == []
    assert await found(projects=frozenset({"other"})) == []


async def test_an_export_reads_on_while_usage_grows(database: Database):
    await accept(database, 1, *(record(number, started_at=START) for number in range(7)))
    read: list[str] = []
    last: UsageRecord | None = None
    while True:
        async with database.snapshot() as tx:
            page = await Usage(tx).after(UsageFilter(), last, 3)
        if not page:
            break
        read += [item.request_id for item in page]
        last = page[-1]
        await accept(database, len(read) + 1, record(100 + len(read), started_at=START + timedelta(minutes=1)))
    assert read == [f"req-{number}" for number in reversed(range(7))]


async def test_two_gateways_that_report_at_once_lose_nothing(database: Database):
    batches = [
        accept(
            database,
            sequence,
            *(record(1000 * sequence + n, api_key_id=f"key_{n % 3}") for n in range(20)),
            gateway=f"gw_{sequence}",
        )
        for sequence in range(6)
    ]
    await asyncio.gather(*batches)
    (total,) = await sums(database)
    assert (total.requests, total.ttft.total()) == (120, 120)


async def test_percentiles_are_within_five_percent(database: Database):
    await accept(database, 1, *(record(number, ttft_ms=float(number + 1)) for number in range(100)))
    (total,) = await sums(database)
    assert ttft_percentile(total.ttft, 0.5) == pytest.approx(50, rel=0.05)
    assert ttft_percentile(total.ttft, 0.99) == pytest.approx(99, rel=0.05)
    assert ttft_percentile(type(total.ttft)(), 0.5) is None
    assert ttft_class(0.0) < ttft_class(1.0) < ttft_class(1e7)


async def test_an_odd_record_does_not_hold_up_the_rest(database: Database):
    odd = record(1, endpoint="/v1/" + "x" * 500, service="a\0b", prompt_tokens=2**31 - 1)
    assert len(await accept(database, 1_800_000_000_000, odd, record(2, prompt_tokens=2**31 - 1))) == 2
    async with database.snapshot() as tx:
        (found,) = (await Usage(tx).list(UsageFilter(service="ab"))).items
    assert len(found.endpoint) == 200
    (total,) = await sums(database)
    assert total.prompt_tokens == 2 * (2**31 - 1)
