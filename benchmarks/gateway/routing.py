"""How well requests find their prefixes: the gateway's own routing in virtual time on simulated replicas.

`python benchmarks/gateway/routing.py [first|second|whole]` prints the figures; `measure()` gives them to others. The
constants of routing were set by looking at the first half hour of the trace; what is reported is the second.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from gateway.simulated import ALIKE, UNLIKE, Engine, fleet
from gateway.traces import BLOCK_TOKENS, Arrival, read, text_of
from report import percentile, spread

from aicp.core.route import RouteEntry, Target
from aicp.gateway.bodies import read_fields
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import CHAT
from aicp.gateway.metrics import Metrics
from aicp.gateway.prompts import Prompt, read_prompt
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Route
from aicp.gateway.routing import SPILL_PROMPTS, Option, choose, dispatch
from aicp.gateway.speeds import Traffic
from aicp.gateway.tokens import Tokens
from aicp.gateway.visits import Visit

SEEDS = (1, 2, 3)


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
        self.slack = 0.0
        """What ideal routing spills beyond, by the usual prompt's time, which is known here."""
        self._texts: dict[int, str] = {}
        self._numbers = count()
        self.waits: list[float] = []

    def run(self, arrivals: Sequence[Arrival]) -> None:
        """Serves all arrivals."""
        tokens = statistics.mean(len(arrival.blocks) * BLOCK_TOKENS for arrival in arrivals)
        self.slack = SPILL_PROMPTS * tokens * statistics.mean(1 / engine.prefill for engine in self.engines)
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
    now, options = replay.clock.seconds, list[Option]()
    for replica in replay.route.replicas:
        engine, option = replay.engines[int(replica.id)], Option(replica, prompt, now)
        option.wait = max(0.0, engine.free_at - now)
        option.cost = -engine.known(arrival.blocks) + option.wait / 1e6
        option.plain = option.wait + len(arrival.blocks) * BLOCK_TOKENS / engine.prefill
        options.append(option)
    chosen, _ = choose(options, replay.slack, replay.chance.random)
    return Visit(chosen.replica)


def fewest(replay: Replay, prompt: Prompt, arrival: Arrival) -> Visit:
    """The fewest requests in flight, ties by chance: what knows nothing of prefixes."""
    return Visit(min(replay.route.replicas, key=lambda replica: (replica.inflight, replay.chance.random())))


def walk(router: Router, speeds: Sequence[float], seed: int, half: int | None) -> dict[str, float]:
    """The figures of one walk. `speeds` are relative."""
    engines = fleet(speeds, seed)
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


FLEETS = {"4": ALIKE, "16": ALIKE * 4, "4_unlike": UNLIKE, "16_unlike": UNLIKE * 4}


def measure(half: int | None = 1, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Figures by fleet, and `hit_of_ideal` and `imbalance` over the fleets of equal replicas.

    `half` 1 is the part of the trace that nothing was set by.
    """
    figures: dict[str, Any] = {}
    for name, speeds in FLEETS.items():
        walks = {
            router.__name__: [walk(router, speeds, seed, half) for seed in seeds] for router in (ours, ideal, fewest)
        }
        pairs = list(zip(walks["ours"], walks["ideal"], walks["fewest"], strict=True))
        figures[name] = {
            "hit": spread([one["hit"] for one, _, _ in pairs]),
            "hit_of_ideal": spread([one["hit"] / best["hit"] for one, best, _ in pairs]),
            "imbalance": spread([one["imbalance"] for one, _, _ in pairs]),
            "ideal_imbalance": spread([best["imbalance"] for _, best, _ in pairs]),
            "p99_ttft_s": spread([one["p99_ttft"] for one, _, _ in pairs]),
            "ideal_p99_ttft_s": spread([best["p99_ttft"] for _, best, _ in pairs]),
            "fewest_requests_hit": spread([other["hit"] for _, _, other in pairs]),
            "fewest_requests_p99_ttft_s": spread([other["p99_ttft"] for _, _, other in pairs]),
        }
    alike = [figures[name] for name, speeds in FLEETS.items() if len(set(speeds)) == 1]
    names = ("hit_of_ideal", "imbalance")
    return {
        **{name: spread([value for fleet in alike for value in fleet[name]["runs"]]) for name in names},
        "by_fleet": figures,
    }


if __name__ == "__main__":
    halves = {"first": 0, "second": 1, "whole": None}
    print(json.dumps(measure(halves[sys.argv[1] if len(sys.argv) > 1 else "second"]), indent=2))
