"""Slices of NVIDIA devices by MIG: the hardware cuts the device, faults and memory of an instance stay in it.

The operator switches MIG on; an instance is made for each slice and removed with it. Written after NVIDIA's MIG user
guide (`nvidia-smi mig`, `nvidia-smi -L`) alone: it never ran on a real device.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from aicp.core.launch import Allocation, DeviceShare
from aicp.enforcers._ledger import Groups, Ledger, end_all, leftovers
from aicp.enforcers.base import Applied, Consumption

MECHANISM = "mig"
_PATIENCE_SECONDS = 30.0
_DEVICE = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[^)]+)\)")
_COMPUTE = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)")
_MADE = re.compile(r"created GPU instance ID\s+(\d+)")
# nvidia-smi mig -lgi: device, name of the profile, its number, number of the instance, placement
_ROW = re.compile(r"^\s*\|\s*\d+\s+MIG (\S+)\s+\d+\s+(\d+)\s+\d+:\d+\s*\|", re.MULTILINE)
_NONE_THERE = re.compile(r"No (?:GPU instances|MIG-enabled devices) found")  # said with an exit status of a failure


class MigEnforcer:
    """`program` is nvidia-smi; tests give one of their own.

    A slice has a GPU instance, by its number, and the compute instance in it, by its UUID, which the engine is shown.
    """

    def __init__(self, directory: Path | None = None, program: str = "nvidia-smi") -> None:
        self._ledger = Ledger(MECHANISM, directory)
        self._program = program
        self._ended: set[str] = set()  # what the ledger could not be told, on a full disk

    def keep_in(self, directory: Path) -> None:
        self._ledger.keep_in(directory)

    def unavailable(self) -> str | None:
        if shutil.which(self._program) is None:
            return "nvidia-smi is not installed (it comes with NVIDIA's driver)"
        try:
            modes = self._run("--query-gpu=mig.mode.current", "--format=csv,noheader")
        except OSError as error:
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
                with self._ledger.opened() as groups:
                    self._ended.discard(group)
                    self._end_leftovers(groups, group)
                    uuid = self._hold(groups, group, shares[0])
            except OSError as error:
                problem = str(error)
            else:
                note = f"accelerator slice by MIG: instance {shares[0].profile} of {shares[0].device_id}"
                rounding = f" ({shares[0].rounding})" if shares[0].rounding else ""
                return Applied(True, note + rounding, env={"CUDA_VISIBLE_DEVICES": uuid})
        return Applied(False, f"accelerator slices are not enforced: {problem}")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        """False also where an instance cannot be ended now: it is tried again whenever another slice starts."""
        self._ended.add(group)
        try:
            with self._ledger.opened() as groups:
                if group in groups:
                    self._ledger.end(groups, group, self._end)
        except OSError:
            return False
        self._ended.discard(group)
        return True

    def _end_leftovers(self, groups: Groups, starting: str) -> None:
        unwritten = [group for group in groups if group != starting and group in self._ended]
        for group in dict.fromkeys([*leftovers(groups, starting), *unwritten]):
            with suppress(OSError):
                end_all(groups, group, self._end)
                self._ended.discard(group)

    def _hold(self, groups: Groups, group: str, share: DeviceShare) -> str:
        """UUID of the slice's instance, made where the group has none of its profile on its device. Raises OSError."""
        for device_id in set(groups.get(group, {})) - {share.device_id}:
            self._end(groups, group, device_id)
        held = groups.get(group, {}).get(share.device_id)
        if held is not None:
            if held["profile"] == share.profile and held["uuid"] in self._uuids(share.device_id):
                held["ending"] = False
                return held["uuid"]
            self._end(groups, group, share.device_id)
        try:
            return self._make(groups, group, share)
        except OSError:
            with suppress(OSError):  # the GPU instance may be there without a compute instance
                self._end(groups, group, share.device_id)
            raise

    def _make(self, groups: Groups, group: str, share: DeviceShare) -> str:
        before = self._uuids(share.device_id)
        record: dict[str, Any] = {
            "profile": str(share.profile),
            "number": None,
            "uuid": None,
            "before": sorted(self._numbers(share.device_id)),
            "ending": False,
        }
        groups.setdefault(group, {})[share.device_id] = record
        self._ledger.write(groups)  # the intent first: whoever comes after a crash finds the instance by it
        made = self._run("mig", "-i", share.device_id, "-cgi", str(share.profile), "-C")
        number = _MADE.search(made)
        new = [uuid for uuid in self._uuids(share.device_id) if uuid not in before]
        if number is None or len(new) != 1:
            raise OSError(f"nvidia-smi made no instance of {share.profile}: {made.strip()}")
        record |= {"number": int(number.group(1)), "uuid": new[0]}
        self._ledger.write(groups)
        return new[0]

    def _end(self, groups: Groups, group: str, device_id: str) -> None:
        """Ends the instance that the group holds of a device, if it is still there. Raises OSError.

        A GPU instance alone goes only when no compute instance is in it. So one that has another UUID in it than the
        record's, under a number that was given again after the machine was restarted, stays.
        """
        held = groups.get(group, {}).get(device_id)
        if held is None:
            return
        number = self._number(groups, device_id, held)
        if number is not None:
            which = ("-i", device_id, "-gi", str(number))
            own = held["uuid"] is None or held["uuid"] in self._uuids(device_id)
            if own:
                with suppress(OSError):  # there may be none any more; one that is in use keeps the GPU instance as well
                    self._run("mig", "-dci", *which)
            try:
                self._run("mig", "-dgi", *which)
            except OSError:
                if own:
                    raise
        del groups[group][device_id]
        self._ledger.write(groups)

    def _number(self, groups: Groups, device_id: str, held: dict[str, Any]) -> int | None:
        """Which of the GPU instances that are there is the one of the record; None where it is not there.

        A record without a number is of a start that was cut off: the instance is the one of its profile that was not
        there before and belongs to nobody.
        """
        there = self._numbers(device_id)
        if held["number"] is not None:
            return held["number"] if there.get(held["number"]) == held["profile"] else None
        taken = {parts[device_id]["number"] for parts in groups.values() if device_id in parts}
        strange = set(there) - set(held["before"]) - taken
        return next((number for number in sorted(strange) if there[number] == held["profile"]), None)

    def _numbers(self, device_id: str) -> dict[int, str]:
        """Profile of each GPU instance of a device by its number. Raises OSError."""
        try:
            text = self._run("mig", "-i", device_id, "-lgi")
        except OSError as error:
            if _NONE_THERE.search(str(error)):
                return {}
            raise
        return {int(number): profile for profile, number in _ROW.findall(text)}

    def _uuids(self, device_id: str) -> list[str]:
        """Of the compute instances of a device, by `nvidia-smi -L`. Raises OSError."""
        found: list[str] = []
        device = ""
        for line in self._run("-L").splitlines():
            if match := _DEVICE.match(line):
                device = match.group(1)
            elif device == device_id and (match := _COMPUTE.match(line)):
                found.append(match.group(1))
        return found

    def _run(self, *words: str) -> str:
        """What nvidia-smi says. Raises OSError where it fails or says nothing in time."""
        program = shutil.which(self._program) or self._program
        try:
            done = subprocess.run(
                [program, *words], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{Path(program).name} did not answer within {_PATIENCE_SECONDS:g} s") from error
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
