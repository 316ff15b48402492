"""Slices: parts of one accelerator, in whole units, and the ways a device can be cut.

A slice is a part of *one* accelerator (not a group of machines). Its compute is counted in hundredths of the device,
its memory in pieces of 256 MiB; a mechanism with coarser shapes rounds up, and what was rounded is always told.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import Field

from aicp.core.quantity import MIB, format_bytes, parse_bytes
from aicp.core.value import Request, Value

COMPUTE_UNIT_PERCENT = 1
MEMORY_UNIT_BYTES = 256 * MIB


class SlicePolicy(StrEnum):
    """What the share of compute means."""

    CAP = "cap"
    """Never more than the share, also on an idle device."""
    WEIGHT = "weight"
    """The share is guaranteed, and what others leave idle may be used."""


class SliceRequest(Request):
    """A part of each accelerator instead of the whole of it, with everything settled."""

    compute_percent: int = Field(ge=1, le=100)
    memory_bytes: int = Field(gt=0)
    policy: SlicePolicy = SlicePolicy.CAP


class SliceSpec(Request):
    """A part of each accelerator as a user writes it; without memory, the platform takes what its estimate needs."""

    compute_percent: int = Field(ge=1, le=100, description="share of the accelerator's compute")
    memory_bytes: int | None = Field(default=None, gt=0, description="memory of it; rounded up to 256 MiB")
    policy: SlicePolicy = Field(default=SlicePolicy.CAP, description="cap: never more; weight: guaranteed, may borrow")


def parse_slice(text: str) -> SliceSpec:
    """`30%`, `30%,2GiB` or `30%,2GiB,weight` (memory and policy in any order). Raises ValueError."""
    share, *rest = (part.strip() for part in text.split(","))
    if not share.endswith("%") or not share[:-1].strip().isdigit() or not 1 <= int(share[:-1]) <= 100:
        raise ValueError(f"{text!r} is not a slice; write 1% to 100%, for example 30% or 30%,2GiB or 30%,weight")
    given: dict[str, Any] = {"compute_percent": int(share[:-1])}
    for part in rest:
        if part in list(SlicePolicy):
            given["policy"] = SlicePolicy(part)
        else:
            given["memory_bytes"] = parse_bytes(part)
    if given.get("memory_bytes") == 0:
        raise ValueError(f"{text!r} has no memory; leave the size out to let the platform choose it")
    return SliceSpec(**given)


def format_slice(part: SliceSpec) -> str:
    """The text that `parse_slice` reads back."""
    memory = [] if part.memory_bytes is None else [str(part.memory_bytes)]
    policy = [] if part.policy == SlicePolicy.CAP else [part.policy.value]
    return ",".join([f"{part.compute_percent}%", *memory, *policy])


class SliceProfile(Value):
    """A fixed shape, where a mechanism knows only such: a MIG profile, a vNPU template."""

    name: str
    compute_percent: int
    memory_bytes: int


class Slicing(Value):
    """One way a device can be cut, named after the enforcer that holds the slices to their size.

    With `profiles` only these shapes exist; without, any multiple of the units. `at_most` limits how many slices a
    device may carry; `isolated` says that a fault of one slice cannot disturb another, `resizable` that a slice can
    change while its process runs, `oversubscribable` that memory which the device does not have is refused to the
    process that asks for it, and to no other, so that a pool may promise more than there is.
    """

    mechanism: str
    compute_unit_percent: float = COMPUTE_UNIT_PERCENT
    memory_unit_bytes: int = MEMORY_UNIT_BYTES
    profiles: list[SliceProfile] = []
    at_most: int | None = None
    policies: list[SlicePolicy] = [SlicePolicy.CAP]
    isolated: bool = False
    resizable: bool = False
    oversubscribable: bool = False
    note: str = ""


class SliceSize(Value):
    """A slice after rounding. `rounding` says in words what differs from what was asked; None where nothing does."""

    mechanism: str
    compute_percent: int
    memory_bytes: int
    policy: SlicePolicy = SlicePolicy.CAP
    profile: str | None = None
    rounding: str | None = None


def size_slice(asked: SliceRequest, way: Slicing) -> SliceSize | None:
    """The smallest slice of `way` that holds what is asked; None where there is none so large, or not this policy."""
    if asked.policy not in way.policies:
        return None
    memory = _up(asked.memory_bytes, MEMORY_UNIT_BYTES)
    if way.profiles:
        return _profile(asked, way, memory)
    compute = min(100, round(_up(asked.compute_percent, way.compute_unit_percent)))
    return _sized(asked, way, compute, _up(memory, way.memory_unit_bytes), None)


def round_memory(count: int) -> int:
    """Bytes rounded up to whole units of memory."""
    return _up(count, MEMORY_UNIT_BYTES)


def choose_slicing(asked: SliceRequest, ways: Iterable[Slicing]) -> SliceSize | None:
    """The first of `ways`, which are ordered best first, that can hold what is asked."""
    return next((size for way in ways if (size := size_slice(asked, way)) is not None), None)


def _profile(asked: SliceRequest, way: Slicing, memory: int) -> SliceSize | None:
    fitting = [
        shape
        for shape in way.profiles
        if shape.compute_percent >= asked.compute_percent and shape.memory_bytes >= memory
    ]
    if not fitting:
        return None
    best = min(fitting, key=lambda shape: (shape.memory_bytes, shape.compute_percent, shape.name))
    return _sized(asked, way, best.compute_percent, best.memory_bytes, best.name)


def _sized(asked: SliceRequest, way: Slicing, compute: int, memory: int, profile: str | None) -> SliceSize:
    changed: list[str] = []
    if compute != asked.compute_percent:
        changed.append(f"{asked.compute_percent} % of compute became {compute} %")
    if memory != asked.memory_bytes:
        changed.append(f"{format_bytes(asked.memory_bytes)} of memory became {format_bytes(memory)}")
    shape = f" (shape {profile})" if profile else ""
    return SliceSize(
        mechanism=way.mechanism,
        compute_percent=compute,
        memory_bytes=memory,
        policy=asked.policy,
        profile=profile,
        rounding=", ".join(changed) + shape if changed else None,
    )


def _up(value: float, unit: float) -> int:
    """`value` rounded up to whole units."""
    return int(-(-value // unit) * unit) if float(unit).is_integer() else round(-(-value // unit) * unit)
