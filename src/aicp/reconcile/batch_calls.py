"""Requests of batches on their way to the gateway: how many at once, when to try again, when to give up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from aicp.core.clock import Clock
from aicp.reconcile.batch_lines import NO_ANSWER, BatchLine, Outcome
from aicp.security.passes import make_pass

_PASS_LIFE = timedelta(minutes=15)
_PASS_RENEWAL = timedelta(minutes=5)
_MOST_TRIES = 4
_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 900.0
"""However long the gateway says to wait, it is asked again then: limits change."""
_HELD_BYTES = 64 * 2**20
_HELD = object()
_BUSY = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})


class KeyEndedError(Exception):
    """The gateway does not take the key any more."""


class Room:
    """Bounds what is under way: so many requests, and so many bytes of bodies (one larger body goes alone)."""

    def __init__(self, requests: int, held_bytes: int = _HELD_BYTES) -> None:
        self.requests = requests
        self._most_bytes = held_bytes
        self._requests = self._bytes = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def place(self, size: int) -> AsyncIterator[None]:
        """A place for a body of `size` bytes, for as long as the block lasts."""
        while not self._fits(size):
            self._changed.clear()
            await self._changed.wait()
        self._requests += 1
        self._bytes += size
        try:
            yield
        finally:
            self._requests -= 1
            self._bytes -= size
            self._changed.set()

    def _fits(self, size: int) -> bool:
        return not self._requests or (self._requests < self.requests and self._bytes + size <= self._most_bytes)


class Brake:
    """How hard a batch may press: when one of its requests is told to wait all of them do, and fewer go on together.

    Else every request beyond a key's limit would be asked for and refused again and again.
    """

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[None]], most: int) -> None:
        self._clock, self._sleep, self._most = clock, sleep, most
        self._width = float(most)
        self._flying = 0
        self._until = 0.0
        self._words = ""
        self._changed = asyncio.Event()

    @property
    def reason(self) -> str | None:
        """Why all wait, in the gateway's words; None while they do not."""
        return self._words if self._clock.monotonic() < self._until else None

    def hold(self, seconds: float, words: str) -> None:
        """No request for so long, and then half as many at once."""
        now = self._clock.monotonic()
        if now >= self._until:  # those that were sent together are told the same
            self._width = max(1.0, self._width / 2)
        self._until, self._words = max(self._until, now + seconds), words

    def went_through(self) -> None:
        """A request was not told to wait."""
        self._width = min(float(self._most), self._width + 1 / self._width)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The turn of one request, for as long as the block lasts."""
        while True:
            left = self._until - self._clock.monotonic()
            if left > 0:
                await self._sleep(left)
            elif self._flying < int(self._width):
                break
            else:
                self._changed.clear()
                await self._changed.wait()
        self._flying += 1
        try:
            yield
        finally:
            self._flying -= 1
            self._changed.set()


@dataclass(frozen=True, slots=True)
class GatewayCalls:
    """Calls the gateway at `client`'s base address on behalf of keys, in class batch."""

    client: httpx.AsyncClient
    pepper: bytes
    clock: Clock
    room: Room
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def call(self, key_id: str, path: str, line: BatchLine, request_id: str, brake: Brake) -> Outcome:
        """The outcome of one request, however long it takes. Raises KeyEndedError.

        To be told to wait (429, 503 with or without Retry-After) and a gateway that is away are no failed tries.
        """
        tries = 0
        while True:
            async with brake.turn(), self.room.place(line.size):
                answer = await self._ask(key_id, path, line.body(), request_id, brake)
            if answer is _HELD:
                continue
            tries += 1
            if isinstance(answer, Outcome) and (answer.status < 500 or tries >= _MOST_TRIES):
                return answer
            if tries >= _MOST_TRIES:
                return Outcome(error=("no_answer", NO_ANSWER))
            await self.sleep(min(_PAUSE_SECONDS * 2 ** (tries - 1), _LONGEST_PAUSE_SECONDS))

    def brake(self) -> Brake:
        """One for a batch."""
        return Brake(self.clock, self.sleep, self.room.requests)

    async def _ask(self, key_id: str, path: str, body: bytes, request_id: str, brake: Brake) -> Outcome | object | None:
        """What was answered; _HELD when all are to wait, None when it broke off."""
        try:
            answer = await self._send(key_id, path, body, request_id)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            brake.hold(_PAUSE_SECONDS, "The gateway does not answer.")
            return _HELD
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise KeyEndedError
        if answer.status_code in _BUSY:
            brake.hold(_seconds(answer), _words(answer))
            return _HELD
        brake.went_through()
        return Outcome(answer.status_code, answer.content, answer.headers.get("x-request-id", ""))

    async def _send(self, key_id: str, path: str, body: bytes, request_id: str) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self._pass(key_id)}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "X-Priority": "batch",
            "X-Request-Id": request_id,
        }
        return await self.client.post(path, content=body, headers=headers)

    def _pass(self, key_id: str) -> str:
        """The same for some minutes, so that a gateway that knows it already need not compute its mark again."""
        step = int(_PASS_RENEWAL.total_seconds())
        began = int(self.clock.now().timestamp()) // step * step
        return make_pass(self.pepper, key_id, began + int(_PASS_LIFE.total_seconds()))


def _seconds(answer: httpx.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return min(max(float(given), 0.1), _LONGEST_WAIT_SECONDS) if given.isdecimal() else _PAUSE_SECONDS


def _words(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"The gateway answered {answer.status_code}."
