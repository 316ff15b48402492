"""Random lives of replicas over a store that is killed again and again: place, resize, release, drain, start anew.

What is promised stands in a database file and nowhere else. A crash loses the card map and whatever was not committed,
before or after the write; the next life makes its map from the file. A ledger that is kept apart, some arithmetic for
each share, says after every step whether a card was promised twice, and at the end whether anything is left.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from aicp.core.launch import Allocation
from aicp.core.quantity import GIB
from aicp.core.slice import SliceProfile, SliceRequest, Slicing
from aicp.scheduler.board import Board
from aicp.scheduler.placement import CPU, Commitment, Device, NodeCapacity, Placement, Requirement, Snapshot
from aicp.scheduler.resizing import resize
from aicp.scheduler.room import CPU_SHARING, SLICE_RESERVE_BYTES

POOL = "default"
_CARD = 80 * GIB
_NODES, _CARDS, _NEEDS = 24, 8, 80
_CUT = Slicing(mechanism="interposer", resizable=True)
_SHAPES = Slicing(
    mechanism="mig",
    at_most=7,
    profiles=[
        SliceProfile(name="1g", compute_percent=14, memory_bytes=10 * GIB),
        SliceProfile(name="3g", compute_percent=42, memory_bytes=40 * GIB),
    ],
)
_GROUPS = Slicing(mechanism="cgroup", resizable=True)


class _Crash(Exception):
    """The process ends here."""


class _Ledger:
    """What each card and node has given away, counted apart from the scheduler's own map."""

    def __init__(self) -> None:
        self.whole = Counter[tuple[str, str]]()
        self.compute = Counter[tuple[str, str]]()
        self.memory = Counter[tuple[str, str]]()
        self.ways = Counter[tuple[str, str, str]]()
        self.host = Counter[str]()
        self.cores = Counter[str]()

    def count(self, allocation: Allocation, sign: int) -> None:
        """Adds an allocation, or takes it away, and looks at every card that it touches."""
        node = allocation.node_id
        self.host[node] += sign * allocation.memory_bytes
        self.cores[node] += sign * round(1000 * allocation.cpu_cores)
        for share in allocation.devices:
            key = (node, share.device_id)
            if share.mechanism is None:
                self.whole[key] += sign * (share.vendor != CPU)
            else:
                self.compute[key] += sign * share.compute_percent
                self.memory[key] += sign * share.memory_bytes
                self.ways[*key, share.mechanism] += sign
            self._look(key, share.vendor)
        assert 0 <= self.host[node] <= 1024 * GIB, "host memory is promised twice"
        assert 0 <= self.cores[node] <= 1000 * 64 * CPU_SHARING, "cores are promised too often"

    def _look(self, key: tuple[str, str], vendor: str) -> None:
        used = [way for way in ("interposer", "mig", "cgroup") if self.ways[*key, way]]
        most = 1024 * GIB if vendor == CPU else _CARD - SLICE_RESERVE_BYTES * ("mig" not in used)
        assert 0 <= self.whole[key] <= 1, "a card is given to two"
        assert not (self.whole[key] and used), "a card is whole and cut"
        assert len(used) <= 1, "a card is cut in two ways"
        assert 0 <= self.compute[key] <= 100, "compute is promised twice"
        assert 0 <= self.memory[key] <= most, "memory is promised twice"

    def left(self) -> bool:
        """Whether anything is still counted as given."""
        counters = (self.whole, self.compute, self.memory, self.ways, self.host, self.cores)
        return any(value for counter in counters for value in counter.values())


class Lives:
    """One store and the lives of the process over it."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        self._path = path
        self._chance = random.Random(seed)
        self._needs = [_need(self._chance) for _ in range(_NEEDS)]
        self._closed: set[str] = set()
        self._ledger = _Ledger()
        self._file = self._open()
        self._file.execute("create table held (id text primary key, service text, need integer, allocation text)")
        self._restart()
        self.done = Counter[str]()

    def run(self, operations: int) -> None:
        """So many operations; AssertionError when an invariant breaks."""
        for number in range(operations):
            try:
                self._step(number)
            except _Crash:
                self.done["crashes"] += 1
                self._file.close()
                self._file = self._open()
                self._restart()

    def end(self) -> None:
        """Releases all; AssertionError when anything is left on a card, a node, or in the ledger."""
        for replica in list(self._held):
            self._release(replica)
        assert not self._ledger.left(), "something is counted as given and belongs to nobody"
        for spot in self._board.nodes:
            assert (spot.room.memory_given, spot.room.cores_given, spot.room.services) == (0, 0, {})
            assert all(not (room.whole or room.slices or room.compute or room.memory) for room in spot.room.devices)
        self._file.close()

    def _open(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, isolation_level=None)
        file.execute("pragma journal_mode=wal")
        file.execute("pragma synchronous=off")
        return file

    def _restart(self) -> None:
        """A new life: the map is made from the file, and the ledger must agree with it."""
        self._held: dict[str, tuple[str, int, Allocation]] = {}
        ledger = _Ledger()
        for replica, service, need, text in self._file.execute("select id, service, need, allocation from held"):
            allocation = Allocation.model_validate_json(text)
            self._held[replica] = (service, need, allocation)
            ledger.count(allocation, 1)
        self._ledger = ledger
        self._ids = list(self._held)
        nodes = tuple(
            replace(node, unschedulable="it is being drained") if node.id in self._closed else node for node in NODES
        )
        self._board = Board(Snapshot(nodes, tuple(self._commitments(None))))

    def _commitments(self, node: str | None) -> Iterator[Commitment]:
        for replica, (service, _, allocation) in self._held.items():
            if node is None or allocation.node_id == node:
                yield Commitment(replica, service, allocation)

    def _step(self, number: int) -> None:
        luck = self._chance.random()
        if luck < 0.0004:
            self._drain()
        elif luck < 0.001:
            raise _Crash
        elif luck < 0.5 or not self._ids:
            self._place(f"r{number}")
        elif luck < 0.6:
            self._resize(self._any())
        else:
            self._release(self._any())

    def _any(self) -> str:
        place = self._chance.randrange(len(self._ids))
        self._ids[place], self._ids[-1] = self._ids[-1], self._ids[place]
        return self._ids[-1]

    def _place(self, replica: str) -> None:
        number = self._chance.randrange(_NEEDS)
        service = f"s{number % 20}"
        found = self._board.place(self._needs[number], service)
        if found is None:
            self.done["refused"] += 1
            return
        self._write("insert into held values (?, ?, ?, ?)", replica, service, number, found.allocation)
        self._enter(replica, service, number, found.allocation)
        self.done["placed"] += 1

    def _enter(self, replica: str, service: str, number: int, allocation: Allocation) -> None:
        self._board.add(service, allocation)
        self._ledger.count(allocation, 1)
        self._held[replica] = (service, number, allocation)
        self._ids.append(replica)

    def _release(self, replica: str) -> None:
        service, _, allocation = self._held[replica]
        self._write("delete from held where id = ?", replica)
        self._board.remove(service, allocation)
        self._ledger.count(allocation, -1)
        del self._held[replica]
        if self._ids and self._ids[-1] == replica:
            self._ids.pop()
        else:
            self._ids.remove(replica)
        self.done["released"] += 1

    def _resize(self, replica: str) -> None:
        service, number, allocation = self._held[replica]
        need = self._needs[number]
        if need.slice is None:
            return
        percent, memory = self._chance.randint(1, 100), self._chance.randint(1, 40 * GIB)
        need = replace(need, slice=SliceRequest(compute_percent=percent, memory_bytes=memory))
        node = next(node for node in NODES if node.id == allocation.node_id)
        narrow = Snapshot((node,), tuple(self._commitments(node.id)))
        answer = resize(replica, service, allocation, need, narrow)
        if not isinstance(answer, Placement):
            self.done["not resized"] += 1
            return
        self._write("update held set allocation = ? where id = ?", answer.allocation, replica)
        self._board.remove(service, allocation)
        self._board.add(service, answer.allocation)
        self._ledger.count(allocation, -1)
        self._ledger.count(answer.allocation, 1)
        self._held[replica] = (service, number, answer.allocation)
        self.done["resized"] += 1

    def _drain(self) -> None:
        """Closes a node and moves what it holds, each replica to its new place before it leaves the old one."""
        node = self._chance.choice(NODES).id
        self._closed = {node}
        self._restart()
        for item in list(self._commitments(node)):
            number = self._held[item.replica_id][1]
            found = self._board.place(self._needs[number], item.service)
            if found is None:
                self.done["stayed"] += 1
                continue
            successor = f"{item.replica_id}+"
            self._write("insert into held values (?, ?, ?, ?)", successor, item.service, number, found.allocation)
            self._enter(successor, item.service, number, found.allocation)
            self._release(item.replica_id)
            self.done["moved"] += 1
        self.done["drains"] += 1
        self._closed = set()
        self._restart()

    def _write(self, statement: str, *values: Any) -> None:
        """One transaction; once in a while the process dies just before it is committed, or just after."""
        luck = self._chance.random()
        self._file.execute("begin")
        self._file.execute(statement, [v.model_dump_json() if isinstance(v, Allocation) else v for v in values])
        if luck < 0.0002:
            raise _Crash
        self._file.execute("commit")
        if luck < 0.0004:
            raise _Crash


def _node(number: int) -> NodeCapacity:
    ways = (_SHAPES, _CUT) if number % 3 == 0 else (_CUT,)
    cards = tuple(
        Device("nvidia", f"g{index}", index, "H100", _CARD, slicing=ways if index < 6 else ())
        for index in range(_CARDS)
    )
    host = Device(CPU, "cpu-0", 0, "cpu", 1024 * GIB, slicing=(_GROUPS,), cores=64)
    return NodeCapacity(f"n{number}", f"node-{number}", POOL, 64, 1024 * GIB, (host, *cards))


NODES = tuple(_node(number) for number in range(_NODES))


def _need(chance: random.Random) -> Requirement:
    luck = chance.random()
    part = SliceRequest(compute_percent=chance.randint(1, 60), memory_bytes=chance.randint(1, 40 * GIB))
    if luck < 0.15:
        return Requirement(POOL, CPU, 0, 0, 0, 0, part)
    asked = part if luck < 0.85 else None
    return Requirement(POOL, "nvidia", chance.choice([1, 1, 1, 2]), 20 * GIB, chance.random() * 2, GIB, asked)


def live(path: Path, operations: int, seed: int = 1) -> dict[str, Any]:
    """Figures of so many operations over a store in the new file `path`; AssertionError where an invariant breaks."""
    started, used = time.perf_counter(), time.process_time()
    lives = Lives(path, seed)
    lives.run(operations)
    lives.end()
    return {
        "operations": operations,
        "seed": seed,
        **dict(sorted(lives.done.items())),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - used, 1),
    }
