"""One replica over two machines, with the real engine: it answers, and the end of one member is the end of all."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.joined_node import JoinedNode, linked_machine, need_namespaces
from tests.support.platform import ENVIRONMENTS, Platform, eventually, free_ports

from aicp.core.launch import ReplicaState
from aicp.core.replica import Replica
from aicp.core.service import Compute, ServiceCreate, ServiceSpec, ServiceState, ServiceUpdate

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(600)]


class Machines:
    """The platform's own machine and another one."""

    def __init__(self, platform: Platform, node: JoinedNode) -> None:
        self.platform, self.node = platform, node

    def replicas(self, service: str, *states: ReplicaState) -> list[Replica]:
        return [one for one in self.platform.client.services.replicas(service) if one.state in states]

    def ready(self, service: str) -> Replica | None:
        return next(iter(self.replicas(service, ReplicaState.READY)), None)

    def answer(self, secret: str, service: str) -> str:
        answer = self.platform.chat(secret, service, "What is aicp?", max_tokens=12)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    need_namespaces()
    port, _ = free_ports()
    with ExitStack() as stack:
        machine = stack.enter_context(linked_machine())
        door = f"{machine.gateway}:{port}"
        platform = Platform(tmp_path / "p", AICP_CLUSTER_ADDRESS=door).start()
        stack.callback(platform.stop)
        node = JoinedNode(tmp_path / "n", str(ENVIRONMENTS), machine)
        stack.callback(node.stop)
        token = json.loads(platform.cli("node", "token", "--json").stdout)["token"]
        node.cli("node", "join", door, "--token", token, "--address", machine.host, "--detach")
        eventually("the node has reported", lambda: len([n for n in platform.client.nodes.list() if n.status]) == 2)
        platform.import_demo("demo")
        yield Machines(platform, node)


def test_a_replica_over_two_machines_answers_and_is_started_anew_as_a_whole(machines: Machines) -> None:
    services, service = machines.platform.client.services, "wide"
    spec = ServiceSpec(
        model="demo",
        engine="vllm",
        compute=Compute(nodes=2, cpu_cores=1),
        context_length=512,
        users=2,
        drain_seconds=1,
    )
    published = services.create(ServiceCreate(name=service, spec=spec, create_key=True))
    assert published.key is not None
    first = eventually("it serves", lambda: machines.ready(service), seconds=180, every=0.5)
    assert first is not None
    assert len({member.node_id for member in first.members}) == 2
    assert [member.state for member in first.members] == [ReplicaState.READY] * 2
    said = machines.answer(published.key, service)
    assert "AI compute platform" in said
    logs = ["".join(services.log(service, replica=first.id, member=rank)) for rank in (0, 1)]
    assert "rank 1 in world size 2" in logs[1]
    assert "rank 1 in world size 2" not in logs[0]

    there = next(rank for rank, part in enumerate(first.members) if part.node_id == machines.node.node_id)
    pid = first.members[there].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended = eventually("it ends as a whole", lambda: machines.replicas(service, ReplicaState.FAILED), seconds=30)
    assert ended[0].id == first.id
    assert f"Member {there} of 2 on node {first.members[there].node}" in str(ended[0].reason)
    second = eventually("another one serves", lambda: machines.ready(service), seconds=180, every=0.5)
    assert second is not None
    assert second.id != first.id
    assert machines.answer(published.key, service) == said

    services.update(service, ServiceUpdate(stopped=True))
    eventually("it is stopped", lambda: services.get(service).state == ServiceState.STOPPED, seconds=30)
    assert machines.node.engines() == []
