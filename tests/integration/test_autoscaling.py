"""A real platform: a service sleeps, a request wakes it and is answered, a killed gateway loses nothing quietly."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.platform import Platform, eventually

from aicp.core.autoscale import Autoscale
from aicp.core.service import Mode, ServiceCreate, ServiceSpec, ServiceState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
RULE = Autoscale(min_replicas=0, max_replicas=2, idle_seconds=5, down_seconds=2)
SPEC = ServiceSpec(
    model="demo",
    engine="echo",
    mode=Mode.CUSTOM,
    engine_flags={"start_delay_ms": 3000},
    drain_seconds=2,
    autoscale=RULE,
)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    running = Platform(tmp_path / "data").start()
    try:
        yield running
    finally:
        running.stop()


def publish(platform: Platform) -> str:
    platform.import_demo("demo")
    key = platform.client.services.create(ServiceCreate(spec=SPEC, create_key=True)).key
    assert key is not None
    platform.client.services.wait("demo", timeout_seconds=60)
    return key


def asleep(platform: Platform) -> None:
    def sleeps() -> bool:
        return platform.client.services.get("demo").state == ServiceState.SLEEPING

    eventually("it sleeps", sleeps, seconds=60)


def wakes(platform: Platform) -> list[str]:
    return [
        condition.reason for condition in platform.client.services.get("demo").conditions if condition.type == "Scaled"
    ]


def test_an_idle_service_sleeps_and_a_request_wakes_it(platform: Platform) -> None:
    key = publish(platform)
    eventually("it answers", lambda: platform.chat(key, "demo", "hello").status_code == 200)
    asleep(platform)
    shown = platform.cli("service", "show", "demo").stdout
    assert "0 wanted, 0 to 2 at this hour: No request came for 5 s" in " ".join(shown.split())
    began = time.monotonic()
    answer = platform.chat(key, "demo", "good morning")
    seconds = time.monotonic() - began
    assert answer.status_code == 200
    assert "good morning" in answer.text
    assert 3 <= seconds < 20
    service = platform.client.services.get("demo")
    assert service.scale is not None
    assert 3 <= (service.scale.wake_seconds or 0) < 20
    assert wakes(platform) == ["Woken"]


def test_a_killed_gateway_breaks_the_connection_and_the_wake_goes_on(platform: Platform) -> None:
    key = publish(platform)
    asleep(platform)
    outcome: list[str] = []

    def ask() -> None:
        try:
            outcome.append(str(platform.chat(key, "demo", "hello").status_code))
        except httpx.HTTPError as error:
            outcome.append(type(error).__name__)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually("it is told to wake", lambda: wakes(platform) == ["Woken"], seconds=5, every=0.01)
    os.kill(platform.pid("gateway"), signal.SIGKILL)
    asking.join(30)
    assert outcome in (["RemoteProtocolError"], ["ReadError"])
    eventually("it is awake", lambda: platform.client.services.get("demo").replicas_ready == 1, seconds=30)
    eventually("the gateway is back", platform.answers, seconds=30)
    assert platform.chat(key, "demo", "hello").status_code == 200
