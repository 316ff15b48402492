"""When which model is called, and the caller that keeps to it.

Calls are made at the moments of the trace whatever became of earlier ones, and each is timed from its moment, so that a
call that could not even be begun in time counts as slow.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.small_models import Member

TOKEN = "density"
_LATEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """`at` is in seconds from the trace's beginning; `question` is a number in the member's list."""

    at: float
    member: str
    question: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a call; `seconds` from the moment it was due."""

    call: Call
    seconds: float
    status: int
    body: bytes


def in_turn(costs: Mapping[str, float], busy: float, quiet: float, spell: float, seed: int) -> list[Call]:
    """Each model has one busy spell, in random order; `costs` are processor seconds of a call.

    In its spell a model has as many calls as take the part `busy` of the device; all others have as many as take
    `quiet` together. Their moments are drawn by chance within the spell.
    """
    chance = random.Random(seed)
    calls: list[Call] = []
    for number, now in enumerate(chance.sample(sorted(costs), len(costs))):
        for name, cost in costs.items():
            load = busy if name == now else quiet / (len(costs) - 1)
            calls += _drawn(chance, name, load * spell / cost, number * spell, spell)
    return sorted(calls, key=lambda call: call.at)


def at_once(costs: Mapping[str, float], load: float, seconds: float, seed: int) -> list[Call]:
    """All models are called all the time at moments drawn by chance, each for its equal part of `load`."""
    chance = random.Random(seed)
    share = load * seconds / len(costs)
    calls = [call for name, cost in costs.items() for call in _drawn(chance, name, share / cost, 0, seconds)]
    return sorted(calls, key=lambda call: call.at)


def _drawn(chance: random.Random, member: str, count: float, begin: float, seconds: float) -> list[Call]:
    """`count` calls; what a whole number misses comes as one more, as often as it is due."""
    whole = int(count) + (chance.random() < count % 1)
    return [Call(begin + chance.random() * seconds, member, chance.randrange(1 << 16)) for _ in range(whole)]


@dataclass
class Caller:
    """Calls engines over their sockets, each connection used again."""

    sockets: Mapping[str, Path]
    requests: Mapping[str, Sequence[bytes]]
    _idle: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = field(default_factory=dict)

    async def replay(self, trace: Sequence[Call]) -> list[Answered]:
        """Every call of the trace; returns when the last is answered. Raises TimeoutError 120 s after it was due."""
        begin = time.monotonic() + 0.1
        try:
            return await asyncio.gather(*(self._at(call, begin + call.at) for call in trace))
        finally:
            for pool in self._idle.values():
                for _, writer in pool:
                    writer.close()
            self._idle.clear()

    async def _at(self, call: Call, due: float) -> Answered:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        requests = self.requests[call.member]
        async with asyncio.timeout(_LATEST_SECONDS):
            status, body = await self._ask(call.member, requests[call.question % len(requests)])
        return Answered(call, time.monotonic() - due, status, body)

    async def _ask(self, member: str, request: bytes) -> tuple[int, bytes]:
        pool = self._idle.setdefault(member, [])
        reader, writer = pool.pop() if pool else await asyncio.open_unix_connection(str(self.sockets[member]))
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
        pool.append((reader, writer))
        return int(head.split(" ", 2)[1]), body


def requests_of(member: Member) -> list[bytes]:
    """The member's calls as they go over the wire."""
    return [_request(member.path, json.dumps(question.body).encode()) for question in member.questions]


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: engine\r\nAuthorization: Bearer {TOKEN}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
