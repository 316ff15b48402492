"""Replays a part of the trace through a gateway: simulated replicas behind it and clients before it, in one process.

`python benchmarks/gateway/replay.py JSON`, where JSON are the fields of `Plan`. Prints `ready` when the replicas
listen, then waits for a line with the gateway's port and key, asks, and prints one JSON object.

Clients ask when the trace says so, whatever is still under way, and a first token's time counts from then on. All times
that are told are those of the trace.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from gateway.answering import MARK, Pace, Replica
from gateway.simulated import Engine, fleet
from gateway.traces import Arrival, read, text_of
from report import percentile

_END = b"0\r\n\r\n"
_OVER_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """What to replay: the first `seconds` of a half of the trace, `factor` times as fast as it was."""

    ports: list[int]
    speeds: list[float]
    factor: float
    seconds: float
    seed: int


@dataclass
class Tally:
    """What clients saw, in real seconds."""

    firsts: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)


class Client(asyncio.Protocol):
    """A connection to the gateway, which is used again and again."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._got = b""
        self._asked_for = 0.0
        self._first = False
        self._over: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._socket = transport.get_extra_info("socket")

    def ask(self, request: Sequence[bytes], wanted: float) -> asyncio.Future[None]:
        """Sends a request that was to be sent at `wanted`."""
        self._got, self._first, self._asked_for = b"", False, wanted
        self._over = asyncio.get_running_loop().create_future()
        self.transport.writelines(request)
        self._acknowledge()
        return self._over

    def data_received(self, data: bytes) -> None:
        self._got += data
        self._acknowledge()
        if not self._first and b"data: " in self._got:
            self._first = True
            self._tally.firsts.append(time.monotonic() - self._asked_for)
        if self._got.endswith(_END) or (b"HTTP/1.1 200" not in self._got[:12] and b"\r\n\r\n" in self._got):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _acknowledge(self) -> None:
        """At once: where a gateway waits with small packets, as sglang-router does, the usual 40 ms would count as
        `factor` times as much."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _finish(self) -> None:
        if self._over is None or self._over.done():
            return
        if not self._got.startswith(b"HTTP/1.1 200") or not self._first or not self._got.endswith(_END):
            self._tally.errors.append(self._got[:300])
            self.transport.close()
        self._over.set_result(None)


class Clients:
    """As many connections as are needed at once."""

    def __init__(self, port: int, key: str, texts: dict[int, bytes], tally: Tally) -> None:
        self._port, self._key, self._texts, self._tally = port, key, texts, tally
        self._free: list[Client] = []

    async def ask(self, arrival: Arrival, wanted: float) -> None:
        """One request and its answer."""
        if not self._free:
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(lambda: Client(self._tally), "127.0.0.1", self._port)
            self._free.append(made)
        client = self._free.pop()
        self._tally.late.append(time.monotonic() - wanted)
        await client.ask(self._request(arrival), wanted)
        if not client.transport.is_closing():
            self._free.append(client)

    def _request(self, arrival: Arrival) -> list[bytes]:
        texts = [self._texts[block] for block in arrival.blocks]
        begin = b'{"model":"mock","stream":true,"max_tokens":%d,"messages":[{"role":"user","content":"'
        begin %= arrival.answer_tokens
        end = b'"}]}'
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {self._key}\r\n"
            f"content-type: application/json\r\n"
            f"content-length: {len(begin) + sum(map(len, texts)) + len(end)}\r\n\r\n"
        )
        return [head.encode() + begin, *texts, end]


async def serve(plan: Plan, engines: Sequence[Engine], pace: Pace, blocks: dict[str, int]) -> None:
    """Listens on all ports."""
    loop = asyncio.get_running_loop()
    for port, engine in zip(plan.ports, engines, strict=True):
        await loop.create_server(partial(Replica, engine, pace, blocks), "127.0.0.1", port, backlog=1024)


async def ask_all(arrivals: Sequence[Arrival], clients: Clients, pace: Pace) -> None:
    """Asks everything at its time and waits for all answers."""
    under_way: set[asyncio.Task[None]] = set()
    for arrival in arrivals:
        wanted = pace.real(arrival.at)
        await asyncio.sleep(max(0.0, wanted - time.monotonic()))
        task = asyncio.create_task(clients.ask(arrival, wanted))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way, timeout=_OVER_SECONDS)


async def replay(plan: Plan) -> dict[str, Any]:
    """The figures of one replay."""
    arrivals = [one for one in read(half=1, speed=sum(plan.speeds) / 4, seed=plan.seed) if one.at < plan.seconds]
    texts = {block: text_of(block) for block in {block for one in arrivals for block in one.blocks}}
    engines = fleet(plan.speeds, plan.seed)
    pace = Pace(plan.factor, time.monotonic())
    await serve(plan, engines, pace, {text[:MARK]: block for block, text in texts.items()})
    print("ready", flush=True)
    door = json.loads(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
    # the clock that the replicas were given has run meanwhile: what comes is moved behind it
    ahead = pace.now() + plan.factor
    moved = [Arrival(one.at + ahead, one.blocks, one.answer_tokens) for one in arrivals]
    tally = Tally()
    clients = Clients(door["port"], door["key"], {block: text.encode() for block, text in texts.items()}, tally)
    began, spent = time.monotonic(), time.process_time()
    await ask_all(moved, clients, pace)
    busy = [engine.computed / engine.prefill for engine in engines]
    return {
        "requests": len(arrivals),
        "answered": len(tally.firsts),
        "errors": [error.decode(errors="replace") for error in tally.errors[:3]],
        "hit": sum(engine.hits for engine in engines) / sum(engine.asked for engine in engines),
        "imbalance": max(busy) / statistics.mean(busy),
        "p50_ttft_s": percentile(tally.firsts, 0.5) * plan.factor,
        "p99_ttft_s": percentile(tally.firsts, 0.99) * plan.factor,
        "late_p99_s": percentile(tally.late, 0.99) * plan.factor,
        "seconds": time.monotonic() - began,
        "own_core_share": (time.process_time() - spent) / (time.monotonic() - began),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(replay(Plan(**json.loads(sys.argv[1]))))), flush=True)
