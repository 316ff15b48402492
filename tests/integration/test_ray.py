"""The runner `ray` with real Ray processes on machines that are namespaces of this one."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.agent_process import tiny_launch
from tests.support.ray_machines import Machine, RayMachines, answers, unavailable, until

from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.runners.ray.runner import RayRunner

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.timeout(240)]

REVIEWED = {
    "ray::RuntimeEnv": "HTTP that answers nobody without the token; its only caller is the raylet of the same machine,"
    " whose calls never leave it",
}
"""Sockets beyond loopback that speak no TLS, by their process, and why that is no way in."""


@pytest.fixture
async def machines() -> AsyncIterator[RayMachines]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    # short: sockets lie below it
    folder = Path(tempfile.mkdtemp(prefix="aicp-ray-", dir="/tmp"))
    made = RayMachines(folder)
    try:
        await asyncio.to_thread(made.start)
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def runner(machines: RayMachines) -> AsyncIterator[RayRunner]:
    made = machines.runner()
    assert isinstance(made, RayRunner)

    async def all_answer() -> bool:
        await asyncio.sleep(0.05)
        return len(await made.nodes()) == len(machines.nodes)

    await until("Ray starts an agent on every node", all_answer, 60)
    yield made
    await made.close()


async def started(runner: RayRunner, node: str, replica_id: str, generation: int = 1) -> ObservedReplica:
    await runner.start(tiny_launch(node, replica_id=replica_id, generation=generation))
    return await ready(runner, replica_id)


async def ready(runner: RayRunner, replica_id: str) -> ObservedReplica:
    found: list[ObservedReplica] = []

    async def check() -> bool:
        found[:] = [one for one in await runner.observe() if one.replica_id == replica_id]
        return bool(found) and found[0].state is ReplicaState.READY

    try:
        await until(f"{replica_id} is ready", check, 30)
    except AssertionError:
        log = "".join([piece async for piece in runner.log(replica_id)])
        raise AssertionError(f"{replica_id} is not ready: {found}\n{log}") from None
    return found[0]


async def test_a_killed_node_is_known_at_once_and_its_replica_answers_elsewhere(
    machines: RayMachines, runner: RayRunner
):
    one, two = machines.nodes
    await started(runner, one.name, "rep_1")
    kept = await started(runner, two.name, "rep_2")
    rung = asyncio.Event()
    runner.on_change(rung.set)
    began = time.monotonic()
    one.kill()
    while one.name not in runner.dead():
        rung.clear()
        await asyncio.wait_for(rung.wait(), 4.0)
    assert [status.node_id for status in await runner.nodes()] == [two.name]
    assert time.monotonic() - began < 4.0
    assert await answers(await started(runner, two.name, "rep_1", generation=2))
    assert time.monotonic() - began < 8.0
    assert await answers(kept)


async def test_a_killed_head_costs_no_call_and_comes_back_knowing_its_nodes(machines: RayMachines, runner: RayRunner):
    replicas = [await started(runner, node.name, f"rep_{node.number}") for node in machines.nodes]
    agents = [(node.member.directory / "agent.json").read_text() for node in machines.nodes]
    failed, calls = 0, 0
    machines.head.kill()
    machines.head.start()
    until_time = time.monotonic() + 15
    while time.monotonic() < until_time:
        for replica in replicas:
            calls, failed = calls + 1, failed + (not await answers(replica))
        await asyncio.sleep(0.02)
    assert (failed, calls > 100) == (0, True)

    # who hears of the next death must be connected again
    victim, other = machines.nodes
    heard = asyncio.Event()
    runner.on_change(heard.set)

    async def connected() -> bool:
        await asyncio.sleep(0.1)
        return heard.is_set() or runner.connected

    await until("the runner is connected to the new head", connected, 60)
    # the same agents as before: Ray found its actors again, where it had them
    assert [(node.member.directory / "agent.json").read_text() for node in machines.nodes] == agents
    victim.kill()

    async def known() -> bool:
        await asyncio.sleep(0.02)
        return victim.name in runner.dead()

    await until("the new head tells of a death", known, 10)
    assert [status.node_id for status in await runner.nodes()] == [other.name]


def speaks_tls_to_members_alone(machine: Machine, members: Machine, port: int) -> bool:
    """Whether a caller without a certificate gets no byte, in the clear and in TLS, and one of Ray's members does."""
    for certificate in (None, members.member):
        context = ssl.create_default_context(cafile=str(machine.member.authority))
        context.set_alpn_protocols(["h2"])
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        try:
            with (
                socket.create_connection((machine.address, port), 3) as wire,
                context.wrap_socket(wire, server_hostname=machine.address) as connection,
            ):
                connection.settimeout(3)
                connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                got = connection.recv(64)
        except (ssl.SSLError, ConnectionError):
            got = b""
        if bool(got) != bool(certificate):
            return False
    with socket.create_connection((machine.address, port), 3) as wire:
        wire.settimeout(3)
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return wire.recv(64) == b""
        except ConnectionError:
            return True


async def test_every_socket_beyond_loopback_is_tls_or_reviewed(machines: RayMachines, runner: RayRunner):
    seen = 0
    for machine in machines.machines:
        for host, port, process in machine.listening():
            if host.startswith("127.") or host == "[::1]":
                continue
            seen += 1
            if process in REVIEWED:
                answer = await asyncio.to_thread(httpx.get, f"http://{machine.address}:{port}/")
                assert answer.status_code in (401, 403), (process, port)
                continue
            assert await asyncio.to_thread(speaks_tls_to_members_alone, machine, machines.head, port), (process, port)
    # head, raylets and workers were looked at, not an empty list
    assert seen >= 3 * len(machines.machines)
