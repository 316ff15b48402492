"""Whether a plan fits, with the numbers, and what would fit instead."""

from __future__ import annotations

import math
from dataclasses import replace

from aicp.core.model import ModelType, ModelVersion
from aicp.core.quantity import format_bytes, parse_bytes
from aicp.core.service import Fit, ServiceSpec
from aicp.core.slice import round_memory
from aicp.planner.sizing import USABLE_SHARE, Attempt, Size, cannot_span, given_bytes, make_size, try_size
from aicp.scheduler.gang import place_replica, relief
from aicp.scheduler.placement import CPU, Refusal, Requirement, Snapshot

_MOST_NODES = 16
_SMALLER = (("int8", 8), ("int4", 4))


def judge(spec: ServiceSpec, version: ModelVersion, model_type: ModelType, attempt: Attempt, snapshot: Snapshot) -> Fit:
    """The verdict on the attempt that was chosen."""
    size = attempt.size
    limit = version.context_length
    if spec.context_length and limit and spec.context_length > limit:
        return Fit(
            fits=False,
            reason=f"The model was made for a context of {limit} tokens; {spec.context_length} were asked.",
            suggestions=[f"context {limit}"],
        )
    given = given_bytes(spec, attempt.candidate)
    if given is not None and given < size.needed_bytes:
        needed = format_bytes(size.needed_bytes)
        return Fit(
            fits=False,
            reason=f"One replica needs {needed} ({_sum(size)}); {format_bytes(given)} were given.",
            suggestions=[_memory(spec, attempt), *_smaller(spec, version, model_type, attempt, snapshot, given)],
            needed_bytes=size.needed_bytes,
            available_bytes=given,
        )
    if attempt.refusal is None:
        where = ", ".join(sorted(attempt.nodes))
        text = f"It fits: {format_bytes(size.needed_bytes)} for each replica ({_sum(size)}) on node {where}."
        if spec.compute.nodes > 1:
            text = f"It fits: {format_bytes(size.needed_bytes)} for each member ({_sum(size)}) on nodes {where}."
        return Fit(fits=True, reason=text, needed_bytes=size.needed_bytes)
    return _refused(spec, version, model_type, attempt, snapshot)


def _refused(
    spec: ServiceSpec, version: ModelVersion, model_type: ModelType, attempt: Attempt, snapshot: Snapshot
) -> Fit:
    assert attempt.refusal is not None
    need = attempt.size.requirement
    suggestions: list[str] = []
    if attempt.placements:
        suggestions.append(f"{len(attempt.placements)} instead of {spec.replicas} replicas")
    suggestions.extend(_smaller(spec, version, model_type, attempt, snapshot, None))
    suggestions.extend(f"stop {name}" for name in relief(need, snapshot, ""))
    suggestions.extend(_over_nodes(spec, version, model_type, attempt, snapshot))
    sentence = attempt.refusal.sentence
    available = max((int(item.available) for item in attempt.refusal.reasons if item.what == "memory"), default=None)
    return Fit(
        fits=False,
        reason=f"{sentence[0].upper()}{sentence[1:]}. One replica needs {_sum(attempt.size)}.",
        suggestions=suggestions,
        needed_bytes=attempt.size.needed_bytes,
        available_bytes=available,
    )


def _over_nodes(
    spec: ServiceSpec, version: ModelVersion, model_type: ModelType, attempt: Attempt, snapshot: Snapshot
) -> list[str]:
    """The fewest nodes over which one replica would fit. Never chosen unasked: what its members say to each other is
    neither encrypted nor does it prove who speaks."""
    candidate = attempt.candidate
    most = sum(node.pool == spec.pool for node in snapshot.nodes)
    if spec.compute.slice is not None or spec.compute.nodes > 1:
        return []
    for count in range(2, min(most, _MOST_NODES) + 1):
        if cannot_span(candidate.engine, version, candidate.vendor, count):
            continue
        wider = spec.model_copy(update={"compute": spec.compute.model_copy(update={"nodes": count})})
        if try_size(wider, candidate, snapshot, make_size(wider, version, model_type, candidate)).fits:
            return [f"nodes {count}, whose engines then speak to each other unencrypted"]
    return []


def _memory(spec: ServiceSpec, attempt: Attempt) -> str:
    """The memory to give instead, for each slice where it is slices; as it is written it is enough."""
    least, sliced = attempt.size.needed_bytes, spec.compute.slice is not None
    if sliced:
        usable = 1.0 if attempt.candidate.vendor == CPU else USABLE_SHARE
        least = round_memory(math.ceil(least / (spec.compute.accelerators or 1) / usable))
    text = format_bytes(least)
    written = parse_bytes(text)
    if (round_memory(written) if sliced else written) < least:
        text = format_bytes(least * 1.01)  # three digits are at most half a percent off
    return f"memory {text}"


def _sum(size: Size) -> str:
    return " + ".join(f"{part.name.replace('_', ' ')} {format_bytes(part.bytes)}" for part in size.parts)


def _smaller(
    spec: ServiceSpec,
    version: ModelVersion,
    model_type: ModelType,
    attempt: Attempt,
    snapshot: Snapshot,
    given: int | None,
) -> list[str]:
    """What would fit: fewer users, a shorter context, a smaller format; each alone, found by halving."""

    def fits(size: Size) -> bool:
        if given is not None:
            return size.needed_bytes <= given
        return try_size(spec, attempt.candidate, snapshot, size).fits

    asked = attempt.size.sizing
    found: list[str] = []
    for count in _halves(asked.users, 1):
        if fits(make_size(spec, version, model_type, attempt.candidate, users=count)):
            found.append(f"{count} users")
            break
    for length in _halves(asked.context_length, 256):
        if fits(make_size(spec, version, model_type, attempt.candidate, context_length=length)):
            found.append(f"context {length}")
            break
    if version.quantization is None:
        found.extend(_quantized(spec, attempt.size, snapshot, given))
    return found


def _quantized(spec: ServiceSpec, size: Size, snapshot: Snapshot, given: int | None) -> list[str]:
    weights = next((part.bytes for part in size.parts if part.name == "weights"), 0)
    for name, bits in _SMALLER:
        saved = int(weights * (1 - bits / 16))
        smaller = _without(size.requirement, saved, spec)
        if given is not None:
            enough = size.needed_bytes - saved <= given
        else:
            enough = not isinstance(place_replica(smaller, snapshot), Refusal)
        if saved and enough:
            return [f"an {name} version of the model (about {format_bytes(weights - saved)} of weights)"]
    return []


def _without(need: Requirement, saved: int, spec: ServiceSpec) -> Requirement:
    """`need` for weights that are smaller by so much; a slice whose size the user gave keeps it."""
    each = saved // max(1, need.accelerators)
    part, asked = need.slice, spec.compute.slice
    if part is not None and (asked is None or asked.memory_bytes is None):
        part = part.model_copy(update={"memory_bytes": max(1, part.memory_bytes - each)})
    return replace(
        need,
        accelerator_memory_bytes=max(0, need.accelerator_memory_bytes - each),
        memory_bytes=need.memory_bytes - saved if need.vendor == CPU else need.memory_bytes,
        slice=part,
    )


def _halves(value: int, least: int) -> list[int]:
    found: list[int] = []
    while value // 2 >= least:
        value //= 2
        found.append(value)
    return found
