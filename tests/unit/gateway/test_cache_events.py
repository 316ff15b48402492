"""What engines tell of their caches: over the wire, in terms of bytes, and what becomes of it in routing."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.support.clock import FakeClock
from tests.support.kv_publisher import KvPublisher
from tests.unit.gateway.test_routing import prompt_of, route_of, send, text_of

from aicp.core.route import RouteTable, Target
from aicp.gateway.bodies import Fields, encode, read_fields
from aicp.gateway.cache_events import AllBlocksCleared, Batch, BlockRemoved, BlockStored, Listening, feeder, hear
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import CHAT
from aicp.gateway.engine_caches import EngineCache, Number
from aicp.gateway.prefixes import ENDS, Block, Held, chain
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Routes
from aicp.gateway.tokens import Tokens
from aicp.gateway.visits import Visit
from aicp.gateway.zmtp import BrokenPublisherError
from aicp.security.keys import encode_pepper

BLOCK = 16
BYTES = 4
Told = list[BlockStored | BlockRemoved | AllBlocksCleared]


class TokenCache:
    """A prefix cache as engines have one: whole blocks of tokens, those used last at the end, and what it tells."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.blocks: OrderedDict[Number, None] = OrderedDict()

    def read(self, name: str, text: bytes) -> tuple[int, Told]:
        """How many tokens were found, and the events."""
        numbers: list[Number] = []
        for begin in range(0, len(text) // (BLOCK * BYTES) * BLOCK * BYTES, BLOCK * BYTES):
            parent = numbers[-1] if numbers else b""
            numbers.append(hash((parent, text[begin : begin + BLOCK * BYTES])))
        known = next((n for n, number in enumerate(numbers) if number not in self.blocks), len(numbers))
        told: Told = []
        for number in reversed(numbers):
            self.blocks[number] = None
            self.blocks.move_to_end(number)
        while len(self.blocks) > self._capacity:
            told.append(BlockRemoved([self.blocks.popitem(last=False)[0]]))
        if known < len(numbers):
            told.append(BlockStored(numbers[known:], numbers[known - 1] if known else None, BLOCK, session_id=name))
        return known * BLOCK, told


def test_what_is_held_is_what_the_engine_holds() -> None:
    """Whatever the gateway took the cache's size for, and although prompts share beginnings."""
    chance = random.Random(3)
    engine, held = TokenCache(400), Held(1e9)
    cache = EngineCache(held)
    feed = feeder(cache)
    stems = [text_of(number, chance.randrange(1000, 9000)).encode() for number in range(8)]
    wrong = 0
    for number in range(400):
        text = chance.choice(stems) + text_of(100 + number, chance.randrange(0, 3000)).encode()
        blocks, name = chain(1, text), f"r{number}"
        depth = held.depth(blocks)
        expected, next_one = ENDS[depth] / BYTES, (ENDS[depth + 1] - ENDS[depth]) / BYTES
        held.add(blocks, 1 / BYTES)
        cache.sent(name, blocks, len(text))
        found, told = engine.read(name, text)
        wrong += abs(found - expected) > next_one + BLOCK
        feed(Batch(0.0, told))
        cache.counted(name, len(text) // BYTES)
        assert len(cache) == len(engine.blocks)
    assert wrong == 0
    assert len(held) * 256 / BYTES < 3 * 400 * BLOCK


def stored(*numbers: int, name: str = "a", parent: int | None = None) -> BlockStored:
    return BlockStored(list(numbers), parent, BLOCK, session_id=name)


def known(count: int = 4) -> tuple[Held, EngineCache, Callable[[Batch], None], list[Block]]:
    """A prompt of so many blocks of the engine, which are 1, 2, 3 ..., known by events that came after its count."""
    held = Held(1e6)
    cache = EngineCache(held)
    blocks = chain(1, b"x" * (count * BLOCK * BYTES))
    held.add(blocks, 1 / BYTES)
    cache.sent("a", blocks, count * BLOCK * BYTES)
    cache.counted("a", count * BLOCK)
    feed = feeder(cache)
    feed(Batch(0.0, [stored(*range(1, count + 1))]))
    return held, cache, feed, blocks


def test_an_engine_that_was_emptied_holds_nothing() -> None:
    held, cache, feed, blocks = known(16)
    assert held.depth(blocks) == 4
    feed(Batch(0.0, [AllBlocksCleared()]))
    assert (held.depth(blocks), len(held), len(cache)) == (0, 0, 0)


def test_other_media_other_groups_and_unknown_parents_say_nothing() -> None:
    held, cache, feed, blocks = known(16)
    feed(Batch(0.0, [BlockRemoved([1, 2], medium="CPU"), BlockRemoved([1, 2], group_idx=3), stored(9, parent=77)]))
    assert (held.depth(blocks), len(cache)) == (4, 16)
    feed(Batch(0.0, [BlockRemoved([16, 15, 14, 13, 12], medium="GPU")]))
    assert held.depth(blocks) == 2


def test_what_an_answer_brought_into_the_cache_goes_with_what_stands_on_it() -> None:
    held, cache, feed, _ = known(8)
    feed(Batch(0.0, [stored(20, 21, 22, 23, parent=8)]))  # of the answer
    longer = chain(1, b"x" * (16 * BLOCK * BYTES))
    held.add(longer, 1 / BYTES)
    cache.sent("b", longer, 16 * BLOCK * BYTES)
    feed(Batch(0.0, [stored(30, 31, 32, 33, name="b", parent=23)]))
    cache.counted("b", 16 * BLOCK)
    assert held.depth(longer) == 4
    feed(Batch(0.0, [BlockRemoved([33, 32, 31, 30])]))
    assert held.depth(longer) == 2


def test_after_a_gap_the_index_is_a_guess_again() -> None:
    held, cache, feed, blocks = known(16)
    cache.missed()
    feed(Batch(0.0, [BlockRemoved([1])]))
    assert held.depth(blocks) == 4
    assert len(cache) == 0


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until `condition` holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what changes tells nobody
            await asyncio.sleep(0.001)


async def test_events_come_over_the_wire(tmp_path: Path) -> None:
    held, cache, _, blocks = known(64)
    async with KvPublisher(tmp_path / "e.sock.kv") as publisher:
        listening = asyncio.create_task(hear(str(publisher.path), cache))
        await publisher.subscribed.wait()
        many = [stored(*range(1000, 1300), name="z")]  # a frame that needs a long head
        await publisher.send(Batch(1.0, [*many, BlockRemoved(list(range(40, 65)))]))
        await until(lambda: held.depth(blocks) != 16)
        assert held.depth(blocks) < 12
        publisher.skip()
        await publisher.send(Batch(2.0, [stored(5000, name="z")]))
        await until(lambda: len(cache) == 1)
        publisher.close()
        with pytest.raises(EOFError):
            await listening


async def test_the_replicas_of_the_table_in_use_are_heard(tmp_path: Path) -> None:
    routes, route = Routes(tmp_path / "routes.json"), route_of(2)
    path = tmp_path / "e.sock.kv"
    teller = replace(route.entry.targets[0], cache_events=str(path))
    table = RouteTable("1", encode_pepper(bytes(32)), [], [replace(route.entry, targets=[teller])])
    async with KvPublisher(path) as publisher:
        listening = asyncio.create_task(Listening(routes).run())
        routes.swap(table)
        await publisher.subscribed.wait()
        assert routes.table is not None
        [replica] = [replica for one in routes.table.routes for replica in one.replicas]
        replica.held.add(chain(1, b"x" * 4096), 0.25)
        await publisher.send(Batch(1.0, [stored(1, 2)]))
        await until(lambda: replica.cache is not None and len(replica.cache) == 2)
        await publisher.send(Batch(1.0, [AllBlocksCleared()]))
        await until(lambda: not len(replica.held))
        listening.cancel()


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x01"])
async def test_what_is_no_publisher_is_told_apart(greeting: bytes, tmp_path: Path) -> None:
    async with KvPublisher(tmp_path / "e.sock.kv", greeting=greeting.ljust(64)) as publisher:
        with pytest.raises(BrokenPublisherError):
            await hear(str(publisher.path), EngineCache(Held(1.0)))


async def test_what_cannot_be_read_ends_the_listening(tmp_path: Path) -> None:
    async with KvPublisher(tmp_path / "e.sock.kv") as publisher:
        listening = asyncio.create_task(hear(str(publisher.path), EngineCache(Held(1.0))))
        await publisher.subscribed.wait()
        await publisher.send_raw([b"", bytes(8), b"\xc1"])
        with pytest.raises(msgspec.DecodeError):
            await listening


def prompt_fields() -> Fields:
    return read_fields(encode({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}))


def test_an_engine_that_tells_is_told_the_requests_name() -> None:
    route = route_of(2)
    silent = send(route, prompt_of(route, text_of(1)))
    call = make_call(CHAT, route, prompt_fields())
    assert b"x-session-id" not in silent.request(call, "req-1")
    teller = Replica(Target("r9", "http://127.0.0.1:9", cache_events="/run/e.sock.kv"))
    visit, prompt = Visit(teller), prompt_of(route, text_of(1))
    visit.expect(prompt, prompt.tokens, 0.0)
    head = visit.request(call, "req-2").partition(b"\r\n\r\n")[0]
    assert b"\r\nx-request-id: req-2\r\nx-session-id: req-2" in head
    assert teller.cache is not None
    tokens = Tokens()
    tokens.prompt, tokens.completion = 2048, 5
    teller.cache.stored("req-2", list(range(128)), None, BLOCK)
    visit.learn(tokens, FakeClock())
    assert teller.held.depth(prompt.blocks) == len(prompt.blocks)
    teller.cache.removed(list(range(127, -1, -1)), BLOCK)
    assert teller.held.depth(prompt.blocks) == 0
