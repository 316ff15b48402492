"""What is told right after a start: never what was true before the stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.platform import Platform, eventually

from aicp.core.service import Mode, ServiceCreate, ServiceSpec, ServiceState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
LOADS = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM, engine_flags={"start_delay_ms": 6000})


def test_a_service_that_loads_again_is_not_called_ready(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data").start()
    try:
        platform.import_demo("demo")
        key = platform.client.services.create(ServiceCreate(spec=LOADS, create_key=True)).key
        assert key is not None
        platform.client.services.wait("demo", timeout_seconds=60)
        assert platform.stop() == 0
        platform.start()
        service = platform.client.services.get("demo")
        assert (service.state, service.replicas_ready) == (ServiceState.STARTING, 0)
        assert platform.chat(key, "demo", "hello").status_code == 503
        eventually("it is ready", lambda: platform.client.services.get("demo").replicas_ready, seconds=30)
        eventually("so it answers", lambda: platform.chat(key, "demo", "hello").status_code == 200, seconds=3)
    finally:
        platform.stop()
