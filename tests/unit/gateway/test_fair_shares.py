"""Fairness between keys of a class: the bound of the virtual token counter, weights, no credit for idling."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.admission_world import Job, World

from aicp.gateway.tokens import Tokens

PROMPT, ANSWER = 1.0, 2.0


class Backlog:
    """Keys that always have requests waiting, and what was done for each: prompts at dispatch, answers at their end."""

    def __init__(self, places: int, weights: dict[str, float], seed: int = 1) -> None:
        self.world = World(places)
        self.places, self.chance = places, random.Random(seed)
        self.weights = weights
        self.prompts: dict[Job, int] = {}
        self.done: Counter[str] = Counter()
        self._counted: set[Job] = set()
        self._blockers = [self.world.enter("blocker", key="blocker") for _ in range(places)]

    def fill(self, lengths: dict[str, tuple[int, int]]) -> None:
        """Lets more wait of every key than there are places; `lengths` are the most tokens of prompt and answer."""
        for key, (prompt, _) in lengths.items():
            short = self.places + 2 - sum(job.name == key for job in self.world.waiting)
            for _ in range(short):
                job = Job(key, self.world.routes[0], self.world)
                self.prompts[job] = self.chance.randint(1, prompt)
                self.world.enter(key, key=key, weight=self.weights[key], size=4 * self.prompts[job], job=job)
        for blocker in self._blockers:
            blocker.end()
        self._blockers.clear()
        self._count()

    def end_one(self, lengths: dict[str, tuple[int, int]]) -> None:
        """One of those at work ends."""
        job = self.chance.choice(self.world.running)
        answer = self.chance.randint(0, lengths[job.name][1])
        self.done[job.name] += ANSWER * answer
        job.end(self.prompts[job], answer)
        self._count()

    def _count(self) -> None:
        for job in self.world.running:
            if job not in self._counted:
                self._counted.add(job)
                self.done[job.name] += PROMPT * self.prompts[job]

    def apart(self, one: str, other: str) -> float:
        """By how much more was done for one key than for another, in proportion to their weights."""
        return abs(self.done[one] / self.weights[one] - self.done[other] / self.weights[other])


LENGTHS = st.tuples(st.integers(1, 2000), st.integers(0, 400))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), LENGTHS, LENGTHS, st.integers(0, 999))
def test_two_backlogged_keys_never_differ_by_more_than_the_bound(
    places: int, one: tuple[int, int], other: tuple[int, int], seed: int
) -> None:
    """Theorem 4.4 of arXiv 2401.00588: at most 2 * max(w_p * L_input, w_q * M), here with M = places * answer."""
    backlog = Backlog(places, {"a": 1.0, "b": 1.0}, seed)
    lengths = {"a": one, "b": other}
    bound = 2 * max(PROMPT * max(one[0], other[0]), ANSWER * places * max(one[1], other[1]))
    for _ in range(150):
        backlog.fill(lengths)
        assert backlog.apart("a", "b") <= bound
        backlog.end_one(lengths)
        assert backlog.apart("a", "b") <= bound


@pytest.mark.parametrize("weight", [2.0, 5.0])
def test_a_weight_is_a_share(weight: float) -> None:
    backlog = Backlog(8, {"a": weight, "b": 1.0})
    lengths = {"a": (500, 200), "b": (500, 200)}
    for _ in range(3000):
        backlog.fill(lengths)
        backlog.end_one(lengths)
    assert backlog.done["a"] / backlog.done["b"] == pytest.approx(weight, rel=0.05)


def test_long_answers_count_for_what_they_are() -> None:
    backlog = Backlog(8, {"long": 1.0, "short": 1.0})
    lengths = {"long": (100, 1000), "short": (100, 10)}
    for _ in range(4000):
        backlog.fill(lengths)
        backlog.end_one(lengths)
    assert backlog.done["long"] / backlog.done["short"] == pytest.approx(1.0, rel=0.1)


def test_idling_earns_nothing() -> None:
    backlog = Backlog(4, {"busy": 1.0, "idle": 1.0})
    alone = {"busy": (500, 100)}
    for _ in range(500):
        backlog.fill(alone)
        backlog.end_one(alone)
    backlog.done.clear()
    lengths = {"busy": (500, 100), "idle": (500, 100)}
    for _ in range(100):
        backlog.fill(lengths)
        backlog.end_one(lengths)
    assert backlog.apart("busy", "idle") <= 2 * max(500, ANSWER * 4 * 100)


def test_a_first_request_of_a_key_is_not_behind_a_flood() -> None:
    world = World(2)
    running = [world.enter("x", key="flood"), world.enter("y", key="flood")]
    for n in range(200):
        world.enter(f"flood{n}", key="flood")
    small = world.enter("small", key="small")
    running[0].end(100, 100)
    running[1].end(100, 100)
    assert small.running


def test_what_is_in_a_cache_already_is_not_charged() -> None:
    world = World(1)
    blocker = world.enter("blocker", key="c")
    for n in range(4):
        world.enter(f"a{n}", key="a", size=4000)
        world.enter(f"b{n}", key="b", size=4000)
    blocker.end()
    for _ in range(8):
        (job,) = world.running
        ticket = job.ticket
        assert ticket is not None
        job.over, job.running, job.ticket = True, False, None
        tokens = tokens_of(1000, cached=900 if job.name.startswith("a") else 0)
        ticket.leave(tokens)
    assert world.order[1:] == ["a0", "b0", "a1", "a2", "a3", "b1", "b2", "b3"]


def tokens_of(prompt: int, *, cached: int) -> Tokens:
    tokens = Tokens()
    tokens.prompt, tokens.completion, tokens.cached = prompt, 0, cached
    return tokens
