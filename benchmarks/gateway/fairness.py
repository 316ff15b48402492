"""What a flood by one key does to another: the gateway's own admission in virtual time on simulated replicas.

`python benchmarks/gateway/fairness.py` prints the figures; `measure()` gives them to others. Every replica computes 64
requests together. A key that behaves sends a twentieth of what all replicas can do; the other one

    alone    sends nothing
    share    keeps as many requests under way as there are places: every place is taken, and few wait
    flood    sends fifty times as much as the first
    mixed    the same as flood, but both use one key, so that nothing tells them apart

Lengths are drawn from lognormal distributions (shape 1.0) with the means of ShareGPT as the paper on PagedAttention
gives them (https://arxiv.org/abs/2309.06180, section 6.2): 161 tokens of prompt, 338 of answer, cut at 1024 each. A
replica reads prompts one after the other and writes answers side by side, at the speeds of the routing benchmark.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(Path(__file__).parent)]

from report import percentile, spread

from aicp.core.route import KeyEntry, RouteEntry, Target
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

SEEDS = (1, 2, 3, 4, 5)
FLEETS = (4, 16)
SLOTS = 64
FLOOD = 50
SHARE = 0.05
SCENES = ("alone", "share", "flood", "mixed")
REQUESTS = 1500
"""Of the key that behaves, after as many as fill the replicas."""
PROMPT_TOKENS, ANSWER_TOKENS, MOST_TOKENS = 161.0, 338.0, 1024
PREFILL = 12_500.0
STEP_SECONDS, STEP_ANSWERS, REQUEST_SECONDS = 0.02, 100, 0.01


class Line:
    """Virtual time and what happens in it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._dead: set[int] = set()
        self._numbers = count()

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds

    def now(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.seconds, UTC)

    def later(self, seconds: float, act: Callable[[], None]) -> Callable[[], None]:
        """Acts after so many seconds, unless what it returns is called."""
        number = next(self._numbers)
        heapq.heappush(self._events, (self.seconds + seconds, number, act))
        return lambda: self._dead.add(number)

    def run(self, over: Callable[[], bool]) -> None:
        """Until `over`, or nothing is left."""
        while self._events and not over():
            self.seconds, number, act = heapq.heappop(self._events)
            if number in self._dead:
                self._dead.remove(number)
            else:
                act()


@dataclass
class Engine:
    """A simulated replica."""

    running: int = 0
    free_at: float = 0.0

    def read(self, tokens: int, now: float) -> float:
        """Takes a prompt; seconds until its first token."""
        self.running += 1
        self.free_at = max(now, self.free_at) + REQUEST_SECONDS + tokens / PREFILL
        return self.free_at - now + self.step

    @property
    def step(self) -> float:
        """Seconds for a token of every answer."""
        return STEP_SECONDS * (1 + self.running / STEP_ANSWERS)


@dataclass(eq=False)
class Ask:
    """One request; `done` is called once it is over."""

    stage: Stage
    route: Route
    prompt: int
    answer: int
    done: Callable[[Ask], None]
    ticket: Ticket | None = None
    at: float = 0.0
    ttft: float | None = None

    def start(self) -> None:
        """Goes to the replica with the fewest."""
        line, engine = self.stage.line, min(self.stage.engines, key=lambda one: one.running)
        first = engine.read(self.prompt, line.seconds)
        line.later(first, lambda: self._first(engine))

    def _first(self, engine: Engine) -> None:
        self.ttft = self.stage.line.seconds - self.at
        self.stage.line.later(self.answer * engine.step, lambda: self._end(engine))

    def _end(self, engine: Engine) -> None:
        engine.running -= 1
        tokens = Tokens()
        tokens.prompt, tokens.completion = self.prompt, self.answer
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.leave(tokens)
        self.done(self)

    def withdraw(self) -> bool:
        """All are of one class: nobody gives way."""
        return False

    def fail(self, error: ApiError) -> None:
        """Refused while it waited."""
        self.ticket = None
        self.done(self)

    def answer_failed(self) -> None:
        """Never."""
        raise AssertionError

    def waited(self, seconds: float) -> None:
        """Part of `ttft`."""


@dataclass
class Stage:
    """Replicas, two keys and an admission."""

    replicas: int
    seed: int
    line: Line = field(default_factory=Line)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.engines = [Engine() for _ in range(self.replicas)]
        targets = [Target(str(n), f"http://127.0.0.1:{n + 1}", None, SLOTS) for n in range(self.replicas)]
        entry = RouteEntry("m", "m", None, "chat", "vllm", "m", ["/v1/chat/completions"], [], targets)
        self.route = Route(entry, tuple(map(Replica, targets)))
        entries = [KeyEntry(name, name, "p") for name in ("good", "other")]
        self.keys = {one.id: Key(one) for one in entries}
        self.admission = Admission(self.line, self.line.later, Waits())
        self.admission.follow(Table("1", KeyRing(encode_pepper(bytes(32)), entries), [self.route]))
        self.ttft: list[float] = []
        self.refused = 0

    @property
    def rate(self) -> float:
        """Requests a second that all replicas can do together."""
        step = STEP_SECONDS * (1 + SLOTS / STEP_ANSWERS)
        return self.replicas * SLOTS / (ANSWER_TOKENS * step)

    def ask(self, key: str, done: Callable[[Ask], None]) -> None:
        """One request comes."""
        ask = Ask(self, self.route, self._length(PROMPT_TOKENS), self._length(ANSWER_TOKENS), done)
        ask.at = self.line.seconds
        try:
            self.admission.enter(ask, self.keys[key], haste("default", {}), ask.prompt * 4)
        except ApiError:
            done(ask)

    def send(self, key: str, rate: float, done: Callable[[Ask], None]) -> None:
        """Requests by chance, so many a second, for ever."""

        def next_one() -> None:
            self.ask(key, done)
            self.line.later(self.chance.expovariate(rate), next_one)

        self.line.later(self.chance.expovariate(rate), next_one)

    def keep(self, key: str, number: int) -> None:
        """So many at the same time, for ever, the first ones spread over the time that one takes."""

        def again(_: Ask) -> None:
            self.ask(key, again)

        for _ in range(number):
            self.line.later(self.chance.uniform(0, SLOTS * self.replicas / self.rate), lambda: self.ask(key, again))

    def note(self, ask: Ask) -> None:
        """A request of the key that behaves is over."""
        if ask.ttft is None:
            self.refused += 1
        elif ask.at > 4 * SLOTS * self.replicas / self.rate:
            self.ttft.append(ask.ttft)

    def _length(self, mean: float) -> int:
        return min(max(round(self.chance.lognormvariate(math.log(mean) - 0.5, 1.0)), 1), MOST_TOKENS)


def walk(scene: str, replicas: int, seed: int) -> Stage:
    """One of the four scenes, to its end."""
    stage = Stage(replicas, seed)
    rate = stage.rate * SHARE
    stage.send("good", rate, stage.note)
    if scene == "share":
        stage.keep("other", replicas * SLOTS)
    elif scene != "alone":
        stage.send("good" if scene == "mixed" else "other", rate * FLOOD, lambda ask: None)
    stage.line.run(lambda: len(stage.ttft) + stage.refused >= REQUESTS)
    return stage


def measure(fleets: Sequence[int] = FLEETS, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Ratios of single seeds: `p99_ttft_ratio`, flood to share, over all of them, and all figures by fleet."""
    by_replicas = {str(replicas): _fleet(replicas, seeds) for replicas in fleets}
    ratios = [ratio for figures in by_replicas.values() for ratio in figures["p99_ttft_ratio"]["runs"]]
    return {"p99_ttft_ratio": spread(ratios), "by_replicas": by_replicas}


def _fleet(replicas: int, seeds: Sequence[int]) -> dict[str, Any]:
    p99: dict[str, list[float]] = {}
    refused: dict[str, list[float]] = {}
    for scene in SCENES:
        stages = [walk(scene, replicas, seed) for seed in seeds]
        p99[scene] = [percentile(stage.ttft or [math.inf], 0.99) for stage in stages]
        refused[scene] = [stage.refused / REQUESTS for stage in stages]
    return {
        "p99_ttft_ratio": spread([a / b for a, b in zip(p99["flood"], p99["share"], strict=True)]),
        "p99_ttft_of_alone": spread([a / b for a, b in zip(p99["flood"], p99["alone"], strict=True)]),
        **{f"p99_ttft_s_{scene}": spread(values) for scene, values in p99.items()},
        **{f"refused_{scene}": spread(values) for scene, values in refused.items() if any(values)},
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
