"""Slices of NVIDIA devices by MIG: the hardware cuts the device, faults and memory of an instance stay in it.

The operator switches MIG on; an instance is made for each slice and removed with it. Written after NVIDIA's MIG user
guide (`nvidia-smi mig`, `nvidia-smi -L`) alone: it never ran on a real device.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from aicp.core.launch import Allocation, DeviceShare
from aicp.enforcers.base import Applied, Consumption

MECHANISM = "mig"
_PATIENCE_SECONDS = 30.0
_DEVICE = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[^)]+)\)")
_INSTANCE = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)")
_MADE = re.compile(r"created GPU instance ID\s+(\d+)")


class _Instance(TypedDict):
    device: str
    number: int
    uuid: str


class MigEnforcer:
    """`program` is nvidia-smi; tests give one of their own. What was made is written down, a file for each replica."""

    def __init__(self, directory: Path | None = None, program: str = "nvidia-smi") -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"aicp-mig-{os.geteuid()}"
        self._program = program
        self._lock = threading.Lock()  # what is new in the list of instances must be the one just made

    def keep_in(self, directory: Path) -> None:
        self._directory = directory

    def unavailable(self) -> str | None:
        if shutil.which(self._program) is None:
            return "nvidia-smi is not installed (it comes with NVIDIA's driver)"
        try:
            modes = self._run("--query-gpu=mig.mode.current", "--format=csv,noheader")
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if "Enabled" not in modes.split():
            return "MIG is switched on for no device here; on an idle one: nvidia-smi -i INDEX -mig 1"
        return None

    def apply(self, group: str, allocation: Allocation) -> Applied:
        shares = [device for device in allocation.devices if device.mechanism == MECHANISM]
        if not shares:
            return Applied(False, "no slice is held by MIG")
        problem = self.unavailable() or _misfit(shares)
        if problem is None:
            try:
                with self._lock:
                    instance = self._find(group) or self._make(group, shares[0])
            except (OSError, subprocess.SubprocessError) as error:
                problem = str(error)
            else:
                note = f"accelerator slice by MIG: instance {shares[0].profile} of {shares[0].device_id}"
                rounding = f" ({shares[0].rounding})" if shares[0].rounding else ""
                return Applied(True, note + rounding, env={"CUDA_VISIBLE_DEVICES": instance["uuid"]})
        return Applied(False, f"accelerator slices are not enforced: {problem}")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        with self._lock:
            instance = self._read(group)
            if instance is None:
                return True
            which = ("-i", instance["device"], "-gi", str(instance["number"]))
            try:
                if instance["uuid"] in self._instances(instance["device"]):
                    self._run("mig", "-dci", *which)
                    self._run("mig", "-dgi", *which)
            except (OSError, subprocess.SubprocessError):
                return False  # a process still uses it
            self._file(group).unlink(missing_ok=True)
            return True

    def _file(self, group: str) -> Path:
        return self._directory / f"{group}.json"

    def _read(self, group: str) -> _Instance | None:
        with suppress(OSError, ValueError):
            return json.loads(self._file(group).read_text())
        return None

    def _find(self, group: str) -> _Instance | None:
        """The instance that the replica has from an earlier start."""
        instance = self._read(group)
        return instance if instance and instance["uuid"] in self._instances(instance["device"]) else None

    def _make(self, group: str, share: DeviceShare) -> _Instance:
        before = self._instances(share.device_id)
        made = self._run("mig", "-i", share.device_id, "-cgi", str(share.profile), "-C")
        number = _MADE.search(made)
        new = [uuid for uuid in self._instances(share.device_id) if uuid not in before]
        if number is None or len(new) != 1:
            raise OSError(f"nvidia-smi made no instance of {share.profile}: {made.strip()}")
        instance = _Instance(device=share.device_id, number=int(number.group(1)), uuid=new[0])
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file(group).write_text(json.dumps(instance))
        return instance

    def _instances(self, device_id: str) -> list[str]:
        """Of one device, by `nvidia-smi -L`."""
        found: list[str] = []
        device = ""
        for line in self._run("-L").splitlines():
            if match := _DEVICE.match(line):
                device = match.group(1)
            elif device == device_id and (match := _INSTANCE.match(line)):
                found.append(match.group(1))
        return found

    def _run(self, *words: str) -> str:
        program = shutil.which(self._program) or self._program
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip() or f"it ended with {done.returncode}"
            raise OSError(f"nvidia-smi {' '.join(words)}: {said}")
        return done.stdout


def _misfit(shares: list[DeviceShare]) -> str | None:
    if len(shares) > 1:
        return "a process can use one MIG instance; ask for whole devices or one slice"
    if shares[0].profile is None:
        return "a MIG slice has a profile, and this one has none"
    return None


driver = MigEnforcer()
