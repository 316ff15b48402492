"""Admission in virtual time: requests that are made of nothing, alarms that ring when the test's clock says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.support.clock import FakeClock
from tests.support.gateway_process import PEPPER

from aicp.core.route import KeyEntry, RouteEntry, RouteTable, Target
from aicp.gateway.admission import Admission
from aicp.gateway.api_keys import Key, KeyRing
from aicp.gateway.errors import ApiError
from aicp.gateway.metrics import Waits
from aicp.gateway.priorities import haste
from aicp.gateway.queues import Ticket
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Route, Table
from aicp.gateway.tokens import Tokens
from aicp.security.keys import encode_pepper


class Alarms:
    """Calls that are to come; `ring` makes those that are due."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = count()

    def __call__(self, seconds: float, ring: Callable[[], None]) -> Callable[[], None]:
        number = next(self._numbers)
        self._due[number] = (self._clock.monotonic() + seconds, ring)

        def stop() -> None:
            self._due.pop(number, None)

        return stop

    def __len__(self) -> int:
        return len(self._due)

    def ring(self) -> None:
        """Makes what is due, in its order."""
        for number, (at, ring) in sorted(self._due.items(), key=lambda item: item[1][0]):
            if at <= self._clock.monotonic() and self._due.pop(number, None) is not None:
                ring()


@dataclass(eq=False)
class Job:
    """A request. `bytes_sent` says that its client has got something; it is `over` when it has left."""

    name: str
    route: Route
    world: World
    ticket: Ticket | None = None
    starts: int = 0
    withdrawn: int = 0
    running: bool = False
    bytes_sent: bool = False
    over: bool = False
    error: ApiError | None = None
    waits: list[float] = field(default_factory=list[float])
    ends_at_once: bool = False
    breaks: bool = False

    def start(self) -> None:
        """It is at an engine."""
        assert not self.running
        self.starts += 1
        if self.breaks:
            raise RuntimeError("broken")
        self.running = True
        self.world.order.append(self.name)
        if self.ends_at_once:
            self.end()

    def withdraw(self) -> bool:
        """Back, if its client has got nothing."""
        if self.bytes_sent or not self.running:
            return False
        self.running = False
        self.withdrawn += 1
        return True

    def fail(self, error: ApiError) -> None:
        """It was refused."""
        self.error = error
        self.end()

    def answer_failed(self) -> None:
        """The gateway's own fault."""
        self.end()

    def waited(self, seconds: float) -> None:
        """It stood in the queue."""
        self.waits.append(seconds)

    def end(self, prompt: int | None = None, answer: int | None = None) -> None:
        """It is over, whatever it did."""
        self.over, self.running = True, False
        tokens = Tokens()
        tokens.prompt, tokens.completion = prompt, answer
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.leave(tokens)


class World:
    """One route, `m`, with `places` on a single replica, and any keys."""

    def __init__(self, places: int | None, keys: Sequence[KeyEntry] = ()) -> None:
        self.clock = FakeClock()
        self.alarms = Alarms(self.clock)
        self.waits = Waits()
        self.admission = Admission(self.clock, self.alarms, self.waits)
        self.keys = {entry.id: entry for entry in keys}
        self.order: list[str] = []
        """Names in the order of their starts."""
        self.jobs: list[Job] = []
        self.set_places(places)

    def set_places(self, *numbers: int | None, model: str = "m") -> None:
        """A new table with a replica for every number."""
        targets = [Target(f"r{n}", f"http://127.0.0.1:{n + 1}", None, number) for n, number in enumerate(numbers)]
        entry = RouteEntry("m", "m", None, "chat", "vllm", model, ["/v1/chat/completions"], [], targets)
        self.swap([Route(entry, tuple(map(Replica, targets)))])

    def swap(self, routes: Sequence[Route]) -> None:
        """Any table."""
        self.routes = routes
        raw = RouteTable("1", encode_pepper(PEPPER), list(self.keys.values()))
        self.admission.follow(Table("1", KeyRing(raw.pepper, raw.keys), routes))

    def key(self, name: str, priority: str = "default", weight: float = 1.0) -> Key:
        """A key, which tables know from now on."""
        if name not in self.keys:
            self.keys[name] = KeyEntry(name, name, "p", priority=priority, weight=weight)
            self.swap(self.routes)
        return Key(self.keys[name])

    def enter(
        self,
        name: str,
        *,
        key: str = "k",
        priority: str = "default",
        weight: float = 1.0,
        slo_ms: int | None = None,
        size: int = 400,
        job: Job | None = None,
    ) -> Job:
        """A request comes; one that is refused at once is over and has the error."""
        if job is None:
            job = Job(name, self.routes[0], self)
        found = self.key(key, priority, weight)
        headers = {b"x-priority": priority.encode()}
        if slo_ms is not None:
            headers[b"x-slo-ttft-ms"] = str(slo_ms).encode()
        self.jobs.append(job)
        try:
            self.admission.enter(job, found, haste(found.priority, headers), size)
        except ApiError as error:
            job.error, job.over = error, True
        return job

    def pass_by(self, seconds: float) -> None:
        """Time passes, alarms ring."""
        self.clock.advance(seconds)
        self.alarms.ring()

    @property
    def queued(self) -> dict[str, int]:
        """How many wait at the route, by class."""
        return next(load.waiting for load in self.admission.loads() if load.route == self.routes[0].name)

    @property
    def running(self) -> list[Job]:
        """Those at an engine."""
        return [job for job in self.jobs if job.running]

    @property
    def waiting(self) -> list[Job]:
        """Those in a queue."""
        return [job for job in self.jobs if job.ticket is not None and job.ticket.waiting]
