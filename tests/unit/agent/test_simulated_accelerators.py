"""What an agent does with accelerators that are not there: it reports them, and starts nothing that computes on one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from aicp.accelerators.simulated import driver
from aicp.agent.records import ReplicaFiles
from aicp.agent.serve import AgentConfig, build_parts
from aicp.agent.site import Site
from aicp.agent.starts import prepare_start
from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, DeviceShare, LaunchSpec, ReplicaMember


@pytest.fixture
def nothing_afterwards() -> Iterator[None]:
    yield
    driver.simulate([])


class NoEnvironments:
    """A store of engine environments that has none."""

    def statuses(self) -> Mapping[str, Any]:
        return {}

    def list(self) -> list[Any]:
        return []


@pytest.mark.usefixtures("nothing_afterwards")
async def test_the_node_reports_what_the_setting_says(tmp_path: Path) -> None:
    config = AgentConfig(
        data_dir=tmp_path,
        socket_path=tmp_path / "agent.sock",
        token="t",
        control_url="http://127.0.0.1:1",
        artifacts_dir=None,
        environment_store=cast(Any, NoEnvironments()),
        inherited={},
        engine_user="root",
        simulated=[("H20-96G", 3)],
    )
    status = await build_parts(config).inventory.status()
    made_up = [device for device in status.accelerators if device.simulated]
    assert [device.vendor for device in made_up] == ["simulated"] * 3
    assert all(device.vendor != "simulated" for device in status.accelerators if device not in made_up)


def test_what_computes_is_not_started_there(tmp_path: Path) -> None:
    share = DeviceShare(vendor="simulated", device_id="simulated-0-l20", index=0)
    allocation = Allocation(node_id="n", devices=[share], cpu_cores=1, memory_bytes=1)
    launch = LaunchSpec(engine="vllm", engine_version="1", environment=True, command=["{python}"])
    member = ReplicaMember(node_id="n", launch=launch, allocation=allocation)
    with pytest.raises(InvalidError, match="vllm was given a simulated accelerator"):
        prepare_start(cast(Site, None), ReplicaFiles(tmp_path), "r", member, None, None)
