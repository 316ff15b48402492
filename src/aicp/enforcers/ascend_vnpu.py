"""Virtual NPUs of Ascend by npu-smi: hardware that is divided by fixed templates.

Commands and tables as the npu-smi reference describes them; no real card was asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import format_bytes
from aicp.enforcers._ledger import Groups, Ledger, end_all, leftovers
from aicp.enforcers._vendor_tool import VendorTool
from aicp.enforcers.base import Applied, Consumption

MECHANISM = "ascend_vnpu"
VENDOR = "ascend"
_LIBRARIES = tuple(f"/usr/local/Ascend/driver/lib64{part}" for part in ("", "/common", "/driver"))
# npu-smi info -m: NPU ID, chip ID, logic ID (a controller has "-" there), name
_CHIP = re.compile(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s+\S", re.MULTILINE)
# npu-smi info -t info-vnpu: number, group, container, status, template
_COUNT = re.compile(r"Total number of vnpu\s*:\s*(\d+)", re.IGNORECASE)
_ROW = re.compile(r"^\s*\|\s*(\d+)\s*\|[^|\n]*\|[^|\n]*\|[^|\n]*\|\s*(\S+)\s*\|", re.MULTILINE)


class _ToolError(Exception):
    """The tool refused, or said what nobody here understands; the text is in words."""


@dataclass(frozen=True, slots=True)
class _Chip:
    card: str
    chip: str

    def arguments(self) -> tuple[str, ...]:
        return ("-i", self.card, "-c", self.chip)


class AscendVnpuEnforcer:
    """A virtual device for each slice, made at the start and ended with the group.

    An engine is shown it by its number alone. A runtime that does not take the number sees no device and the engine
    does not start: it never computes on the rest of the card.
    """

    def __init__(
        self, directory: Path | None = None, tool: VendorTool | None = None, privileged: bool | None = None
    ) -> None:
        self._ledger = Ledger(MECHANISM, directory)
        self._tool = tool or VendorTool("npu-smi", libraries=_LIBRARIES)
        self._privileged = os.geteuid() == 0 if privileged is None else privileged

    def keep_in(self, directory: Path) -> None:
        self._ledger.keep_in(directory)

    def unavailable(self) -> str | None:
        if self._tool.path() is None:
            return "npu-smi is not installed (it comes with the driver of Ascend)"
        return None if self._privileged else "the agent may not make virtual NPUs: npu-smi wants root"

    def apply(self, group: str, allocation: Allocation) -> Applied:
        devices = [share for share in allocation.devices if share.vendor == VENDOR]
        if not any(share.mechanism == MECHANISM for share in devices):
            return Applied(False, "no slice is held by a virtual NPU")
        problem = self.unavailable()
        if problem is None:
            try:
                with self._ledger.opened() as groups:
                    self._end_leftovers(groups, group)
                    return self._fit(groups, group, devices)
            except (_ToolError, OSError) as error:
                problem = str(error)
        return Applied(False, f"accelerator slices are not enforced: {problem}")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        """False also where a virtual device cannot be ended now: it is tried again whenever another slice starts."""
        try:
            with self._ledger.opened() as groups:
                if group in groups:
                    self._ledger.end(groups, group, self._end)
        except (_ToolError, OSError):
            return False
        return True

    def _end_leftovers(self, groups: Groups, starting: str) -> None:
        for group in leftovers(groups, starting):
            with suppress(_ToolError):
                end_all(groups, group, self._end)

    def _fit(self, groups: Groups, group: str, devices: Sequence[DeviceShare]) -> Applied:
        """Raises _ToolError and OSError; what was made until then stays in the ledger, for `release` to end."""
        shares = {share.device_id: share for share in devices if share.mechanism == MECHANISM}
        for device_id in set(groups.get(group, {})) - set(shares):
            self._end(groups, group, device_id)
        numbers = {device_id: self._hold(groups, group, share) for device_id, share in shares.items()}
        shown = ",".join(str(numbers.get(share.device_id, share.index)) for share in devices)
        return Applied(
            True,
            "accelerator slices by virtual NPU: "
            + ", ".join(_describe(share, numbers[device_id]) for device_id, share in shares.items()),
            env={"ASCEND_RT_VISIBLE_DEVICES": shown, "ASCEND_VISIBLE_DEVICES": shown},
        )

    def _hold(self, groups: Groups, group: str, share: DeviceShare) -> int:
        """The number of the slice's virtual device, made where there is none of its template."""
        if share.profile is None:
            raise _ToolError("a virtual NPU is made by a template, and the slice has none")
        chip = self._chip(share.index)
        held = groups.get(group, {}).get(share.device_id)
        if held is not None:
            number = self._number(groups, held, self._list(chip))
            if number is not None and held["template"] == share.profile:
                held |= {"number": number, "ending": False}
                return number
            self._end(groups, group, share.device_id)
        before = self._list(chip)
        record: dict[str, Any] = {
            "card": chip.card,
            "chip": chip.chip,
            "template": share.profile,
            "number": None,
            "before": sorted(before),
            "ending": False,
        }
        groups.setdefault(group, {})[share.device_id] = record
        self._ledger.write(groups)  # the intent first: whoever comes after a crash finds the device by it
        self._ask("set", "-t", "create-vnpu", *chip.arguments(), "-f", share.profile)
        number = self._number(groups, record, self._list(chip))
        if number is None:
            raise _ToolError(f"npu-smi made no virtual NPU of template {share.profile} and gave no reason")
        record["number"] = number
        self._ledger.write(groups)
        return number

    def _end(self, groups: Groups, group: str, device_id: str) -> None:
        """Ends the virtual device that the group holds of a device, if it is still there. Raises _ToolError."""
        held = groups[group][device_id]
        chip = _Chip(held["card"], held["chip"])
        number = self._number(groups, held, self._list(chip))
        if number is not None:
            self._ask("set", "-t", "destroy-vnpu", *chip.arguments(), "-v", str(number))
            if self._number(groups, held, self._list(chip)) is not None:
                raise _ToolError(f"virtual NPU {number} is still there after npu-smi ended it")
        del groups[group][device_id]
        self._ledger.write(groups)

    def _number(self, groups: Groups, held: dict[str, Any], there: dict[int, str]) -> int | None:
        """Which of the virtual devices that are there is the one of the record; None where it is not there.

        A record without a number is of a start that was cut off: the device is the one of its template that was not
        there before and belongs to nobody.
        """
        if held["number"] is not None:
            return held["number"] if there.get(held["number"]) == held["template"] else None
        chip = (held["card"], held["chip"])
        records = [record for parts in groups.values() for record in parts.values()]
        taken = {record["number"] for record in records if (record["card"], record["chip"]) == chip}
        strange = set(there) - set(held["before"]) - taken
        return next((number for number in sorted(strange) if there[number] == held["template"]), None)

    def _list(self, chip: _Chip) -> dict[int, str]:
        """Template of each virtual device of a chip by its number. Raises _ToolError."""
        text = self._ask("info", "-t", "info-vnpu", *chip.arguments())
        count = _COUNT.search(text)
        rows = {int(number): template for number, template in _ROW.findall(text)}
        if count is None or int(count[1]) != len(rows):
            raise _ToolError("npu-smi lists virtual NPUs in a form that is not known here")
        return rows

    def _chip(self, index: int) -> _Chip:
        for card, chip, logic in _CHIP.findall(self._ask("info", "-m")):
            if int(logic) == index:
                return _Chip(card, chip)
        raise _ToolError(f"npu-smi knows no chip with the logic ID {index}")

    def _ask(self, *arguments: str) -> str:
        answer = self._tool.run(*arguments)
        if answer.problem is not None:
            raise _ToolError(answer.problem)
        return answer.text


def _describe(share: DeviceShare, number: int) -> str:
    size = f"{share.compute_percent} % of compute and {format_bytes(share.memory_bytes)}"
    text = f"virtual NPU {number} of {share.device_id}, template {share.profile} with {size}"
    return f"{text} ({share.rounding})" if share.rounding else text


driver = AscendVnpuEnforcer()
