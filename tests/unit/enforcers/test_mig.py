"""MIG through a stand-in for nvidia-smi, whose answers were written after NVIDIA's MIG user guide."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicp.core.launch import Allocation, DeviceShare
from aicp.enforcers.mig import MigEnforcer

# two devices; an instance is a file `DEVICE.NUMBER` in the folder of the program
SMI = """#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
  --query*) cat modes ;;
  -L)
    for device in GPU-a GPU-b; do
      echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: $device)"
      for one in $device.*; do
        [ -e "$one" ] && echo "  MIG 1g.5gb      Device  0: (UUID: MIG-$one)"
      done
    done ;;
  mig)
    echo "$*" >> calls
    case "$*" in
      *-cgi*)
        [ "$5" = 7g.40gb ] && { echo "Insufficient Resources" >&2; exit 1; }
        number=$(ls | grep -c '^GPU-'); touch "$3.$number"
        echo "Successfully created GPU instance ID  $number on GPU  0 using profile MIG $5 (ID 19)"
        echo "Successfully created compute instance ID  0 on GPU  0 GPU instance ID  $number using profile MIG $5" ;;
      *-dci*) [ -e busy ] && { echo "In use by another client" >&2; exit 1; } ;;
      *-dgi*) rm "$4.$6" ;;
    esac ;;
esac
exit 0
"""


def share(profile: str | None = "1g.5gb", device: str = "GPU-a") -> DeviceShare:
    return DeviceShare(vendor="nvidia", device_id=device, index=0, mechanism="mig", profile=profile)


def allocation(*shares: DeviceShare) -> Allocation:
    return Allocation(node_id="node_1", devices=list(shares), cpu_cores=1, memory_bytes=0)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    folder = tmp_path / "machine"
    folder.mkdir()
    (folder / "smi").write_text(SMI)
    (folder / "smi").chmod(0o755)
    (folder / "modes").write_text("Enabled\nDisabled\n")
    return folder


@pytest.fixture
def enforcer(machine: Path, tmp_path: Path) -> MigEnforcer:
    return MigEnforcer(tmp_path / "state", str(machine / "smi"))


def test_each_slice_gets_an_instance_of_its_own_and_keeps_it(enforcer: MigEnforcer, machine: Path) -> None:
    first = enforcer.apply("rep_a", allocation(share()))
    second = enforcer.apply("rep_b", allocation(share()))
    assert first.env == {"CUDA_VISIBLE_DEVICES": "MIG-GPU-a.0"}
    assert second.env == {"CUDA_VISIBLE_DEVICES": "MIG-GPU-a.1"}
    assert first.note == "accelerator slice by MIG: instance 1g.5gb of GPU-a"
    again = enforcer.apply("rep_a", allocation(share()))
    assert again.env == first.env
    assert (machine / "calls").read_text().count("-cgi") == 2, "a restart makes no new one"


def test_an_instance_goes_with_its_slice_but_not_while_it_is_used(enforcer: MigEnforcer, machine: Path) -> None:
    enforcer.apply("rep_a", allocation(share(device="GPU-b")))
    (machine / "busy").touch()
    assert not enforcer.release("rep_a")
    (machine / "busy").unlink()
    assert enforcer.release("rep_a")
    assert not (machine / "GPU-b.0").exists()
    assert enforcer.release("rep_a")


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ([share(), share(device="GPU-b")], "one MIG instance"),
        ([share(None)], "has none"),
        ([share("7g.40gb")], "Insufficient Resources"),
    ],
)
def test_what_cannot_be_cut_is_said(enforcer: MigEnforcer, shares: list[DeviceShare], reason: str) -> None:
    applied = enforcer.apply("rep_a", allocation(*shares))
    assert not applied.enforced
    assert reason in applied.note


def test_why_it_is_not_available(enforcer: MigEnforcer, machine: Path, tmp_path: Path) -> None:
    assert enforcer.unavailable() is None
    (machine / "modes").write_text("Disabled\n[N/A]\n")
    assert "switched on" in (enforcer.unavailable() or "")
    assert "not installed" in (MigEnforcer(tmp_path, "no-such-program").unavailable() or "")
