"""MIG through a stand-in for nvidia-smi, whose answers were written after NVIDIA's MIG user guide."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicp.core.launch import Allocation, DeviceShare
from aicp.enforcers._ledger import Ledger
from aicp.enforcers.mig import MigEnforcer

# Two devices. A GPU instance is a file `DEVICE.NUMBER` with its profile in the folder of the program, its compute
# instance a file `ci.DEVICE.NUMBER` with the end of its UUID. `busy`: a process uses it; `cut`: it was never made
SMI = """#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
  --query*) cat modes ;;
  -L)
    for device in GPU-a GPU-b; do
      echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: $device)"
      for one in ci.$device.*; do
        [ -e "$one" ] && echo "  MIG 1g.5gb      Device  0: (UUID: MIG-$(cat "$one"))"
      done
    done ;;
  mig)
    echo "$*" >> calls
    case "$*" in
      *-cgi*)
        [ "$5" = 7g.40gb ] && { echo "Insufficient Resources" >&2; exit 1; }
        number=$(ls | grep -c '^GPU-'); echo "$5" > "$3.$number"
        [ -e cut ] && { echo "Unknown Error" >&2; exit 1; }
        echo "$3.$number" > "ci.$3.$number"
        echo "Successfully created GPU instance ID  $number on GPU  0 using profile MIG $5 (ID 19)"
        echo "Successfully created compute instance ID  0 on GPU  0 GPU instance ID  $number using profile MIG $5" ;;
      *-lgi*)
        ls "$3".* > /dev/null 2>&1 || { echo "No GPU instances found: Not Found"; exit 6; }
        echo "| GPU   Name             Profile  Instance   Placement  |"
        for one in "$3".*; do
          echo "|   0  MIG $(cat "$one")          19        ${one##*.}          4:1     |"
        done ;;
      *-dci*)
        [ -e busy ] && { echo "In use by another client" >&2; exit 1; }
        [ -e "ci.$4.$6" ] || { echo "No compute instances found: Not Found"; exit 6; }
        rm "ci.$4.$6" ;;
      *-dgi*)
        [ -e "ci.$4.$6" ] && { echo "Unable to destroy GPU instance ID  $6: In use" >&2; exit 1; }
        rm "$4.$6" ;;
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


def instances(machine: Path) -> list[str]:
    return sorted(path.name for path in machine.glob("*GPU-*"))


def test_an_instance_that_was_busy_at_its_end_goes_before_the_next_is_made(
    enforcer: MigEnforcer, machine: Path
) -> None:
    enforcer.apply("rep_a", allocation(share()))
    (machine / "busy").touch()
    assert not enforcer.release("rep_a")
    (machine / "busy").unlink()
    another = MigEnforcer(machine.parent / "state", str(machine / "smi"))
    assert another.apply("rep_b", allocation(share(device="GPU-b"))).enforced
    assert instances(machine) == ["GPU-b.0", "ci.GPU-b.0"]
    assert another.release("rep_a")


def test_what_ended_while_the_disk_was_full_goes_later(
    enforcer: MigEnforcer, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforcer.apply("rep_a", allocation(share()))
    with monkeypatch.context() as full:
        full.setattr(Ledger, "write", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        assert not enforcer.release("rep_a")
        refused = enforcer.apply("rep_b", allocation(share(device="GPU-b")))
        assert not refused.enforced
        assert "No space left" in refused.note
    enforcer.apply("rep_b", allocation(share(device="GPU-b")))
    assert instances(machine) == ["GPU-b.0", "ci.GPU-b.0"]


def test_an_agent_that_dies_while_an_instance_is_made_leaves_none_behind(
    enforcer: MigEnforcer, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforcer.apply("rep_other", allocation(share()))
    run = MigEnforcer._run

    class Death(BaseException):
        pass

    def die_after_making(self: MigEnforcer, *words: str) -> str:
        said = run(self, *words)
        if "-cgi" in words:
            raise Death
        return said

    with monkeypatch.context() as dying:
        dying.setattr(MigEnforcer, "_run", die_after_making)
        with pytest.raises(Death):
            enforcer.apply("rep_a", allocation(share()))
    assert "GPU-a.1" in instances(machine)
    again = MigEnforcer(machine.parent / "state", str(machine / "smi"))
    assert again.release("rep_a")
    assert instances(machine) == ["GPU-a.0", "ci.GPU-a.0"]


def test_a_program_that_hangs_is_no_slice(
    enforcer: MigEnforcer, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicp.enforcers.mig._PATIENCE_SECONDS", 0.5)
    (machine / "smi").write_text("#!/bin/sh\nexec sleep 60\n")
    assert enforcer.apply("rep_a", allocation(share())).note.endswith("smi did not answer within 0.5 s")


def test_half_an_instance_is_not_left(enforcer: MigEnforcer, machine: Path) -> None:
    (machine / "cut").touch()
    refused = enforcer.apply("rep_a", allocation(share()))
    assert not refused.enforced
    assert "Unknown Error" in refused.note
    assert instances(machine) == []


def test_another_profile_or_device_is_another_instance(enforcer: MigEnforcer, machine: Path) -> None:
    enforcer.apply("rep_a", allocation(share()))
    assert enforcer.apply("rep_a", allocation(share("2g.10gb"))).enforced
    assert instances(machine) == ["GPU-a.0", "ci.GPU-a.0"]
    assert (machine / "GPU-a.0").read_text() == "2g.10gb\n"
    assert enforcer.apply("rep_a", allocation(share(device="GPU-b"))).enforced
    assert instances(machine) == ["GPU-b.0", "ci.GPU-b.0"]


def test_an_instance_of_somebody_else_under_a_number_given_again_stays(enforcer: MigEnforcer, machine: Path) -> None:
    enforcer.apply("rep_a", allocation(share()))
    (machine / "ci.GPU-a.0").write_text("of-the-operator\n")  # after a restart of the machine
    assert enforcer.release("rep_a")
    assert instances(machine) == ["GPU-a.0", "ci.GPU-a.0"]
    assert enforcer.apply("rep_a", allocation(share())).env == {"CUDA_VISIBLE_DEVICES": "MIG-GPU-a.1"}


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
