"""Real processes: one of two engines is killed in the middle of an answer, and the other makes the rest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, route_to, until
from tests.support.http_wire import read_chunk, read_head, request
from tests.support.openai_engine import Engine

from aicp.engines import echo

WORDS = [f"word{number}" for number in range(60)]
CHAT = {"model": "demo", "messages": [{"role": "user", "content": " ".join(WORDS)}], "stream": True}
SERVER = Path(echo.__file__).with_name("_echo_server.py")


@asynccontextmanager
async def echoes(folder: Path, control: ControlPlane, gateway: GatewayProcess) -> AsyncIterator[list[Any]]:
    """Two replicas of `demo`; the processes of their engines by replica."""
    engines = [Engine(folder / f"{name}.sock") for name in "xy"]
    environment = {**os.environ, "ECHO_TOKEN": "engine-token"}
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, str(SERVER), "--listen", str(engine.path), "--model", "inner", "--token-delay-ms", "20"),
            env=environment,
        )
        for engine in engines
    ]
    try:
        await until(lambda: all(engine.path.exists() for engine in engines))
        assert control.table is not None
        route = replace(route_to(engines), continues=dict(echo.driver.continues))
        control.publish(replace(control.table, etag="2", routes=[route]))
        await gateway.with_table("2")
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def kill_the_one_at_work(gateway: GatewayProcess, control: ControlPlane, processes: list[Any]) -> None:
    await until(lambda: any(control.beats[-1]["inflight"].values()))
    busy = next(name for name, number in control.beats[-1]["inflight"].items() if number)
    os.kill(processes["xy".index(busy[-1])].pid, signal.SIGKILL)


@pytest.mark.parametrize("both", [False, True])
async def test_an_engine_is_killed_in_the_middle_of_an_answer(
    gateway: GatewayProcess, control: ControlPlane, tmp_path: Path, both: bool
) -> None:
    async with echoes(tmp_path, control, gateway) as processes:
        reader, writer = await gateway.connect()
        writer.write(request("POST", "/v1/chat/completions", CHAT, key=gateway.key))
        assert (await read_head(reader)).status == 200
        body = await read_chunk(reader)
        if both:
            for process in processes:
                os.kill(process.pid, signal.SIGKILL)
        else:
            await kill_the_one_at_work(gateway, control, processes)
        while piece := await read_chunk(reader):
            body += piece
        writer.close()
        *events, last = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-1]]
        (record,) = await gateway.recorded(1)
        if both:
            assert "ended" in json.loads(last)["error"]["message"]
            assert record["outcome"] == "engine_error"
            return
        assert last == b"[DONE]"
        said = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events]
        assert "".join(said).split(" ") == WORDS
        assert (record["outcome"], record["prompt_tokens"], record["completion_tokens"]) == ("ok", 60, 60)
        assert sum(process.returncode is None for process in processes) == 1
