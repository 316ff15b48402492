"""The agent as a real process with real engines: started, watched, restarted, adopted, confined, stopped."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.agent_process import TINY_HEALTH, AgentProcess, eventually, tiny_launch

from aicp.client.agent import AgentClient
from aicp.core.errors import ConflictError, NotFoundError, UnauthorizedError
from aicp.core.launch import ObservedReplica, ReplicaState

VARIABLES = {"TZ": "Asia/Taipei", "SECRET_OF_THE_SHELL": "hunter2"}
_numbers = count(1)
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent for all tests that leave it alive."""
    process = AgentProcess(tmp_path_factory.mktemp("a") / "data", **VARIABLES)
    process.spawn()
    yield process
    assert process.process is not None
    process.process.terminate()
    process.process.wait(30)


@pytest.fixture
async def agent(shared: AgentProcess) -> AsyncIterator[AgentProcess]:
    """The shared agent, with a replica id of this test's own."""
    shared.replica_id = f"rep_{next(_numbers)}"
    client = await shared.connect()
    yield shared
    await client.stop(shared.replica_id, grace_seconds=0)
    await client.close()


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent of this test's own, to be killed."""
    process = AgentProcess(tmp_path / "data", **VARIABLES)
    await process.start()
    yield process
    if process.process is None:
        await process.start()
    await process.end()


def client_of(agent: AgentProcess) -> AgentClient:
    assert agent.client is not None
    return agent.client


def pid_of(replica: ObservedReplica) -> int:
    pid = replica.members[0].pid
    assert pid is not None
    return pid


def gone(pid: int) -> bool:
    """Whether nothing runs under `pid`; what the first process of the machine has yet to clear away does not count."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def launch(agent: AgentProcess, *options: str, **fields: Any) -> ObservedReplica:
    spec = tiny_launch(await agent.node_id(), *options, replica_id=agent.replica_id, **fields)
    return await client_of(agent).start(spec)


async def start(agent: AgentProcess, *options: str, **fields: Any) -> ObservedReplica:
    await launch(agent, *options, **fields)
    return await agent.until(ReplicaState.READY)


async def log_text(agent: AgentProcess, replica_id: str | None = None) -> str:
    return "".join([piece async for piece in client_of(agent).log(replica_id or agent.replica_id)])


@pytest.mark.parametrize("listen", ["unix", "tcp"])
async def test_starts_serves_and_stops(agent: AgentProcess, listen: str) -> None:
    ready = await start(agent, listen=listen)
    assert ready.address is not None
    assert ready.address.startswith("unix:/" if listen == "unix" else "http://127.0.0.1:")
    assert ready.token
    assert ready.ready_at is not None
    pid = pid_of(ready)
    assert os.getsid(pid) == os.getpgid(pid) == pid

    await client_of(agent).stop(agent.replica_id, generation=1, grace_seconds=5)
    stopped = await agent.until(ReplicaState.STOPPED)
    assert gone(pid)
    assert stopped.address is None
    await client_of(agent).stop(agent.replica_id, generation=1)
    await client_of(agent).stop("rep_never_seen", generation=1)
    assert "/health" in await log_text(agent), "the log outlives the replica"
    with pytest.raises(NotFoundError):
        await log_text(agent, "rep_never_seen")


async def test_the_same_launch_again_changes_nothing_and_an_older_one_is_refused(agent: AgentProcess) -> None:
    first = await start(agent, generation=2)
    again = await launch(agent, generation=2)
    assert pid_of(again) == pid_of(first)
    with pytest.raises(ConflictError):
        await launch(agent, generation=1)
    await client_of(agent).stop(agent.replica_id, generation=1)
    assert (await agent.replica()).state is ReplicaState.READY, "a stop of an older generation must not end a newer one"


async def test_a_newer_generation_replaces_the_older_process(agent: AgentProcess) -> None:
    old = pid_of(await start(agent))
    await launch(agent, generation=2)

    async def replaced() -> bool:
        seen = await agent.replica()
        return seen.generation == 2 and seen.state is ReplicaState.READY

    await eventually("generation 2 is ready", replaced)
    assert gone(old)


async def test_wrong_token_is_refused(agent: AgentProcess) -> None:
    async with AgentClient(client_of(agent).address, "wrong") as stranger:
        with pytest.raises(UnauthorizedError):
            await stranger.node()


async def test_a_dying_engine_is_started_again_with_a_growing_pause_and_its_reason(agent: AgentProcess) -> None:
    await launch(agent, "--die", "7")

    async def restarted() -> ObservedReplica | None:
        seen = await agent.replica()
        return seen if seen.restarts >= 2 and seen.reason else None

    seen = await eventually("two restarts", restarted)
    assert seen.state is ReplicaState.STARTING
    assert seen.reason is not None
    assert "exit code 7" in seen.reason
    assert "RuntimeError: the tiny engine has had enough" in seen.reason
    assert seen.phase == "starting again in 2 s"
    assert "Next start in 1 s." in await log_text(agent)


async def test_an_engine_that_cannot_be_started_says_why(agent: AgentProcess) -> None:
    launch = tiny_launch(await agent.node_id(), replica_id=agent.replica_id)
    member = launch.members[0]
    spec = member.launch.model_copy(update={"command": ["/nowhere/engine"]})
    broken = launch.model_copy(update={"members": [member.model_copy(update={"launch": spec})]})
    await client_of(agent).start(broken)

    async def explained() -> str | None:
        return (await agent.replica()).reason

    assert "/nowhere/engine does not exist" in (await eventually("a reason", explained) or "")


async def test_kill_of_an_engine_brings_a_new_one_with_a_new_token(agent: AgentProcess) -> None:
    first = await start(agent)
    os.kill(pid_of(first), signal.SIGKILL)

    async def back() -> ObservedReplica | None:
        seen = await agent.replica()
        return seen if seen.state is ReplicaState.READY and seen.restarts == 1 else None

    second = await eventually("a new engine", back)
    assert pid_of(second) != pid_of(first)
    assert second.token != first.token


async def test_an_ill_engine_is_degraded_and_ready_again_when_well(agent: AgentProcess, tmp_path: Path) -> None:
    ill = tmp_path / "ill"
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    await start(agent, "--ill-file", str(ill))
    ill.touch()
    degraded = await agent.until(ReplicaState.DEGRADED, seconds=20)
    assert degraded.reason == "The engine does not answer (health check answered 500)."
    ill.unlink()
    await agent.until(ReplicaState.READY)


async def test_killed_agent_leaves_engines_and_its_successor_adopts_them(mortal: AgentProcess) -> None:
    before = await start(mortal)
    await mortal.end(signal.SIGKILL)
    assert psutil.pid_exists(pid_of(before))
    await mortal.start()
    after = await mortal.replica()
    assert after.adopted
    assert after.state is ReplicaState.READY, "the first look after adoption must not interrupt its traffic"
    assert (pid_of(after), after.token, after.restarts) == (pid_of(before), before.token, 0)
    os.kill(pid_of(before), signal.SIGKILL)

    async def back() -> ObservedReplica | None:
        seen = await mortal.replica()
        return seen if seen.state is ReplicaState.READY and seen.restarts == 1 else None

    assert not (await eventually("an adopted engine is watched too", back)).adopted


async def test_an_engine_that_died_without_an_agent_is_started_again(mortal: AgentProcess) -> None:
    before = await start(mortal)
    await mortal.end(signal.SIGKILL)
    os.kill(pid_of(before), signal.SIGKILL)
    await mortal.start()
    after = await mortal.until(ReplicaState.READY)
    assert after.restarts == 1
    assert not after.adopted


async def test_a_process_with_another_start_is_not_taken_for_the_engine(mortal: AgentProcess) -> None:
    before = await start(mortal)
    await mortal.end(signal.SIGKILL)
    file = mortal.data_dir / "agent" / "replicas" / mortal.replica_id / "process.json"
    identity = json.loads(file.read_text())
    file.write_text(json.dumps(identity | {"start_ticks": identity["start_ticks"] - 1}))
    await mortal.start()
    after = await mortal.until(ReplicaState.READY)
    assert pid_of(after) != pid_of(before)
    assert gone(pid_of(before)), "the one that could not be adopted is ended, not doubled"


async def worker_of(agent: AgentProcess) -> int:
    """The child of a tiny engine that only its session ties to it."""
    return int((await log_text(agent)).partition("worker ")[2].split()[0])


@pytest.mark.parametrize("stopping", [False, True])
async def test_children_of_an_engine_that_died_without_an_agent_are_ended(mortal: AgentProcess, stopping: bool) -> None:
    before = await start(mortal, "--worker", "1", "--deaf", "1")
    worker = await worker_of(mortal)
    if stopping:
        await client_of(mortal).stop(mortal.replica_id, grace_seconds=60)
    await mortal.end(signal.SIGKILL)
    os.kill(pid_of(before), signal.SIGKILL)
    assert not gone(worker)
    await mortal.start()
    await mortal.until(ReplicaState.STOPPED if stopping else ReplicaState.READY)
    assert gone(worker)


async def test_a_stop_right_after_the_engine_died_leaves_no_children(agent: AgentProcess) -> None:
    ready = await start(agent, "--worker", "1")
    worker = await worker_of(agent)
    os.kill(pid_of(ready), signal.SIGKILL)
    await client_of(agent).stop(agent.replica_id, grace_seconds=5)
    await agent.until(ReplicaState.STOPPED)
    assert gone(worker)


GUARDED = TINY_HEALTH.model_copy(update={"token_path": "/v1/models"})


async def test_an_engine_that_hides_its_environment_is_adopted_when_it_takes_the_token(mortal: AgentProcess) -> None:
    before = await start(mortal, "--title", "1", "--token", "{token}", health=GUARDED)
    assert b"AICP" not in Path(f"/proc/{pid_of(before)}/environ").read_bytes()
    text = (mortal.data_dir / "agent" / "replicas" / mortal.replica_id / "process.json").read_text()
    assert before.token is not None
    assert before.token not in text
    await mortal.end(signal.SIGKILL)
    await mortal.start()
    after = await mortal.replica()
    assert (after.adopted, pid_of(after), after.restarts) == (True, pid_of(before), 0)


async def test_an_engine_that_does_not_take_the_token_is_ended_with_all_its_processes(mortal: AgentProcess) -> None:
    before = await start(mortal, "--title", "1", "--worker", "1", "--token", "of another start", health=GUARDED)
    worker = await worker_of(mortal)
    await mortal.end(signal.SIGKILL)
    await mortal.start()
    after = await mortal.until(ReplicaState.READY)
    assert not after.adopted
    assert pid_of(after) != pid_of(before)
    assert gone(pid_of(before))
    assert gone(worker)


async def test_hang_up_leaves_engines_running(mortal: AgentProcess) -> None:
    before = await start(mortal)
    await mortal.end(signal.SIGHUP)
    assert psutil.pid_exists(pid_of(before))
    await mortal.start()
    assert pid_of(await mortal.replica()) == pid_of(before)


async def test_clean_stop_ends_engines_and_the_next_agent_starts_them(mortal: AgentProcess) -> None:
    before = await start(mortal)
    await mortal.end(signal.SIGTERM)
    assert gone(pid_of(before))
    await mortal.start()
    after = await mortal.until(ReplicaState.READY)
    assert after.restarts == 0
    assert pid_of(after) != pid_of(before)


async def test_stop_ends_grandchildren_in_sessions_of_their_own_and_deaf_engines(agent: AgentProcess) -> None:
    ready = await start(agent, "--child", "1", "--deaf", "1")
    children = psutil.Process(pid_of(ready)).children()
    assert len(children) == 1
    assert os.getsid(children[0].pid) != pid_of(ready)
    await client_of(agent).stop(agent.replica_id, grace_seconds=0.2)
    await agent.until(ReplicaState.STOPPED)
    assert gone(pid_of(ready))
    assert gone(children[0].pid)


async def test_a_second_stop_can_only_hurry_the_first(agent: AgentProcess) -> None:
    pid = pid_of(await start(agent, "--deaf", "1"))
    await client_of(agent).stop(agent.replica_id, grace_seconds=60)
    assert (await agent.replica()).state is ReplicaState.DRAINING
    await client_of(agent).stop(agent.replica_id, grace_seconds=300)
    assert psutil.pid_exists(pid), "it has a minute to end"
    assert (await agent.replica()).state is ReplicaState.DRAINING
    await client_of(agent).stop(agent.replica_id, grace_seconds=0)
    await agent.until(ReplicaState.STOPPED)
    assert gone(pid)


async def test_a_stop_goes_on_after_the_agent_was_killed(mortal: AgentProcess) -> None:
    pid = pid_of(await start(mortal, "--deaf", "1"))
    await client_of(mortal).stop(mortal.replica_id, grace_seconds=1)
    await mortal.end(signal.SIGKILL)
    assert psutil.pid_exists(pid)
    await mortal.start()
    await mortal.until(ReplicaState.STOPPED)
    assert gone(pid)


async def test_the_environment_is_built_from_an_empty_one(agent: AgentProcess) -> None:
    ready = await start(
        agent, "--report", "{home}/report", cpu_cores=3.5, env={"ENGINE_KEY": "{token}", "SHAPE": '{"port": {port}}'}
    )
    home = agent.data_dir / "agent" / "replicas" / agent.replica_id / "home"
    facts = json.loads((home / "report").read_text())
    env = facts["env"]
    assert "SECRET_OF_THE_SHELL" not in env
    assert env["TZ"] == "Asia/Taipei"
    assert env["ENGINE_KEY"] == ready.token
    assert env["SHAPE"] == '{"port": 0}', "braces that are no placeholder stay"
    assert env["OMP_NUM_THREADS"] == "3"
    assert env["HOME"] == str(home)
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    allowed = {"AICP_REPLICA", "AICP_REPLICA_TOKEN", "PATH", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_CACHE_HOME"}
    allowed |= {"PYTHONUNBUFFERED", "HOME", "TZ", "ENGINE_KEY", "SHAPE", "LC_CTYPE", "LC_ALL", "LD_LIBRARY_PATH"}
    allowed |= {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"}
    assert {name for name in env if not name.endswith("VISIBLE_DEVICES") and name != "CUDA_DEVICE_ORDER"} <= allowed


@root
@pytest.mark.root
async def test_a_root_platform_runs_engines_unprivileged_in_a_view_of_their_own(agent: AgentProcess) -> None:
    data = agent.data_dir
    replica = data / "agent" / "replicas" / agent.replica_id
    read = f"{data}:{data / 'run' / 'internal.token'}:{data / 'agent'}:/etc/shadow"
    await start(
        agent,
        "--report",
        "{home}/report",
        env={"PROBE_READ": read, "PROBE_WRITE": f"{{home}}:{data}:{data / 'agent'}:{Path(__file__).parent}"},
    )
    facts = json.loads((replica / "home" / "report").read_text())
    assert facts["user"] == 65534
    assert facts["groups"] == [65534] or facts["groups"] == []
    assert facts["readable"][str(data / "run" / "internal.token")].startswith("error")
    assert facts["readable"]["/etc/shadow"].startswith("error")
    seen = facts["readable"][str(data)]
    assert seen in (["agent"], "error: Permission denied"), "the way to its own directory, or not even that"
    assert [name for name, allowed in facts["writable"].items() if allowed] == [str(replica / "home")]
    record = replica / "replica.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600, "it holds the engine's token"


async def test_a_log_is_followed_while_it_grows(agent: AgentProcess) -> None:
    await start(agent)
    seen = ""
    async for piece in client_of(agent).log(agent.replica_id, tail=0, follow=True):
        seen += piece
        if seen.count("/health") >= 1:
            break
    assert "GET /health" in seen


@pytest.mark.cgroup
async def test_an_engine_beyond_its_memory_is_ended_alone_and_told_so(agent: AgentProcess) -> None:
    limits = {"cpu_cores": 0.5, "memory_bytes": 128 * 1024 * 1024, "enforcers": ["cgroup"]}
    await launch(agent, "--eat", str(400 * 1024 * 1024), **limits)

    async def explained() -> str | None:
        return (await agent.replica()).reason

    reason = await eventually("a reason", explained)
    if "limits by cgroup" not in await log_text(agent):
        pytest.skip("not run: control groups cannot be written here")
    assert reason == "The engine needed more host memory than its limit of 128 MiB and was ended by the kernel."
    await client_of(agent).stop(agent.replica_id)
    await agent.until(ReplicaState.STOPPED)
