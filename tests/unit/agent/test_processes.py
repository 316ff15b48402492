"""Engine processes found again: what a dead leader left, and whether a process is the engine of a record."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from aicp.agent.processes import MARK, TOKEN, adopt, digest_of, sweep
from aicp.telemetry.processes import ProcessIdentity, identify

_LEADER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={})
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own with one child, which nothing but the session ties to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LEADER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: "rep_1", TOKEN: "secret"},
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def child_of(leader: subprocess.Popen[str]) -> int:
    assert leader.stdout is not None
    return int(leader.stdout.readline())


def identity_of(leader: subprocess.Popen[str]) -> ProcessIdentity:
    identity = identify(leader.pid)
    assert identity is not None
    return identity


async def test_children_of_a_dead_leader_are_ended(leader: subprocess.Popen[str]) -> None:
    child, identity = child_of(leader), identity_of(leader)
    leader.kill()
    leader.wait()
    assert identify(child) is not None
    assert await sweep("rep_other", identity) == []
    assert identify(child) is None


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another boot"}])
async def test_a_number_that_came_to_mean_another_process_is_left_alone(
    leader: subprocess.Popen[str], change: dict[str, object]
) -> None:
    child, identity = child_of(leader), identity_of(leader)
    assert await sweep("rep_other", replace(identity, **change)) == []
    assert identify(child) is not None
    assert identity.alive()
    await sweep("rep_other", identity)


async def test_pid_start_and_token_must_match(leader: subprocess.Popen[str]) -> None:
    child_of(leader)
    identity, digest = identity_of(leader), digest_of("secret")
    found = adopt(identity, digest, "rep_1", "secret")
    assert found is not None
    assert found.proven
    assert adopt(identity, None, "rep_1", "secret") is not None, "written before digests were"
    assert adopt(identity, digest_of("other"), "rep_1", "secret") is None
    assert adopt(identity, digest_of("other"), "rep_1", "other") is None, "the process shows another token"
    assert adopt(identity, digest, "rep_2", "secret") is None
    assert adopt(replace(identity, start_ticks=1), digest, "rep_1", "secret") is None
    assert "secret" not in digest
    await sweep("rep_1", identity)


def test_a_process_that_shows_no_environment_is_not_proven() -> None:
    quiet = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={}, start_new_session=True)
    try:
        identity = identify(quiet.pid)
        found = adopt(identity, digest_of("secret"), "rep_1", "secret")
        assert found is not None
        assert not found.proven
    finally:
        quiet.kill()
        quiet.wait()
