"""A control plane, an engine and a gateway process with a key for its routes: for every test its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.control_plane import ControlPlane, run_control
from tests.support.gateway_bench import Bench, make_bench
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, route_to, run_gateway, table_of
from tests.support.openai_engine import Engine, run_engine

from aicp.core.route import RouteTable


def table_for(engine: Engine, secret: str) -> RouteTable:
    """Routes `demo`, `embed` and `rank` for the key, and one of another project."""
    routes = [
        route_to([engine]),
        route_to([engine], "embed", type="embedding"),
        route_to([engine], "rank", type="rerank"),
        route_to([engine], "foreign", project="other"),
    ]
    return table_of(routes, [entry_of(secret)])


@pytest.fixture
def secret() -> str:
    """The key of the test."""
    return new_secret()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """The engine behind every route."""
    async with run_engine(tmp_path / "a.sock") as running:
        yield running


@pytest.fixture
async def control(engine: Engine, secret: str) -> AsyncIterator[ControlPlane]:
    """A control plane."""
    async with run_control(table_for(engine, secret)) as running:
        yield running


@pytest.fixture
async def gateway(control: ControlPlane, secret: str, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway that has the table."""
    async with run_gateway(tmp_path / "gateway", control, secret) as running:
        yield running


@pytest.fixture
async def bench(tmp_path: Path, clock: FakeClock) -> Bench:
    """A gateway without sockets."""
    return make_bench(tmp_path, clock)
