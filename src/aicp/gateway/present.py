"""What goes on now: the counts of the last minute, and what is used of limits.

Counts are looked at every few seconds, and the last minute is the difference of two looks: requests pay nothing for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aicp.core.clock import Clock
from aicp.core.live import LiveReport, LiveRoute, LiveSeries, LiveUse, Watched
from aicp.gateway.accounts import Accounts
from aicp.gateway.budgets import Budgets
from aicp.gateway.exposition import running, waits
from aicp.gateway.loads import Load
from aicp.gateway.metrics import FIRST_TOKEN_SECONDS, Metrics, Series

_LOOK_SECONDS = 2.0
_BACK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Counts:
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    ttft: tuple[int, ...] = (0,) * (len(FIRST_TOKEN_SECONDS) + 1)


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    counts: dict[tuple[str, str], _Counts]


class Present:
    """Reports of this gateway. `look` must be called every second or so."""

    def __init__(
        self,
        metrics: Metrics,
        loads: Callable[[], list[Load]],
        accounts: Accounts,
        budgets: Budgets,
        clock: Clock,
    ) -> None:
        self._metrics, self._loads, self._clock = metrics, loads, clock
        self._accounts, self._budgets = accounts, budgets
        self._looks = deque([_Look(clock.monotonic(), {})])

    def look(self, now: float) -> None:
        """Notes the counts, for reports within the next minute. `now` is monotonic."""
        if now - self._looks[-1].at < _LOOK_SECONDS:
            return
        self._looks.append(_Look(now, {name: _counts(series) for name, series in self._metrics.all.items()}))
        while len(self._looks) > 1 and now - self._looks[1].at >= _BACK_SECONDS:
            self._looks.popleft()

    def report(self, watched: Watched) -> LiveReport:
        """What somebody wants to see of it."""
        now = self._clock.monotonic()
        self.look(now)
        first = self._looks[0]
        seconds = max(now - first.at, 1.0)
        scopes = self._scopes(now, self._clock.now()) if watched.scopes else {}
        if not watched.traffic:
            return LiveReport(watched, seconds, scopes=scopes)
        loads = self._loads()
        full = [LiveRoute(one.route, one.service, one.places, one.taken) for one in loads if one.places is not None]
        return LiveReport(watched, seconds, list(FIRST_TOKEN_SECONDS), self._series(first, loads), full, scopes)

    def _series(self, first: _Look, loads: list[Load]) -> list[LiveSeries]:
        at_work, waiting = running(self._metrics, loads), waits(loads)
        found: list[LiveSeries] = []
        for name, series in self._metrics.all.items():
            before, now = first.counts.get(name, _Counts()), _counts(series)
            one = LiveSeries(
                *name,
                now.requests - before.requests,
                now.errors - before.errors,
                now.prompt_tokens - before.prompt_tokens,
                now.completion_tokens - before.completion_tokens,
                now.cached_tokens - before.cached_tokens,
                at_work.get(name, 0),
                waiting.get(name, 0),
                [more - less for more, less in zip(now.ttft, before.ttft, strict=True)],
            )
            if one.requests or one.running or one.waiting:
                found.append(one)
        return found

    def _scopes(self, now: float, at: datetime) -> dict[str, dict[str, LiveUse]]:
        found: dict[str, dict[str, LiveUse]] = {}
        for used in (self._accounts.used(now, at), self._budgets.used(at)):
            for scope, limits in used.items():
                found.setdefault(scope, {}).update({name: LiveUse(*parts) for name, parts in limits.items()})
        return found


def _counts(series: Series) -> _Counts:
    return _Counts(
        series.requests,
        series.errors,
        series.prompt_tokens,
        series.completion_tokens,
        series.cached_tokens,
        tuple(series.ttft.buckets),
    )
