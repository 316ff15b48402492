"""The nouns' own rules: quantities, names, states, permissions, bells, drivers by name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from aicp.core.identity import ROLE_PERMISSIONS, Permission, Role
from aicp.core.ids import is_name, new_id
from aicp.core.job import FINISHED_JOB_STATES, JOB_TRANSITIONS, JobState, check_job_transition
from aicp.core.launch import ReplicaState
from aicp.core.quantity import GIB, MIB, format_bytes, parse_bytes
from aicp.core.registry import Registry
from aicp.core.replica import ENDED_REPLICA_STATES, REPLICA_TRANSITIONS, check_replica_transition


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("4096", 4096), ("1.5GiB", 1.5 * GIB), ("512m", 512 * MIB), ("2 GB", 2 * GIB), (" 1K ", 1024), ("0", 0)],
)
def test_sizes_are_read_as_people_write_them(text: str, wanted: float) -> None:
    assert parse_bytes(text) == wanted


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.2.3", "1 PB", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_a_printed_size_reads_back_within_its_precision(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.006, abs=1)


@pytest.mark.parametrize("name", ["a", "qwen3-0.6b", "my_model.v2", "0", "a" * 63])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "a/b", "..", "a" * 64, "模型"])
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id("svc") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids[0][:14] <= ids[-1][:14]


def test_ended_states_are_final() -> None:
    assert all(not JOB_TRANSITIONS[state] for state in FINISHED_JOB_STATES)
    assert all(not REPLICA_TRANSITIONS[state] for state in ENDED_REPLICA_STATES)
    assert set(REPLICA_TRANSITIONS) == set(ReplicaState)
    assert set(JOB_TRANSITIONS) == set(JobState)


def test_a_drained_replica_never_serves_again() -> None:
    with pytest.raises(ConflictError, match="draining cannot become ready"):
        check_replica_transition(ReplicaState.DRAINING, ReplicaState.READY)
    with pytest.raises(ConflictError):
        check_job_transition(JobState.SUCCEEDED, JobState.RUNNING)


def test_every_ended_replica_can_be_reached_from_every_live_one() -> None:
    for state in set(ReplicaState) - ENDED_REPLICA_STATES - {ReplicaState.FENCED}:
        assert ReplicaState.STOPPED in REPLICA_TRANSITIONS[state]


def caller(**projects: Role) -> Caller:
    return Caller("u", "u", projects={name: ROLE_PERMISSIONS[role] for name, role in projects.items()})


def test_another_project_does_not_exist() -> None:
    with pytest.raises(NotFoundError):
        caller(mine=Role.PROJECT_ADMIN).require(Permission.MODEL_READ, "theirs")


def test_a_viewer_may_look_and_not_change() -> None:
    viewer = caller(mine=Role.VIEWER)
    viewer.require(Permission.SERVICE_READ, "mine")
    with pytest.raises(ForbiddenError, match="service:write"):
        viewer.require(Permission.SERVICE_WRITE, "mine")


def test_visible_projects() -> None:
    assert caller(a=Role.VIEWER, b=Role.DEVELOPER).visible_projects(Permission.KEY_WRITE) == {"b"}
    admin = Caller("root", "root", platform=ROLE_PERMISSIONS[Role.PLATFORM_ADMIN])
    assert admin.visible_projects(Permission.KEY_WRITE) is None


async def test_a_bell_wakes_only_those_who_listen_for_that() -> None:
    bell = Bell()
    with bell.subscription("job") as queue:
        bell.ring("service", "a")
        assert not await bell.wait(queue, 0.01)
        bell.ring("job", "j")
        assert await bell.wait(queue, 1)


async def test_a_slow_listener_loses_the_oldest_and_keeps_the_newest() -> None:
    bell = Bell()
    with bell.subscription() as queue:
        for number in range(2000):
            bell.ring("job", str(number))
        assert queue.qsize() == 1000
        names = [queue.get_nowait().name for _ in range(1000)]
    assert names[-1] == "1999"
    bell.ring("job")  # nobody listens any more
    await asyncio.sleep(0)


def test_a_driver_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "family"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("")
    (package / "_private.py").write_text("")
    (package / "acme.py").write_text("driver = 'the acme driver'\n")
    (package / "broken.py").write_text("raise RuntimeError('imported without being asked for')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry: Registry[str] = Registry("family")
    assert registry.names() == ["acme", "broken"]
    assert registry.get("acme") == "the acme driver"
    with pytest.raises(InvalidError, match="no driver 'acm' in family") as error:
        registry.get("acm")
    assert error.value.hint == "Known: acme, broken."
    assert "family.broken" not in sys.modules
