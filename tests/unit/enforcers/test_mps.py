"""MPS through a stand-in for its control program, which was written after NVIDIA's documentation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.core.slice import SlicePolicy
from aicp.enforcers.mps import MpsEnforcer

# `-d` starts the daemon, which makes `control` in its pipe directory; commands come on standard input
CONTROL = """#!/bin/sh
if [ "$1" = -d ]; then
  [ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ] && { echo "An instance of this daemon is already running" >&2; exit 1; }
  echo "start $CUDA_VISIBLE_DEVICES" >> "$CUDA_MPS_LOG_DIRECTORY/calls"
  touch "$CUDA_MPS_PIPE_DIRECTORY/control"
  exit 0
fi
[ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ] || { echo "Cannot find MPS control daemon process" >&2; exit 1; }
read command
echo "$command" >> "$CUDA_MPS_LOG_DIRECTORY/calls"
[ "$command" = quit ] && rm "$CUDA_MPS_PIPE_DIRECTORY/control"
exit 0
"""


def share(device: str = "GPU-1", **changes: object) -> DeviceShare:
    fields = {"compute_percent": 25, "memory_bytes": 2 * GIB, "mechanism": "mps", "index": 0, **changes}
    return DeviceShare(vendor="nvidia", device_id=device, **fields)


def allocation(*shares: DeviceShare) -> Allocation:
    return Allocation(node_id="node_1", devices=list(shares), cpu_cores=1, memory_bytes=0)


@pytest.fixture
def enforcer(tmp_path: Path) -> MpsEnforcer:
    program = tmp_path / "control"
    program.write_text(CONTROL)
    program.chmod(0o755)
    return MpsEnforcer(Path(str(tmp_path)[:60]) if len(str(tmp_path)) < 60 else tmp_path, str(program))


def calls(applied_pipe: str) -> list[str]:
    return (Path(applied_pipe).parent / "log" / "calls").read_text().split("\n")[:-1]


def test_one_daemon_a_device_serves_all_its_slices_and_ends_with_the_last(enforcer: MpsEnforcer) -> None:
    first = enforcer.apply("rep_a", allocation(share()))
    second = enforcer.apply("rep_b", allocation(share(compute_percent=50)))
    pipe = first.env["CUDA_MPS_PIPE_DIRECTORY"]
    assert first.enforced
    assert first.env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    assert first.env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=2048M"
    assert first.readable == (pipe,)
    assert first.writable == ()
    assert first.note == "accelerator slice by MPS: at most 25 % of threads and 2 GiB of GPU-1"
    assert second.env["CUDA_MPS_PIPE_DIRECTORY"] == pipe
    assert calls(pipe) == ["start GPU-1", "get_server_list"]
    assert enforcer.release("rep_a")
    assert calls(pipe)[-1] != "quit"
    assert enforcer.release("rep_b")
    assert calls(pipe)[-1] == "quit"
    assert enforcer.release("rep_b"), "again is harmless"
    assert enforcer.apply("rep_c", allocation(share())).enforced, "a new daemon"


def test_the_daemons_directory_is_the_agents_alone_and_open_to_clients(enforcer: MpsEnforcer) -> None:
    pipe = Path(enforcer.apply("rep_a", allocation(share())).readable[0])
    pipe.chmod(0o777)
    if os.geteuid() == 0:
        os.chown(pipe, 65534, 65534)
    enforcer.apply("rep_a", allocation(share()))
    assert (pipe.stat().st_uid, pipe.stat().st_mode & 0o777) == (os.geteuid(), 0o755)


def test_devices_do_not_share_a_daemon(enforcer: MpsEnforcer) -> None:
    pipes = [enforcer.apply(f"rep_{id}", allocation(share(id))).env["CUDA_MPS_PIPE_DIRECTORY"] for id in ("A", "B")]
    assert pipes[0] != pipes[1]
    assert [calls(pipe) for pipe in pipes] == [["start A"], ["start B"]]


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ([share("A"), share("B")], "one MPS daemon"),
        ([share(policy=SlicePolicy.WEIGHT)], "cannot lend"),
    ],
)
def test_what_mps_cannot_do_is_said(enforcer: MpsEnforcer, shares: list[DeviceShare], reason: str) -> None:
    applied = enforcer.apply("rep_a", allocation(*shares))
    assert not applied.enforced
    assert reason in applied.note


def test_a_daemon_that_does_not_start_is_no_slice(tmp_path: Path) -> None:
    program = tmp_path / "control"
    program.write_text("#!/bin/sh\necho 'no device' >&2\nexit 1\n")
    program.chmod(0o755)
    applied = MpsEnforcer(tmp_path, str(program)).apply("rep_a", allocation(share()))
    assert not applied.enforced
    assert "no device" in applied.note


def test_without_the_program_it_is_not_available(tmp_path: Path) -> None:
    assert "not installed" in (MpsEnforcer(tmp_path, "no-such-program").unavailable() or "")
