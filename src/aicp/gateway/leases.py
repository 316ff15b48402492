"""Keeps the pools of this process filled: asks the coordinator in rounds, not per request.

A round tells what was used, gives back what is not needed and asks for more, of all pools in use at once: ten times a
second, and at once when a request waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from aicp.core.clock import Clock
from aicp.gateway.coordination import RATE, VALID_SECONDS, Ask, Coordinator, LostCoordinator, Settled, Told
from aicp.gateway.pools import Pool, Pools

log = logging.getLogger(__name__)

_EVERY_SECONDS = 0.1
_GAP_SECONDS = 0.01
_IDLE_SECONDS = 0.5
_TIDY_SECONDS = 60.0
_QUIET_SECONDS = 0.4
"""How often a pool is told of while more than half of its limit is free."""
_QUIET_UNITS = 100
_SLICE = 20
"""A pool holds at most this part of its limit unused."""
_AHEAD_SECONDS = 0.5
"""And at most what is used in this time, by the pace of the last second or so."""
_DRY_SECONDS = (0.1, 0.005, 0.1)
"""By kind: how long the word that nobody can give anything is believed."""
_SLOWEST = 0.05
"""Units a second below which nothing is held ahead."""
_WAITING = 1000
"""Requests that wait for units; more are refused."""


class _AtOnce(Protocol):
    """A coordinator that answers without waiting."""

    def settle_at_once(self, asks: Sequence[Ask]) -> Settled | None:
        """None where it is busy. Raises LostCoordinator."""
        ...


class Leases:
    """Runs beside the gateway. `at_once` is the coordinator itself where it can be asked without waiting."""

    def __init__(self, coordinator: Coordinator, pools: Pools, clock: Clock, at_once: _AtOnce | None = None) -> None:
        self._coordinator, self._pools, self._clock, self._at_once = coordinator, pools, clock, at_once
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._born = ""
        self._looked, self._heard_at = clock.monotonic(), -math.inf
        self._tidy_at = self._looked + _TIDY_SECONDS
        self._busy = False
        pools.wait = self.wait
        if at_once is not None:
            pools.at_once = self._ask_at_once

    @property
    def connected(self) -> bool:
        """Whether the coordinator answers."""
        return self._pools.connected

    @property
    def processes(self) -> int:
        """How many processes are known to share the limits."""
        return self._pools.processes

    async def wait(self) -> None:
        """Ends with a round that begins after this."""
        if len(self._waiting) >= _WAITING:
            raise TimeoutError
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        await future

    async def run(self) -> None:
        """Round after round, for ever."""
        while True:
            await self.round()
            await asyncio.sleep(_GAP_SECONDS)
            try:
                async with asyncio.timeout(_EVERY_SECONDS - _GAP_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Asks for all pools of which there is something to tell. Whoever waits tries again after it."""
        waiting, self._waiting = self._waiting, []
        self._wanted.clear()
        self._look()
        asked_at = self._clock.monotonic()
        pools = [pool for pool in self._pools.active if _is_due(pool, asked_at)]
        if not pools and not waiting and asked_at - self._heard_at < _IDLE_SECONDS:
            return
        asks = [_ask(pool, asked_at) for pool in pools]
        self._busy = True
        try:
            settled = await self._coordinator.settle(asks)
        except LostCoordinator as error:
            self._lost(pools, error)
        else:
            self._take(pools, asks, settled, asked_at)
        finally:
            self._busy = False
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        self._pools.active = [pool for pool in self._pools.active if _in_use(pool)]
        if any(pool.wanted and pool.free(asked_at) > 0 for pool in pools):
            self._wanted.set()  # others wait for it

    async def close(self) -> None:
        """Gives everything back that no request holds."""
        for pool in self._pools.active:
            pool.wanted, pool.need, pool.least, pool.due = True, 0, 0, 0.0
        await self.round()
        await self._coordinator.close()

    def _ask_at_once(self, pool: Pool, need: int) -> None:
        if self._busy or self._at_once is None:
            return
        waiting, pool.need, pool.least = (pool.need, pool.least), need, need
        now = self._clock.monotonic()
        ask = _ask(pool, now)
        pool.need, pool.least = waiting
        try:
            settled = self._at_once.settle_at_once([ask])
        except LostCoordinator as error:
            self._lost([pool], error)
            return
        if settled is None:
            pool.away = 0
        else:
            self._take([pool], [ask], settled, now)
            pool.touch()

    def _look(self) -> None:
        """Learns the pace of what is used."""
        now = self._clock.monotonic()
        passed = now - self._looked
        if passed < _EVERY_SECONDS / 2:
            return
        self._looked = now
        if now > self._tidy_at:
            self._tidy_at = now + _TIDY_SECONDS
            self._pools.tidy(now)
        weight = 1 - math.exp(-passed)
        for pool in self._pools.active:
            pool.pace += (pool.taken / passed - pool.pace) * weight
            pool.taken = 0

    def _take(self, pools: list[Pool], asks: list[Ask], settled: Settled, asked_at: float) -> None:
        if not self._pools.connected:
            log.info("the coordinator of limits answers again")
        self._pools.connected, self._heard_at = True, asked_at
        self._pools.processes = max(settled.processes, 1)
        for pool, ask, told in zip(pools, asks, settled.told, strict=True):
            _apply(pool, ask, told, asked_at)
        if settled.born != self._born:
            if self._born:
                self._tell_again({pool.name: ask.used for pool, ask in zip(pools, asks, strict=True)})
            self._born = settled.born

    def _tell_again(self, told: Mapping[str, int]) -> None:
        """The coordinator has forgotten what the last minute was; `told` it has heard just now."""
        log.warning("the coordinator of limits has lost what it knew; it is told again")
        now = self._clock.monotonic()
        for pool in self._pools.all.values():
            if pool.kind == RATE and pool.own.used(now):
                pool.again = max(pool.own.used(now) - pool.used - told.get(pool.name, 0), 0)
                pool.touch()

    def _lost(self, pools: list[Pool], error: LostCoordinator) -> None:
        for pool in pools:
            pool.away = 0
        if self._pools.connected and self._clock.monotonic() - self._heard_at > VALID_SECONDS:
            self._pools.connected = False
            log.error("no coordinator of limits (%s): each process holds to its share of them", error)


def _target(pool: Pool) -> int:
    """What is to be at hand."""
    if pool.wanted or pool.pace < _SLOWEST:
        return 0
    return min(max(pool.most // _SLICE, 1), math.ceil(pool.pace * _AHEAD_SECONDS))


def _is_due(pool: Pool, now: float) -> bool:
    return now >= pool.due or pool.need > 0 or pool.again > 0 or 2 * pool.free(now) <= _target(pool)


def _ask(pool: Pool, now: float) -> Ask:
    """What is to be told of a pool; `away` is set until the answer comes."""
    if now > pool.valid_until:
        pool.held = max(pool.pending, 0)
    free, target = pool.held - pool.pending - pool.used, _target(pool)
    given = now >= pool.meant_until and (pool.wanted or free > 2 * target)
    pool.away = max(free - target, 0) if given else 0
    keep = max(pool.held - pool.used - pool.away, pool.pending)
    spare = keep - pool.pending
    extra = target - spare if 2 * spare <= target else 0
    need, least, pool.need, pool.least = pool.need, pool.least, 0, 0
    used = pool.used + pool.again
    return Ask(pool.row, pool.kind, pool.most, keep, used, need, least, extra, spare == 0, pool.view)


def _apply(pool: Pool, ask: Ask, told: Told, asked_at: float) -> None:
    if pool.row != ask.name:
        return  # another day or month has begun
    pool.away = 0
    pool.used -= ask.used - pool.again
    pool.again = 0
    pool.held = ask.keep + told.granted
    pool.valid_until = asked_at + VALID_SECONDS
    pool.left, pool.seconds, pool.reset, pool.wanted = told.left, told.seconds, told.reset, told.wanted
    quiet = pool.most >= _QUIET_UNITS and 2 * told.left > pool.most and not told.wanted
    pool.due = asked_at + _QUIET_SECONDS if quiet else 0.0
    if told.final:
        pool.dry_until = asked_at + _DRY_SECONDS[pool.kind]


def _in_use(pool: Pool) -> bool:
    pool.active = bool(pool.held or pool.pending or pool.used or pool.again or pool.need or pool.pace > _SLOWEST)
    return pool.active
