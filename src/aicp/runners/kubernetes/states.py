"""What the state of Kubernetes objects means for a replica. Pure: objects in, a report out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kubernetes.aio import client

from aicp.core.launch import ObservedMember, ObservedReplica, ReplicaState
from aicp.runners.kubernetes import names
from aicp.runners.kubernetes.containers import ENGINE, FETCH

MOST_ENDS = 5
"""Ends of an engine that never served, or of what fetches its model, after which the replica has failed."""
_HOPELESS = frozenset({"InvalidImageName"})
_WORDS = {
    "ErrImagePull": "The container image cannot be pulled",
    "ImagePullBackOff": "The container image cannot be pulled",
    "InvalidImageName": "The name of the container image is wrong",
    "CreateContainerConfigError": "The container cannot be configured",
    "CreateContainerError": "The container cannot be created",
    "RunContainerError": "The container cannot be started",
    "CrashLoopBackOff": "The engine ends again and again",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """What this runner made for one replica, Deployment or LeaderWorkerSet, and what the cluster says of it."""

    uid: str
    name: str
    kind: str
    replica_id: str
    generation: int
    node_ids: list[str]
    created_at: datetime | None
    deleting: bool
    start_seconds: float
    served: bool = False
    """Whether it has been ready once, which its controller keeps on record."""
    refusal: str | None = None
    """Why the cluster makes no pod of it: a quota, an admission rule."""
    limits: list[list[str]] = field(default_factory=list[list[str]])


@dataclass(frozen=True, slots=True)
class _Finding:
    """One pod in a word or two."""

    state: ReplicaState
    reason: str | None = None
    phase: str | None = None
    hopeless: bool = False


def read_workload(found: Mapping[str, Any]) -> Workload | None:
    """From a Deployment or a LeaderWorkerSet as JSON; None for one that is not this runner's."""
    metadata = found["metadata"]
    labels, told = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if labels.get(names.MANAGED_BY) != names.RUNNER or names.GENERATION not in labels:
        return None
    conditions = (found.get("status") or {}).get("conditions") or []
    refusals = [item for item in conditions if item.get("type") == "ReplicaFailure" and item.get("status") == "True"]
    return Workload(
        uid=metadata["uid"],
        name=metadata["name"],
        kind=found.get("kind") or "Deployment",
        replica_id=told.get(names.REPLICA) or labels[names.REPLICA],
        generation=int(labels[names.GENERATION]),
        node_ids=json.loads(told.get(names.NODES, "[]")),
        created_at=_time(metadata.get("creationTimestamp")),
        deleting=bool(metadata.get("deletionTimestamp")),
        start_seconds=float(told.get(names.START_SECONDS, "900")),
        served=_served(conditions),
        refusal=refusals[0].get("message") if refusals else None,
        limits=json.loads(told.get(names.LIMITS, "[]")),
    )


def has_ended(pod: client.V1Pod) -> bool:
    """Whether a pod has ended for good, as an evicted one, which its controller leaves for a while."""
    return pod.status is not None and pod.status.phase in ("Failed", "Succeeded")


def report(
    workload: Workload,
    pods: Sequence[client.V1Pod],
    *,
    token: str,
    was_ready: bool,
    troubled_since: datetime | None,
    now: datetime,
) -> ObservedReplica:
    """The replica as its workload and its pods show it.

    `was_ready` says whether this start has served before; `troubled_since`, since when there has been a reason for it
    to have no running engine.
    """
    present = _present(workload, pods)
    findings = [_look(pod, was_ready) for pod in present]
    leader = present[0] if present and _leads(present[0]) else None
    restarts = sum(_restarts(pod) for pod in present)
    finding = _together(workload, findings)
    if finding.reason and not was_ready and _too_late(workload, finding, present, troubled_since, now):
        finding = _Finding(ReplicaState.FAILED, finding.reason)
    if workload.deleting:
        finding = _Finding(ReplicaState.DRAINING, phase="stopping")
    status = _engine(leader)
    address = leader.status.pod_ip if leader is not None and leader.status else None
    return ObservedReplica(
        replica_id=workload.replica_id,
        generation=workload.generation,
        state=finding.state,
        reason=finding.reason,
        phase=finding.phase,
        address=f"http://{_host(address)}:{names.ENGINE_PORT}" if address and status and status.state else None,
        token=token if address else None,
        started_at=_started_at(status) or workload.created_at,
        ready_at=_ready_at(leader) if finding.state == ReplicaState.READY else None,
        restarts=restarts,
        members=_members(workload, present),
    )


def _together(workload: Workload, findings: Sequence[_Finding]) -> _Finding:
    """The replica is as far as its slowest member."""
    if workload.refusal:
        return _Finding(ReplicaState.STARTING, f"The cluster makes no pod for it: {workload.refusal}")
    expected = max(1, len(workload.node_ids))
    if len(findings) < expected and not any(item.reason for item in findings):
        return _Finding(ReplicaState.STARTING, phase=f"waiting for {'its pod' if expected == 1 else 'its pods'}")
    order = [ReplicaState.FAILED, ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.DEGRADED]
    return min(findings, key=lambda item: (order.index(item.state) if item.state in order else 9, not item.reason))


def _too_late(
    workload: Workload, finding: _Finding, pods: Sequence[client.V1Pod], troubled_since: datetime | None, now: datetime
) -> bool:
    """Whether one that never served is given up.

    What an engine may take counts from the start of its container, and a trouble before that from when it was first
    seen: to pull an image and to fetch a model takes as long as it takes.
    """
    patience = timedelta(seconds=workload.start_seconds)
    stuck = finding.state == ReplicaState.STARTING and troubled_since is not None and now - troubled_since > patience
    slow = any(_ran(pod, now) >= patience for pod in pods)
    return finding.hopeless or stuck or slow or sum(map(_ends, pods)) >= MOST_ENDS


def _served(conditions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a workload has been available once.

    A Deployment whose pods were all available keeps that as the reason of `Progressing` (pkg/controller/deployment/
    progress.go), a LeaderWorkerSet gets a condition `Available` only then (setCondition of its controller), while
    that of a Deployment is there from the start.
    """
    return any(
        item.get("reason") in ("NewReplicaSetAvailable", "AllGroupsReady")
        or (item.get("type") == "Available" and item.get("status") == "True")
        for item in conditions
    )


def _present(workload: Workload, pods: Sequence[client.V1Pod]) -> list[client.V1Pod]:
    """The pods that count, the leader first: one that has ended only while no other has taken its place."""
    here = [pod for pod in pods if names.head(pod).deletion_timestamp is None]
    found = [pod for pod in here if not has_ended(pod)]
    for pod in filter(has_ended, here):
        places = 1 if _leads(pod) else len(workload.node_ids) - 1
        if sum(_leads(other) == _leads(pod) for other in found) < places:
            found.append(pod)
    return sorted(found, key=_order)


def _look(pod: client.V1Pod, was_ready: bool) -> _Finding:
    status = pod.status
    if status is None:
        return _Finding(ReplicaState.STARTING, phase="waiting for a node")
    if has_ended(pod) or status.phase == "Unknown":
        return _Finding(ReplicaState.STARTING, _sentence(status.reason, status.message) or "Its pod ended")
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return _Finding(ReplicaState.STARTING, _unschedulable(condition))
    fetching = _fetching(status.init_container_statuses or [])
    if fetching is not None:
        return fetching
    engine = _engine(pod)
    if engine is None or engine.state is None:
        return _Finding(ReplicaState.STARTING, phase="waiting for its node")
    return _look_at_engine(engine, was_ready)


def _look_at_engine(engine: client.V1ContainerStatus, was_ready: bool) -> _Finding:
    state = engine.state
    assert state is not None
    if state.waiting is not None and state.waiting.reason not in (None, "ContainerCreating", "PodInitializing"):
        reason = state.waiting.reason
        # why it ended says more than that it ended
        ended = _ended(engine.last_state) if reason == "CrashLoopBackOff" else None
        text = f"{_WORDS[reason]} ({reason}): {ended}" if ended else _sentence(reason, state.waiting.message)
        return _Finding(ReplicaState.STARTING, text, hopeless=reason in _HOPELESS)
    if state.terminated is not None:
        return _Finding(ReplicaState.STARTING, _ended(state))
    if state.running is None:
        return _Finding(ReplicaState.STARTING, phase="creating the container")
    if engine.ready:
        return _Finding(ReplicaState.READY)
    if was_ready and engine.started:
        return _Finding(ReplicaState.DEGRADED, "The engine does not answer its health check.")
    return _Finding(ReplicaState.LOADING, _ended(engine.last_state), phase="loading")


def _fetching(statuses: Sequence[client.V1ContainerStatus]) -> _Finding | None:
    """What the container that fetches the model is at; None when it is done, or there is none."""
    status = next((item for item in statuses if item.name == FETCH), None)
    if status is None or status.state is None:
        return None
    if status.state.terminated is not None and status.state.terminated.exit_code == 0:
        return None
    waiting = status.state.waiting
    if waiting is not None and waiting.reason in _WORDS and waiting.reason != "CrashLoopBackOff":
        text = f"Fetching the model: {_sentence(waiting.reason, waiting.message)}"
        return _Finding(ReplicaState.STARTING, text, hopeless=waiting.reason in _HOPELESS)
    ended = _ended(status.state) or _ended(status.last_state)
    if ended and status.state.running is None:
        return _Finding(ReplicaState.STARTING, f"The model could not be fetched: {ended}")
    return _Finding(ReplicaState.STARTING, phase="fetching model")


def _ended(state: client.V1ContainerState | None) -> str | None:
    end = state.terminated if state is not None else None
    if end is None:
        return None
    if end.reason == "OOMKilled":
        return "it used more memory than its limit and was ended (OOMKilled)"
    named = end.reason if end.reason and end.reason != "Error" else ""
    detail = ": ".join(filter(None, (named, (end.message or "").strip())))
    if not detail:
        return f"it ended with exit code {end.exit_code}"
    return f"it ended with exit code {end.exit_code} ({detail})"


def _unschedulable(condition: client.V1PodCondition) -> str:
    return f"No node can take it ({condition.reason or 'Unschedulable'}): {condition.message or 'no reason was given'}"


def _sentence(reason: str | None, message: str | None) -> str:
    words = _WORDS.get(reason or "")
    head = f"{words} ({reason})" if words else reason or ""
    return f"{head}: {message}" if head and message else head or (message or "")


def _members(workload: Workload, pods: Sequence[client.V1Pod]) -> list[ObservedMember]:
    limits = [*workload.limits, *([[]] * len(workload.node_ids))]
    found: list[ObservedMember] = []
    for index, node_id in enumerate(workload.node_ids):
        pod = pods[index] if index < len(pods) else None
        engine = _engine(pod)
        last = engine.last_state.terminated if engine is not None and engine.last_state is not None else None
        found.append(
            ObservedMember(
                node_id=(pod.spec.node_name if pod is not None and pod.spec is not None else None) or node_id,
                exit_code=last.exit_code if last is not None else None,
                limits=limits[index],
            )
        )
    return found


def _engine(pod: client.V1Pod | None) -> client.V1ContainerStatus | None:
    statuses = pod.status.container_statuses if pod is not None and pod.status is not None else None
    return next((status for status in statuses or [] if status.name == ENGINE), None)


def _leads(pod: client.V1Pod) -> bool:
    return names.label(pod, names.MEMBER) == "leader"


def _order(pod: client.V1Pod) -> tuple[bool, str]:
    return not _leads(pod), names.head(pod).name or ""


def _restarts(pod: client.V1Pod) -> int:
    engine = _engine(pod)
    return engine.restart_count if engine is not None else 0


def _ends(pod: client.V1Pod) -> int:
    statuses = (pod.status.init_container_statuses if pod.status is not None else None) or []
    return _restarts(pod) + sum(status.restart_count for status in statuses if status.name == FETCH)


def _ran(pod: client.V1Pod, now: datetime) -> timedelta:
    """For how long the engine's container has run, or ran before it ended, without being ready."""
    engine = _engine(pod)
    longest = timedelta(0)
    if engine is None or engine.ready:
        return longest
    for state in filter(None, (engine.state, engine.last_state)):
        if state.running is not None and state.running.started_at is not None:
            longest = max(longest, now - state.running.started_at)
        end = state.terminated
        if end is not None and end.started_at is not None and end.finished_at is not None:
            longest = max(longest, end.finished_at - end.started_at)
    return longest


def _started_at(status: client.V1ContainerStatus | None) -> datetime | None:
    running = status.state.running if status is not None and status.state is not None else None
    return running.started_at if running is not None else None


def _ready_at(pod: client.V1Pod | None) -> datetime | None:
    conditions = (pod.status.conditions if pod is not None and pod.status is not None else None) or []
    return next((item.last_transition_time for item in conditions if item.type == "Ready"), None)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
