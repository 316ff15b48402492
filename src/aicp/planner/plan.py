"""The answer to a publish before it happens: what will run, where, how large, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aicp.core.launch import Allocation
from aicp.core.model import Model, ModelVersion
from aicp.core.node import Node
from aicp.core.quantity import format_bytes
from aicp.core.service import Choice, Fit, Mode, Plan, ServiceSpec
from aicp.engines.base import Engine, LaunchRequest
from aicp.planner.fitting import judge
from aicp.planner.memory import kv_shape
from aicp.planner.sizing import Attempt, find_candidates, try_sizes
from aicp.scheduler.placement import CPU, Requirement, Snapshot

_MODES = {
    Mode.BALANCED: "many users at once with short waits",
    Mode.LONG_TEXT: "long inputs for fewer users",
    Mode.CUSTOM: "parameters as given",
}


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What is to be published, under which name."""

    name: str
    spec: ServiceSpec
    model: Model
    version: ModelVersion


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan, and what the scheduler needs of it."""

    plan: Plan
    requirement: Requirement


def make_plan(
    request: PlanRequest, nodes: Sequence[Node], snapshot: Snapshot, engines: Mapping[str, Engine]
) -> Planned:
    """Chooses engine, version, variant, accelerators, size and node. Raises InvalidError when no engine can serve it
    or a parameter is wrong; a plan that does not fit is answered with its numbers."""
    spec, version = request.spec, request.version
    candidates = find_candidates(spec, version, request.model.type, nodes, engines)
    attempts = [try_sizes(spec, version, request.model.type, item, snapshot) for item in candidates]
    attempt = next((item for item in attempts if item.fits), attempts[0])
    fit = judge(spec, version, request.model.type, attempt, snapshot)
    launch = _launch_request(request, attempt)
    engine = attempt.candidate.engine
    settings = list(engine.settings(launch))
    others = [item.candidate for item in attempts if item.candidate is not attempt.candidate]
    plan = Plan(
        name=request.name,
        model=version.model,
        version=version.version,
        engine=engine.name,
        engine_version=attempt.candidate.engine_version,
        variant=attempt.candidate.variant,
        mode=spec.mode,
        pool=spec.pool,
        node=attempt.placements[0].node if attempt.placements else None,
        replicas=spec.replicas,
        context_length=launch.sizing.context_length,
        users=launch.sizing.users,
        cpu_cores=launch.sizing.cpu_cores,
        memory_bytes=attempt.size.requirement.memory_bytes,
        accelerators=[share.device_id for share in launch.allocation.devices],
        memory=list(attempt.size.parts),
        choices=[*_choices(request, attempt, fit, [item.engine.title for item in others]), *settings],
        command=engine.launch(launch).command,
        fit=fit,
        environment_installed=attempt.candidate.installed,
    )
    return Planned(plan, attempt.size.requirement)


def _launch_request(request: PlanRequest, attempt: Attempt) -> LaunchRequest:
    need = attempt.size.requirement
    nowhere = Allocation(node_id="", devices=[], cpu_cores=need.cpu_cores, memory_bytes=need.memory_bytes)
    return LaunchRequest(
        version=request.version,
        model_type=request.model.type,
        allocation=attempt.placements[0].allocation if attempt.placements else nowhere,
        mode=request.spec.mode,
        sizing=attempt.size.sizing,
        served_name=request.name,
        engine_version=attempt.candidate.engine_version,
        variant=attempt.candidate.variant,
        flags=request.spec.engine_flags,
    )


def _choices(request: PlanRequest, attempt: Attempt, fit: Fit, others: Sequence[str]) -> list[Choice]:
    spec, size = request.spec, attempt.size
    need = size.requirement
    reasons = attempt.candidate.defaults.reasons
    shrunk = f" ({size.shrunk})" if size.shrunk else ""
    memory_reason = (
        "the sum of the parts above" if need.vendor == CPU else "the engine's process beside the accelerator"
    )
    if need.vendor == CPU and need.slice is not None:
        memory_reason = "the slice's memory"
    return [
        _choice("version", request.version.version, False, f"what {spec.model} stands for now"),
        _choice("pool", spec.pool, spec.pool != "default", "the pool every machine joins"),
        _choice("mode", spec.mode.value, spec.mode != Mode.BALANCED, _MODES[spec.mode]),
        _engine_choice(spec, attempt, others),
        _choice(
            "engine_version",
            attempt.candidate.engine_version,
            spec.engine_version is not None,
            "installed already"
            if attempt.candidate.installed
            else "the newest; it is installed before the first start",
        ),
        _accelerator_choice(spec, attempt),
        *_slice_choices(attempt),
        *_span_choices(spec),
        _choice("cpu_cores", need.cpu_cores, bool(spec.compute.cpu_cores), _cores_reason(need, reasons)),
        _choice("memory", format_bytes(need.memory_bytes), bool(spec.compute.memory_bytes), memory_reason),
        _choice(
            "context_length",
            size.sizing.context_length,
            spec.context_length is not None,
            reasons.get("context_length", "driver default") + shrunk + _per_token(request),
        ),
        _choice("users", size.sizing.users, spec.users is not None, reasons.get("users", "driver default") + shrunk),
        _choice("replicas", spec.replicas, spec.replicas != 1, "one copy; ask for more to share load"),
        _choice("node", _nodes(attempt), False, "most room for it" if fit.fits else "no node has room now"),
    ]


def _choice(name: str, value: object, by_user: bool, reason: str) -> Choice:
    chosen_by = "user" if by_user else "platform"
    return Choice(name=name, value=value, chosen_by=chosen_by, reason="asked for" if by_user else reason)


def _engine_choice(spec: ServiceSpec, attempt: Attempt, others: Sequence[str]) -> Choice:
    engine = attempt.candidate.engine
    reason = attempt.candidate.reason or f"{engine.title} serves this format here"
    if others:
        reason += f"; preferred to {', '.join(sorted(set(others)))}"
    return _choice("engine", engine.name, spec.engine is not None, reason)


def _accelerator_choice(spec: ServiceSpec, attempt: Attempt) -> Choice:
    need = attempt.size.requirement
    asked = spec.compute.accelerators is not None or spec.compute.vendor is not None
    if need.vendor == CPU:
        return _choice("accelerators", "cpu", asked, "no other accelerator of the pool can serve it")
    product = attempt.candidate.accelerators[0].product
    if need.slice is not None:
        return _choice("accelerators", f"a part of {need.accelerators} x {product}", True, "")
    each = format_bytes(need.accelerator_memory_bytes)
    return _choice(
        "accelerators", f"{need.accelerators} x {product}", asked, f"the fewest that hold it, {each} on each"
    )


def _cores_reason(need: Requirement, reasons: Mapping[str, str]) -> str:
    if need.vendor == CPU and need.slice is not None:
        return "the slice's part of the cores"
    return reasons.get("cpu_cores", "driver default")


def _slice_choices(attempt: Attempt) -> list[Choice]:
    """What part of each accelerator, after rounding, and which mechanism holds it."""
    asked = attempt.size.requirement.slice
    if asked is None:
        return []
    share = attempt.placements[0].allocation.devices[0] if attempt.placements else None
    if share is None:
        text = f"{asked.compute_percent} %, {format_bytes(asked.memory_bytes)}"
        return [_choice("slice", text, False, "no accelerator has that much free")]
    text = f"{share.compute_percent} %, {format_bytes(share.memory_bytes)}, {share.policy}, by {share.mechanism}"
    return [_choice("slice", text, share.rounding is None, share.rounding or "")]


def _span_choices(spec: ServiceSpec) -> list[Choice]:
    """How many nodes one replica spans, where it is more than one."""
    return [_choice("nodes", spec.compute.nodes, True, "")] if spec.compute.nodes > 1 else []


def _nodes(attempt: Attempt) -> str:
    return ", ".join(sorted(attempt.nodes)) or "none"


def _per_token(request: PlanRequest) -> str:
    shape = kv_shape(request.version.architecture)
    if shape is None or not shape.full_bytes:
        return ""
    return f"; a token costs {format_bytes(shape.full_bytes)} of cache ({shape.formula})"
