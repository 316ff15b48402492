"""Requests of one class at one route: those that wait, in a fair order, and those that have a place.

Between keys the virtual token counter decides (VTC, https://arxiv.org/abs/2401.00588): every key has a counter of the
work that was done for it, and the one with the least is next. Within a key the earliest deadline is first.

    at dispatch     counter += (1 * prompt + 2 * usual answer) / weight
    at the end      counter += (1 * uncached prompt + 2 * answer) / weight - what was charged at dispatch
    at a return     counter = max(counter, least counter among waiting keys), so that idling earns nothing

Two keys that both have requests waiting get work that differs by at most 2 * max(longest prompt, 2 * tokens of all
answers that can be under way at once), the paper's theorem 4.4; answers are known at their end here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from itertools import count
from operator import attrgetter
from typing import Final, Protocol

from aicp.gateway.api_keys import Key
from aicp.gateway.errors import ApiError
from aicp.gateway.priorities import PriorityClass
from aicp.gateway.routes import Route
from aicp.gateway.tokens import Tokens

_PROMPT_TOKEN: Final = 1.0
_ANSWER_TOKEN: Final = 2.0
_NEW: Final = 0.1
_LATELY_SECONDS: Final = 60.0
_WEIGH_SECONDS: Final = 1.0
_numbers = count()
_rank = attrgetter("order")


class Work(Protocol):
    """What is let in. `ticket` is set while it waits or has a place; `route` may be changed while it waits."""

    ticket: Ticket | None
    route: Route

    def start(self) -> None:
        """It has a place and begins. It may end within this call."""
        ...

    def withdraw(self) -> bool:
        """Takes it back from its engine, so that it can start anew; False when its client may have got something."""
        ...

    def fail(self, error: ApiError) -> None:
        """It gets no place; its client is told why."""
        ...

    def answer_failed(self) -> None:
        """`start` raised what it should not."""
        ...

    def waited(self, seconds: float) -> None:
        """It has stood in the queue for so long, maybe not for the first time."""
        ...


class Ticket:
    """One request at a route, from its coming until it is over. `leave` says so and may be called at any time."""

    __slots__ = (
        "_left",
        "charged",
        "deadline",
        "flow",
        "key",
        "order",
        "prompt",
        "queue",
        "running",
        "since",
        "size",
        "stop_alarm",
        "waiting",
        "withdrawn",
        "work",
    )

    def __init__(
        self, work: Work, key: Key, queue: Queue, size: int, deadline: float, left: Callable[[Ticket, Tokens], None]
    ) -> None:
        self.work, self.key, self.queue, self.size, self.deadline = work, key, queue, size, deadline
        self._left = left
        self.flow = queue.flow(key.id, key.weight)
        self.order = (deadline, next(_numbers))
        """Its place among those of its key."""
        self.prompt = max(size / work.route.traffic.bytes_per_token, 1.0)
        self.since = self.charged = 0.0
        self.waiting = self.running = False
        self.withdrawn = False
        """Its place was taken away once; that happens to nobody twice."""
        self.stop_alarm: Callable[[], None] | None = None
        """Of its deadline."""

    def leave(self, tokens: Tokens) -> None:
        """It is over, or its client has left. `tokens` is what it consumed."""
        if self.waiting or self.running:
            self._left(self, tokens)


class Flow:
    """The requests of one key. `served` is its counter, `mean` what a request of it costs, `running` its places."""

    __slots__ = ("answer", "mean", "name", "running", "served", "used_at", "waiting", "weight")

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = 0
        self.used_at = float("-inf")
        self.weight = 1.0
        self.served = 0.0
        self.answer = 0.0
        """Tokens of a usual answer."""
        self.mean = 0.0
        self.waiting: list[Ticket] = []

    @property
    def length(self) -> float:
        """How much waits, in proportion to its weight."""
        return len(self.waiting) / self.weight


class Queue:
    """One class at one route. Times are monotonic seconds."""

    __slots__ = (
        "_flows",
        "_last",
        "_queued",
        "_weighed_at",
        "_weights",
        "of",
        "running",
        "served_at",
        "used_at",
        "waiting",
    )

    def __init__(self, of: PriorityClass) -> None:
        self.of = of
        self._flows: dict[str, Flow] = {}
        self._queued: dict[str, Flow] = {}
        self._last: Flow | None = None
        self._weights = 0.0
        self._weighed_at = float("-inf")
        self.running: dict[Ticket, None] = {}
        """Those with a place, oldest first."""
        self.waiting = 0
        self.served_at = 0.0
        """When one of the class last got a place, or began to wait where none did."""
        self.used_at = float("-inf")
        """When the last one came."""

    def flow(self, key: str, weight: float) -> Flow:
        """The requests of a key, which has one more. One that comes back gets no credit for its absence."""
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = Flow(key)
        flow.weight, flow.used_at = weight, self.used_at
        if not flow.waiting:
            flow.served = max(flow.served, self._floor())
        return flow

    def join(self, ticket: Ticket, now: float) -> None:
        """One more waits."""
        if not self.waiting:
            self.served_at = now
        self.waiting += 1
        ticket.waiting, ticket.since = True, now
        insort(ticket.flow.waiting, ticket, key=_rank)
        self._queued[ticket.flow.name] = ticket.flow

    def part(self, ticket: Ticket) -> None:
        """One of those that wait does so no more."""
        flow = ticket.flow
        self.waiting -= 1
        ticket.waiting = False
        del flow.waiting[bisect_left(flow.waiting, ticket.order, key=_rank)]
        if not flow.waiting:
            del self._queued[flow.name]

    def first(self) -> Ticket:
        """The one whose turn it is; there must be one."""
        return min(self._queued.values(), key=_turn).waiting[0]

    def modest(self, places: int, now: float) -> Ticket | None:
        """The one whose turn it is among keys that have less than their share of `places`."""
        flows = [flow for flow in self._queued.values() if self.within_share(flow, places, now)]
        return min(flows, key=_turn).waiting[0] if flows else None

    def within_share(self, flow: Flow, places: int, now: float) -> bool:
        """Whether one more request leaves a key within its share of `places`, among the keys that came lately."""
        if now - self._weighed_at >= _WEIGH_SECONDS:
            self._weighed_at = now
            lately = [other.weight for other in self._flows.values() if now - other.used_at < _LATELY_SECONDS]
            self._weights = sum(lately)
        return (flow.running + 1) * max(self._weights, flow.weight) <= places * flow.weight

    def begin(self, ticket: Ticket, now: float) -> None:
        """One gets a place."""
        flow = self._last = ticket.flow
        ticket.charged = (_PROMPT_TOKEN * ticket.prompt + _ANSWER_TOKEN * flow.answer) / flow.weight
        flow.served += ticket.charged
        flow.running += 1
        self.running[ticket] = None
        ticket.running, ticket.since = True, now
        self.served_at = now

    def end(self, ticket: Ticket, tokens: Tokens) -> None:
        """One is over. Where its engine told no counts, what was charged stands."""
        del self.running[ticket]
        ticket.running = False
        flow, cost = ticket.flow, ticket.charged
        flow.running -= 1
        if tokens.prompt is not None:
            answer = tokens.completion or 0
            uncached = max(tokens.prompt - (tokens.cached or 0), 0)
            cost = (_PROMPT_TOKEN * uncached + _ANSWER_TOKEN * answer) / flow.weight
            flow.served += cost - ticket.charged
            flow.answer += (answer - flow.answer) * (_NEW if flow.answer else 1.0)
        flow.mean += (cost - flow.mean) * (_NEW if flow.mean else 1.0)

    def withdraw(self, ticket: Ticket) -> None:
        """One gives its place back: nothing was done for it."""
        del self.running[ticket]
        ticket.running = False
        ticket.flow.running -= 1
        ticket.flow.served -= ticket.charged

    def ahead(self, flow: Flow) -> int:
        """How many of the class are served before one more of `flow`, as its members' counters and usual costs tell."""
        reached = flow.served + len(flow.waiting) * flow.mean
        number = len(flow.waiting)
        for other in self._queued.values():
            if other is not flow and other.served <= reached:
                mean = other.mean or other.waiting[0].prompt / other.weight
                number += min(len(other.waiting), int((reached - other.served) / mean) + 1)
        return number

    def longest(self, flow: Flow) -> Ticket | None:
        """The last one of the key that has the most waiting; None when that is `flow` with one more."""
        longest = max(self._queued.values(), key=lambda other: other.length)
        if longest is flow or longest.length <= (len(flow.waiting) + 1) / flow.weight:
            return None
        return longest.waiting[-1]

    def tickets(self) -> list[Ticket]:
        """All that wait."""
        return [ticket for flow in self._queued.values() for ticket in flow.waiting]

    def forget(self, keys: Iterable[str]) -> None:
        """Keeps the counters of `keys` only, and of those that have requests here."""
        busy = {ticket.flow.name for ticket in self.running} | self._queued.keys() | set(keys)
        self._flows = {name: flow for name, flow in self._flows.items() if name in busy}

    def _floor(self) -> float:
        """The least counter among keys that wait; when none does, that of the key that was served last."""
        if self._queued:
            return min(flow.served for flow in self._queued.values())
        return self._last.served if self._last is not None else 0.0


def _turn(flow: Flow) -> tuple[float, tuple[float, int]]:
    """The order of keys that wait."""
    return flow.served, flow.waiting[0].order
