"""Listens to the engines that tell of their prefix caches: vLLM's KV events, MessagePack over ZeroMQ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from aicp.gateway.engine_caches import EngineCache, Number
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Routes
from aicp.gateway.zmtp import BrokenPublisherError, subscribe

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
_MEDIA = (None, "GPU")
"""What an engine computes with; copies elsewhere come and go for reasons of their own. Processors say `GPU`, too."""


class BlockStored(msgspec.Struct, tag=True):
    """Blocks that follow each other in a prompt; `session_id` names the request. vLLM tells more than is read here."""

    block_hashes: list[Number]
    parent_block_hash: Number | None
    block_size: int
    medium: str | None = None
    group_idx: int | None = None
    session_id: str | None = None


class BlockRemoved(msgspec.Struct, tag=True):
    """Blocks that are no longer there."""

    block_hashes: list[Number]
    medium: str | None = None
    group_idx: int | None = None


class AllBlocksCleared(msgspec.Struct, tag=True):
    """Nothing is there any more."""


class Batch(msgspec.Struct, array_like=True):
    """What happened in one step of an engine."""

    ts: float
    events: list[BlockStored | BlockRemoved | AllBlocksCleared]


_decoder = msgspec.msgpack.Decoder(Batch)


class Listening:
    """Hears all replicas of the table in use that tell of their caches."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._tasks: dict[Replica, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                self._look()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            self._tasks.clear()

    def _look(self) -> None:
        """Begins with replicas that are new and ends with those that are gone."""
        table = self._routes.table
        routes = table.routes if table is not None else ()
        present = {replica for route in routes for replica in route.replicas if replica.cache is not None}
        for replica in self._tasks.keys() - present:
            self._tasks.pop(replica).cancel()
        for replica in present - self._tasks.keys():
            self._tasks[replica] = asyncio.get_running_loop().create_task(_hear(replica))


async def _hear(replica: Replica) -> None:
    """All that one replica tells; begins again whenever it breaks off."""
    path, cache = replica.target.cache_events, replica.cache
    if path is None or cache is None:
        return
    known = True
    while True:
        try:
            await hear(path, cache)
        except (OSError, EOFError, BrokenPublisherError, msgspec.DecodeError) as error:
            if known:
                log.warning("replica %s tells nothing of its cache, which is guessed at: %s", replica.id, error)
            known = False
        except Exception:
            log.exception("what replica %s tells of its cache cannot be dealt with", replica.id)
        cache.missed()
        await asyncio.sleep(_AGAIN_SECONDS)


async def hear(path: str, cache: EngineCache) -> None:
    """Tells `cache` what comes from `path`, until the connection ends: see `subscribe` for what is raised."""
    expected = 0
    feed = feeder(cache)
    async with aclosing(subscribe(path)) as messages:
        async for parts in messages:
            if len(parts) != 3:
                raise BrokenPublisherError(f"{path} sent {len(parts)} parts instead of topic, number and batch")
            number = int.from_bytes(parts[1], "big")
            if number != expected:
                cache.missed()
            expected = number + 1
            feed(_decoder.decode(parts[2]))


def feeder(cache: EngineCache) -> Callable[[Batch], None]:
    """Takes the events of one engine in their order."""
    tokens = 0
    group: int | None = None

    def feed(batch: Batch) -> None:
        nonlocal tokens, group
        for event in batch.events:
            if isinstance(event, AllBlocksCleared):
                cache.cleared()
            elif event.medium not in _MEDIA:
                continue
            elif isinstance(event, BlockStored):
                # layers of several kinds keep blocks of their own; those that were told of first stand for all
                group = event.group_idx if not tokens else group
                tokens = tokens or event.block_size
                if event.group_idx == group and event.block_size == tokens:
                    cache.stored(event.session_id or "", event.block_hashes, event.parent_block_hash, tokens)
            elif event.group_idx == group:
                cache.removed(event.block_hashes, tokens)

    return feed
