"""The platform's gateway: restarted under load without a failure, several processes at once, one of them killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support.platform import Platform, eventually, free_ports

from aicp.core.errors import ConflictError
from aicp.core.gateway import GatewayStatus
from aicp.core.listener import ListenerSet, ListenerState, PortUse
from aicp.core.service import Mode, ServiceCreate, ServiceSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SPEC = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM)
CLIENTS = 12


class Load:
    """Clients that ask without a pause, half of them for streams."""

    def __init__(self, platform: Platform, key: str) -> None:
        self._platform, self._key = platform, key
        self._stop = threading.Event()
        self.served: Counter[int] = Counter()
        self.problems: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def more(self, least: int = CLIENTS * 2) -> None:
        """Returns when so many more requests were served."""
        before = self.served.total()
        eventually("requests are served", lambda: self.problems or self.served.total() >= before + least, seconds=60)

    def end(self) -> int:
        """How many requests were served."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        return self.served.total()

    def _run(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        stream = number % 2 == 0
        body = {"model": "demo", "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
        with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(f"{self._platform.gateway_url}/v1/chat/completions", json=body)
                except httpx.HTTPError as error:
                    self.problems.append(repr(error))
                    return
                if answer.status_code != 200 or (stream and not answer.text.rstrip().endswith("[DONE]")):
                    self.problems.append(f"{answer.status_code}: {answer.text[-300:]}")
                    return
                self.served[number] += 1


@pytest.fixture(params=["1", "2"])
def platform(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Platform]:
    running = Platform(tmp_path / "data", AICP_GATEWAY_PROCESSES=request.param, AICP_RESERVED_PORTS="9000-9099").start()
    try:
        yield running
    finally:
        running.stop()


def publish(platform: Platform) -> str:
    platform.import_demo("demo")
    key = platform.client.services.create(ServiceCreate(spec=SPEC, create_key=True)).key
    assert key is not None
    platform.client.services.wait("demo", timeout_seconds=60)
    eventually("the model answers", lambda: platform.chat(key, "demo", "hello").status_code == 200)
    return key


def processes(platform: Platform) -> list[GatewayStatus]:
    return [one for one in platform.client.listeners.gateways() if not one.leaving]


def test_restarts_under_load_fail_nothing_and_count_each_request_once(platform: Platform) -> None:
    key = publish(platform)
    wanted = int(platform.env["AICP_GATEWAY_PROCESSES"])
    eventually("all processes are told", lambda: len(processes(platform)) == wanted)
    load = Load(platform, key)
    for _ in range(3):
        load.more()
        before = {one.pid for one in processes(platform)}
        assert "New processes serve" in platform.cli("gateway", "restart").stdout
        eventually("others serve", lambda gone=before: len({one.pid for one in processes(platform)} - gone) == wanted)
    os.kill(platform.pid("gateway"), signal.SIGHUP)
    former = platform.pid("gateway")
    platform.wait_restarted("gateway", former)
    load.more()
    served = load.end()
    assert load.problems == []
    eventually("the former ones end", lambda: not list((platform.data_dir / "run").glob("gateway.*.json")), seconds=60)
    eventually("all are counted", lambda: _counted(platform) >= served + 1)
    assert _counted(platform) == served + 1, "one to see that it answers, then those of the clients"
    assert f"{wanted} serving (pid " in platform.cli("status").stdout


def _counted(platform: Platform) -> int:
    """Requests that went well."""
    return sum(row.requests - row.errors for row in platform.client.records.usage_summary())


def test_a_killed_process_is_started_again_alone(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data", AICP_GATEWAY_PROCESSES="3").start()
    try:
        key = publish(platform)
        eventually("three processes are told", lambda: len(processes(platform)) == 3)
        others = (platform.pid("gateway"), platform.pid("gateway-3"))
        killed = platform.kill("gateway-2")
        with suppress(httpx.HTTPError):  # one connection may have been the killed one's
            platform.chat(key, "demo", "hello")
        platform.wait_restarted("gateway-2", killed)
        assert (platform.pid("gateway"), platform.pid("gateway-3")) == others
        for _ in range(20):
            assert platform.chat(key, "demo", "hello").status_code == 200
        eventually("three again", lambda: len({one.pid for one in processes(platform)}) == 3)
    finally:
        pids = [platform.pid(name) for name in ("gateway", "gateway-2", "gateway-3")]
        assert platform.stop() == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_limit_is_one_for_all_processes_and_outlives_each_of_them(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data", AICP_GATEWAY_PROCESSES="3").start()
    try:
        publish(platform)
        eventually("three processes are told", lambda: len(processes(platform)) == 3)
        created = json.loads(platform.cli("key", "create", "limited", "--limit", "rpm=20", "--json").stdout)
        secret = created["secret"]
        eventually("all know the key", lambda: _knows(platform, secret, 24))
        with ThreadPoolExecutor(32) as pool:
            statuses = Counter(pool.map(lambda _: platform.chat(secret, "demo", "hi").status_code, range(64)))
        assert statuses == {200: 20, 429: 44}
        killed = platform.kill("gateway")
        platform.wait_restarted("gateway", killed)
        assert "New processes serve" in platform.cli("gateway", "restart").stdout
        eventually("three serve", lambda: len({one.pid for one in processes(platform)} - {killed}) == 3)
        with ThreadPoolExecutor(16) as pool:
            statuses = Counter(pool.map(lambda _: platform.chat(secret, "demo", "hi").status_code, range(16)))
        assert statuses == {429: 16}
        assert "shared limits" in platform.cli("status").stdout
    finally:
        platform.stop()


def _knows(platform: Platform, secret: str, times: int) -> bool:
    """Whether every process that answers one of so many connections knows a key."""
    headers, url = {"Authorization": f"Bearer {secret}"}, f"{platform.gateway_url}/v1/models"
    return all(httpx.get(url, headers=headers, trust_env=False).status_code == 200 for _ in range(times))


def test_other_settings_and_a_dead_supervisor_leave_no_gap(tmp_path: Path) -> None:
    """`aicp up` on what a killed supervisor left takes over from a gateway of other settings while that serves."""
    platform = Platform(tmp_path / "data").start()
    try:
        key = publish(platform)
        first = platform.pid("gateway")
        platform.kill("up")
        platform.env["AICP_CURRENCY"] = "TWD"
        gap: list[str] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                try:
                    httpx.get(f"{platform.gateway_url}/healthz", trust_env=False, timeout=10).raise_for_status()
                except httpx.HTTPError as error:
                    gap.append(repr(error))

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        platform.start()
        platform.wait_restarted("gateway", first)
        eventually("it is done", lambda: "gateway was taken over by a new process" in platform.up_log())
        done.set()
        watching.join(20)
        assert gap == []
        assert platform.chat(key, "demo", "hello").status_code == 200
    finally:
        platform.stop()


def test_a_service_has_an_address_of_its_own(platform: Platform) -> None:
    key = publish(platform)
    client, port = platform.client, free_ports()[0]
    for number, words in (
        (platform.port, "is that of the console"),
        (platform.gateway_port, "is that of the gateway"),
        (9050, "is reserved by the settings"),
    ):
        with pytest.raises(ConflictError, match=words):
            client.listeners.set("demo", ListenerSet(port=number))
    platform.cli("listener", "set", "demo", "--port", str(port))
    eventually("it is open", lambda: client.listeners.list()[0].state is ListenerState.OPEN)
    headers = {"Authorization": f"Bearer {key}"}
    body = {"messages": [{"role": "user", "content": "hello"}]}
    address = f"http://127.0.0.1:{port}/v1/chat/completions"
    for _ in range(6):
        assert httpx.post(address, json=body, headers=headers, trust_env=False, timeout=30).status_code == 200
    used = {one.first: one.use for one in client.listeners.ports()}
    assert (used[port], used[platform.port], used[9000]) == (PortUse.LISTENER, PortUse.CONTROL, PortUse.RESERVED)
    assert str(port) in platform.cli("port", "list").stdout
    platform.cli("gateway", "restart")
    assert httpx.post(address, json=body, headers=headers, trust_env=False, timeout=30).status_code == 200
    assert json.loads(platform.cli("listener", "list", "--json").stdout)[0]["model"] == "demo"
    platform.cli("listener", "delete", "demo", "--yes")

    def refused() -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=5)
        except httpx.ConnectError:
            return True
        return False

    eventually("it is closed", refused)
