"""Tests that leave nothing behind share the gateway of their module: it takes longer to start than most of them to run.

They run on the module's loop (`pytestmark`), and find the engine well and no usage from before on its way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from tests.support.control_plane import ControlPlane, run_control
from tests.support.gateway_process import GatewayProcess, new_secret, run_gateway
from tests.support.openai_engine import Engine, answer_normally, run_engine
from tests.unit.gateway.conftest import table_for


@dataclass
class Standing:
    """One gateway for a module."""

    gateway: GatewayProcess
    control: ControlPlane
    engine: Engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    """All three, for the tests of a module that run on the module's loop."""
    folder, secret = tmp_path_factory.mktemp("standing"), new_secret()
    async with (
        run_engine(folder / "a.sock") as engine,
        run_control(table_for(engine, secret)) as control,
        run_gateway(folder / "gateway", control, secret) as gateway,
    ):
        yield Standing(gateway, control, engine)


@pytest.fixture
def engine(standing: Standing) -> Engine:
    """The module's, as new."""
    standing.engine.script = answer_normally
    standing.engine.asked.clear()
    standing.engine.aborted.clear()
    return standing.engine


@pytest.fixture
def control(standing: Standing) -> ControlPlane:
    """The module's."""
    return standing.control


@pytest.fixture
def secret(standing: Standing) -> str:
    """The module's key."""
    return standing.gateway.key


@pytest.fixture
def gateway(standing: Standing, engine: Engine) -> GatewayProcess:
    """The module's."""
    return standing.gateway
