"""A whole platform over Ray, by the product's own commands: what it serves, what dies, is cut off, and is removed.

The platform runs here, with Redis over TLS as the state of Ray's head; the other machine is a network namespace whose
agent is kept by Ray's actor. All tests share them, in this order, and each leaves both machines serving.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.certificates import Authority
from tests.support.joined_node import JoinedNode, need_namespaces
from tests.support.joined_world import Calls
from tests.support.platform import ENVIRONMENTS, eventually
from tests.support.ray_machines import unavailable
from tests.support.ray_world import Listening, RayWorld, ray_world
from tests.support.redis_server import PASSWORD
from tests.support.socket_audit import HTTP1, HTTP2, caller, is_closed_to_strangers, said

from aicp.core.node import NodeState
from aicp.core.service import ServiceUpdate
from aicp.main.ray_start import temporary_directory
from aicp.telemetry.processes import pids_marked

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.redis, pytest.mark.timeout(240)]

LEASE = 15
SERVICE = "walk"


@pytest.fixture(scope="module")
def world() -> Iterator[RayWorld]:
    need_namespaces()
    if reason := unavailable():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="aicp-rw-", dir="/tmp"))
    try:
        with ray_world(folder, str(ENVIRONMENTS), AICP_NODE_LEASE_SECONDS=str(LEASE)) as made:
            eventually("Ray's actor keeps the agent of the machine that joined", made.of_ray, seconds=60)
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def key(world: RayWorld) -> str:
    return world.publish(SERVICE)


def test_two_replicas_serve_on_both_machines(world: RayWorld, key: str) -> None:
    assert len(world.here(SERVICE)) == 1
    assert str(world.here(SERVICE)[0].address).startswith("mtls://")
    assert world.platform.chat(key, SERVICE, "hello").status_code == 200


def test_a_redis_that_would_be_spoken_to_in_the_clear_is_refused(tmp_path: Path) -> None:
    settings = {"AICP_RUNNER": "ray", "AICP_RAY_REDIS": "redis://:word@10.0.0.9:6379", "AICP_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "aicp.cli.app", "up"]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert "in the clear" in done.stderr
    assert "rediss://" in done.stderr


@pytest.mark.parametrize("strange", ["authority", "password"])
def test_the_head_tells_why_it_does_not_believe_a_redis(world: RayWorld, tmp_path: Path, strange: str) -> None:
    redis = world.platform.env["AICP_RAY_REDIS"]
    wrong = {
        "authority": {"AICP_RAY_REDIS_AUTHORITY": str(Authority(tmp_path / "other").file)},
        "password": {"AICP_RAY_REDIS": redis.replace(PASSWORD, "guess")},
    }
    env = world.platform.env | wrong[strange]
    command = world.platform.command("ray-head", "--data-dir", str(tmp_path / "d"))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    words = {"authority": "certificate verify failed", "password": "WRONGPASS"}
    assert f"Redis at {world.machine.gateway}:{world.redis.port}" in done.stderr
    assert words[strange] in done.stderr
    assert "Traceback" not in done.stderr


def door_asks_for_more(world: RayWorld, one: Listening) -> None:
    """The door speaks TLS, and answers a caller without certificate and token with a refusal alone."""
    assert said(one.host, one.port, HTTP1)[:1] in (b"", b"\x15")
    for path in ("/", "/api/v1/nodes", "/join/v1", "/internal/v1/artifacts/" + "0" * 64):
        answer = httpx.get(f"https://{one.host}:{one.port}{path}", verify=False, trust_env=False)
        assert answer.status_code in (401, 404, 405), path


def environments_ask_for_the_token(world: RayWorld, one: Listening) -> None:
    assert httpx.get(f"http://{one.host}:{one.port}/", trust_env=False).status_code in (401, 403)


def redis_asks_for_the_password(world: RayWorld, one: Listening) -> None:
    assert said(one.host, one.port, b"PING\r\n")[:1] in (b"", b"\x15")
    assert said(one.host, one.port, b"PING\r\n", caller("redis")).startswith(b"-NOAUTH")


REVIEWED = {
    # machines that join have no certificate yet: TLS, and a token or a certificate of the platform for all that it does
    "control": door_asks_for_more,
    # HTTP in the clear that answers nobody without Ray's token; its only caller, the raylet, is on the same machine
    "ray::RuntimeEnvAgent": environments_ask_for_the_token,
    # TLS and a password, as Ray has no certificate of Redis's authority
    "redis-server": redis_asks_for_the_password,
}
"""By role of their process: sockets that answer a caller without a certificate, why, and what they must refuse."""


def test_every_socket_beyond_loopback_asks_for_a_certificate_or_is_reviewed(world: RayWorld, key: str) -> None:
    control = world.platform.data_dir / "run" / "authority"
    members = {
        "agent": caller("http/1.1", control / "control.pem", control / "control.key"),
        **dict.fromkeys(("gcs_server", "raylet"), caller("h2", world.head / "member.pem", world.head / "member.key")),
    }
    found = world.listening()
    assert {*REVIEWED, *members, "ray::_OnNode"} <= {one.role for one in found}
    heard: set[str] = set()
    for one in found:
        if one.role in REVIEWED:
            REVIEWED[one.role](world, one)
            continue
        assert is_closed_to_strangers(one.host, one.port), one
        if one.role in members and said(one.host, one.port, HTTP1 if one.role == "agent" else HTTP2, members[one.role]):
            heard.add(one.role)
    assert heard == set(members)  # it is the certificate that lets a caller in


def have_a_replica_there(world: RayWorld) -> None:
    """One more is asked for where the machine that joined has none."""
    if not world.here(SERVICE):
        wanted = len(world.ready(SERVICE)) + 1
        world.platform.client.services.update(SERVICE, ServiceUpdate(replicas=wanted))
        eventually("the machine takes a replica", lambda: world.here(SERVICE), seconds=60)
        eventually("all serve", lambda: len(world.ready(SERVICE)) == wanted, seconds=60)


@contextmanager
def no_call_fails(world: RayWorld, key: str) -> Iterator[None]:
    """Callers of the gateway are answered all the time."""
    with Calls(world.platform, key, SERVICE) as calls:
        eventually("callers are answered", lambda: calls.answered > 10, seconds=30)
        yield
        before = calls.answered
        eventually("callers are answered", lambda: calls.answered > before + 10, seconds=30)
    assert calls.failed == []


def test_a_killed_engine_there_costs_no_call_and_comes_back(world: RayWorld, key: str) -> None:
    have_a_replica_there(world)
    (engine,) = world.node.engines()
    with no_call_fails(world, key):
        os.kill(engine, signal.SIGKILL)
        eventually("another engine runs", lambda: world.node.engines() not in ([], [engine]), seconds=30)
        eventually("it serves", lambda: world.here(SERVICE), seconds=30)


def test_a_killed_agent_comes_back_from_rays_actor_and_finds_its_engine(world: RayWorld, key: str) -> None:
    have_a_replica_there(world)
    engines, agent, keeper = world.node.engines(), world.agent_pid(), world.keeper_pid()
    with no_call_fails(world, key):
        os.kill(agent, signal.SIGKILL)
        eventually("another agent runs", lambda: world.agent_pid() not in (0, agent), seconds=30)
        eventually("it is Ray's", world.of_ray, seconds=30)
        eventually("its replica serves", lambda: world.here(SERVICE), seconds=30)
    assert world.keeper_pid() == keeper
    assert world.node.engines() == engines


def test_a_killed_raylet_costs_no_call_and_its_machine_is_back_without_hands(world: RayWorld, key: str) -> None:
    have_a_replica_there(world)
    wanted, raylet = len(world.ready(SERVICE)), world.ray_pid(world.member, "raylet")
    with no_call_fails(world, key):
        os.kill(raylet, signal.SIGKILL)
        eventually("another raylet runs", lambda: world.ray_pid(world.member, "raylet") not in (0, raylet), seconds=40)
        eventually("its actor keeps the agent", world.of_ray, seconds=60)
        eventually("all replicas serve", lambda: len(world.ready(SERVICE)) == wanted, seconds=60)
    have_a_replica_there(world)


def test_a_cut_off_machine_stops_its_engines_and_is_back_without_hands(world: RayWorld, key: str) -> None:
    have_a_replica_there(world)
    wanted = len(world.ready(SERVICE))
    with no_call_fails(world, key):
        world.machine.cut()
        eventually("the platform knows", lambda: world.state() == NodeState.LOST, seconds=20)
        eventually("no replica is left there", lambda: not world.here(SERVICE), seconds=30)
        eventually("all serve elsewhere", lambda: len(world.ready(SERVICE)) == wanted, seconds=30)
    eventually("the machine ends its engines by itself", lambda: not world.node.engines(), seconds=LEASE + 20)
    keeper = world.keeper_pid()
    world.machine.heal()
    eventually("the machine is counted on again", world.is_ready, seconds=30)
    have_a_replica_there(world)
    engines = world.node.engines()
    with no_call_fails(world, key):
        # Ray finds out later, and starts anew there: the engine is not to suffer from it
        eventually("Ray has its machine again", lambda: world.keeper_pid() not in (0, keeper), seconds=90)
        eventually("its actor keeps the agent", world.of_ray, seconds=30)
    assert world.node.engines() == engines
    assert world.here(SERVICE)


def test_a_cut_off_machine_whose_ray_died_has_an_agent_that_stops_its_engines(world: RayWorld, key: str) -> None:
    have_a_replica_there(world)
    agent = world.agent_pid()
    world.machine.cut()
    os.kill(world.ray_pid(world.member, "raylet"), signal.SIGKILL)
    eventually("the agent leaves its engines alone", lambda: world.agent_pid() != agent, seconds=20)
    assert world.node.engines()
    eventually("an agent is started without Ray", world.agent_pid, seconds=60)
    assert not world.keeper_pid()
    eventually("it ends the engines", lambda: not world.node.engines(), seconds=LEASE + 20)
    world.machine.heal()
    eventually("Ray's actor takes the agent over", world.of_ray, seconds=90)
    have_a_replica_there(world)


def test_a_killed_head_knows_its_machines_from_redis_and_costs_no_call(world: RayWorld, key: str) -> None:
    have_a_replica_there(world)
    before = (world.node.engines(), world.agent_pid(), world.keeper_pid())
    head = world.ray_pid(world.head, "gcs_server")
    with no_call_fails(world, key):
        for pid in pids_marked("AICP_RAY_MEMBER", str(world.head)):
            os.kill(pid, signal.SIGKILL)
        client = world.platform.client.records
        eventually("the platform says so", lambda: client.version().head_answers is False, seconds=10)
        eventually("the head is back", lambda: world.ray_pid(world.head, "gcs_server") not in (0, head), seconds=40)
        eventually("it answers members", lambda: answers_member(world, world.head), seconds=40)
        eventually("the platform says so", lambda: client.version().head_answers, seconds=10)
    assert (world.node.engines(), world.agent_pid(), world.keeper_pid()) == before
    status = " ".join(world.platform.cli("status").stdout.split())
    assert "ray; nodes serve on for at least 300 s without its head, which answers now" in status


def answers_member(world: RayWorld, papers: Path) -> bool:
    """Whether Ray's head says anything to a caller with these papers."""
    host, _, port = world.platform.env["AICP_RAY_ADDRESS"].rpartition(":")
    return bool(said(host, int(port), HTTP2, caller("h2", papers / "member.pem", papers / "member.key")))


def test_a_removed_machine_has_no_part_in_ray_and_the_others_go_on(world: RayWorld, key: str, tmp_path: Path) -> None:
    have_a_replica_there(world)
    engines, keeper, former = world.node.engines(), world.keeper_pid(), tmp_path / "papers"
    other = JoinedNode(world.node.data_dir.with_name("o"), str(ENVIRONMENTS), world.machine)
    try:
        other.cli("node", "join", world.door, "--token", world.token(), "--detach")
        shutil.copytree(other.data_dir / "run" / "ray", former)
        assert answers_member(world, former)
        with no_call_fails(world, key):
            world.platform.cli("node", "rm", other.node_id, "--yes")
            authority = world.platform.data_dir / "run" / "ray-authority" / "ca.pem"
            for member in (world.head, world.member):
                eventually(
                    "members have new papers",
                    lambda member=member: (member / "ca.pem").read_text() == authority.read_text(),
                    seconds=30,
                )
            eventually("the head answers them", lambda: answers_member(world, world.member), seconds=30)
            eventually("Ray has the machine again", lambda: world.keeper_pid() not in (0, keeper), seconds=60)
            eventually("its actor keeps the agent", world.of_ray, seconds=30)
        log = other.data_dir / "logs" / "agent.log"
        eventually("the removed one is told", lambda: "was removed from the platform" in log.read_text(), seconds=20)
        # neither with what it has, nor with what it is given now
        assert (other.data_dir / "run" / "ray" / "ca.pem").read_text() == (former / "ca.pem").read_text()
        theirs = [one for one in world.listening() if one.member in (world.head, world.member)]
        closed = [one for one in theirs if one.role not in REVIEWED]
        assert {one.role for one in closed} >= {"gcs_server", "raylet", "ray::_OnNode"}
        for one in closed:
            assert not said(one.host, one.port, HTTP2, caller("h2", former / "member.pem", former / "member.key")), one
        assert not answers_member(world, former)
        assert world.node.engines() == engines
    finally:
        other.cli("node", "leave", "--yes", check=False)
        shutil.rmtree(temporary_directory(other.data_dir / "run" / "ray"), ignore_errors=True)
