"""The one generic loop: observe, decide, act. Level-triggered: every pass starts from the full truth.

A bell only shortens the wait. An action that fails is told to its reconciler, which writes a condition, and is tried
again by a later pass after a growing pause. Nothing is remembered that a restart would miss, but those pauses.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import AicpError

log = logging.getLogger(__name__)

W = TypeVar("W")
A = TypeVar("A", bound=Hashable)

PAUSE_FIRST = timedelta(seconds=1)
PAUSE_LIMIT = timedelta(seconds=60)
_BUSY_PASSES = 20
"""Passes without a wait in a row; then the loop lets others run."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An action, or the observation, that raised."""

    message: str
    attempts: int
    retry_at: datetime
    expected: bool
    """Whether the error is one that the platform knows; others carry a traceback in the log."""


class Reconciler(Protocol[W, A]):
    """What a loop is made of. `act` is idempotent and quick; `decide` is pure."""

    name: str
    interval_seconds: float
    bells: Sequence[str]

    async def observe(self) -> W:
        """The full truth. Raises AicpError when it cannot be had now."""
        ...

    def decide(self, world: W, now: datetime) -> Sequence[A]:
        """The next steps, in order."""
        ...

    async def act(self, action: A) -> None:
        """Does one step. Doing it again is success."""
        ...

    async def failed(self, action: A | None, failure: Failure) -> None:
        """Writes the failure where its user sees it; action None is the observation."""
        ...

    async def recovered(self, action: A | None) -> None:
        """What failed before went through."""
        ...


class Loop(Generic[W, A]):
    """Runs one reconciler for ever."""

    def __init__(self, reconciler: Reconciler[W, A], bell: Bell, clock: Clock) -> None:
        self._reconciler = reconciler
        self._bell = bell
        self._clock = clock
        self._failures: dict[A | None, Failure] = {}

    async def run(self) -> None:
        """Until cancelled."""
        with self._bell.subscription(*self._reconciler.bells) as rings:
            while True:
                for _ in range(_BUSY_PASSES):
                    if not await self.step():
                        break
                await Bell.wait(rings, self._reconciler.interval_seconds)

    async def step(self) -> int:
        """One pass; answers how many actions went through."""
        try:
            world = await self._reconciler.observe()
        except Exception as error:
            await self._note(None, error)
            return 0
        await self._clear(None)
        actions = self._reconciler.decide(world, self._clock.now())
        self._forget_others(actions)
        done = 0
        for action in actions:
            failure = self._failures.get(action)
            if failure is not None and self._clock.now() < failure.retry_at:
                continue
            try:
                await self._reconciler.act(action)
            except Exception as error:
                await self._note(action, error)
            else:
                done += 1
                await self._clear(action)
        return done

    async def _note(self, action: A | None, error: Exception) -> None:
        before = self._failures.get(action)
        attempts = before.attempts + 1 if before else 1
        pause = min(PAUSE_LIMIT, PAUSE_FIRST * 2 ** min(attempts - 1, 10))
        expected = isinstance(error, AicpError)
        message = error.message if isinstance(error, AicpError) else f"{type(error).__name__}: {error}"
        failure = Failure(message, attempts, self._clock.now() + pause, expected)
        self._failures[action] = failure
        if not expected:
            log.error("%s: %s failed", self._reconciler.name, action or "observe", exc_info=error)
        try:
            await self._reconciler.failed(action, failure)
        except Exception as second:
            # The store itself is what fails: there is no other place left to say it.
            log.error("%s: %s; %s", self._reconciler.name, message, second)

    async def _clear(self, action: A | None) -> None:
        if self._failures.pop(action, None) is not None:
            try:
                await self._reconciler.recovered(action)
            except Exception as error:
                log.error("%s: %s", self._reconciler.name, error)

    def _forget_others(self, actions: Sequence[A]) -> None:
        wanted = set(actions)
        for action in list(self._failures):
            if action is not None and action not in wanted:
                del self._failures[action]
