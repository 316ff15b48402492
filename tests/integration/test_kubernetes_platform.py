"""`aicp up --runner kubernetes` as a user starts it, over an API server for tests."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from tests.support.agent_process import eventually
from tests.support.kubernetes_world import KubernetesWorld

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def free_ports() -> int:
    """A port that is free together with the one after it."""
    for first in range(21000, 30000, 7):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", first))
                two.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            return first
    raise AssertionError("no two free ports")


async def test_nodes_of_the_cluster_are_those_of_the_platform(tmp_path: Path) -> None:
    world = KubernetesWorld()
    async with world.serve(tmp_path):
        env = {name: value for name, value in os.environ.items() if not name.startswith("AICP_")}
        env |= {
            "AICP_DATA_DIR": str(tmp_path / "data"),
            "AICP_PORT": str(free_ports()),
            "AICP_KUBERNETES_CONFIG": str(world.config),
        }
        command = [sys.executable, "-m", "aicp.main.server", "up", "--runner", "kubernetes"]
        platform = await asyncio.create_subprocess_exec(*command, env=env, stderr=asyncio.subprocess.DEVNULL)

        async def listed() -> bool:
            assert platform.returncode is None
            asking = [sys.executable, "-m", "aicp.cli.app", "node", "list", "--json"]
            answer = await asyncio.create_subprocess_exec(*asking, env=env, stdout=-1, stderr=-1)
            told, _ = await answer.communicate()
            return b'"node-a"' in told

        try:
            assert await eventually("the node is listed", listed, seconds=120)
            assert not (tmp_path / "data" / "logs" / "agent.log").exists(), "no agent runs on this machine"
        finally:
            platform.terminate()
            assert await platform.wait() == 0
