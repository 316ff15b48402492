"""How many replicas a service should have. Pure: what was measured in, a number and its reason in words out.

Every target that is set gives a number; the highest counts, within the bounds of the hour.

    queue, running:  ceil(requests of all replicas / target)
    KV, TTFT:        ceil(ready replicas * measured / target)

The form, the tolerance of 10 % within which nothing changes, and the stabilization (more as soon as that was wanted for
`up_seconds`, fewer only to the highest number wanted within `down_seconds`) are those of the Kubernetes Horizontal Pod
Autoscaler (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale, "Algorithm details" and "Stabilization
window"). An average says nothing of what replicas that still start will bring, so it adds none meanwhile, and at most
doubles. The way to zero and back is KEDA's: none when nothing was asked for a while, one as soon as somebody waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from aicp.core.autoscale import Autoscale, ScaleWindow, Weekday

TOLERANCE = 0.1
"""A load so near to its target changes nothing."""
_DAYS = tuple(Weekday)
_EXACT = 1e-9
"""Of a replica: what a division may be wrong by."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured of one service. None: it could not be measured, which takes no replica away."""

    queued: float = 0.0
    """Requests that wait for a place, those that wait for it to wake among them."""
    running: float = 0.0
    kv_percent: float | None = None
    """Mean over the ready replicas."""
    ttft_ms: float | None = None
    """None also while nobody asks: then it wants nothing."""
    idle_seconds: float = 0.0
    """Since the last request."""
    known: bool = True
    """Whether any gateway says what it has; without one nothing is taken away."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a look at the load came to."""

    at: datetime
    replicas: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """One service as the decision sees it. `planned` is how many requests a replica is planned for at once."""

    rule: Autoscale
    wanted: int
    ready: int
    planned: int
    load: Load
    history: tuple[Recommendation, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest number at one time; `window` when that is not what usually holds."""

    least: int
    most: int
    window: ScaleWindow | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The number that is wanted from now on, why, and what the next decision must know of this one."""

    wanted: int
    reason: str
    bounds: Bounds
    history: tuple[Recommendation, ...]


@dataclass(frozen=True, slots=True)
class _Claim:
    replicas: int
    why: str = ""


def decide_scale(scaling: Scaling, now: datetime) -> Decision:
    """The next number of replicas. Its reason says why it is another one; it is empty where the number stays."""
    bounds = bounds_at(scaling.rule, now)
    claim = _claim(scaling, bounds)
    history = _kept(scaling.rule, (*scaling.history, Recommendation(now, claim.replicas)), now)
    steady = _stabilized(scaling, claim, history, now)
    inside = min(max(steady.replicas, bounds.least), bounds.most)
    if inside == scaling.wanted:
        return Decision(inside, "", bounds, history)
    reason = steady.why if inside == steady.replicas else _bound_reason(bounds, inside, steady)
    return Decision(inside, reason, bounds, history)


def bounds_at(rule: Autoscale, now: datetime) -> Bounds:
    """What holds at `now`: of windows that overlap the highest of each bound, and the usual ones outside of all."""
    open_now = [window for window in rule.windows if _is_open(window, now)]
    if not open_now:
        return Bounds(rule.min_replicas, rule.max_replicas)
    least = max(open_now, key=lambda window: window.min_replicas)
    return Bounds(least.min_replicas, max(window.max_replicas for window in open_now), least)


def _is_open(window: ScaleWindow, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.time_zone))
    today, yesterday = _DAYS[local.weekday()], _DAYS[local.weekday() - 1]
    at = local.time().replace(tzinfo=None)
    if window.start < window.end:
        return today in window.days and window.start <= at < window.end
    return (today in window.days and at >= window.start) or (yesterday in window.days and at < window.end)


def _claim(scaling: Scaling, bounds: Bounds) -> _Claim:
    """What the load asks for by itself."""
    load, wanted = scaling.load, scaling.wanted
    if not load.known:
        return _Claim(wanted)
    if wanted == 0:
        if not load.queued:
            return _Claim(0)
        return _at_least_one(_by_load(scaling), f"{load.queued:g} requests wait for it to wake")
    idle = load.queued + load.running == 0 and load.idle_seconds >= scaling.rule.idle_seconds
    if idle and bounds.least == 0:
        return _Claim(0, f"No request came for {scaling.rule.idle_seconds:g} s")
    return _at_least_one(_by_load(scaling), "There is little to do")


def _at_least_one(claim: _Claim, why: str) -> _Claim:
    """`claim`, but not none; the fewer there are, the more `why` is the reason."""
    return claim if claim.replicas > 1 else _Claim(1, why)


def _by_load(scaling: Scaling) -> _Claim:
    return max(_claims(scaling), key=lambda claim: claim.replicas)


def _claims(scaling: Scaling) -> Iterator[_Claim]:
    rule, load = scaling.rule, scaling.load
    queued, running = rule.queued_per_replica, rule.running_per_replica
    if queued is None and running is None and rule.kv_percent is None and rule.ttft_ms is None:
        queued, running = 1.0, float(scaling.planned)
    yield _Claim(0)
    if queued is not None:
        number = _of_sum(scaling.wanted, load.queued, queued)
        yield _Claim(number, f"{load.queued:g} requests wait, and {queued:g} may at each replica")
    if running is not None:
        at_work = load.queued + load.running
        number = _of_sum(scaling.wanted, at_work, running)
        yield _Claim(number, f"{at_work:g} requests are there, and {running:g} are for each replica")
    if rule.kv_percent is not None:
        number = _of_mean(scaling, load.kv_percent, rule.kv_percent)
        yield _Claim(number, f"KV caches are {load.kv_percent or 0:.0f} % full, and {rule.kv_percent:g} % are wanted")
    if rule.ttft_ms is not None:
        measured = load.ttft_ms if load.ttft_ms is not None or load.running else 0.0
        number = _of_mean(scaling, measured, rule.ttft_ms)
        yield _Claim(number, f"First tokens take {measured or 0:.0f} ms, and {rule.ttft_ms:g} ms are wanted")


def _of_sum(wanted: int, measured: float, target: float) -> int:
    """Replicas that share a sum evenly."""
    if wanted and abs(measured / (target * wanted) - 1) <= TOLERANCE:
        return wanted
    return math.ceil(measured / target - _EXACT)


def _of_mean(scaling: Scaling, measured: float | None, target: float) -> int:
    """Replicas over which a mean would come to its target."""
    wanted, ready = scaling.wanted, scaling.ready
    if measured is None or ready == 0 or abs(measured / target - 1) <= TOLERANCE:
        return wanted
    number = math.ceil(ready * measured / target - _EXACT)
    if number <= wanted:
        return number
    return wanted if ready < wanted else min(number, 2 * ready)


def _stabilized(scaling: Scaling, claim: _Claim, history: Sequence[Recommendation], now: datetime) -> _Claim:
    """Up fast, down slow. Who waits for a sleeper waits no longer, and the idle time is a wait already."""
    rule, wanted = scaling.rule, scaling.wanted
    if wanted == 0 or claim.replicas == 0:
        return claim
    if claim.replicas > wanted:
        lowest = min(_held(history, now, rule.up_seconds, wanted))
        return _Claim(max(lowest, wanted), claim.why)
    highest = max(_held(history, now, rule.down_seconds, wanted))
    return _Claim(min(highest, wanted), claim.why)


def _held(history: Sequence[Recommendation], now: datetime, seconds: float, wanted: int) -> list[int]:
    """Numbers wanted since so many seconds. Where nobody looked so far back, the present one held."""
    since = now - timedelta(seconds=seconds)
    before = [item.replicas for item in history if item.at <= since]
    return [before[-1] if before else wanted, *(item.replicas for item in history if item.at > since)]


def _kept(rule: Autoscale, history: Sequence[Recommendation], now: datetime) -> tuple[Recommendation, ...]:
    """Changes within the longer of both windows, and what held before them."""
    changes: list[Recommendation] = []
    for item in history:
        if not changes or item.replicas != changes[-1].replicas:
            changes.append(item)
    since = now - timedelta(seconds=max(rule.up_seconds, rule.down_seconds))
    begins = max((index for index, item in enumerate(changes) if item.at <= since), default=0)
    return tuple(changes[begins:])


def _bound_reason(bounds: Bounds, inside: int, steady: _Claim) -> str:
    window = bounds.window
    hours = f" from {window.start:%H:%M} to {window.end:%H:%M} {window.time_zone}" if window else ""
    if inside > steady.replicas:
        return f"At least {inside} replicas{hours}"
    return f"At most {inside} replicas{hours}: {steady.why}" if steady.why else f"At most {inside} replicas{hours}"
