"""Processes that share limits, in one process and in time that the test moves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.clock import FakeClock

from aicp.core.route import KeyEntry, LimitsEntry, RouteTable, ScopeEntry
from aicp.gateway.accounts import Accounts, Grant
from aicp.gateway.coordination import Ask, Coordinator, Settled
from aicp.gateway.errors import ApiError
from aicp.gateway.leased import LeasedAccount
from aicp.gateway.leases import Leases
from aicp.gateway.pools import Pools
from aicp.gateway.presence import Presence
from aicp.gateway.record import Record
from aicp.gateway.redis_ledger import SCRIPT, RedisLedger
from aicp.gateway.shared_ledger import SharedLedger
from aicp.gateway.shortage import Shortage

AT = datetime(2026, 3, 31, 12, 0, 0, tzinfo=UTC)
KEY = KeyEntry("k", "digest", "p")


def table_with(limits: LimitsEntry) -> RouteTable:
    """One project, whose only key has no limits of its own."""
    return RouteTable("1", "", [KEY], [], projects=[ScopeEntry("p", limits, "")])


class Process:
    """One gateway process, as far as limits are concerned."""

    def __init__(
        self, coordinator: Coordinator, limits: LimitsEntry, clock: FakeClock, *, strict: bool = False
    ) -> None:
        self.clock, self.coordinator = clock, coordinator
        self.pools = Pools(clock)
        at_once = coordinator if isinstance(coordinator, SharedLedger) else None
        self.leases = Leases(coordinator, self.pools, clock, at_once)
        self.accounts = Accounts(lambda scope, name, entry: LeasedAccount(self.pools, scope, name, entry))
        self.accounts.swap(table_with(limits))

    def reserve(self, prompt: int = 1, output: int = 1) -> Grant:
        """Raises ApiError."""
        at = AT.fromtimestamp(AT.timestamp() + self.clock.monotonic() - 1000.0, UTC)
        return self.accounts.reserve(self.accounts.of(KEY), prompt, output, self.clock.monotonic(), at)

    def end(self, grant: Grant, prompt: int, output: int) -> None:
        """The request has used so much."""
        record = Record("r", "k", "p", "s", "/v1/x", False, AT, "rep", status=200, outcome="ok")
        record.prompt_tokens, record.completion_tokens = prompt, output
        grant.close(record, self.clock.monotonic(), 1)

    def remaining(self) -> int | None:
        """Requests that are left, as its answers say."""
        (account,) = self.accounts.of(KEY)
        room = account.request_room(self.clock.monotonic())
        return None if room is None else room[0]

    def kill(self) -> None:
        """As the kernel ends a process: nothing is given back, its locks end."""
        held: Any = self.coordinator
        os.close(held._presence._descriptor)
        if isinstance(held, SharedLedger):
            os.close(held._file)


@dataclass
class World:
    """Several processes with one coordinator each at the same place, made by `connect`."""

    connect: Callable[[], Coordinator]
    limits: LimitsEntry
    clock: FakeClock
    count: int = 3
    processes: list[Process] = field(default_factory=list)
    let: list[float] = field(default_factory=list)
    waiting: list[tuple[int, float]] = field(default_factory=list)
    """Requests that wait: at which process, and until when."""
    refused: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self.processes = [self._process() for _ in range(self.count)]

    def _process(self) -> Process:
        return Process(self.connect(), self.limits, self.clock)

    def request(self, index: int, until: float | None = None) -> None:
        """One request that never ends as far as its process knows: only the number of requests is limited here."""
        now = self.clock.monotonic()
        try:
            self.processes[index].reserve()
        except Shortage:
            until = now + 0.25 if until is None else until
            if now < until:
                self.waiting.append((index, until))
            else:
                self.refused += 1
        except ApiError:
            self.refused += 1
        else:
            self.let.append(now)

    def round(self, index: int) -> None:
        """One process asks its coordinator, and its waiting requests try again."""
        self.loop.run_until_complete(self.processes[index].leases.round())
        again = [(one, until) for one, until in self.waiting if one == index]
        self.waiting = [(one, until) for one, until in self.waiting if one != index]
        for one, until in again:
            self.request(one, until)

    def rounds(self) -> None:
        """All do."""
        for index in range(self.count):
            self.round(index)

    def kill(self, index: int) -> None:
        """One is killed, and started again."""
        self.processes[index].kill()
        self.waiting = [(one, until) for one, until in self.waiting if one != index]
        self.processes[index] = self._process()

    def busiest_minute(self) -> int:
        """The most that any 60 seconds let through."""
        return max((sum(start <= one < start + 60 for one in self.let) for start in self.let), default=0)

    def close(self) -> None:
        """Ends all of them."""
        for process in self.processes:
            self.loop.run_until_complete(process.coordinator.close())
        self.loop.close()


def shared_file(folder: Path, clock: FakeClock) -> Callable[[], Coordinator]:
    """Connects to a file."""
    return lambda: SharedLedger(folder, clock)


class TimedRedis(RedisLedger):
    """The script with another clock than the server's: the test's."""

    def __init__(self, url: str, presence: Presence, clock: FakeClock) -> None:
        script = SCRIPT.replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')")
        assert script != SCRIPT
        super().__init__(url, presence, script=script)
        self._clock = clock

    async def settle(self, asks: Sequence[Ask]) -> Settled:
        now = self._clock.monotonic()
        time = {"s": int(now), "us": int(now % 1 * 1_000_000)}
        await self._client.hset("clock", mapping=time)
        return await super().settle(asks)


def redis_at(url: str, folder: Path, clock: FakeClock) -> Callable[[], Coordinator]:
    """Connects to a server; processes find each other in `folder`."""
    return lambda: TimedRedis(url, Presence(folder, clock), clock)
