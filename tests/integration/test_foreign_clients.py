"""LangChain's and LiteLLM's clients against a real gateway: chat, streams, tools, embeddings, errors."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import run_control
from tests.support.engine_scripts import calls_a_tool
from tests.support.gateway_process import (
    GatewayProcess,
    entry_of,
    new_secret,
    route_to,
    run_gateway,
    table_of,
    until,
)
from tests.support.openai_engine import Engine, run_engine

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"
ECHO = ROOT / "src" / "aicp" / "engines" / "_echo_server.py"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CLIENTS.exists(), reason="their environment is not there (tools/install_clients.sh)"),
]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway over the echo engine (`echo`, `embed`), and one that calls a tool (`tools`)."""
    secret, sockets = new_secret(), [tmp_path / "echo.sock", tmp_path / "embed.sock"]
    engines = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(ECHO),
            "--listen",
            str(path),
            "--model",
            path.stem,
            env={"ECHO_TOKEN": "engine-token"},
        )
        for path in sockets
    ]
    try:
        await until(lambda: all(path.exists() for path in sockets))
        echo, embed = (
            route_to([Engine(path)], path.stem, type=kind)
            for path, kind in zip(sockets, ("chat", "embedding"), strict=True)
        )
        async with run_engine(tmp_path / "tools.sock", calls_a_tool()) as tools:
            routes = [replace(route, upstream_model=route.name) for route in (echo, embed)] + [
                route_to([tools], "tools")
            ]
            table = table_of(routes, [entry_of(secret)])
            async with run_control(table) as control, run_gateway(tmp_path / "gateway", control, secret) as running:
                yield running
    finally:
        for engine in engines:
            engine.terminate()
            await engine.wait()


@pytest.mark.parametrize("library", ["langchain", "litellm"])
async def test_a_client_of_others_gets_what_it_expects(gateway: GatewayProcess, library: str) -> None:
    program = [str(CLIENTS), "-P", str(ROOT / "tests" / "support" / "foreign_clients.py"), library]
    done = await asyncio.create_subprocess_exec(
        *program,
        f"{gateway.base_url}/v1",
        gateway.key,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    out, errors = await asyncio.wait_for(done.communicate(), 200)
    assert done.returncode == 0, errors.decode()
    got: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    assert got["chat"] == ["one two three", 3, 3]
    assert got["stream"] == ["one two three", True]
    assert (got["stream_usage"], got["asynchronous"]) == (3, "one two three")
    call = {"name": "weather", "args": {"city": "Taipei"}, "id": "call_1", "type": "tool_call"}
    assert (got["tool"], got["streamed_tool"]) == (call, call)
    assert got["embeddings"] == [32, 32]
    refusals = (("unknown_model", 404, "NotFoundError"), ("wrong_key", 401, "AuthenticationError"))
    for name, status, kind in (*refusals, ("refused_field", 400, "BadRequestError")):
        assert got[name][0] == status
        assert kind in got[name][1:]
