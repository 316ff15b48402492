"""Prices as they are kept, and what requests cost in sums."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from aicp.core.price import Price
from aicp.core.route import PriceEntry
from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.store.database import Database
from aicp.store.prices import Prices
from aicp.store.usage import Usage, UsageFilter, Used

AT = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)


def price(model: str, text: str, **changes: Any) -> Price:
    values: dict[str, Any] = {"model": model, "input": Decimal(text), "output": Decimal(text) * 4, "set_at": AT}
    return Price(**values | changes)


async def test_prices_are_kept_exactly_and_replaced(database: Database):
    cached = Decimal("0.000001")
    async with database.transaction() as tx:
        await Prices(tx).set(price("demo", "0.1"))
        await Prices(tx).set(price("large", "999999999.999999", output=Decimal(0), cached_input=cached))
        await Prices(tx).set(price("demo", "2.5", set_by="ann", set_at=AT + timedelta(days=1)))
    async with database.snapshot() as tx:
        page, entries = await Prices(tx).list(), await Prices(tx).entries()
        assert await Prices(tx).find("other") is None
    assert page.items == [
        price("demo", "2.5", set_by="ann", set_at=AT + timedelta(days=1)),
        price("large", "999999999.999999", output=Decimal(0), cached_input=cached),
    ]
    assert entries == {
        "demo": PriceEntry(input=2_500_000, cached_input=2_500_000, output=10_000_000),
        "large": PriceEntry(input=999_999_999_999_999, cached_input=1, output=0),
    }


async def test_prices_are_found_by_name_and_taken_away(database: Database):
    async with database.transaction() as tx:
        for model in ("chat-small", "chat-large", "embed"):
            await Prices(tx).set(price(model, "1"))
        await Prices(tx).delete("embed")

    async def found(**which: Any) -> tuple[list[str], int]:
        async with database.snapshot() as tx:
            page = await Prices(tx).list(**which)
        return [item.model for item in page.items], page.total

    assert await found() == (["chat-large", "chat-small"], 2)
    assert await found(search="SMALL") == (["chat-small"], 1)
    assert await found(models={"chat-large", "embed"}) == (["chat-large"], 1)
    assert await found(models=set()) == ([], 0)
    assert await found(offset=1, limit=1) == (["chat-small"], 2)


async def test_costs_add_up_and_what_had_no_price_is_told(database: Database):
    def record(number: int, cost: int | None, **changes: Any) -> UsageRecord:
        values: dict[str, Any] = {
            "request_id": f"req-{number}",
            "api_key_id": "key_a",
            "project": "default",
            "service": "demo",
            "endpoint": "/v1/chat/completions",
            "started_at": AT,
            "outcome": Outcome.OK,
            "cost_micros": cost,
            "prompt_tokens": 10,
            "completion_tokens": 5,
        }
        return UsageRecord.model_validate(values | changes)

    huge = 2**62
    refused = record(4, None, outcome=Outcome.REJECTED, prompt_tokens=None, completion_tokens=None)
    batch = [record(1, 7), record(2, None), record(3, 0), refused, record(5, 11, service="code"), record(6, huge)]
    async with database.transaction() as tx:
        await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=1, records=batch), AT)
        await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=2, records=[record(1, 7), record(7, 1)]), AT)
    async with database.snapshot() as tx:
        rows = {item.group["service"]: item for item in await Usage(tx).sums(UsageFilter(), ["service"])}
        used = await Usage(tx).used_since(AT.replace(hour=0))
        costs = {item.request_id: item.cost_micros for item in (await Usage(tx).list(UsageFilter())).items}
    assert {name: (row.cost_micros, row.unpriced) for name, row in rows.items()} == {
        "demo": (7 + huge + 1, 1),
        "code": (11, 0),
    }
    assert used == {("key_a", "default"): Used(tokens=90, cost_micros=7 + huge + 1 + 11)}
    assert (costs["req-2"], costs["req-3"], costs["req-6"]) == (None, 0, huge)
