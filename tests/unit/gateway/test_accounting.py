"""Every request is counted exactly once, whatever dies, is away or is full."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, run_gateway, until
from tests.support.http_wire import Answer, read_answer, read_head, request
from tests.support.openai_engine import Engine, Wire, answer_normally

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"


def ids(control: ControlPlane) -> list[str]:
    return [record["request_id"] for record in control.usage]


async def test_a_killed_gateway_loses_and_doubles_nothing(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    """What reached the engine is what is counted; what the client saw finished is counted as such."""
    chance = random.Random(7)
    finished: list[str] = []

    async def slow(wire: Wire, asked: Any) -> None:
        await asyncio.sleep(chance.random() * 0.02)
        await answer_normally(wire, asked)

    engine.script = slow

    async def client(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                answer = await gateway.ask(PATH, CHAT | {"stream": chance.random() < 0.5})
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)
                continue
            assert answer.status == 200
            finished.append(answer.headers["x-request-id"])

    for _ in range(4):
        stop = asyncio.Event()
        clients = [asyncio.ensure_future(client(stop)) for _ in range(16)]
        await asyncio.sleep(0.3 + chance.random() * 0.5)
        assert gateway.process is not None
        os.kill(gateway.process.pid, signal.SIGKILL)
        stop.set()
        await asyncio.gather(*clients)
        await gateway.stop(signal.SIGKILL)
        await gateway.start()
    sent = [asked.headers["x-request-id"] for asked in engine.asked]
    await until(lambda: set(sent) <= set(ids(control)), 15)
    await gateway.stop()
    counted = Counter(ids(control))
    assert len(finished) > 200
    assert max(counted.values()) == 1
    assert set(finished) <= set(counted)
    assert len(set(counted) - set(sent)) <= 16 * 4, "opened but not yet sent when it was killed"
    outcomes = {record["request_id"]: record["outcome"] for record in control.usage}
    assert {outcomes[name] for name in finished} == {"ok"} or all(
        outcomes[name] in ("ok", "interrupted") for name in finished
    )
    lost_ends = sum(outcomes[name] != "ok" for name in finished)
    assert lost_ends == 0, "the end is on disk before the client sees it"
    assert "interrupted" in outcomes.values()


async def test_usage_waits_while_the_control_plane_is_down(gateway: GatewayProcess, control: ControlPlane) -> None:
    await control.stop()
    names = {(await gateway.ask(PATH, CHAT)).headers["x-request-id"] for _ in range(30)}
    await gateway.stop(signal.SIGKILL)
    await gateway.start()
    names |= {(await gateway.ask(PATH, CHAT)).headers["x-request-id"] for _ in range(30)}
    await gateway.stop()
    await gateway.start()
    await control.start()
    await until(lambda: set(ids(control)) >= names)
    assert Counter(ids(control)) == Counter(names)


async def test_a_batch_whose_answer_is_lost_is_counted_once(gateway: GatewayProcess, control: ControlPlane) -> None:
    control.lose_usage_answers = 2
    names = {(await gateway.ask(PATH, CHAT)).headers["x-request-id"] for _ in range(20)}
    await until(lambda: set(ids(control)) >= names)
    await until(lambda: control.repeated >= 1)
    more = {(await gateway.ask(PATH, CHAT)).headers["x-request-id"] for _ in range(5)}
    await until(lambda: set(ids(control)) >= names | more)
    assert Counter(ids(control)) == Counter(names | more)


async def test_a_control_plane_that_refuses_gets_it_later(gateway: GatewayProcess, control: ControlPlane) -> None:
    control.refuse_usage = True
    await gateway.ask(PATH, CHAT)
    tries = control.paths["/internal/v1/usage"]
    await until(lambda: control.paths["/internal/v1/usage"] > tries + 1)
    control.refuse_usage = False
    assert len(await gateway.recorded(1)) == 1


async def test_shipped_usage_leaves_the_disk(gateway: GatewayProcess, control: ControlPlane) -> None:
    for _ in range(3):
        await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(50)))
        await asyncio.sleep(0.5)
    await until(lambda: len(control.usage) == 150)

    def small() -> bool:
        return sum(len(path.read_bytes().rstrip(b"\0")) for path in gateway.directory.rglob("usage*.log")) < 1000

    await until(small)


async def test_long_streams_do_not_hold_back_the_usage_of_others(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    go_on = asyncio.Event()

    async def waits(wire: Wire, asked: Any) -> None:
        await wire.start()
        await wire.event({"choices": []})
        await go_on.wait()
        await wire.event("[DONE]")
        await wire.end()

    engine.script = waits
    reader, writer = await gateway.connect()
    writer.write(request("POST", PATH, CHAT | {"stream": True}, key=gateway.key))
    long = (await read_head(reader)).headers["x-request-id"]
    engine.script = answer_normally
    names = {(await gateway.ask(PATH, CHAT)).headers["x-request-id"] for _ in range(10)}
    await until(lambda: set(ids(control)) >= names)
    assert long not in ids(control)
    await gateway.stop(signal.SIGKILL)
    await gateway.start()
    await until(lambda: long in ids(control))
    assert control.outcome(long) == "interrupted"
    assert max(Counter(ids(control)).values()) == 1
    writer.close()


async def test_a_request_refused_after_the_key_check_is_counted_and_one_before_it_is_not(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await gateway.ask(PATH, CHAT, key="sk-wrong")
    await gateway.ask("/v1/models", method="GET")
    refused = [
        await gateway.ask(PATH, CHAT | {"model": "nothing"}),
        await gateway.ask(PATH, b"{"),
        await gateway.ask(PATH, CHAT | {"priority": 1}),
    ]
    answer = await gateway.ask(PATH, CHAT)
    await gateway.recorded(4)
    outcomes = {record["request_id"]: record["outcome"] for record in control.usage}
    assert outcomes == {one.headers["x-request-id"]: "rejected" for one in refused} | {
        answer.headers["x-request-id"]: "ok"
    }
    assert len(engine.asked) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("not run: mounting a small tmpfs needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_is_told_and_nothing_goes_unmetered(
    small_disk: Path, control: ControlPlane, secret: str, engine: Engine
) -> None:
    async with run_gateway(small_disk / "gateway", control, secret) as gateway:
        assert (await gateway.ask(PATH, CHAT)).status == 200
        await gateway.recorded(1)
        hold = asyncio.Event()

        async def waits(wire: Wire, asked: Any) -> None:
            await hold.wait()
            await answer_normally(wire, asked)

        engine.script = waits
        running = asyncio.ensure_future(gateway.ask(PATH, CHAT))
        await until(lambda: len(engine.asked) == 2)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 512)
            except OSError:
                pass
        engine.script = answer_normally
        statuses: list[Answer] = []
        # the segment in use has its room already, and is used up first
        while len(statuses) < 6000 and (not statuses or statuses[-1].status == 200):
            statuses += await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(32)))
        refused = [answer for answer in statuses if answer.status == 503]
        assert refused, "the log cannot grow"
        assert "disk" in refused[0].json()["error"]["message"].lower() or "space" in refused[0].body.decode().lower()
        assert int(refused[0].headers["retry-after"]) > 0
        hold.set()
        assert (await running).status == 200
        served = sum(answer.status == 200 for answer in statuses) + 2
        assert len(engine.asked) == served
        assert (await gateway.ask("/v1/models", method="GET")).status == 200
        filler.unlink()
        await until_served(gateway)
        await until(lambda: len(set(ids(control))) == len(engine.asked), 15)
        assert max(Counter(ids(control)).values()) == 1
        by_outcome = Counter(record["outcome"] for record in control.usage)
        assert set(by_outcome) == {"ok"}, by_outcome


async def until_served(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(15):
        while True:
            if (await gateway.ask(PATH, CHAT)).status == 200:
                return
            await asyncio.sleep(0.1)


async def test_pipelined_requests_are_counted_one_by_one(gateway: GatewayProcess, control: ControlPlane) -> None:
    reader, writer = await gateway.connect()
    writer.write(b"".join(request("POST", PATH, CHAT, key=gateway.key) for _ in range(10)))
    names = [(await read_answer(reader)).headers["x-request-id"] for _ in range(10)]
    writer.close()
    await gateway.recorded(10)
    assert Counter(ids(control)) == Counter(names)
