"""How well requests find their prefixes: the gateway's own routing in virtual time on simulated replicas.

`python benchmarks/gateway/routing.py [first|second|whole]` prints the figures; `measure()` gives them to others. The
constants of routing were set by looking at the first half of the trace's requests; reported is the second.

The peer of comparison is ideal routing: it knows every replica's cache and queue exactly and at once, sends a request
to the longest prefix (ties: the shortest wait), and spills by the same rule. A replica reads prompts one after the
other at its speed, times a random factor, writes answers side by side, and holds the blocks that it used last.
"""

from __future__ import annotations

import heapq
import json
import random
import statistics
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(Path(__file__).parent)]

from report import percentile, spread  # noqa: E402
from traces import BLOCK_TOKENS, Arrival, read, text_of  # noqa: E402

from aicp.core.route import RouteEntry, Target  # noqa: E402
from aicp.gateway.bodies import read_fields  # noqa: E402
from aicp.gateway.calls import make_call  # noqa: E402
from aicp.gateway.endpoints import CHAT  # noqa: E402
from aicp.gateway.metrics import Metrics  # noqa: E402
from aicp.gateway.prompts import Prompt, read_prompt  # noqa: E402
from aicp.gateway.replicas import Replica  # noqa: E402
from aicp.gateway.routes import Route  # noqa: E402
from aicp.gateway.routing import Views, choose, dispatch  # noqa: E402
from aicp.gateway.speeds import Traffic  # noqa: E402
from aicp.gateway.tokens import Tokens  # noqa: E402
from aicp.gateway.visits import Visit  # noqa: E402

SEEDS = (1, 2, 3)
CACHE_BLOCKS = 8000
"""410,000 tokens: what the memory of one 80 GB card holds of an 8B model's."""
TOTAL_PREFILL = 50_000.0
"""Prompt tokens a second of four replicas together: the trace brings 41,000, of which a third repeats."""
STEP_SECONDS = 0.02
STEP_ANSWERS = 100
REQUEST_SECONDS = 0.01
NOISE = 0.1


@dataclass
class Engine:
    """A simulated replica. `prefill` is tokens a second, `slow` how much longer than usual a step takes."""

    prefill: float
    slow: float
    capacity: int
    chance: random.Random
    held: OrderedDict[int, None] = field(default_factory=OrderedDict)
    free_at: float = 0.0
    writing: int = 0
    computed: float = 0.0
    hits: int = 0
    asked: int = 0

    def known(self, blocks: Sequence[int]) -> int:
        """How many of the first blocks it holds."""
        return next((n for n, block in enumerate(blocks) if block not in self.held), len(blocks))

    def read(self, blocks: Sequence[int], now: float) -> float:
        """Takes a prompt; when it will have been read. Whoever comes later finds its blocks."""
        hit = self.known(blocks)
        fresh = (len(blocks) - hit) * BLOCK_TOKENS
        self.hits += hit
        self.asked += len(blocks)
        self.computed += fresh
        seconds = (fresh / self.prefill + REQUEST_SECONDS) * self.chance.lognormvariate(0.0, NOISE)
        self.free_at = max(now, self.free_at) + seconds
        for block in reversed(blocks):
            self.held[block] = None
            self.held.move_to_end(block)
        while len(self.held) > self.capacity:
            self.held.popitem(last=False)
        return self.free_at

    def write(self, tokens: int) -> float:
        """Begins an answer; how many seconds it takes."""
        self.writing += 1
        return tokens * STEP_SECONDS * self.slow * (1 + self.writing / STEP_ANSWERS)


@dataclass
class VirtualClock:
    """A clock that stands still until it is told."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds

    def now(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.seconds, UTC)


Router = Callable[["Replay", Prompt, Arrival], Visit]


class Replay:
    """One walk through the trace."""

    def __init__(self, engines: Sequence[Engine], router: Router, seed: int, *, stream: bool = True) -> None:
        self.engines, self._router, self._stream = engines, router, stream
        self.chance = random.Random(seed)
        self.clock, self.metrics = VirtualClock(), Metrics()
        targets = [
            Target(str(n), f"http://127.0.0.1:{n + 1}", None, None, engine.capacity * BLOCK_TOKENS)
            for n, engine in enumerate(engines)
        ]
        entry = RouteEntry("m", "m", None, "chat", "vllm", "m", [CHAT.path], [], targets)
        self.route = Route(entry, tuple(Replica(target) for target in targets), Traffic())
        self._texts: dict[int, str] = {}
        self._numbers = count()
        self.waits: list[float] = []

    def run(self, arrivals: Sequence[Arrival]) -> None:
        """Serves all arrivals."""
        events: list[tuple[float, int, Callable[[], tuple[float, Callable[[], Any]] | None]]] = []

        def push(at: float, act: Callable[[], Any]) -> None:
            heapq.heappush(events, (at, next(self._numbers), act))

        for arrival in arrivals:
            push(arrival.at, lambda arrival=arrival: self._arrive(arrival))
        while events:
            self.clock.seconds, _, act = heapq.heappop(events)
            after = act()
            if after is not None:
                push(*after)

    def _arrive(self, arrival: Arrival) -> tuple[float, Callable[[], Any]]:
        visit = self._router(self, self._prompt(arrival), arrival)
        engine = self.engines[int(visit.replica.id)]
        first = engine.read(arrival.blocks, self.clock.seconds)
        self.waits.append(first - arrival.at)
        return first, lambda: self._first(visit, engine, arrival)

    def _first(self, visit: Visit, engine: Engine, arrival: Arrival) -> tuple[float, Callable[[], Any]]:
        if self._stream:
            visit.first_token(self.clock)
        end = self.clock.seconds + engine.write(arrival.answer_tokens)
        return end, lambda: self._end(visit, engine, arrival)

    def _end(self, visit: Visit, engine: Engine, arrival: Arrival) -> None:
        engine.writing -= 1
        visit.end()
        tokens = Tokens()
        tokens.prompt, tokens.completion = len(arrival.blocks) * BLOCK_TOKENS, arrival.answer_tokens
        visit.learn(tokens, self.clock)

    def _prompt(self, arrival: Arrival) -> Prompt:
        for block in arrival.blocks:
            if block not in self._texts:
                self._texts[block] = text_of(block)
        content = "".join(map(self._texts.__getitem__, arrival.blocks))
        stream = json.dumps(self._stream).encode()
        body = b'{"model":"m","stream":%b,"messages":[{"role":"user","content":"%b"}]}' % (stream, content.encode())
        fields = read_fields(body)
        prompt = read_prompt(self.route, "p", fields, {}, make_call(CHAT, self.route, fields))
        assert prompt is not None
        return prompt


def ours(replay: Replay, prompt: Prompt, arrival: Arrival) -> Visit:
    """The gateway's own choice."""
    now = replay.clock.seconds
    visit = dispatch(replay.route.replicas, prompt, [], now, replay.chance.random, replay.metrics)
    assert visit is not None
    return visit


def ideal(replay: Replay, prompt: Prompt, arrival: Arrival) -> Visit:
    """The longest prefix by exact knowledge, and the same rule for spills."""
    now, replicas = replay.clock.seconds, replay.route.replicas
    views = Views(replicas, prompt, now)
    views.waits = [max(0.0, engine.free_at - now) for engine in replay.engines]
    known = [engine.known(arrival.blocks) for engine in replay.engines]
    views.costs = [wait / 1e6 - hit for wait, hit in zip(views.waits, known, strict=True)]
    tokens = len(arrival.blocks) * BLOCK_TOKENS
    views.plain = [wait + tokens / engine.prefill for wait, engine in zip(views.waits, replay.engines, strict=True)]
    chosen, spilled = choose(views, replay.chance.random)
    replay.metrics.spills += spilled
    return Visit(replicas[chosen])


def fewest(replay: Replay, prompt: Prompt, arrival: Arrival) -> Visit:
    """The fewest requests in flight, ties by chance: what knows nothing of prefixes."""
    return Visit(min(replay.route.replicas, key=lambda replica: (replica.inflight, replay.chance.random())))


def walk(router: Router, speeds: Sequence[float], seed: int, half: int | None) -> dict[str, float]:
    """The figures of one walk. `speeds` are relative."""
    engines = [
        Engine(TOTAL_PREFILL / 4 * speed, 1 / speed, CACHE_BLOCKS, random.Random(seed * 100 + n))
        for n, speed in enumerate(speeds)
    ]
    replay = Replay(engines, router, seed)
    replay.run(read(half=half, speed=sum(speeds) / 4, seed=seed))
    busy = [engine.computed / engine.prefill for engine in engines]
    return {
        "hit": sum(engine.hits for engine in engines) / sum(engine.asked for engine in engines),
        "imbalance": max(busy) / statistics.mean(busy),
        "p50_ttft": percentile(replay.waits, 0.5),
        "p99_ttft": percentile(replay.waits, 0.99),
        "spills": replay.metrics.spills / len(replay.waits),
    }


FLEETS: dict[str, tuple[float, ...]] = {
    "four": (1.0,) * 4,
    "sixteen": (1.0,) * 16,
    "four_unlike": (1.6, 1.2, 0.8, 0.4),
}
"""Relative speeds of the replicas. The trace goes as many times faster as the replicas together are fast for four."""
ROUTERS: dict[str, Router] = {"ours": ours, "ideal": ideal, "fewest_in_flight": fewest}


def measure(half: int | None = 1, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """For every fleet: `hit_of_ideal`, `imbalance`, and what stands behind them. Takes two minutes.

    `half`: 0 or 1 for one half of the trace, None for all of it. Imbalance is the busiest replica's seconds of
    prefill by the mean's; where all are alike that is the same as tokens computed.
    """
    figures: dict[str, Any] = {
        "trace": {0: "first half", 1: "second half (held out)", None: "whole hour"}[half],
        "cache_tokens": CACHE_BLOCKS * BLOCK_TOKENS,
        "prefill_tokens_per_second": TOTAL_PREFILL / 4,
    }
    for fleet, speeds in FLEETS.items():
        runs = {name: [walk(router, speeds, seed, half) for seed in seeds] for name, router in ROUTERS.items()}
        shares = [mine["hit"] / best["hit"] for mine, best in zip(runs["ours"], runs["ideal"], strict=True)]
        figures[fleet] = {
            "hit_of_ideal": spread(shares),
            "imbalance": spread([run["imbalance"] for run in runs["ours"]]),
            **{
                name: {key: round(statistics.median(run[key] for run in found), 4) for key in found[0]}
                for name, found in runs.items()
            },
        }
    return figures


if __name__ == "__main__":
    print(json.dumps(measure({"first": 0, "whole": None}.get(sys.argv[-1], 1)), indent=2))
