"""Slices of the processor on the real platform: held by control groups, resized under load without a failed call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.platform import Platform, eventually

from aicp.core.replica import Replica

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.cgroup]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("slices") / "data").start()
    try:
        platform.import_demo("demo")
        yield platform
    finally:
        platform.stop()


def replica_of(platform: Platform, service: str) -> Replica:
    found = platform.client.services.replicas(service)
    return next(item for item in found if item.ended_at is None)


def group_of(replica: Replica) -> dict[str, Path]:
    """The replica's directory in each hierarchy, from its process' own view."""
    lines = Path(f"/proc/{replica.pid}/cgroup").read_text().splitlines()
    found = {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}
    mount = Path("/sys/fs/cgroup")
    if found.get("", "/").endswith(replica.id):
        return dict.fromkeys(("cpu", "memory"), mount / found[""].lstrip("/"))
    return {name: mount / name / found[name].lstrip("/") for name in ("cpu", "memory")}


def quota_of(replica: Replica) -> int:
    group = group_of(replica)["cpu"]
    unified = group / "cpu.max"
    return int(unified.read_text().split()[0] if unified.exists() else (group / "cpu.cfs_quota_us").read_text())


def test_a_slice_is_held_and_changes_under_load(platform: Platform) -> None:
    cores = platform.client.nodes.list()[0].status.cpu_cores
    platform.cli("publish", "demo", "--engine", "echo", "--name", "part", "--slice", "20%,1GiB")
    replica = replica_of(platform, "part")
    assert replica.allocation is not None
    [share] = replica.allocation.devices
    assert (share.compute_percent, share.memory_bytes, share.mechanism) == (20, 2**30, "cgroup")
    assert "20 % of the card" in " ".join(replica.limits)
    assert quota_of(replica) == 20 * cores * 1000
    secret = platform.client.keys.create("load").secret
    eventually(
        "the gateway knows the key", lambda: platform.chat(secret, "part", "hi", max_tokens=1).status_code == 200
    )
    statuses: list[int] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            statuses.append(platform.chat(secret, "part", "hello", max_tokens=4).status_code)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for percent in (50, 10, 30):
            platform.cli("service", "update", "part", "--slice", f"{percent}%,1.5GiB")
            eventually(f"held to {percent} %", lambda wanted=percent: quota_of(replica) == wanted * cores * 1000)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    after = replica_of(platform, "part")
    assert (after.id, after.pid) == (replica.id, replica.pid), "the very same process"
    assert set(statuses) == {200}, statuses
    assert len(statuses) > 20
    shown = platform.cli("service", "replica", after.id).stdout
    assert "30 % of the card" in shown
    assert "1.5 GiB" in shown


def test_more_than_is_left_is_refused_with_the_numbers(platform: Platform) -> None:
    refused = platform.cli("publish", "demo", "--engine", "echo", "--name", "more", "--slice", "71%", check=False)
    assert refused.returncode != 0
    assert "70 %" in refused.stdout + refused.stderr
    wrong = platform.cli("publish", "demo", "--engine", "echo", "--name", "more", "--slice", "0%", check=False)
    assert wrong.returncode != 0
    assert "for example 30%" in wrong.stdout + wrong.stderr


def test_an_agent_that_is_killed_finds_the_slice_as_it_was_left(platform: Platform) -> None:
    before = replica_of(platform, "part")
    platform.kill("agent")
    eventually("the agent is back", lambda: platform.cli("node", "list", check=False).returncode == 0)
    document = json.loads(platform.cli("service", "show", "part", "--json").stdout)
    assert document["spec"]["compute"]["slice"]["compute_percent"] == 30
    platform.cli("service", "update", "part", "--slice", "40%,1.5GiB")
    eventually("the new size is held", lambda: "40 % of the card" in " ".join(replica_of(platform, "part").limits))
    assert replica_of(platform, "part").pid == before.pid


def test_borrowed_quota_goes_back_to_its_owner(platform: Platform) -> None:
    for service in platform.client.services.list():
        platform.client.services.delete(service.name)
    eventually("nothing runs", lambda: not platform.client.services.list())
    platform.cli("project", "create", "lab")
    quotas = ("--quota", "default:compute=40", "--quota", "lab:compute=60")
    platform.cli("pool", "edit", "default", "--borrowing", *quotas)
    platform.cli("publish", "demo", "--engine", "echo", "--name", "mine", "--slice", "40%,1GiB")
    platform.cli("publish", "demo", "--engine", "echo", "--name", "lent", "--slice", "40%,1GiB")
    uses = {use.quota.project: use for use in platform.client.pools.view("default").quotas}
    assert (uses["default"].borrowed.compute_percent, uses["lab"].lendable.compute_percent) == (40, 60)
    assert "40 %" in platform.cli("pool", "show", "default").stdout
    platform.cli("publish", "demo", "--engine", "echo", "--name", "own", "--project", "lab", "--slice", "60%,1GiB")
    states = {service.name: service.state for service in platform.client.services.list()}
    assert (states["mine"], states["own"]) == ("ready", "ready")
    why = platform.cli("service", "why", "lent").stdout
    assert "asked" in why or "borrow" in why
    told = [item.message for item in platform.client.services.get("lent").conditions]
    assert any("which another project needs itself now" in text for text in told)
    platform.client.services.delete("own")
    eventually("it comes back", lambda: platform.client.services.get("lent").state == "ready")
    assert "Nothing to move" in platform.cli("pool", "defragment", "default", "--apply").stdout
    wanted = ("--pool", "default", "--project", "lab", "--to", "2999-01-01")
    refused = platform.cli("reservation", "create", *wanted, check=False)
    assert refused.returncode != 0
    assert "has 0 accelerators that fit" in refused.stdout + refused.stderr
    assert "No reservations." in platform.cli("reservation", "ls").stdout
