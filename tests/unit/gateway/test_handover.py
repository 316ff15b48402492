"""One process takes over from another: nothing that a client does fails, and every request is counted once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.gateway_process import GatewayProcess, run_gateway, until, without_key
from tests.support.http_wire import Asked, read_answer, request
from tests.support.openai_engine import USAGE, Engine, Wire, answer_normally

from aicp.core.errors import ConflictError
from aicp.gateway.slots import newest, slot_numbers, take_slot, try_slot

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
QUICK = {"leave_idle_seconds": 1.0}
CLIENTS = 50


async def _slow_or_short(wire: Wire, asked: Asked) -> None:
    """A stream takes its time; what is not streamed is answered at once."""
    if not asked.json().get("stream"):
        return await answer_normally(wire, asked)
    await wire.start()
    for number in range(30):
        await wire.event({"id": "c", "choices": [{"index": 0, "delta": {"content": f"w{number} "}}]})
        await asyncio.sleep(0.05)
    await wire.event({"id": "c", "choices": [], "usage": USAGE})
    await wire.event("[DONE]")
    await wire.end()


@dataclass
class _Client:
    """Asks without a pause on kept connections, as long as it may."""

    gateway: GatewayProcess
    number: int
    ended: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    connections: int = 0

    async def run(self, go_on: asyncio.Event) -> None:
        """Ends after the request during which `go_on` is cleared."""
        while go_on.is_set() and not self.problems:
            self.connections += 1
            reader, writer = await self.gateway.connect()
            try:
                while go_on.is_set():
                    if not await self._ask(reader, writer):
                        break
            except (OSError, EOFError) as error:
                self.problems.append(f"client {self.number}: {error!r}")
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        stream = self.number % 2 == 0
        writer.write(request("POST", PATH, CHAT | {"stream": stream}, key=self.gateway.key))
        answer = await asyncio.wait_for(read_answer(reader), 30)
        whole = answer.body.rstrip().endswith(b"data: [DONE]") and b"w29 " in answer.body if stream else answer.body
        if answer.status != 200 or not whole:
            self.problems.append(f"client {self.number}: {answer.status} {answer.body[-200:]!r}")
            return False
        self.ended["stream" if stream else "short"] += 1
        return answer.headers.get("connection") != "close"


async def test_three_restarts_under_load_fail_no_request_cut_no_stream_and_count_each_once(
    tmp_path: Path, control: ControlPlane, engine: Engine, secret: str
) -> None:
    engine.script = _slow_or_short
    async with run_gateway(tmp_path / "g", control, secret) as gateway:
        go_on = asyncio.Event()
        go_on.set()
        clients = [_Client(gateway, number) for number in range(CLIENTS)]
        running = [asyncio.ensure_future(client.run(go_on)) for client in clients]
        for restart in range(1, 4):
            before = sum(client.ended.total() for client in clients)
            await until(lambda least=before + CLIENTS: sum(client.ended.total() for client in clients) > least, 60)
            await gateway.restart()
            assert len(gateway.former) == restart
        for former in gateway.former:
            assert await asyncio.wait_for(former.wait(), 60) == 0, "\n".join(gateway.lines)
        go_on.clear()
        await asyncio.gather(*running)
        assert [problem for client in clients for problem in client.problems] == []
        asked = sum((client.ended for client in clients), Counter[str]())
        assert min(asked["stream"], asked["short"]) >= CLIENTS
        assert all(client.connections > 1 for client in clients), "every kept connection was told to move on"
        records = await gateway.recorded(asked.total())
        assert await gateway.stop() == 0
        assert len(records) == asked.total() == len({record["request_id"] for record in records})
        assert {record["outcome"] for record in records} == {"ok"}
        assert control.repeated == 0


async def test_a_successor_that_cannot_serve_changes_nothing(
    tmp_path: Path, control: ControlPlane, engine: Engine, secret: str
) -> None:
    async with run_gateway(tmp_path / "g", control, secret) as gateway:
        gateway.options["tls_certificate"] = str(tmp_path / "nothing.pem")
        with pytest.raises(AssertionError, match=r"nothing\.pem|No such file"):
            await gateway.restart()
        gateway.former.clear()
        del gateway.options["tls_certificate"]
        assert (await gateway.ask(PATH, CHAT)).status == 200
        gateway.lines.clear()  # its traceback was meant


async def test_a_successor_begins_with_the_table_of_now(
    tmp_path: Path, control: ControlPlane, engine: Engine, secret: str
) -> None:
    """A key revoked in the very moment of a restart opens nothing."""
    async with run_gateway(tmp_path / "g", control, secret) as gateway:
        assert control.table is not None
        control.table = without_key(control.table, "2")  # the present process is not told
        await gateway.restart()
        # until it is told that another one serves, the present process still accepts, with the table it has
        await until(lambda: len(list(gateway.directory.rglob("handover.sock"))) == 1)
        assert (await gateway.ask(PATH, CHAT)).status == 401
        await gateway.former[0].wait()


async def test_what_a_killed_process_leaves_in_its_place_is_settled_by_the_one_that_lives(
    tmp_path: Path, control: ControlPlane, engine: Engine, secret: str
) -> None:
    begun = asyncio.Event()

    async def never_ends(wire: Wire, asked: Asked) -> None:
        await wire.start()
        await wire.event({"id": "c", "choices": [{"index": 0, "delta": {"content": "w"}}]})
        begun.set()
        await asyncio.sleep(60)

    engine.script = never_ends
    async with run_gateway(tmp_path / "g", control, secret, limits=QUICK) as gateway:
        streaming = asyncio.ensure_future(gateway.ask(PATH, CHAT | {"stream": True}))
        await begun.wait()
        await gateway.restart()
        first = gateway.former[0]
        assert first.returncode is None
        assert control.usage == [], "what is open there is none of the successor's business"
        await asyncio.sleep(0)
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        (record,) = await gateway.recorded(1)
        assert record["outcome"] == "interrupted"
        assert isinstance((await asyncio.gather(streaming, return_exceptions=True))[0], BaseException)


async def test_two_processes_share_a_port_also_when_one_was_alone_before(
    tmp_path: Path, control: ControlPlane, engine: Engine, secret: str
) -> None:
    async with run_gateway(tmp_path / "g", control, secret, limits=QUICK) as gateway:
        gateway.options["shared"] = True
        await gateway.restart()
        await asyncio.wait_for(gateway.former[0].wait(), 20)
        other = GatewayProcess(gateway.directory, control, gateway.port, secret, gateway.options)
        await other.start()
        try:
            places = [tmp_path / "g", tmp_path / "g" / "2"]
            await until(lambda: all((place / "metrics.sock").exists() for place in places))
            wires = [await gateway.connect() for _ in range(60)]
            # a connection is open before its process has accepted it; an answer on it comes after that
            for reader, writer in wires:
                writer.write(request("GET", "/healthz"))
                assert (await asyncio.wait_for(read_answer(reader), 20)).status == 200
            counts = [await _connections(place) for place in places]
            assert sum(counts) == 60
            assert min(counts) >= 10, "the kernel shares connections out evenly"
            assert other.process is not None
            os.kill(other.process.pid, signal.SIGKILL)
            await other.process.wait()
            answers = await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(20)))
            assert {answer.status for answer in answers} == {200}
            for _, writer in wires:
                writer.close()
        finally:
            await other.stop(signal.SIGKILL)


async def _connections(place: Path) -> int:
    """Clients' connections at the process of a place, by its own figures; the one that asks is none of them."""
    reader, writer = await asyncio.open_unix_connection(str(place / "metrics.sock"), limit=2**24)
    writer.write(request("GET", "/metrics", key=TOKEN))
    answer = await asyncio.wait_for(read_answer(reader), 10)
    writer.close()
    line = next(line for line in answer.body.splitlines() if line.startswith(b"aicp_gateway_connections "))
    return int(float(line.split()[1])) - 1


async def test_a_process_serves_its_own_figures_at_a_socket(
    tmp_path: Path, control: ControlPlane, engine: Engine, secret: str
) -> None:
    async with run_gateway(tmp_path / "g", control, secret) as gateway:
        assert (await gateway.ask(PATH, CHAT)).status == 200
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "g" / "metrics.sock"), limit=2**24)
        writer.write(request("GET", "/metrics", key=TOKEN))
        answer = await asyncio.wait_for(read_answer(reader), 10)
        writer.close()
        assert (answer.status, b"aicp_gateway_requests_total" in answer.body) == (200, True)


def test_places_are_held_by_one_process_each_and_kept_for_the_next(tmp_path: Path) -> None:
    first = take_slot(tmp_path)
    second = take_slot(tmp_path)
    assert (first.directory, second.directory) == (tmp_path, tmp_path / "2")
    assert first.gateway_id != second.gateway_id
    assert try_slot(tmp_path, 1) is None
    assert slot_numbers(tmp_path) == [1, 2]
    (second.directory / "routes.json").write_text("x")
    assert newest(first, "routes.json") == second.directory / "routes.json"
    assert newest(first, "totals.json") == first.directory / "totals.json"
    second.free()
    again = take_slot(tmp_path)
    assert (again.number, again.gateway_id) == (2, second.gateway_id)
    again.free()
    first.free()


def test_places_are_not_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicp.gateway.slots._MOST", 1)
    held = take_slot(tmp_path)
    with pytest.raises(ConflictError, match=r"run on .* already"):
        take_slot(tmp_path)
    held.free()
