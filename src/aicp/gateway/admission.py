"""Who gets a place at a route, and when: what its replicas cannot compute at once waits here, not in their queues.

A route has as many places as its replicas together say that they compute at once. Where one says nothing the number has
no bound, and requests pass at once. A class may use what is free and not reserved for those above it:

    room(class) = places - taken - sum over higher classes of max(0, reserved - taken by them)

(the form of SMG's scheduler; its starvation override and its preemption before the first byte are here, too). A class
that nobody has used lately has nothing reserved. The last places of every fifty are kept from keys that have their
share already, as long as others come: who asks for little finds one free at once, even beside a flood. Pure but for its
clock and its alarm: no sockets, no loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final

from aicp.core.clock import Clock
from aicp.gateway.api_keys import Key
from aicp.gateway.errors import ApiError, unavailable, unknown_model, wrong_key
from aicp.gateway.loads import Load
from aicp.gateway.metrics import Waits
from aicp.gateway.priorities import CLASSES, Haste
from aicp.gateway.queues import Queue, Ticket, Work
from aicp.gateway.routes import Route, Table, not_ready
from aicp.gateway.speeds import Pace
from aicp.gateway.tokens import Tokens

log = logging.getLogger(__name__)

_IN_USE_SECONDS: Final = 600.0
_SPARE: Final = 0.02
"""Of all places; a route with fewer than fifty has none to spare."""
_MOST_BYTES: Final = 256 * 2**20
"""All bodies that wait, of all routes."""
_LATEST_RETRY_SECONDS: Final = 60

Alarm = Callable[[float, Callable[[], None]], Callable[[], None]]
"""Calls the second argument after so many seconds, unless what it returned is called before."""


class _Gate:
    """The places of one route. It outlives route tables."""

    def __init__(self, route: Route) -> None:
        self.queues = tuple(map(Queue, CLASSES))
        self.taken = 0
        self.filling = False
        self._held = Pace()
        self.follow(route)

    def follow(self, route: Route) -> None:
        """Takes the route as a new table has it."""
        self.route = route
        numbers = [replica.target.max_requests for replica in route.replicas]
        known = [number for number in numbers if number is not None]
        self.places = sum(known) if len(known) == len(numbers) else None
        self.spare = int((self.places or 0) * _SPARE)

    def room(self, rank: int, now: float) -> int:
        """How many of class `rank` may begin. To be asked where the number of places is known."""
        places = self.places or 0
        left = places - self.taken
        for queue in self.queues[:rank]:
            if now - queue.used_at < _IN_USE_SECONDS:
                left -= max(0, int(queue.of.reserved * places) - len(queue.running))
        return left

    def next(self, now: float) -> Ticket | None:
        """Whose turn it is: one that starves, else of the highest class that has room; None when nobody may begin."""
        waiting = [queue for queue in self.queues if queue.waiting]
        if not waiting or self.places is None:
            return waiting[0].first() if waiting else None
        if self.taken >= self.places:
            return None
        for queue in waiting:
            if now - queue.served_at >= queue.of.starving:
                return queue.first()
        for queue in waiting:
            room = self.room(queue.of.rank, now)
            if room > 0:
                ticket = queue.first() if room > self.spare else queue.modest(self.places, now)
                if ticket is not None:
                    return ticket
        return None

    def admits(self, ticket: Ticket, room: int, now: float) -> bool:
        """Whether a request that comes when there is `room` for its class may begin at once."""
        if room > self.spare or room <= 0:
            return room > 0
        return ticket.queue.within_share(ticket.flow, self.places or 0, now)

    def begin(self, ticket: Ticket, now: float) -> None:
        """A request gets a place."""
        self.taken += 1
        ticket.queue.begin(ticket, now)

    def end(self, ticket: Ticket, tokens: Tokens, now: float) -> None:
        """A place is free again."""
        self.taken -= 1
        ticket.queue.end(ticket, tokens)
        self._held.learn(1.0, now - ticket.since, now)

    def withdraw(self, rank: int) -> Ticket | None:
        """Ends the newest request of the lowest class below `rank` whose client has got nothing yet."""
        for queue in reversed(self.queues[rank + 1 :]):
            for ticket in reversed(queue.running):
                if not ticket.withdrawn and ticket.work.withdraw():
                    self.taken -= 1
                    queue.withdraw(ticket)
                    ticket.withdrawn, ticket.order = True, (-math.inf, ticket.order[1])
                    return ticket
        return None

    def wait_seconds(self, ticket: Ticket, now: float) -> float:
        """How long a request would wait, as places were held lately (Little's law); 0 where nothing was seen yet."""
        rank, held = ticket.queue.of.rank, self._held.seen(now)
        ahead = ticket.queue.ahead(ticket.flow) + sum(queue.waiting for queue in self.queues[:rank])
        return (ahead + 1) * held / max(self.places or 0, 1)


class Admission:
    """Lets requests in, route by route. `follow` must hear of every route table."""

    def __init__(self, clock: Clock, alarm: Alarm, waits: Waits) -> None:
        self._clock, self._alarm, self._waits = clock, alarm, waits
        self._gates: dict[str, _Gate] = {}
        self._queued = self._bytes = 0
        """Requests that wait, of all routes, and their bodies."""
        self._draining = False

    def enter(self, work: Work, key: Key, haste: Haste, size: int) -> None:
        """Starts `work`, a body of `size` bytes, now or when its turn comes. Raises ApiError 503 when it had better not
        wait, and whatever `start` raises when that is called at once."""
        gate = self._gates.get(work.route.name)
        if gate is None or gate.places is None:
            work.start()
            return
        now, of = self._clock.monotonic(), haste.of
        queue = gate.queues[of.rank]
        queue.used_at = now
        ticket = Ticket(work, key, queue, size, now + haste.patience, partial(self._left, gate))
        room = gate.room(of.rank, now)
        if gate.admits(ticket, room, now):
            gate.begin(ticket, now)
            work.ticket = ticket
            try:
                work.start()
            except Exception:
                work.ticket = None
                ticket.leave(Tokens())
                raise
            return
        loser = gate.withdraw(of.rank) if room == 0 and not self._draining else None
        if loser is None:
            self._check(gate, ticket, haste, now)
        work.ticket = ticket
        self._join(gate, ticket, now)
        if loser is not None:
            self._waits.withdrawn(loser.queue.of.name)
            # transparent for its client: it has as much time as if it had just come
            loser.deadline = max(loser.deadline, now + loser.queue.of.patience)
            self._join(gate, loser, now)
            self._start(gate, queue.first(), now)

    def follow(self, table: Table) -> None:
        """Takes a new table: places change at once, and what waits for a route or by a key that is gone is told so."""
        before, self._gates = self._gates, {}
        changed: set[str] = set()
        for route in table.routes:
            known = before.pop(route.name, None)
            gate = self._gates[route.name] = _Gate(route) if known is None else known
            if _shape(gate.route) != _shape(route):
                changed.add(route.name)
            gate.follow(route)
        # only now: a request that may not wait here any longer may go on to another one
        for name, gate in list(self._gates.items()):
            for ticket in _waiting(gate):
                self._revise(ticket, table, changed=name in changed)
            for queue in gate.queues:
                queue.forget(table.keys.ids)
        for name, gate in before.items():
            for ticket in _waiting(gate):
                message = f"The model {name!r} is no longer served; this request was waiting for it."
                self._refuse(ticket, "route_gone", unavailable(message, retry_after=5, code="model_not_ready"))
            if gate.taken:
                self._gates[name] = gate  # should the route come back, its places are not free yet
        for gate in list(self._gates.values()):
            self._fill(gate)

    def loads(self) -> list[Load]:
        """How busy every route is at the moment."""
        return [_load(gate) for gate in self._gates.values()]

    def drain(self) -> None:
        """The gateway ends: what waits is told to come again, which is better than to be cut in a while."""
        self._draining = True
        for gate in self._gates.values():
            for ticket in _waiting(gate):
                self._refuse(ticket, "draining", _draining())

    def _check(self, gate: _Gate, ticket: Ticket, haste: Haste, now: float) -> None:
        """Raises ApiError 503 unless it makes sense to wait. In a full queue the key with most requests gives way."""
        queue, name = ticket.queue, gate.route.name
        if self._draining:
            self._waits.refused(queue.of.name, "draining")
            raise _draining()
        seconds = gate.wait_seconds(ticket, now)
        if seconds > haste.patience:
            self._waits.refused(queue.of.name, "slo")
            raise _too_long(name, seconds, haste)
        retry = _retry(seconds)
        if self._bytes + ticket.size > _MOST_BYTES:
            self._waits.refused(queue.of.name, "memory")
            message = f"Requests that wait at busy models hold all the memory that they may. Try again in {retry} s."
            raise unavailable(message, retry_after=retry, code="overloaded")
        if queue.waiting < queue.of.most_waiting:
            return
        error = unavailable(
            f"All {gate.places} places of the model {name!r} are taken, and {queue.waiting} requests of the class "
            f"{queue.of.name} wait, of no key more than of this one. Try again in {retry} s.",
            retry_after=retry,
            code="overloaded",
        )
        longest = queue.longest(ticket.flow)
        if longest is None:
            self._waits.refused(queue.of.name, "queue_full")
            raise error
        self._refuse(longest, "queue_full", error)

    def _join(self, gate: _Gate, ticket: Ticket, now: float) -> None:
        ticket.queue.join(ticket, now)
        self._queued += 1
        self._bytes += ticket.size
        ticket.stop_alarm = self._alarm(ticket.deadline - now, partial(self._expire, gate, ticket))

    def _part(self, ticket: Ticket) -> None:
        ticket.queue.part(ticket)
        self._queued -= 1
        self._bytes -= ticket.size
        if ticket.stop_alarm is not None:
            ticket.stop_alarm()
            ticket.stop_alarm = None

    def _start(self, gate: _Gate, ticket: Ticket, now: float) -> None:
        seconds = now - ticket.since
        self._part(ticket)
        gate.begin(ticket, now)
        try:
            ticket.work.waited(seconds)
            ticket.work.start()
        except Exception:
            log.exception("a request that had waited could not be started")
            ticket.work.answer_failed()

    def _fill(self, gate: _Gate) -> None:
        """Gives free places away. What it starts may end at once and free its place within the call."""
        if gate.filling:
            return
        gate.filling = True
        try:
            now = self._clock.monotonic()
            while (ticket := gate.next(now)) is not None:
                self._start(gate, ticket, now)
        finally:
            gate.filling = False

    def _left(self, gate: _Gate, ticket: Ticket, tokens: Tokens) -> None:
        if ticket.waiting:
            self._part(ticket)
            return
        gate.end(ticket, tokens, self._clock.monotonic())
        if self._queued:
            self._fill(gate)

    def _expire(self, gate: _Gate, ticket: Ticket) -> None:
        if not ticket.waiting:
            return
        now = self._clock.monotonic()
        seconds = _retry(gate.wait_seconds(ticket, now))
        message = (
            f"No place at the model {gate.route.name!r} became free within the {now - ticket.since:.1f} s that this "
            f"request could wait. Try again in {seconds} s."
        )
        self._refuse(ticket, "deadline", unavailable(message, retry_after=seconds, code="overloaded"))

    def _refuse(self, ticket: Ticket, reason: str, error: ApiError) -> None:
        if ticket.waiting:
            self._part(ticket)
            self._waits.refused(ticket.queue.of.name, reason)
            ticket.work.fail(error)

    def _revise(self, ticket: Ticket, table: Table, *, changed: bool) -> None:
        """A request that waits is judged again, as if it came now."""
        key, name = table.keys.current(ticket.key, self._clock.now()), ticket.work.route.public
        route = None if key is None else table.again(ticket.work.route, key)
        if key is None:
            self._refuse(ticket, "key_gone", wrong_key())
        elif route is None:
            self._refuse(ticket, "route_gone", unknown_model(name))
        elif not route.replicas:
            self._refuse(ticket, "route_gone", not_ready(route))
        elif changed:
            message = f"The model {name!r} is served in another way than when this request came; send it again."
            self._refuse(ticket, "route_gone", unavailable(message, retry_after=1))
        else:
            ticket.key = key
            ticket.work.route = route


def _waiting(gate: _Gate) -> list[Ticket]:
    return [ticket for queue in gate.queues for ticket in queue.tickets()]


def _load(gate: _Gate) -> Load:
    waiting = {queue.of.name: queue.waiting for queue in gate.queues}
    return Load(gate.route.name, gate.route.service, gate.places, gate.taken, waiting)


def _shape(route: Route) -> tuple[object, ...]:
    """What a request was prepared for."""
    return route.entry.upstream_model, route.endpoints, route.refused_fields


def _retry(seconds: float) -> int:
    return min(max(math.ceil(seconds), 1), _LATEST_RETRY_SECONDS)


def _draining() -> ApiError:
    return unavailable("The gateway is ending; send the request again.", retry_after=1, code="shutting_down")


def _too_long(name: str, seconds: float, haste: Haste) -> ApiError:
    whose = "as x-slo-ttft-ms asks" if haste.asked else f"as its class {haste.of.name} allows"
    message = (
        f"The model {name!r} is busy: this request would wait about {seconds:.1f} s for a place, not "
        f"{haste.patience:g} s at most {whose}. Try again in {_retry(seconds)} s."
    )
    return unavailable(message, retry_after=_retry(seconds), code="overloaded")
