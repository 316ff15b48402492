"""The batch loop over a real store and real files: every end of a batch, and crashes between any two steps."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.clock import FakeClock
from tests.support.gateway_process import until

from aicp.artifacts.batch_results import BatchResults
from aicp.artifacts.files import FileContents
from aicp.core.api_key import ApiKey
from aicp.core.batch import BATCH_TRANSITIONS, FINISHED_BATCH_STATES, Batch, BatchEndpoint, BatchState, parse_window
from aicp.core.bell import Bell
from aicp.core.errors import NoSpaceError
from aicp.core.file import File, FilePurpose
from aicp.reconcile.batch_calls import GatewayCalls, Room
from aicp.reconcile.batches import BatchLoop
from aicp.store.api_keys import ApiKeys
from aicp.store.batches import Batches
from aicp.store.database import Database
from aicp.store.files import Files

Serve = Callable[[httpx.Request], Awaitable[httpx.Response]]
LINES = 12


async def served(request: httpx.Request) -> httpx.Response:
    """What a gateway answers: every fourth line is refused."""
    asked = json.loads(request.content)["n"]
    return httpx.Response(400 if asked % 4 == 3 else 200, json={"n": asked})


class World:
    """A platform's store and disk, and batch loops that come and go on them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.clock, self.bell = database, FakeClock(), Bell()
        self.contents = FileContents(folder / "files")
        self.serve: Serve = served
        self.room = Room(4)
        self.asked: Counter[int] = Counter()

    def loop(self) -> BatchLoop:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://gateway")
        calls = GatewayCalls(client, bytes(32), self.clock, self.room)
        return BatchLoop(self.database, self.bell, self.contents, calls)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self.serve(request)
        self.asked[json.loads(request.content)["n"]] += 1
        return answer

    async def order(self, content: bytes | None = None) -> str:
        now = self.clock.now()
        key = ApiKey(id="key_a", name="a", project="default", prefix="sk-a", created_at=now)
        text = b"".join(line_of(number) for number in range(LINES)) if content is None else content
        self.contents.path("file_in").write_bytes(text)
        file = File(
            id="file_in", project="default", purpose=FilePurpose.BATCH, filename="in.jsonl", size_bytes=len(text),
            created_at=now,
        )  # fmt: skip
        batch = Batch(
            id="batch_1", project="default", api_key_id="key_a", endpoint=BatchEndpoint.CHAT, completion_window="24h",
            state=BatchState.VALIDATING, input_file_id="file_in", created_at=now,
            expires_at=now + parse_window("24h"),
        )  # fmt: skip
        async with self.database.transaction() as tx:
            await ApiKeys(tx).create(key, "00")
            await Files(tx).create(file)
            await Batches(tx).create(batch)
        return batch.id

    async def get(self) -> Batch:
        async with self.database.snapshot() as tx:
            return await Batches(tx).get("batch_1")

    async def move(self, wanted: BatchState) -> None:
        batch = await self.get()
        async with self.database.transaction() as tx:
            assert await Batches(tx).move(batch.id, batch.state, wanted, self.clock.now())

    async def until(self, *states: BatchState) -> Batch:
        async with asyncio.timeout(20):
            while True:
                batch = await self.get()
                if batch.state in states:
                    return batch
                await asyncio.sleep(0.01)

    async def run(self, *states: BatchState) -> Batch:
        """One loop until the batch is in one of `states`, by default an end."""
        task = asyncio.create_task(self.loop().run())
        try:
            return await self.until(*(states or FINISHED_BATCH_STATES))
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def results(self, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        async with self.database.snapshot() as tx:
            file = await Files(tx).get(file_id)
        content = self.contents.path(file_id).read_bytes()
        assert file.size_bytes == len(content)
        return [json.loads(line) for line in content.splitlines()]

    def files(self) -> set[str]:
        return {path.name for path in self.contents.directory.iterdir() if path.is_file()}


def line_of(number: int, padding: int = 0) -> bytes:
    body = {"model": "demo", "n": number, "text": "x" * padding}
    value = {"custom_id": f"line {number}", "method": "POST", "url": BatchEndpoint.CHAT.value, "body": body}
    return json.dumps(value).encode() + b"\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/aicp.sqlite")
    await database.create_all()
    yield World(database, tmp_path)
    await database.close()


async def check_whole(world: World, batch: Batch) -> None:
    """Every line has one result, in the right file."""
    assert batch.state is BatchState.COMPLETED
    assert (batch.counts.total, batch.counts.completed, batch.counts.failed) == (12, 9, 3)
    answers = [item["custom_id"] for item in await world.results(batch.output_file_id)]
    errors = [item["custom_id"] for item in await world.results(batch.error_file_id)]
    assert sorted(answers) == sorted(f"line {number}" for number in range(LINES) if number % 4 != 3)
    assert sorted(errors) == sorted(f"line {number}" for number in range(LINES) if number % 4 == 3)
    async with world.database.snapshot() as tx:
        world.contents.keep_only(await Files(tx).ids(), set(), older_than=inf)  # what a crash left
    assert world.files() == {"file_in", batch.output_file_id, batch.error_file_id}
    assert not list(world.contents.work.iterdir())


async def test_a_batch_comes_to_its_end(world: World) -> None:
    await world.order()
    batch = await world.run()
    await check_whole(world, batch)
    assert batch.model == "demo"
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    assert set(world.asked.values()) == {1}


@pytest.mark.parametrize("seen", range(LINES))
async def test_stopped_in_the_middle_it_goes_on(world: World, seen: int) -> None:
    """The process ends after so many answers, with others under way; the next one goes on."""
    await world.order()
    enough = asyncio.Event()

    async def some(request: httpx.Request) -> httpx.Response:
        if sum(world.asked.values()) >= seen:
            enough.set()
            await asyncio.Event().wait()
        return await served(request)

    world.serve = some
    task = asyncio.create_task(world.loop().run())
    async with asyncio.timeout(20):
        await enough.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (await world.get()).state is BatchState.IN_PROGRESS
    world.serve = served
    await check_whole(world, await world.run())
    assert sum(world.asked.values()) <= LINES + 4, "only what was under way is asked again"


@pytest.mark.parametrize("written", [BatchState.IN_PROGRESS, BatchState.FINALIZING, BatchState.COMPLETED])
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_write_of_a_state_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, written: BatchState, after: bool
) -> None:
    """It dies right before a state is written, or in the transaction that has written it."""
    await world.order()
    move, died = Batches.move, asyncio.Event()

    async def dying(self: Batches, batch_id: str, current: BatchState, wanted: BatchState, *rest: Any, **more: Any):
        if wanted is not written or died.is_set():
            return await move(self, batch_id, current, wanted, *rest, **more)
        if after:
            await move(self, batch_id, current, wanted, *rest, **more)
        died.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Batches, "move", dying)
    task = asyncio.create_task(world.loop().run())
    async with asyncio.timeout(20):
        await died.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await check_whole(world, await world.run())


async def test_lines_that_wait_for_their_turn_hold_no_memory(world: World) -> None:
    """However many workers a batch has, the bodies held are those that the room lets go."""
    await world.order(b"".join(line_of(number, 2**20) for number in range(32)))
    world.room = Room(64, held_bytes=2**21)
    arrived = asyncio.Event()

    async def stuck(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await asyncio.Event().wait()
        return await served(request)

    world.serve = stuck
    tracemalloc.start()
    task = asyncio.create_task(world.loop().run())
    try:
        async with asyncio.timeout(20):
            await arrived.wait()
            await asyncio.sleep(0)  # every worker has begun
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        task.cancel()
        await asyncio.wait({task})
    assert held < 12 * 2**20


async def test_cancelled_it_keeps_what_was_answered(world: World) -> None:
    await world.order()

    async def half(request: httpx.Request) -> httpx.Response:
        if sum(world.asked.values()) >= 5:
            await asyncio.Event().wait()
        return await served(request)

    world.serve = half
    task = asyncio.create_task(world.run(BatchState.CANCELLED))
    await until(lambda: sum(world.asked.values()) == 5)
    await world.move(BatchState.CANCELLING)
    batch = await task
    found = await world.results(batch.output_file_id) + await world.results(batch.error_file_id)
    assert len(found) == batch.counts.completed + batch.counts.failed == 5


async def test_one_that_was_never_begun_is_cancelled_too(world: World) -> None:
    await world.order()
    await world.move(BatchState.CANCELLING)
    batch = await world.run()
    assert (batch.state, batch.output_file_id, batch.error_file_id) == (BatchState.CANCELLED, None, None)
    assert not world.asked


async def test_when_its_window_closes_the_rest_is_an_error(world: World) -> None:
    await world.order()

    async def stuck(request: httpx.Request) -> httpx.Response:
        if sum(world.asked.values()) >= 2:
            world.clock.advance(25 * 3600)
            await asyncio.Event().wait()
        return await served(request)

    world.serve = stuck
    batch = await world.run()
    assert batch.state is BatchState.EXPIRED
    errors = await world.results(batch.error_file_id)
    expired = [item for item in errors if item["error"] and item["error"]["code"] == "batch_expired"]
    assert len(expired) == LINES - 2
    assert batch.counts.completed + batch.counts.failed == LINES


async def test_a_key_that_ended_fails_the_batch_and_keeps_what_was_answered(world: World) -> None:
    await world.order()

    async def ended(request: httpx.Request) -> httpx.Response:
        if sum(world.asked.values()) < 3:
            return await served(request)
        async with world.database.transaction() as tx:
            await ApiKeys(tx).update("key_a", {"revoked_at": world.clock.now()})
        return httpx.Response(401, json={})

    world.serve = ended
    batch = await world.run()
    assert batch.state is BatchState.FAILED
    assert [problem.code for problem in batch.problems] == ["key_ended"]
    assert len(await world.results(batch.output_file_id)) >= 1


async def test_a_wrong_file_fails_with_its_lines(world: World) -> None:
    await world.order(line_of(1) + b"{}\n")
    batch = await world.run()
    assert batch.state is BatchState.FAILED
    assert [problem.line for problem in batch.problems] == [2]
    assert not world.asked


@pytest.mark.parametrize("state", [BatchState.VALIDATING, BatchState.IN_PROGRESS])
async def test_a_file_that_is_gone_fails_the_batch(world: World, state: BatchState) -> None:
    await world.order()
    if state is BatchState.IN_PROGRESS:
        await world.move(state)
    world.contents.remove("file_in")
    batch = await world.run()
    assert batch.state is BatchState.FAILED
    assert [problem.code for problem in batch.problems] == ["input_gone"]


async def test_a_full_disk_is_waited_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.order()
    monkeypatch.setattr("aicp.reconcile.batches._AGAIN_SECONDS", 0.05)
    real, failures = BatchResults.add, iter(range(3))

    def full(self: BatchResults, *words: Any, **more: Any) -> None:
        if next(failures, None) is not None:
            raise NoSpaceError("The disk is full.")
        real(self, *words, **more)

    monkeypatch.setattr(BatchResults, "add", full)
    await check_whole(world, await world.run())


def test_every_state_leads_to_an_end() -> None:
    assert {BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED, BatchState.CANCELLED} == FINISHED_BATCH_STATES
    for state in BatchState:
        reached, before = {state}, set[BatchState]()
        while reached != before:
            before = set(reached)
            reached |= {onward for each in before for onward in BATCH_TRANSITIONS[each]}
        assert reached & FINISHED_BATCH_STATES
