"""Which engine on which accelerators, and how large: candidates, and whether one of them fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aicp.core.accelerator import SIMULATED, Accelerator
from aicp.core.errors import InvalidError
from aicp.core.model import ModelType, ModelVersion
from aicp.core.node import EnvironmentState, Node, NodeState
from aicp.core.quantity import GIB, MIB, format_bytes
from aicp.core.service import MemoryPart, ServiceSpec
from aicp.core.slice import SliceRequest, SliceSpec, round_memory
from aicp.engines.base import Defaults, Engine, Sizing, SpansNodes, Specialized
from aicp.scheduler.gang import place_replica
from aicp.scheduler.placement import CPU, Commitment, Placement, Refusal, Requirement, Snapshot

RESERVE_SHARE = 0.1
"""Added to the estimate, so that a peak beyond it does not end the engine."""
RESERVE_LEAST = 256 * MIB
HOST_BESIDE_ACCELERATOR = 4 * GIB
"""Host memory of an engine whose weights lie on an accelerator: interpreter, libraries, staging buffers."""
USABLE_SHARE = 0.9
"""Share of an accelerator's memory that an engine may plan with; the rest is the driver's and fragmentation."""
_LEAST_CONTEXT = 1024
_COUNTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that can serve the model on the accelerators of one vendor."""

    engine: Engine
    engine_version: str
    variant: str
    vendor: str
    accelerators: tuple[Accelerator, ...]
    installed: bool
    defaults: Defaults
    reason: str


@dataclass(frozen=True, slots=True)
class Size:
    """How large one replica is."""

    sizing: Sizing
    parts: tuple[MemoryPart, ...]
    requirement: Requirement
    shrunk: str = ""
    """How it was made smaller than the driver's defaults so that it fits."""

    @property
    def needed_bytes(self) -> int:
        """Memory of one replica by the estimate, with the reserve."""
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate at one size, tried on the snapshot."""

    candidate: Candidate
    size: Size
    placements: tuple[Placement, ...]
    """Of each replica that fits its place, of one that spans nodes the leader's."""
    nodes: frozenset[str]
    """Names of the nodes they are on."""
    refusal: Refusal | None

    @property
    def fits(self) -> bool:
        return self.refusal is None


def find_candidates(
    spec: ServiceSpec,
    version: ModelVersion,
    model_type: ModelType,
    nodes: Sequence[Node],
    engines: Mapping[str, Engine],
) -> list[Candidate]:
    """Engines that can serve the model in the pool, the preferred one first.

    Accelerators before the CPU, engines made for that type of model before others, installed before to be installed.
    Raises InvalidError with every engine's reason when none can.
    """
    refused: list[str] = []
    found: list[Candidate] = []
    for vendor, accelerators in _vendors(spec, nodes).items():
        for engine in _eligible(spec, engines):
            if vendor == SIMULATED and not engine.internal:
                refused.append(f"{engine.name} on {vendor}: these accelerators are simulated, and it needs real ones")
                continue
            fit = engine.supports(version, model_type, accelerators)
            variants = engine.variants(accelerators)
            uncut = _uncuttable(spec, accelerators) or cannot_span(engine, version, vendor, spec.compute.nodes)
            if not fit.fits or not variants or uncut:
                why = fit.reason if not fit.fits else uncut or f"it has no build for {vendor}"
                refused.append(f"{engine.name} on {vendor}: {why}")
                continue
            found.append(
                _candidate(spec, engine, variants, vendor, accelerators, fit.reason, version, model_type, nodes)
            )
    if not found and not refused and _has_simulated(spec, nodes):
        refused.append("its only accelerators are simulated; the engine echo runs there with --vendor simulated")
    if not found:
        raise InvalidError(
            f"No engine can serve {version.model}:{version.version} in pool {spec.pool}.",
            hint="; ".join(refused) or "No node of the pool has registered yet; look at `aicp node list`.",
            code="no_engine",
            details={"refused": refused},
        )
    return sorted(found, key=lambda item: (item.vendor == CPU, not _is_special(item, model_type), not item.installed))


def _is_special(candidate: Candidate, model_type: ModelType) -> bool:
    return isinstance(candidate.engine, Specialized) and model_type in candidate.engine.specialty


def _uncuttable(spec: ServiceSpec, accelerators: Sequence[Accelerator]) -> str | None:
    """Why none of the accelerators can be cut as asked; None when one can, or nothing of the kind is asked."""
    part = spec.compute.slice
    if part is None:
        return None
    own = spec.compute.cpu_cores is not None or spec.compute.memory_bytes is not None
    if own and all(item.vendor == CPU for item in accelerators):
        return "a slice of the processor brings its cores and its memory; leave cpu_cores and memory_bytes out"
    policies = {policy for item in accelerators for way in item.slicing for policy in way.policies}
    if not policies:
        return "nothing on its nodes can hold a process to a part of it"
    if part.policy not in policies:
        return f"a slice there can only have the policy {' or '.join(sorted(policies))}"
    return None


def cannot_span(engine: Engine, version: ModelVersion, vendor: str, nodes: int) -> str | None:
    """Why the engine cannot compute one replica on so many nodes; None where it can."""
    if nodes == 1:
        return None
    if not isinstance(engine, SpansNodes):
        return "one replica of it runs on one node"
    return engine.spans(version, vendor, nodes)


def _has_simulated(spec: ServiceSpec, nodes: Sequence[Node]) -> bool:
    mine = (node.status for node in nodes if node.status is not None and node.pool == spec.pool)
    return any(device.simulated for status in mine for device in status.accelerators)


def _eligible(spec: ServiceSpec, engines: Mapping[str, Engine]) -> list[Engine]:
    if spec.engine is None:
        return [engine for _, engine in sorted(engines.items()) if not engine.internal]
    if spec.engine not in engines:
        raise InvalidError(f"There is no engine {spec.engine!r}.", hint=f"Known: {', '.join(sorted(engines))}.")
    return [engines[spec.engine]]


def _vendors(spec: ServiceSpec, nodes: Sequence[Node]) -> dict[str, tuple[Accelerator, ...]]:
    """The vendors in the pool with one node's accelerators each: the largest set there is.

    Simulated accelerators only for who names them: nothing may come to one because it would also fit there.
    """
    best: dict[str, tuple[Accelerator, ...]] = {}
    for node in nodes:
        if node.status is None or node.pool != spec.pool or node.state == NodeState.LOST:
            continue
        for vendor in {item.vendor for item in node.status.accelerators}:
            mine = tuple(item for item in node.status.accelerators if item.vendor == vendor)
            if len(mine) > len(best.get(vendor, ())):
                best[vendor] = mine
    wanted = spec.compute.vendor or (CPU if spec.compute.accelerators == 0 else None)
    if wanted is None:
        best.pop(SIMULATED, None)
        if spec.compute.accelerators and spec.compute.slice is None:
            best.pop(CPU, None)
    return {vendor: best[vendor] for vendor in sorted(best) if wanted in (None, vendor)}


def _candidate(
    spec: ServiceSpec,
    engine: Engine,
    variants: Sequence[str],
    vendor: str,
    accelerators: tuple[Accelerator, ...],
    reason: str,
    version: ModelVersion,
    model_type: ModelType,
    nodes: Sequence[Node],
) -> Candidate:
    if spec.engine_version is not None and spec.engine_version not in engine.versions:
        raise InvalidError(
            f"There is no version {spec.engine_version!r} of {engine.name}.",
            hint=f"Known: {', '.join(engine.versions)}.",
        )
    wanted = [spec.engine_version] if spec.engine_version else list(engine.versions)
    have = {
        (item.version, item.variant)
        for node in nodes
        if node.status
        for item in node.status.environments
        if item.engine == engine.name and item.state == EnvironmentState.INSTALLED
    }
    ready = [(number, variant) for number in wanted for variant in variants if (number, variant) in have]
    number, variant = ready[0] if ready else (wanted[0], variants[0])
    cores = max((node.status.cpu_cores for node in nodes if node.status), default=1)
    usable = max((item.cores for item in accelerators if item.cores), default=cores)
    defaults = engine.defaults(version, model_type, spec.mode, float(usable))
    installed = bool(ready) or not engine.environment
    return Candidate(engine, number, variant, vendor, accelerators, installed, defaults, reason)


def try_sizes(
    spec: ServiceSpec, version: ModelVersion, model_type: ModelType, candidate: Candidate, snapshot: Snapshot
) -> Attempt:
    """The asked size; when not one replica fits, less of what was not asked: fewer users, then a shorter context."""
    first = attempt = try_size(spec, candidate, snapshot, make_size(spec, version, model_type, candidate))
    users, context = first.size.sizing.users, first.size.sizing.context_length
    while not attempt.placements or _overflows(spec, attempt):
        if spec.users is None and users > 1:
            users = max(1, users // 2)
        elif spec.context_length is None and context > _LEAST_CONTEXT:
            context = max(_LEAST_CONTEXT, context // 2)
        else:
            return first
        size = make_size(spec, version, model_type, candidate, context_length=context, users=users)
        wanted = first.size.sizing
        note = f"made smaller to fit: {users} of {wanted.users} users, context {context} of {wanted.context_length}"
        attempt = try_size(spec, candidate, snapshot, replace(size, shrunk=note))
    return attempt


def _overflows(spec: ServiceSpec, attempt: Attempt) -> bool:
    """Whether the estimate is more than the slice that the user gave; other memory that is given is taken as it is."""
    given = given_bytes(spec, attempt.candidate)
    return spec.compute.slice is not None and given is not None and attempt.size.needed_bytes > given


def try_size(spec: ServiceSpec, candidate: Candidate, snapshot: Snapshot, size: Size) -> Attempt:
    """Places all asked replicas of that size, one after the other."""
    placements: list[Placement] = []
    nodes: set[str] = set()
    for number in range(max(1, spec.replicas)):
        answer = place_replica(size.requirement, snapshot, "")
        if isinstance(answer, Refusal):
            return Attempt(candidate, size, tuple(placements), frozenset(nodes), answer)
        placements.append(answer[0])
        nodes.update(member.node for member in answer)
        snapshot = snapshot.plus(*(Commitment(f"planned-{number}", "", member.allocation) for member in answer))
    return Attempt(candidate, size, tuple(placements), frozenset(nodes), None)


def make_size(
    spec: ServiceSpec,
    version: ModelVersion,
    model_type: ModelType,
    candidate: Candidate,
    *,
    context_length: int | None = None,
    users: int | None = None,
) -> Size:
    """One replica with what the user asked, and the driver's defaults for the rest."""
    defaults = candidate.defaults
    sizing = Sizing(
        context_length=context_length or spec.context_length or defaults.context_length,
        users=users or spec.users or defaults.users,
        cpu_cores=_cores(spec, candidate),
        vendor=candidate.vendor,
        nodes=spec.compute.nodes,
    )
    estimated = list(candidate.engine.estimate(version, model_type, spec.mode, sizing))
    needed = sum(part.bytes for part in estimated)
    reserve = max(RESERVE_LEAST, int(needed * RESERVE_SHARE))
    text = (
        f"{RESERVE_SHARE:.0%} of the estimate, at least {format_bytes(RESERVE_LEAST)}, "
        "so that a peak beyond it does not end the engine"
    )
    parts = (*estimated, MemoryPart(name="reserve", bytes=reserve, explanation=text))
    need = replace(
        _requirement(spec, candidate, sizing, needed + reserve),
        selector=tuple(sorted((spec.compute.node_labels or {}).items())),
        tolerations=tuple(spec.compute.tolerations or ()),
        model_digest=version.digest,
        nodes=spec.compute.nodes,
    )
    return Size(sizing, parts, need)


def given_bytes(spec: ServiceSpec, candidate: Candidate) -> int | None:
    """What the user gave one replica for all that the estimate counts; None where the platform may choose."""
    part = spec.compute.slice
    if part is not None and part.memory_bytes is not None:
        usable = 1.0 if candidate.vendor == CPU else USABLE_SHARE
        return int(round_memory(part.memory_bytes) * (spec.compute.accelerators or 1) * usable)
    return spec.compute.memory_bytes if candidate.vendor == CPU and part is None else None


def _slice_requirement(
    spec: ServiceSpec, part: SliceSpec, candidate: Candidate, sizing: Sizing, needed: int
) -> Requirement:
    count = spec.compute.accelerators or 1
    usable = 1.0 if candidate.vendor == CPU else USABLE_SHARE
    memory = round_memory(part.memory_bytes or int(needed / count / usable))
    host = memory if candidate.vendor == CPU else spec.compute.memory_bytes or HOST_BESIDE_ACCELERATOR
    return Requirement(
        pool=spec.pool,
        vendor=candidate.vendor,
        accelerators=count,
        accelerator_memory_bytes=memory,
        cpu_cores=sizing.cpu_cores,
        memory_bytes=host,
        # as it was asked for, so that what is rounded can be told
        slice=SliceRequest(
            compute_percent=part.compute_percent, memory_bytes=part.memory_bytes or memory, policy=part.policy
        ),
    )


def _cores(spec: ServiceSpec, candidate: Candidate) -> float:
    """Cores of one replica; a slice of the processor says itself how many."""
    part = spec.compute.slice
    if part is None or candidate.vendor != CPU:
        return spec.compute.cpu_cores or candidate.defaults.cpu_cores
    card = max((item.cores or 1 for item in candidate.accelerators), default=1)
    return part.compute_percent * card / 100


def _requirement(spec: ServiceSpec, candidate: Candidate, sizing: Sizing, needed: int) -> Requirement:
    if spec.compute.slice is not None:
        return _slice_requirement(spec, spec.compute.slice, candidate, sizing, needed)
    if candidate.vendor == CPU:
        return Requirement(spec.pool, CPU, 0, 0, sizing.cpu_cores, spec.compute.memory_bytes or needed)
    largest = max((item.memory_bytes for item in candidate.accelerators), default=0) * USABLE_SHARE
    most = len(candidate.accelerators)
    enough = [count for count in _COUNTS if count <= most and needed / count <= largest]
    count = spec.compute.accelerators or next(iter(enough), max(1, most))
    return Requirement(
        pool=spec.pool,
        vendor=candidate.vendor,
        accelerators=count,
        accelerator_memory_bytes=int(needed / count / USABLE_SHARE),
        cpu_cores=sizing.cpu_cores,
        memory_bytes=spec.compute.memory_bytes or HOST_BESIDE_ACCELERATOR,
    )
