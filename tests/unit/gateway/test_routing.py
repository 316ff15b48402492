"""Where requests go: prefixes that are held, replicas of unlike speed, spills, sessions, and charges that come back."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter, deque
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import FakeClock

from aicp.core.route import RouteEntry, Target
from aicp.gateway.bodies import encode, read_fields
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import CHAT
from aicp.gateway.metrics import Metrics
from aicp.gateway.prefixes import ENDS, Block, Held, chain
from aicp.gateway.prompts import Prompt, read_prompt
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Route
from aicp.gateway.routing import dispatch
from aicp.gateway.speeds import Pace, Traffic, believed
from aicp.gateway.tokens import Tokens
from aicp.gateway.visits import Visit

CHANCE = random.Random(1)
LETTERS = st.text("ab", max_size=6)


def route_of(count: int, *, cache_tokens: int | None = None) -> Route:
    targets = [Target(f"r{n}", f"http://127.0.0.1:{n + 1}", cache_tokens=cache_tokens) for n in range(count)]
    entry = RouteEntry("m", "m", None, "chat", "vllm", "m", [CHAT.path], [], targets)
    return Route(entry, tuple(map(Replica, targets)), Traffic())


def prompt_of(route: Route, text: str, *, project: str = "p", stream: bool = True, **more: Any) -> Prompt:
    headers = {b"x-session-id": more.pop("session")} if "session" in more else {}
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream, **more}
    fields = read_fields(encode(body))
    prompt = read_prompt(route, project, fields, headers, make_call(CHAT, route, fields))
    assert prompt is not None
    return prompt


def send(route: Route, prompt: Prompt, now: float = 0.0, **more: Any) -> Visit:
    visit = dispatch(route.replicas, prompt, more.get("tried", []), now, CHANCE.random, Metrics())
    assert visit is not None
    return visit


def text_of(number: int, size: int = 8192) -> str:
    return "".join(random.Random(number).choices("abcdefgh ", k=size))


@given(st.lists(LETTERS, max_size=30), LETTERS)
def test_a_chain_is_shared_exactly_as_far_as_the_bytes(words: list[str], other: str) -> None:
    one, two = ("".join(words).encode() * 300)[:9000], (other.encode() * 3000)[:9000]
    shared = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    first, second = chain(1, one), chain(1, two)
    same = sum(a == b for a, b in zip(first, second, strict=False))
    assert same == sum(end <= shared for end in ENDS[1 : min(len(first), len(second)) + 1])
    assert not set(chain(2, one)) & set(first)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), max_size=40), st.integers(1, 3000))
def test_the_index_is_bounded_and_hopes_for_nothing_that_was_never_sent(
    sent: list[tuple[int, int]], tokens: int
) -> None:
    held, seen = Held(tokens), set[int]()
    for family, blocks in sent:
        numbers = chain(family, b"x" * ENDS[blocks])
        assert set(numbers[: held.depth(numbers)]) <= seen
        held.add(numbers, 0.25)
        seen |= set(numbers)
        depth = held.depth(numbers)
        assert (len(held) - 1) * 256 * 0.25 <= tokens
        assert depth == 0 or held.depth(numbers[:depth]) == depth, "who holds a block holds all before it"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12), st.integers(0, 2)), max_size=60), st.integers(100, 3000)
)
def test_what_goes_first_is_what_was_used_longest_ago_from_the_ends_of_prompts(
    sent: list[tuple[int, int, int]], tokens: int
) -> None:
    """Against the plain form: a row of blocks, of which those that are used go to the end, the deepest first."""
    held, plain = Held(tokens), list[Block]()
    for family, blocks, ending in sent:
        numbers = chain(family, b"x" * ENDS[blocks] + bytes([ending]) * 600)
        held.add(numbers, 0.25)
        plain = [block for block in plain if block not in numbers] + numbers[::-1]
        while len(plain) * 256 * 0.25 > 0.95 * tokens:
            plain.pop(0)
        assert len(held) == len(plain)
        for other in (chain(f, b"x" * ENDS[12] + bytes([e]) * 600) for f in range(4) for e in range(3)):
            depth = next((n for n, block in enumerate(other) if block not in plain), len(other))
            assert [held.depth(other, guess) for guess in (0, depth, 5, 99)] == [depth] * 4


@pytest.mark.parametrize("told", [False, True])
def test_the_index_does_not_grow_with_what_is_sent_but_with_what_is_held(told: bool) -> None:
    """Beginnings that go on and end by turns, and an engine that tells what it gives up before it is reckoned full."""
    held, live = Held(4e6), deque[list[Block]]()
    common = b"x" * 8192
    tracemalloc.start()
    sizes: list[int] = []
    for number in range(9000):
        text = common + bytes(2048 * (number % 2)) if not told else common + number.to_bytes(4, "big") * 256
        blocks = chain(1, text)
        held.add(blocks, 0.25)
        live.append(blocks)
        last = live.popleft() if len(live) > 20 else []
        for block in last[len(chain(1, common)) :] if told else ():
            held.drop(block)
        if number in (3000, 8999):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(held) <= 32 + 20 * 2
    assert sizes[1] - sizes[0] < 2_000_000


def test_what_was_used_last_is_held_longest() -> None:
    held = Held(1000)
    old, young, third = (chain(n, b"x" * 1280) for n in (1, 2, 3))
    held.add(old, 0.25)
    held.add(young, 0.25)
    held.add(old, 0.25)
    held.add(third, 0.25)
    assert (held.depth(old), held.depth(third)) == (5, 5)
    assert held.depth(young) < 5


def test_a_prompt_goes_where_its_beginning_is() -> None:
    route = route_of(4)
    homes = {}
    for number in range(12):
        visit = send(route, prompt_of(route, text_of(number)))
        homes[number] = visit.replica.id
        visit.end()
    assert len(set(homes.values())) == 4
    for number in range(12):
        visit = send(route, prompt_of(route, text_of(number) + " and a question"))
        assert visit.replica.id == homes[number]
        visit.end()


def test_of_a_prompt_that_is_being_read_only_the_rest_is_waited_for() -> None:
    route = route_of(2)
    replica = route.replicas[0]
    prompt = prompt_of(route, text_of(1, 200_000))
    visits = [Visit(replica) for _ in range(3)]
    for visit in visits:
        visit.expect(prompt, 10_000.0, 1000.0)
    each = replica.queued / 3
    half = each / 2 * replica.prefill_seconds
    assert replica.waiting(1000.0) == pytest.approx(3 * each)
    assert replica.waiting(1000.0 + half) == pytest.approx(2.5 * each)
    assert replica.waiting(1e6) > 2 * each, "whoever takes for ever has not done more than the first"
    clock = FakeClock()
    clock.advance(100.0)
    visits[0].first_token(clock)
    assert replica.waiting(1100.0) == pytest.approx(2 * each)
    visits[2].end()
    assert replica.waiting(1100.0 + half) == pytest.approx(0.5 * each)
    visits[1].end()
    visits[0].end()
    assert (replica.waiting(1200.0), replica.queued, len(replica.reading)) == (0.0, 0.0, 0)


def test_what_nobody_holds_is_spread_by_its_work_and_not_by_chance() -> None:
    route, chance, work, now = route_of(4), random.Random(5), Counter[str](), 0.0
    for number in range(300):
        size = int(2000 * chance.paretovariate(1.2)) % 200_000 + 1000
        visit = send(route, prompt_of(route, text_of(number, size)), now)
        work[visit.replica.id] += size
        visit.end()
        now += 1.0
    assert max(work.values()) < 1.1 * sum(work.values()) / 4


def test_a_replica_that_was_away_is_not_buried_when_it_is_back() -> None:
    route = route_of(4)
    away, now = route.replicas[3], 0.0
    for number in range(400):
        send(route, prompt_of(route, text_of(number)), now, tried=[away]).end()
        now += 1.0
    under_way = [send(route, prompt_of(route, text_of(1000 + number)), now) for number in range(32)]
    assert 8 <= sum(visit.replica is away for visit in under_way) <= 20


def test_projects_share_no_beginnings() -> None:
    route = route_of(2)
    send(route, prompt_of(route, text_of(1))).end()
    other = prompt_of(route, text_of(1), project="q")
    assert [replica.held.depth(other.blocks) for replica in route.replicas] == [0, 0]


def test_a_hot_beginning_spills_and_is_then_held_by_several() -> None:
    route = route_of(4)
    used = Counter(send(route, prompt_of(route, text_of(1, 100_000))).replica.id for _ in range(40))
    assert len(used) > 1
    assert max(used.values()) < 40


def test_equal_replicas_get_equal_shares_without_any_prefix() -> None:
    route, chance = route_of(4), random.Random(3)
    for number in range(400):
        prompt = prompt_of(route, text_of(number, 300))
        assert dispatch(route.replicas, prompt, [], 0.0, chance.random, Metrics()) is not None
    assert max(replica.inflight for replica in route.replicas) <= 1.1 * 100


@pytest.mark.parametrize("stream", [True, False])
def test_unlike_replicas_get_shares_by_their_speed(clock: FakeClock, stream: bool) -> None:
    """The first is four times as fast: of a steady load it must get the larger part, from nothing but what is seen."""
    route = route_of(2)
    seconds = {"r0": 0.25, "r1": 1.0}
    running: list[tuple[float, Visit]] = []
    got: Counter[str] = Counter()
    for step in range(600):
        clock.advance(0.25)
        now = clock.monotonic()
        for end, visit in [one for one in running if one[0] <= now]:
            running.remove((end, visit))
            tokens = Tokens()
            tokens.prompt, tokens.completion = 500, 50
            visit.end()
            visit.learn(tokens, clock)
        visit = send(route, prompt_of(route, text_of(step, 2000), stream=stream), now)
        if stream:
            visit.first_token(clock)
        busy = sum(visit.replica is other.replica for _, other in running)
        running.append((now + seconds[visit.replica.id] * (1 + busy), visit))
        got[visit.replica.id] += step >= 300
    assert got["r0"] > 1.5 * got["r1"]


def test_a_session_stays_where_it_was_unless_that_is_overloaded() -> None:
    route = route_of(4)
    first = send(route, prompt_of(route, "one", session=b"s1"))
    first.end()
    for number in range(8):
        visit = send(route, prompt_of(route, f"{number} something else", session=b"s1"))
        assert visit.replica is first.replica
        visit.end()
    for number in range(30):
        send(route, prompt_of(route, text_of(number, 20_000), session=b"s1"))
    assert sum(replica.inflight > 0 for replica in route.replicas) > 1
    by_field = prompt_of(route, "x", prompt_cache_key="s1")
    assert by_field.session
    assert not prompt_of(route, "x", prompt_cache_key=None).session


@given(st.lists(st.sampled_from(["send", "first", "end", "time"]), max_size=60), st.randoms(use_true_random=False))
def test_charges_always_come_back(steps: list[str], chance: random.Random) -> None:
    route, clock = route_of(3), FakeClock()
    running: list[Visit] = []
    for step in steps:
        if step == "send":
            running.append(
                send(route, prompt_of(route, text_of(1, 900), stream=chance.random() < 0.5), clock.monotonic())
            )
        elif step == "time":
            clock.advance(0.3)
        elif running and step == "first":
            chance.choice(running).first_token(clock)
        elif running:
            running.pop(chance.randrange(len(running))).end()
        for replica in route.replicas:
            assert replica.waiting(clock.monotonic()) >= 0
            assert replica.inflight == sum(visit.replica is replica for visit in running)
    for visit in running:
        visit.end()
    assert [(replica.inflight, replica.queued) for replica in route.replicas] == [(0, 0.0)] * 3


def test_who_was_tried_is_not_tried_again_and_an_open_breaker_only_when_nobody_is_left() -> None:
    route = route_of(3)
    first, second, third = route.replicas
    for _ in range(3):
        third.failed(0.0)
    assert {send(route, prompt_of(route, str(n)), tried=[first]).replica for n in range(9)} == {second}
    assert send(route, prompt_of(route, "x"), tried=[first, second]).replica is third
    assert dispatch(route.replicas, prompt_of(route, "x"), list(route.replicas), 0.0, lambda: 0.0, Metrics()) is None


def test_one_replica_needs_no_look_at_the_prompt() -> None:
    route = route_of(1)
    fields = read_fields(encode({"model": "m", "messages": [{"role": "user", "content": "x"}]}))
    assert read_prompt(route, "p", fields, {}, make_call(CHAT, route, fields)) is None
    assert dispatch(route.replicas, None, [], 0.0, lambda: 0.0, Metrics()) is not None
    assert dispatch(route.replicas, None, route.replicas, 0.0, lambda: 0.0, Metrics()) is None


def test_a_replica_started_anew_holds_nothing() -> None:
    route = route_of(2)
    send(route, prompt_of(route, text_of(1)))
    fresh = Replica(replace(route.replicas[0].target, token="another"))
    assert (len(fresh.held), fresh.queued) == (0, 0.0)


def test_paces_fade_and_like_ones_are_taken_for_equal() -> None:
    pace = Pace()
    for _ in range(100):
        pace.learn(10, 20, 0.0)
    assert pace.seen(1.0) == pytest.approx(2.0)
    pace.learn(0, 99, 1.0)
    assert pace.seen(2.0) == pytest.approx(2.0)
    assert pace.seen(400.0) == 0.0
    assert believed([0.0, 0.0], 7.0) == [7.0, 7.0]
    assert believed([1.0, 1.1, 4.0, 0.0], 7.0) == pytest.approx([1.05, 1.05, 4.0, 6.1 / 3])
