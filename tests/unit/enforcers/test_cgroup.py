"""Control groups: real ones of version 1 where they can be written, and the files of version 2 on a plain tree."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aicp.core.launch import Allocation
from aicp.core.registry import Registry
from aicp.enforcers.base import Consumption, Enforcer
from aicp.enforcers.cgroup import CgroupEnforcer

MIB = 1024 * 1024


def allocation(cores: float = 0.5, memory: int = 64 * MIB) -> Allocation:
    return Allocation(node_id="node_1", devices=[], cpu_cores=cores, memory_bytes=memory)


@pytest.fixture
def group() -> Iterator[str]:
    name = f"test-{os.getpid()}-{time.monotonic_ns()}"
    enforcer = CgroupEnforcer()
    if not enforcer.apply(name, allocation()).enforced:
        pytest.skip("not run: control groups cannot be written here")
    yield name
    deadline = time.monotonic() + 5
    while not enforcer.release(name):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run_inside(join: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    enter = f"import os\nfor path in {list(join)!r}: open(path, 'w').write(str(os.getpid()))\n"
    return subprocess.run([sys.executable, "-c", enter + code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.cgroup
def test_processor_time_is_capped(group: str) -> None:
    applied = CgroupEnforcer().apply(group, allocation(cores=0.3))
    assert "0.3 cores" in applied.note
    code = (
        "import time\nbegan = time.monotonic()\nwhile time.monotonic() - began < 2: pass\n"
        "print(time.process_time() / (time.monotonic() - began))"
    )
    share = float(run_inside(applied.join, code).stdout)
    assert share < 0.36, "the quota is a cap"


@pytest.mark.cgroup
def test_memory_beyond_the_limit_ends_the_process_and_is_counted(group: str) -> None:
    enforcer = CgroupEnforcer()
    applied = enforcer.apply(group, allocation(memory=64 * MIB))
    before = enforcer.usage(group).out_of_memory_kills
    assert run_inside(applied.join, "x = b'x' * (200 * 1024 * 1024)").returncode == -9
    after = enforcer.usage(group).out_of_memory_kills
    assert before is not None
    assert after == before + 1
    assert run_inside(applied.join, "x = b'x' * (10 * 1024 * 1024)").returncode == 0


@pytest.mark.cgroup
def test_limits_move_both_ways(group: str) -> None:
    enforcer = CgroupEnforcer()
    for memory in (64, 256, 32):
        applied = enforcer.apply(group, allocation(memory=memory * MIB))
        assert "not limited" not in applied.note
        code = f"x = b'x' * ({memory - 20} * 1024 * 1024)"
        assert run_inside(applied.join, code).returncode == 0


@pytest.mark.cgroup
def test_members_are_listed_and_hold_the_group(group: str) -> None:
    enforcer = CgroupEnforcer()
    join = enforcer.apply(group, allocation()).join
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        for path in join:
            Path(path).write_text(str(sleeper.pid))
        assert enforcer.pids(group) == [sleeper.pid]
        assert not enforcer.release(group)
    finally:
        sleeper.kill()
        sleeper.wait()


def unified_tree(
    root: Path, *, own: str = "/system.slice/aicp.service", delegates: str = "system.slice"
) -> CgroupEnforcer:
    """The files of version 2: what the kernel makes in new groups is put there beforehand."""
    memberships = root / "memberships"
    memberships.write_text(f"0::{own}\n")
    mount = root / "cgroup"
    for name in ("", "system.slice", "system.slice/aicp.service"):
        directory = mount / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.controllers").write_text("cpu memory" if name else "")
        (directory / "cgroup.subtree_control").write_text("cpu memory" if name == delegates else "")
    group = mount / delegates / "aicp" / "rep_1"
    group.mkdir(parents=True)
    (group.parent / "cgroup.subtree_control").touch()
    for name in ("cpu.max", "cpu.weight", "memory.max", "memory.oom.group", "memory.swap.max", "cgroup.procs"):
        (group / name).touch()
    return CgroupEnforcer(mount, memberships)


def test_version_2_files(tmp_path: Path) -> None:
    enforcer = unified_tree(tmp_path, delegates="system.slice/aicp.service")
    applied = enforcer.apply("rep_1", allocation(cores=0.5, memory=64 * MIB))
    group = tmp_path / "cgroup" / "system.slice" / "aicp.service" / "aicp" / "rep_1"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "cpu.weight").read_text() == "50"
    assert (group / "memory.max").read_text() == str(64 * MIB)
    assert (group / "memory.oom.group").read_text() == "1"
    assert applied.join == (str(group / "cgroup.procs"),)
    assert applied.note == "limits by cgroup: 0.5 cores, 64 MiB of host memory"
    (group / "memory.current").write_text("1000\n")
    (group / "memory.peak").write_text("2000\n")
    (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    assert enforcer.usage("rep_1") == Consumption(1000, 2000, 1.5, 3)


def test_nothing_is_done_and_said_so_where_groups_are_not_writable(tmp_path: Path) -> None:
    (tmp_path / "memberships").write_text("0::/\n")
    enforcer = CgroupEnforcer(tmp_path / "nowhere", tmp_path / "memberships")
    applied = enforcer.apply("rep_1", allocation())
    assert not applied.enforced
    assert applied.join == ()
    assert "not writable" in applied.note
    assert enforcer.usage("rep_1") == Consumption()
    assert enforcer.release("rep_1")


@pytest.mark.parametrize("name", Registry[Enforcer]("aicp.enforcers").names())
def test_every_enforcer_is_harmless_for_a_group_it_never_made(name: str) -> None:
    enforcer = Registry[Enforcer]("aicp.enforcers").get(name)
    assert enforcer.pids("never-made") == []
    assert enforcer.usage("never-made") == Consumption()
    assert enforcer.release("never-made")
    assert enforcer.release("never-made")
