"""Usage of the last minutes in steps of 15 s: what the charts of traffic are made of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, extract, func, select

from aicp.store.database import Transaction
from aicp.store.usage import FINE_OUTCOMES, UsageRecordRow

STEP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class TrafficStep:
    """Requests of one service that began within one step; `ttft_ms` of those that streamed, in rising order."""

    service: str
    at: int
    requests: int
    errors: int
    tokens: int
    ttft_ms: tuple[float, ...] = ()


class Traffic:
    """Queries over recent usage."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def steps(self, since: datetime, until: datetime) -> list[TrafficStep]:
        """Every step that begins in [since, until) and had requests."""
        second = extract("epoch", UsageRecordRow.started_at)
        bucket = func.floor(second / STEP_SECONDS).label("bucket")
        window = (UsageRecordRow.started_at >= since) & (UsageRecordRow.started_at < until)
        fine = UsageRecordRow.outcome.in_([outcome.value for outcome in FINE_OUTCOMES])
        sums = await self._session.execute(
            select(
                UsageRecordRow.service,
                bucket,
                func.count(),
                func.sum(case((fine, 0), else_=1)),
                func.sum(func.coalesce(UsageRecordRow.completion_tokens, 0)),
            )
            .where(window)
            .group_by(UsageRecordRow.service, "bucket")
        )
        times = await self._session.execute(
            select(UsageRecordRow.service, bucket, UsageRecordRow.ttft_ms)
            .where(window, UsageRecordRow.ttft_ms.is_not(None))
            .order_by(UsageRecordRow.ttft_ms)
        )
        waits: dict[tuple[str, int], list[float]] = defaultdict(list)
        for service, step, ttft in times:
            if ttft is not None:
                waits[service, int(step)].append(ttft)
        return [
            TrafficStep(
                service=service,
                at=int(step) * STEP_SECONDS,
                requests=requests,
                errors=int(errors or 0),
                tokens=int(tokens or 0),
                ttft_ms=tuple(waits[service, int(step)]),
            )
            for service, step, requests, errors, tokens in sums
        ]
