"""Where requests go: hits, spills, ties, unlike speeds, sessions; and what they leave behind, which is nothing."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import FakeClock

from aicp.core.route import KeyEntry, RouteEntry, RouteTable, Target
from aicp.gateway.api_keys import Key
from aicp.gateway.bodies import read_fields
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import CHAT
from aicp.gateway.metrics import Metrics
from aicp.gateway.prompts import Prompt, read_prompt
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Route, Routes
from aicp.gateway.routing import dispatch
from aicp.gateway.speeds import Pace, believed
from aicp.gateway.tokens import Tokens
from aicp.gateway.visits import Visit
from aicp.security.keys import encode_pepper

LONG = "An old story. " * 600
"""8,400 bytes, 2,100 tokens by the first estimate."""


class World:
    """A route to some replicas."""

    def __init__(self, replicas: int, *, context_length: int | None = None) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.chance = random.Random(1)
        targets = [Target(f"rep_{n}", f"http://127.0.0.1:{n + 1}") for n in range(replicas)]
        entry = RouteEntry("m", "m", None, "chat", "vllm", "m", [CHAT.path], [], targets, context_length)
        self.route = Route(entry, tuple(Replica(target) for target in targets))

    def prompt(self, text: str, project: str = "p", session: bytes = b"", **fields: Any) -> Prompt:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
        read = read_fields(json.dumps(body).encode())
        headers = {b"x-session-id": session} if session else {}
        found = read_prompt(self.route, project, read, headers, make_call(CHAT, self.route, read))
        assert found is not None
        return found

    def send(self, prompt: Prompt, *tried: Replica) -> Visit:
        now = self.clock.monotonic()
        visit = dispatch(self.route.replicas, prompt, tried, now, self.chance.random, self.metrics)
        assert visit is not None
        return visit

    def ended(self, visit: Visit, prompt: int = 100, completion: int = 10) -> None:
        tokens = Tokens()
        tokens.prompt, tokens.completion = prompt, completion
        visit.end()
        visit.learn(tokens, self.clock)

    def charges(self) -> list[tuple[int, float]]:
        return [(replica.inflight, replica.queued) for replica in self.route.replicas]


def test_a_prompt_goes_where_its_beginning_is() -> None:
    world = World(8)
    first = world.send(world.prompt(LONG))
    world.ended(first)
    for more in range(20):
        visit = world.send(world.prompt(f"{LONG} And then? {more}"))
        assert visit.replica is first.replica
        world.ended(visit)
    assert world.metrics.prefix_hit_bytes > 0.9 * world.metrics.prefix_bytes * 20 / 21


@pytest.mark.parametrize("other", [{"project": "q"}, {"tools": [{"type": "function", "function": {"name": "f"}}]}])
def test_projects_and_tools_share_no_beginning(other: dict[str, Any]) -> None:
    world = World(2)
    visit = world.send(world.prompt(LONG))
    assert visit.replica.held.depth(world.prompt(LONG).blocks) > 10
    assert visit.replica.held.depth(world.prompt(LONG, **other).blocks) == 0


def test_equal_replicas_get_equal_shares_by_chance() -> None:
    world = World(4)
    seen = Counter[str]()
    for number in range(400):
        visit = world.send(world.prompt(f"{number} {LONG}"))
        seen[visit.replica.id] += 1
        world.ended(visit)
        world.clock.advance(0.01)
    assert min(seen.values()) > 60


def test_a_burst_is_spread_though_nobody_has_answered_yet() -> None:
    world = World(4)
    visits = [world.send(world.prompt(f"{number} {LONG}")) for number in range(40)]
    assert Counter(visit.replica.id for visit in visits) == dict.fromkeys((f"rep_{n}" for n in range(4)), 10)


def test_a_hot_beginning_spills_and_is_then_held_by_several() -> None:
    world = World(4)
    visits = [world.send(world.prompt(f"{LONG} {number}")) for number in range(2000)]
    assert visits[0].replica is visits[1].replica, "a hit is worth a wait"
    assert world.metrics.spills > 0
    holders = [one for one in world.route.replicas if one.held.depth(world.prompt(LONG).blocks) > 10]
    assert len(holders) == 4
    for visit in visits:
        world.ended(visit)
    assert world.charges() == [(0, 0.0)] * 4


def test_unlike_replicas_get_shares_by_their_speed() -> None:
    """Four times as fast: about four times as much, learnt from the answers alone."""
    world = World(2)
    speeds = {"rep_0": 8000.0, "rep_1": 2000.0}
    free = dict.fromkeys(speeds, 0.0)
    events: list[tuple[float, int, Visit]] = []
    work = Counter[str]()
    for number in range(1500):
        world.clock.advance(2228 / 9500)
        now = world.clock.monotonic()
        for event in sorted(event for event in events if event[0] <= now):
            events.remove(event)
            world.ended(event[2], 2100, 1)
        visit = world.send(world.prompt(f"{number} {LONG}", stream=False))
        name = visit.replica.id
        free[name] = max(now, free[name]) + 2228 / speeds[name]
        events.append((free[name], number, visit))
        work[name] += number >= 500
    assert 2.5 < work["rep_0"] / work["rep_1"] < 6
    assert max(free.values()) < world.clock.monotonic() + 5, "no queue has grown"


def test_a_session_stays_with_its_replica_until_that_is_overloaded() -> None:
    world = World(4)
    first = world.send(world.prompt("Hi", session=b"s"))
    world.ended(first)
    for number in range(10):
        visit = world.send(world.prompt(f"{number}", session=b"s"))
        assert visit.replica is first.replica
        world.ended(visit)
    cached = world.prompt("Hello", prompt_cache_key="s2")
    assert cached.session
    assert world.prompt("Hello", prompt_cache_key=None).session == []
    assert world.prompt("Hello", project="q", session=b"s").session != world.prompt("Hello", session=b"s").session
    first.replica.queued += 100_000
    first.replica.inflight += 1
    assert world.send(world.prompt("Hi", session=b"s")).replica is not first.replica


def test_breakers_and_tried_replicas_are_passed_by() -> None:
    world = World(3)
    one, two, three = world.route.replicas
    for _ in range(3):
        one.failed(world.clock.monotonic())
    assert {world.send(world.prompt(f"{n}")).replica for n in range(20)} == {two, three}
    assert world.send(world.prompt("x"), two, three).replica is one, "better than nobody"
    prompt = world.prompt("x")
    assert dispatch(world.route.replicas, prompt, [one, two, three], 0.0, random.random, world.metrics) is None


def test_alone_there_is_nothing_to_choose() -> None:
    world = World(1)
    fields = read_fields(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
    assert read_prompt(world.route, "p", fields, {}, make_call(CHAT, world.route, fields)) is None
    visit = dispatch(world.route.replicas, None, [], 0.0, random.random, world.metrics)
    assert visit is not None
    assert world.charges() == [(1, 0.0)]
    visit.first_token(world.clock)
    world.ended(visit)
    assert world.charges() == [(0, 0.0)]
    assert dispatch(world.route.replicas, None, world.route.replicas, 0.0, random.random, world.metrics) is None


@given(st.lists(st.sampled_from(["send", "whole", "first", "end", "ok", "wait"]), max_size=60))
def test_charges_always_return_to_nothing(acts: list[str]) -> None:
    """Whatever happens to requests, in whatever order: first tokens, cancels, losses, answers, time."""
    world, alive = World(3), list[Visit]()
    for number, act in enumerate(acts):
        if act in ("send", "whole"):
            alive.append(world.send(world.prompt(f"{number}" * 100, stream=act == "send")))
        elif act == "wait":
            world.clock.advance(0.3)
        elif alive:
            visit = alive[number % len(alive)]
            if act == "first":
                visit.first_token(world.clock)
            else:
                alive.remove(visit)
                world.ended(visit) if act == "ok" else visit.end()
        assert all(queued >= 0 and (inflight or not queued) for inflight, queued in world.charges())
    for visit in alive:
        visit.end()
    assert world.charges() == [(0, 0.0)] * 3


def test_a_first_token_ends_the_charge_and_a_silent_one_ends_when_due() -> None:
    world = World(2)
    stream, whole = world.send(world.prompt(LONG, stream=True)), world.send(world.prompt("y" + LONG))
    assert stream.replica is not whole.replica
    assert stream.replica.queued > 2000
    stream.first_token(world.clock)
    assert stream.replica.queued == 0
    world.clock.advance(0.5)
    whole.replica.settle(world.clock.monotonic())
    assert whole.replica.queued > 2000
    world.clock.advance(1.0)
    whole.replica.settle(world.clock.monotonic())
    assert whole.replica.queued == 0
    assert whole.replica.inflight == 1


def test_a_picture_is_no_longer_than_a_context() -> None:
    world = World(2, context_length=4096)
    assert world.prompt("x" * 1_000_000).tokens == 4096
    world.route.traffic.learn(100_000, 1000, 10)
    assert world.prompt("x" * 100_000).tokens == pytest.approx(1000, rel=0.01)


def test_a_replica_that_was_started_anew_holds_nothing(tmp_path: Path) -> None:
    routes = Routes(tmp_path / "routes.json")
    targets = [Target("rep_1", "http://127.0.0.1:1", "one"), Target("rep_2", "http://127.0.0.1:2")]

    def swapped(etag: str, *targets: Target) -> Route:
        key = KeyEntry("key", "00" * 32, "p")
        entry = RouteEntry("m", "m", None, "chat", "vllm", "m", [CHAT.path], [], list(targets))
        routes.swap(RouteTable(etag, encode_pepper(b"x" * 32), [key], [entry]))
        assert routes.table is not None
        found = routes.table.find("m", Key(key))
        assert found is not None
        return found

    before = swapped("1", *targets)
    before.traffic.learn(1000, 100, 10)
    for replica in before.replicas:
        replica.held.add([1, 2], 0.25)
    after = swapped("2", Target("rep_1", "http://127.0.0.1:1", "two"), targets[1])
    assert [replica.held.depth([1, 2]) for replica in after.replicas] == [0, 2]
    assert after.traffic is before.traffic, "what its requests are like is no other"


def test_what_is_believed_of_speeds() -> None:
    assert believed([0.0, 0.0], 3.0) == [3.0, 3.0]
    assert believed([1.0, 1.1, 8.0, 9.0], 3.0) == pytest.approx([1.05, 1.05, 8.5, 8.5])
    assert believed([1.0, 0.0, 2.0], 3.0) == [1.0, 1.5, 2.0]
    pace = Pace()
    pace.learn(0.0, 5.0, 0.0)
    assert pace.seen(0.0) == 0.0
    pace.learn(100.0, 10.0, 0.0)
    assert pace.seen(10.0) == pytest.approx(0.1)
    assert pace.seen(1000.0) == 0.0, "what was slow gets another chance"
