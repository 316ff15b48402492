"""The runner `ray` against a double of Ray: who is dead, who gets a keeper, what is told."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import pytest
from tests.support.agent_process import eventually
from tests.support.ray_cluster import RayCluster, ray_node, speaking
from tests.support.runner import FakeRunner

from aicp.core.errors import InvalidError
from aicp.core.ray_member import RayMember, without_ray
from aicp.core.registry import Registry
from aicp.runners.base import ChecksOptions, HasHead, KnowsDeadNodes, RunnerDriver, Watches
from aicp.runners.ray.nodes import keeper_name
from aicp.runners.ray.options import read_options
from aicp.runners.ray.runner import QUIET_SECONDS, RayRunner
from aicp.runners.ray.tending import PAPERS_CHANGED, watch

HEAD = ray_node("h0", "head")


def run(cluster: RayCluster) -> list[str]:
    said: list[str] = []
    clock = iter(float(second) for second in range(1000))
    with pytest.raises(EOFError):
        watch(cluster, said.append, lambda: next(clock), lambda _: None)
    return said


def test_each_node_but_the_head_gets_one_keeper_for_good():
    one, two = ray_node("a1", "node_a"), ray_node("b1", "node_b")
    cluster = RayCluster([HEAD, one], [HEAD, one], [HEAD, one, two], [HEAD, one, two])
    run(cluster)
    assert cluster.actors == {keeper_name(one): "a1", keeper_name(two): "b1"}
    assert cluster.ended == []


def test_a_death_is_told_once_and_a_machine_that_comes_back_gets_a_new_keeper():
    dead = ray_node("a1", "node_a", alive=False, reason="missed heartbeats")
    back = ray_node("a2", "node_a")
    cluster = RayCluster([HEAD, ray_node("a1", "node_a")], [HEAD, dead], [HEAD, dead], [HEAD, dead, back])
    assert [json.loads(line) for line in run(cluster)] == [
        {"node_a": ""},
        {"node_a": "missed heartbeats"},
        {"node_a": ""},
    ]
    assert cluster.actors == {keeper_name(back): "a2"}
    assert cluster.ended == [keeper_name(dead)]


def test_actors_of_somebody_else_are_left_alone():
    cluster = RayCluster([HEAD], keepers=("somebody",))
    run(cluster)
    assert list(cluster.actors) == ["somebody"]


def make_runner(tmp_path: Path, command: tuple[str, ...]) -> RayRunner:
    return RayRunner(FakeRunner(), read_options({"address": "127.0.0.1:6379", "run_dir": tmp_path}), command)


async def test_the_runner_hears_of_deaths_and_rings(tmp_path: Path):
    rings: list[int] = []
    runner = make_runner(tmp_path, speaking(tmp_path, ["noise of a library", '{"node_a": "", "node_b": "gone"}']))
    assert isinstance(runner, KnowsDeadNodes)
    assert isinstance(runner, Watches)
    runner.on_change(lambda: rings.append(1))
    await runner.nodes()

    async def heard() -> bool:
        return bool(rings)

    await eventually("the runner hears of a death", heard)
    assert runner.dead() == {"node_b": "gone"}
    await runner.close()


async def test_a_machine_that_answers_after_its_death_was_told_is_not_lost_by_that_word(tmp_path: Path):
    agents = FakeRunner()
    options = read_options({"address": "127.0.0.1:6379", "run_dir": tmp_path})
    runner = RayRunner(agents, options, speaking(tmp_path, ['{"node_a": "cut off"}']))

    async def told() -> bool:
        return bool(runner.dead())

    agents.silent.add("node_a")
    await runner.nodes()
    await eventually("the runner hears of a death", told)
    await runner.nodes()
    assert runner.dead() == {"node_a": "cut off"}
    agents.silent.clear()
    await runner.nodes()
    agents.silent.add("node_a")
    await runner.nodes()
    assert runner.dead() == {}
    await runner.close()


async def test_while_all_machines_take_new_papers_a_death_is_not_believed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("aicp.runners.ray.runner._PAUSE_SECONDS", 0.01)
    command = speaking(tmp_path, ['{"node_b": "gone"}'])
    script, starts = tmp_path / "connection.py", tmp_path / "starts"
    first = f"import sys\nif open({str(starts)!r}).read() == 'x':\n    sys.exit({PAPERS_CHANGED})\n"
    script.write_text(script.read_text().replace("import time\n", f"{first}import time\n"))
    runner = make_runner(tmp_path, command)
    await runner.nodes()

    async def second() -> bool:
        return starts.exists() and starts.read_text() == "xx" and runner.connected

    await eventually("a new connection tells of the death", second)
    assert runner.dead() == {}
    monkeypatch.setattr("time.monotonic", lambda now=time.monotonic: now() + QUIET_SECONDS)
    assert runner.dead() == {"node_b": "gone"}
    await runner.close()


async def test_whether_the_head_answers(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        head = f"127.0.0.1:{listener.getsockname()[1]}"
        runner = RayRunner(FakeRunner(), read_options({"address": head, "run_dir": tmp_path}))
        assert isinstance(runner, HasHead)
        assert await runner.head_answers()
    assert not await runner.head_answers()


async def test_without_a_connection_nobody_is_dead_and_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("aicp.runners.ray.runner._PAUSE_SECONDS", 0.01)
    runner = make_runner(tmp_path, speaking(tmp_path, ['{"node_b": "gone"}'], stays=False))
    await runner.nodes()

    async def again() -> bool:
        starts = tmp_path / "starts"
        return starts.exists() and len(starts.read_text()) > 2 and not runner.dead()

    await eventually("the connection is made again", again)
    await runner.close()


async def test_closing_ends_the_connection(tmp_path: Path):
    runner = make_runner(tmp_path, speaking(tmp_path, ["{}"]))
    await runner.nodes()
    await asyncio.sleep(0)
    await runner.close()
    assert len(asyncio.all_tasks()) == 1


def test_the_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    driver = Registry[RunnerDriver]("aicp.runners").get("ray")
    assert isinstance(driver, ChecksOptions)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidError) as raised:
        driver.check({"address": "10.0.0.1:6379"})
    assert "requirements/ray.txt" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"address": "0.0.0.0:6379"}, "AICP_RAY_ADDRESS"),
        ({"address": "10.0.0.1"}, "AICP_RAY_ADDRESS"),
        ({"address": "some.host:6379"}, "AICP_RAY_ADDRESS"),
        ({"redis": "redis://:secret@10.0.0.2:6379"}, "AICP_RAY_REDIS"),
        ({"redis": "rediss://10.0.0.2:6379"}, "AICP_RAY_REDIS"),
        ({"redis": "memcached://:x@127.0.0.1"}, "AICP_RAY_REDIS"),
        ({"redis": "rediss://:secret@10.0.0.2:6379"}, "AICP_RAY_REDIS_AUTHORITY"),
        ({"redis": "rediss://:secret@10.0.0.2", "redis_authority": Path("/nothing.pem")}, "/nothing.pem"),
        ({"reconnect_seconds": 60}, "AICP_RAY_RECONNECT_SECONDS"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], setting: str):
    with pytest.raises(InvalidError) as raised:
        read_options(values)
    assert setting in raised.value.message
    assert "secret" not in raised.value.message + str(raised.value.hint)


@pytest.mark.parametrize("redis", ["", "redis://:p@127.0.0.1:6379", "rediss://:p@10.0.0.2:6379"])
def test_right_settings(redis: str):
    more = {"redis": redis, "redis_authority": Path(__file__)}
    options = read_options({"address": "10.0.0.1:6380", "run_dir": Path("/d/run"), **more})
    assert options.member == RayMember(Path("/d/run/ray"), "10.0.0.1:6380", "10.0.0.1")


def test_every_process_of_ray_speaks_tls_with_a_token_and_waits_long(tmp_path: Path):
    variables = RayMember(tmp_path, "10.0.0.1:6380", "10.0.0.1").environment(10)
    assert variables["RAY_USE_TLS"] == "1"
    assert variables["RAY_AUTH_MODE"] == "token"
    assert int(variables["RAY_gcs_rpc_server_reconnect_timeout_s"]) >= 300
    assert without_ray(variables | {"AICP_PORT": "1"}) == {"AICP_PORT": "1"}
