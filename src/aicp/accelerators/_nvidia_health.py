"""What NVML says of an NVIDIA device's health."""

from __future__ import annotations

from typing import Any

import pynvml

from aicp.accelerators._health import degraded, failed
from aicp.accelerators._nvml import ask
from aicp.core.accelerator import HealthCode, HealthFinding

# Error numbers ("XID") that speak of the device or its links, after NVIDIA's table of XID errors; most others (13, 31,
# 43, 45, ...) are faults of a program and leave the device well.
_FATAL_XIDS = {
    48: (HealthCode.MEMORY_UNCORRECTABLE, "an uncorrectable memory error"),
    62: (HealthCode.INTERNAL, "a halt of its internal controller"),
    64: (HealthCode.MEMORY_UNCORRECTABLE, "a failure to record a bad memory row"),
    74: (HealthCode.LINK, "an error of its NVLink"),
    79: (HealthCode.DEVICE_LOST, "it has fallen off the bus"),
    95: (HealthCode.MEMORY_UNCORRECTABLE, "an uncontained memory error"),
    119: (HealthCode.INTERNAL, "a timeout of its system processor"),
    120: (HealthCode.INTERNAL, "an error of its system processor"),
}
_PASSING_XIDS = {
    63: (HealthCode.MEMORY_WEAR, "a bad memory row was set aside"),
    92: (HealthCode.MEMORY_WEAR, "many corrected memory errors"),
    94: (HealthCode.MEMORY_UNCORRECTABLE, "a contained memory error"),
}
# Clock event reasons, after the NVML API reference: software and hardware thermal slowdown; power brake.
_HOT = 0x20 | 0x40
_POWER_BRAKE = 0x80


class ErrorEvents:
    """The errors that the library tells once, kept by device. It keeps none from before it was asked."""

    def __init__(self, library: Any) -> None:
        self._nvml = library
        self._events: Any = None
        self._numbers: dict[str, set[int]] = {}

    def forget(self) -> None:
        """The library was closed, and its set of events with it; what was told stays told."""
        self._events = None

    def collect(self, count: int) -> None:
        """Takes the errors reported since the last call for the first `count` devices."""
        nvml = self._nvml
        if self._events is None:
            self._events = ask(nvml.nvmlEventSetCreate)
            for index in range(count):
                handle = ask(nvml.nvmlDeviceGetHandleByIndex, index)
                if self._events is not None and handle is not None:
                    ask(nvml.nvmlDeviceRegisterEvents, handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
        while self._events is not None:
            event = ask(nvml.nvmlEventSetWait_v2, self._events, 0)
            if event is None:
                return
            uuid = ask(nvml.nvmlDeviceGetUUID, event.device)
            self._numbers.setdefault(str(uuid), set()).add(int(event.eventData))

    def findings(self, uuid: str) -> list[HealthFinding]:
        """What the errors of one device mean."""
        found: list[HealthFinding] = []
        for number in sorted(self._numbers.get(uuid, set())):
            for meanings, say in ((_FATAL_XIDS, failed), (_PASSING_XIDS, degraded)):
                if number in meanings:
                    code, meaning = meanings[number]
                    found.append(say(code, f"{meaning} (XID {number})"))
        return found


def signs(library: Any, handle: Any) -> list[HealthFinding]:
    """What the device itself says now: memory that is or will be set aside, errors, and why it slows down."""
    return [*_memory(library, handle), *_slowdown(library, handle)]


def lost() -> HealthFinding:
    """The device does not answer on its bus."""
    return failed(HealthCode.DEVICE_LOST, "it has fallen off the bus")


def no_driver(error: Exception) -> HealthFinding:
    """The driver answered before and does not any more, or not to this version of its library."""
    if isinstance(error, pynvml.NVMLError) and error.args[0] == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        cause = "the loaded driver does not fit its library"
        return failed(HealthCode.DRIVER, cause, "Restart the machine, so that the driver that was installed is loaded.")
    return failed(HealthCode.DRIVER, f"no answer from the vendor's library: {error}")


def _memory(library: Any, handle: Any) -> list[HealthFinding]:
    found: list[HealthFinding] = []
    rows = ask(library.nvmlDeviceGetRemappedRows, handle)
    if rows is not None:
        _, _, pending, failure = rows
        if failure:
            found.append(failed(HealthCode.MEMORY_UNCORRECTABLE, "bad memory rows can no longer be set aside"))
        elif pending:
            cause = "bad memory rows are set aside at the next reset"
            found.append(degraded(HealthCode.MEMORY_REPAIR_PENDING, cause))
    if ask(library.nvmlDeviceGetRetiredPagesPendingStatus, handle) == pynvml.NVML_FEATURE_ENABLED:
        cause = "bad memory pages are retired at the next restart"
        found.append(degraded(HealthCode.MEMORY_REPAIR_PENDING, cause))
    uncorrected = ask(
        library.nvmlDeviceGetTotalEccErrors,
        handle,
        pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        pynvml.NVML_VOLATILE_ECC,
    )
    if uncorrected:
        cause = f"{uncorrected} uncorrected memory errors since the driver was loaded"
        found.append(degraded(HealthCode.MEMORY_UNCORRECTABLE, cause))
    return found


def _slowdown(library: Any, handle: Any) -> list[HealthFinding]:
    reasons = ask(library.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:
        # drivers before 535 know the question by its older name alone
        reasons = ask(library.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
    found: list[HealthFinding] = []
    if reasons & _HOT:
        found.append(degraded(HealthCode.OVERHEATING, "it slows down because it is too hot"))
    if reasons & _POWER_BRAKE:
        found.append(degraded(HealthCode.POWER, "it slows down because its power supply asks for it"))
    return found
