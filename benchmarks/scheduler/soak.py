"""Random operations on the board, and a recount of its card map from nothing but the allocations that are left."""

from __future__ import annotations

import random
import time
from typing import Any

from scheduler.worlds import POOL, cluster

from aicp.core.quantity import GIB
from aicp.core.slice import SliceRequest
from aicp.scheduler.board import Board
from aicp.scheduler.placement import Commitment, Requirement, Snapshot

_NODES, _NEEDS, _CHECKS = 40, 60, 200


def soak(operations: int) -> dict[str, Any]:
    """Places and takes away so many times; raises AssertionError when the map is ever not what a new one would be."""
    chance = random.Random(3)
    nodes = cluster(_NODES)
    board = Board(Snapshot(nodes))
    needs = [_need(chance) for _ in range(_NEEDS)]
    held: list[Commitment] = []
    started = time.perf_counter()
    refused = 0
    for number in range(1, operations + 1):
        if held and chance.random() < 0.48:
            place = chance.randrange(len(held))
            held[place], held[-1] = held[-1], held[place]
            gone = held.pop()
            board.remove(gone.service, gone.allocation)
        else:
            service = f"s{chance.randrange(20)}"
            found = board.place(chance.choice(needs), service)
            if found is None:
                refused += 1
            else:
                board.add(service, found.allocation)
                held.append(Commitment(str(number), service, found.allocation))
        if number % max(1, operations // _CHECKS) == 0:
            _check(board, Snapshot(nodes, tuple(held)))
    seconds = time.perf_counter() - started
    return {"operations": operations, "refused": refused, "checks": _CHECKS, "seconds": round(seconds, 1)}


def _need(chance: random.Random) -> Requirement:
    asked = SliceRequest(compute_percent=chance.randint(1, 100), memory_bytes=chance.randint(1, 30 * GIB))
    part = asked if chance.random() < 0.8 else None
    return Requirement(POOL, "nvidia", chance.choice([1, 1, 1, 2, 4]), 20 * GIB, chance.random() * 4, GIB, part)


def _check(board: Board, snapshot: Snapshot) -> None:
    for mine, anew in zip(board.nodes, Board(snapshot).nodes, strict=True):
        assert (mine.memory_free, mine.room.cores_given) == (anew.memory_free, anew.room.cores_given)
        assert sorted(mine.free.values()) == sorted(anew.free.values())
        for card, other in zip(mine.cards, anew.cards, strict=True):
            room, fresh = card.room, other.room
            assert (room.whole, room.slices, room.compute, room.memory, room.mechanism) == (
                fresh.whole,
                fresh.slices,
                fresh.compute,
                fresh.memory,
                fresh.mechanism,
            )
            assert (card.entry and card.entry[1]) == (other.entry and other.entry[1])
            assert room.whole <= 1
            assert room.compute <= 100
            assert room.memory <= room.device.memory_bytes
            assert not (room.whole and room.slices)
