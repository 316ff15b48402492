"""What pods and workloads mean for a replica: which pods count, what has served, and when one is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.aio import client
from tests.support.kubernetes_cluster import engine
from tests.support.kubernetes_world import make_launch, make_member

from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.runners.kubernetes import names
from aicp.runners.kubernetes.objects import build_workload, plain
from aicp.runners.kubernetes.options import read_options
from aicp.runners.kubernetes.states import Workload, read_workload, report

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
PULLS = {"waiting": {"reason": "ImagePullBackOff"}}


def at(minutes: float) -> str:
    """A time so long ago, as the API tells it."""
    return (NOW - timedelta(minutes=minutes)).isoformat()


def ended_after(minutes: float, *, ago: float = 1) -> dict[str, Any]:
    """A container that ended `ago` minutes ago, having run for `minutes`."""
    times = {"startedAt": at(ago + minutes), "finishedAt": at(ago)}
    return {"terminated": {"exitCode": 137, "reason": "Error", **times}}


def workload_of(*nodes: str, conditions: list[dict[str, str]] | None = None) -> Workload:
    """A workload that was made five hours ago, and may take ten minutes to start."""
    options = read_options({"images": ("tiny=tiny:1",), "image": "i", "control_url": "http://c"})
    made = plain(
        build_workload(make_launch(*(make_member(node_id=node) for node in nodes or ("node-a",))), options, {})
    )
    made["metadata"] |= {"uid": "uid-1", "creationTimestamp": at(300)}
    made["status"] = {"conditions": conditions or []}
    found = read_workload(made)
    assert found is not None
    assert found.start_seconds == 600
    return found


def pod_of(name: str, *statuses: dict[str, Any], role: str = "leader", **status: Any) -> client.V1Pod:
    """A pod with the status of its engine, and of what fetches its model."""
    by_name = {item["name"]: item for item in statuses}
    found = client.V1Pod.from_dict(
        {
            "metadata": {"name": name, "labels": {names.MEMBER: role}},
            "spec": {"containers": [{"name": "engine"}], "nodeName": "node-a"},
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.7",
                "containerStatuses": [by_name["engine"]] if "engine" in by_name else [],
                "initContainerStatuses": [by_name["fetch-model"]] if "fetch-model" in by_name else [],
                **status,
            },
        }
    )
    assert found is not None
    return found


def seen(
    *pods: client.V1Pod, workload: Workload | None = None, troubled: float | None = None, was_ready: bool = False
) -> ObservedReplica:
    """The report, after `troubled` minutes with a reason."""
    since = None if troubled is None else NOW - timedelta(minutes=troubled)
    found = workload or workload_of()
    return report(found, pods, token="t", was_ready=was_ready or found.served, troubled_since=since, now=NOW)


RUNS = engine({"running": {"startedAt": at(1)}}, ready=True, started=True)
EVICTED: dict[str, Any] = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": "The node was low on memory.",
    "podIP": None,
}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
@pytest.mark.parametrize("was_ready", [True, False])
def test_a_pod_that_ended_counts_no_more_beside_the_next(phase: str, was_ready: bool) -> None:
    left = pod_of("a", engine(ended_after(1), restarts=9), **{**EVICTED, "phase": phase})
    found = seen(left, pod_of("b", RUNS), was_ready=was_ready, troubled=60)
    assert found.state is ReplicaState.READY
    assert found.address == "http://10.0.0.7:8000"
    assert found.restarts == 0


def test_a_pod_that_ended_alone_says_why() -> None:
    found = seen(pod_of("a", **EVICTED), pod_of("b", **EVICTED), was_ready=True)
    assert found.state is ReplicaState.STARTING
    assert found.reason == "Evicted: The node was low on memory."


def test_a_follower_that_ended_has_no_other_in_its_place() -> None:
    group = workload_of("node-a", "node-b", "node-c")
    leader, follower = pod_of("a", RUNS), pod_of("b", RUNS, role="follower")
    gone = pod_of("c", role="follower", **EVICTED)
    assert seen(leader, follower, gone, workload=group).state is ReplicaState.STARTING
    assert seen(leader, follower, gone, pod_of("d", RUNS, role="follower"), workload=group).state is ReplicaState.READY


@pytest.mark.parametrize(
    ("conditions", "served"),
    [
        ([], False),
        ([{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}], False),
        ([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}], False),
        ([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}], False),
        ([{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}], True),
        ([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}], True),
        ([{"type": "Progressing", "status": "True", "reason": "GroupsAreProgressing"}], False),
        ([{"type": "Available", "status": "False", "reason": "AllGroupsReady"}], True),
    ],
)
def test_what_has_served_is_on_record(conditions: list[dict[str, str]], served: bool) -> None:
    assert workload_of(conditions=conditions).served is served
    crashed = pod_of("a", engine({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=9, lastState=None))
    wanted = ReplicaState.STARTING if served else ReplicaState.FAILED
    assert seen(crashed, workload=workload_of(conditions=conditions)).state is wanted


def test_an_engine_that_ends_soon_after_a_long_preparation_is_not_too_late() -> None:
    """Five hours went by with the image and the model; the engine itself has just begun."""
    first = engine(ended_after(1), restarts=0)
    again = engine({"running": {"startedAt": at(1)}}, restarts=1, last=ended_after(2))
    assert seen(pod_of("a", first), troubled=1).state is ReplicaState.STARTING
    assert seen(pod_of("a", again)).state is ReplicaState.LOADING


def test_an_engine_that_took_all_of_its_time_is_too_late() -> None:
    killed = engine({"running": {"startedAt": at(0)}}, restarts=1, last=ended_after(10))
    assert seen(pod_of("a", killed)).state is ReplicaState.FAILED
    slow = engine({"running": {"startedAt": at(11)}}, restarts=1, last=ended_after(1, ago=11))
    assert seen(pod_of("a", slow)).state is ReplicaState.FAILED
    ready = engine({"running": {"startedAt": at(60)}}, ready=True, started=True, restarts=1, last=ended_after(60))
    assert seen(pod_of("a", ready)).state is ReplicaState.READY


def test_a_trouble_counts_from_when_it_was_first_seen() -> None:
    waits = pod_of("a", engine(PULLS), phase="Pending")
    assert seen(waits).state is ReplicaState.STARTING
    assert seen(waits, troubled=9).state is ReplicaState.STARTING
    assert seen(waits, troubled=11).state is ReplicaState.FAILED
    assert seen(waits, troubled=11, was_ready=True).state is ReplicaState.STARTING


def test_a_model_that_cannot_be_fetched_is_given_up_in_the_end() -> None:
    def fetches(restarts: int) -> client.V1Pod:
        last = {"lastState": ended_after(1)}
        fetch = engine({"waiting": {"reason": "CrashLoopBackOff"}}, name="fetch-model", restarts=restarts) | last
        return pod_of("a", fetch, phase="Pending")

    assert seen(fetches(4)).state is ReplicaState.STARTING
    found = seen(fetches(5))
    assert found.state is ReplicaState.FAILED
    assert (found.reason or "").startswith("The model could not be fetched")
