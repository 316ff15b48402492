"""One platform with the real engine for all tests of a session: an engine start costs most of a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.platform import Platform, eventually, free_ports
from tests.support.walk import Walk


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """`aicp quickstart --once` (installs the engine when needed), then the platform up again on the same data.

    Machines can join it.
    """
    cluster = f"127.0.0.1:{free_ports()[0]}"
    platform = Platform(tmp_path_factory.mktemp("walk") / "data", AICP_CLUSTER_ADDRESS=cluster)
    done = platform.cli("quickstart", AICP_RUN_ONCE="1")
    assert "/chat/completions" in done.stdout
    platform.start()
    try:
        eventually("the demo is ready", lambda: platform.client.services.get("aicp-demo").replicas_ready, seconds=300)
        walk = Walk(platform)
        eventually("what is called ready answers", lambda: walk.try_once().status_code == 200, seconds=3)
        yield walk
    finally:
        platform.stop()
