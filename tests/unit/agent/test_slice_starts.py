"""A start with slices: the engine, whoever it runs as and whatever it sees, gets into its slice and no further."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.fake_cuda import DEVICES, FakeCuda, compiler

from aicp.accelerators.base import AcceleratorDriver
from aicp.agent.confinement import can_enter
from aicp.agent.engine_user import find_engine_user
from aicp.agent.processes import spawn
from aicp.agent.records import ReplicaFiles
from aicp.agent.site import Site
from aicp.agent.starts import prepare_start
from aicp.core.errors import UnavailableError
from aicp.core.launch import Allocation, DeviceShare, LaunchSpec, ReplicaMember
from aicp.core.quantity import MIB
from aicp.core.registry import Registry
from aicp.enforcers.base import Enforcer
from aicp.enforcers.interposer import InterposerEnforcer

ENGINE = """
import json, os, subprocess
commands = "memory\\nlaunch kernel 10\\nallocate plain 67108864\\nallocate plain 1\\n"
done = subprocess.run([os.environ["TESTER"], "address", "0"], input=commands, capture_output=True, text=True)
facts = {"user": os.getuid(), "said": done.stdout.split("\\n"), "errors": done.stderr}
facts["preload"] = os.environ["LD_PRELOAD"]
print("FACTS " + json.dumps(facts), flush=True)
"""


class Enforcers(Registry[Enforcer]):
    """The one under test."""

    def __init__(self, enforcer: InterposerEnforcer) -> None:
        super().__init__("aicp.enforcers")
        self._loaded["interposer"] = enforcer


def site_with(enforcer: InterposerEnforcer, data: Path) -> Site:
    user = find_engine_user(None, os.geteuid())
    return Site(
        node_id="node_1",
        data_dir=data,
        replicas_dir=data / "replicas",
        copies=None,  # type: ignore[arg-type]
        engines=None,  # type: ignore[arg-type]
        accelerators=Registry[AcceleratorDriver]("aicp.accelerators"),
        enforcers=Enforcers(enforcer),
        clock=FakeClock(),
        engine_user=user,
        namespaces=user is not None and can_enter(),
    )


def sliced_member(cuda_directory: Path, **share: object) -> ReplicaMember:
    device = DeviceShare(
        **{
            "vendor": "nvidia",
            "device_id": DEVICES[0],
            "index": 0,
            "compute_percent": 50,
            "memory_bytes": 64 * MIB,
            "mechanism": "interposer",
            **share,
        }
    )
    env = {
        "TESTER": str(cuda_directory / "tester"),
        "LD_LIBRARY_PATH": str(cuda_directory),
        "FAKE_CUDA_STATE": "{home}/state",
        "LD_PRELOAD": "libm.so.6",
    }
    launch = LaunchSpec(
        engine="tiny",
        engine_version="1",
        environment=False,
        command=["{python}", "-c", ENGINE],
        env=env,
        enforcers=["none"],
    )
    allocation = Allocation(node_id="node_1", devices=[device], cpu_cores=1, memory_bytes=0)
    return ReplicaMember(node_id="node_1", launch=launch, allocation=allocation)


@pytest.mark.skipif(compiler() is None, reason="not run: there is no C compiler (Debian: apt-get install gcc)")
async def test_the_engine_is_in_its_slice_in_the_view_it_gets(tmp_path: Path) -> None:
    (tmp_path / "cuda").mkdir()
    cuda = FakeCuda(tmp_path / "cuda")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    enforcer = cuda.enforcer(data / "enforcers" / "interposer")
    site = site_with(enforcer, data)
    files = ReplicaFiles(data / "replicas" / "rep_1")
    start = prepare_start(site, files, "rep_1", sliced_member(cuda.directory), None, cuda.directory)
    process = spawn(start.plan, "rep_1", files.log)
    await asyncio.wait_for(process.wait(), 30)
    log = files.log.tail(50)
    assert "FACTS " in log, log
    facts = json.loads(log.split("FACTS ", 1)[1].splitlines()[0])
    assert facts["errors"] == ""
    assert facts["said"][:4] == ["0", f"{64 * MIB} {64 * MIB} {64 * MIB}", "0", "0 0"]
    assert facts["said"][4].startswith("2 "), "one byte more is out of memory"
    assert facts["preload"] == f"{cuda.library}:libm.so.6", "what the engine preloads itself stays"
    assert facts["user"] == (site.engine_user.user_id if site.engine_user else os.geteuid())
    assert "at most 50 % of compute" in "; ".join(start.notes)


def test_a_slice_that_nothing_holds_to_its_size_is_not_started(tmp_path: Path) -> None:
    site = site_with(InterposerEnforcer(tmp_path / "slices", tmp_path / "missing.so"), tmp_path)
    files = ReplicaFiles(tmp_path / "replicas" / "rep_1")
    with pytest.raises(UnavailableError, match=r"cannot be held to its size.*not built"):
        prepare_start(site, files, "rep_1", sliced_member(tmp_path), None, None)
    made_up = sliced_member(tmp_path, vendor="simulated")
    assert prepare_start(site, files, "rep_1", made_up, None, None).notes, "nothing runs on a simulated device"
