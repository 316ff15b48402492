"""Further machines join a real platform: engines there serve, a machine is lost, cut off, healed and removed.

Each machine is a network namespace behind a link of its own, so that cutting it is cutting a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.support.joined_node import JoinedNode, linked_machine, need_namespaces
from tests.support.joined_world import Calls, World
from tests.support.platform import ENVIRONMENTS, Platform, eventually, free_ports

from aicp.core.launch import ReplicaState
from aicp.core.node import NodeState
from aicp.core.service import ServiceUpdate
from aicp.security.tls_identity import TlsIdentity

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LEASE = 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    need_namespaces()
    port, _ = free_ports()
    settings = {"AICP_CLUSTER_ADDRESS": f"0.0.0.0:{port}", "AICP_NODE_LEASE_SECONDS": str(LEASE)}
    with ExitStack() as stack:
        machine = stack.enter_context(linked_machine())
        platform = Platform(tmp_path / "p", **settings).start()
        stack.callback(platform.stop)
        world = World(platform, machine, tmp_path)
        stack.callback(world.node.stop)
        platform.import_demo("demo")
        yield world


def test_only_a_token_that_holds_lets_a_machine_in(world: World) -> None:
    token = world.token()
    wrong = token[:30] + ("0" if token[30] != "0" else "1") + token[31:]
    refused = world.node.cli("node", "join", world.door, "--token", wrong, "--detach", check=False)
    assert refused.returncode != 0
    assert "This join token is not known" in refused.stderr
    assert "aicp node token" in refused.stderr
    stranger = token[:-1] + ("0" if token[-1] != "0" else "1")
    foreign = world.node.cli("node", "join", world.door, "--token", stranger, "--detach", check=False)
    assert "is not the platform that this token is for" in foreign.stderr
    cut = world.node.cli("node", "join", world.door, "--token", token[:-3], "--detach", check=False)
    assert "perhaps it was cut" in cut.stderr
    assert len(world.platform.client.nodes.list()) == 1
    world.node.cli("node", "join", world.door, "--token", token, "--detach")
    other = JoinedNode(world.node.data_dir.with_name("other"), str(ENVIRONMENTS), world.machine)
    used = other.cli("node", "join", world.door, "--token", token, "--detach", check=False)
    assert "was for 1 machine(s), and all have joined" in used.stderr
    assert world.platform.client.join_tokens.list()[0].uses_left == 0


def test_nobody_without_a_certificate_gets_anything_at_the_door(world: World) -> None:
    world.join()
    with httpx.Client(verify=False, trust_env=False) as http:
        for method, path in (("GET", "/internal/v1/artifacts/" + "0" * 64), ("GET", "/api/v1/nodes"), ("GET", "/")):
            answer = http.request(method, f"https://{world.door}{path}")
            assert answer.status_code in (401, 404), path
        renewal = http.post(f"https://{world.door}/join/v1/renew", json={"request": "x"})
        assert renewal.status_code == 401
        statuses = [http.post(f"https://{world.door}/join/v1").status_code for _ in range(25)]
        assert statuses[0] == 401
        assert statuses[-1] == 429


def test_engines_serve_on_both_machines_and_the_loss_of_one_is_no_loss_to_callers(world: World) -> None:
    world.join("--label", "zone=b")
    assert world.platform.client.nodes.get(world.node.node_id).labels == {"zone": "b"}
    secret = world.publish("two")
    assert len(world.here("two")) == 1
    assert str(world.here("two")[0].address).startswith("mtls://")
    refused = world.platform.cli("node", "rm", world.node.node_id, "--yes", check=False)
    assert "holds replicas of two" in refused.stderr
    with Calls(world.platform, secret, "two") as calls:
        eventually("callers are answered", lambda: calls.answered > 20, seconds=30)
        world.node.kill()
        eventually("the node is lost", lambda: world.state() == NodeState.LOST, seconds=30)
        eventually("its replica runs elsewhere", lambda: len(world.ready("two")) == 2 and not world.here("two"))
    assert calls.failed == []
    world.node.cli("node", "join", "--detach")
    eventually("the node is back without a token", lambda: world.state() == NodeState.READY, seconds=40)
    eventually("two replicas serve", lambda: len(world.ready("two")) == 2, seconds=60)


def test_a_cut_off_node_stops_its_engines_and_comes_back_without_them(world: World) -> None:
    world.join()
    secret = world.publish("cut")
    assert len(world.here("cut")) == 1
    assert len(world.node.engines()) == 1
    (before,) = world.here("cut")
    with Calls(world.platform, secret, "cut") as calls:
        world.machine.cut()
        eventually("the node is lost", lambda: world.state() == NodeState.LOST, seconds=30)
        eventually("its replica runs elsewhere", lambda: len(world.ready("cut")) == 2, seconds=30)
    assert calls.failed == []
    eventually("the node ends its engines by itself", lambda: not world.node.engines(), seconds=LEASE + 30)

    def state() -> ReplicaState | None:
        return next((one.state for one in world.platform.client.services.replicas("cut") if one.id == before.id), None)

    eventually("its slices are free", lambda: state() == ReplicaState.FENCED, seconds=LEASE + 60)
    world.machine.heal()
    eventually("the node is back", lambda: world.state() == NodeState.READY, seconds=40)
    eventually("the old replica has ended", lambda: state() == ReplicaState.STOPPED, seconds=20)
    assert len(world.ready("cut")) == 2
    assert before.id not in {one.id for one in world.ready("cut")}


def test_a_removed_node_is_believed_no_more(world: World) -> None:
    world.join()
    world.publish("moved")
    world.platform.cli("node", "drain", world.node.node_id, "--yes")
    world.platform.cli("node", "rm", world.node.node_id, "--yes")
    assert world.state() is None
    tls = TlsIdentity.kept(world.node.data_dir / "run" / "authority", "node").client()
    with httpx.Client(verify=tls, trust_env=False) as http:
        answer = http.get(
            f"https://{world.door}/internal/v1/artifacts/{'0' * 64}", extensions={"sni_hostname": "control.aicp"}
        )
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "node_removed"
    world.node.cli("node", "leave", "--yes")
    world.join()
    world.platform.client.services.update("moved", ServiceUpdate(replicas=3))
    eventually("a node that joins again takes replicas", lambda: len(world.ready("moved")) == 3, seconds=60)
