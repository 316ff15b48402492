"""The runner itself: makes and removes the objects of replicas, and reports what mirrors of the cluster show."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kubernetes.aio import client

from aicp.core.clock import Clock, SystemClock
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.launch import ObservedMember, ObservedReplica, ReplicaLaunch, ReplicaState
from aicp.core.node import EnvironmentState, EnvironmentStatus, NodeStatus
from aicp.runners.kubernetes import names, objects
from aicp.runners.kubernetes.calls import connect
from aicp.runners.kubernetes.cluster import Cluster
from aicp.runners.kubernetes.cluster_nodes import is_ready, node_status
from aicp.runners.kubernetes.options import ClusterOptions
from aicp.runners.kubernetes.states import Workload, has_ended, read_workload, report

log = logging.getLogger(__name__)
_REMEMBERED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A replica that is gone, told of for a while."""

    seen: ObservedReplica
    at: datetime


class KubernetesRunner:
    """Implements Runner, StreamsLogs, KeepsEnvironments and Watches over one namespace."""

    def __init__(self, options: ClusterOptions, *, key: str, clock: Clock | None = None) -> None:
        self._options = options
        self._key = key
        self._clock = clock or SystemClock()
        self._cluster: Cluster | None = None
        self._connecting = asyncio.Lock()
        self._served: set[tuple[str, int]] = set()
        """Starts that this process saw ready; the cluster's own word for it comes a moment later, and lasts."""
        self._troubled: dict[tuple[str, int], datetime] = {}
        """Since when something keeps a start from having a running engine."""
        self._ended: dict[str, _Ended] = {}
        self._stopping: set[str] = set()
        """Names of workloads whose end was asked for."""
        self._bells: list[Callable[[], None]] = []

    async def nodes(self) -> list[NodeStatus]:
        """See Runner: nodes whose kubelet answers."""
        cluster = await self._connected()
        scheduler, images = self._options.scheduler, self._options.images
        return [node_status(node, scheduler, images) for node in await cluster.nodes() if is_ready(node)]

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        """See Runner. Older generations of the same replica are ended first."""
        if not launch.members:
            raise InvalidError(f"Replica {launch.replica_id} has no members.")
        cluster = await self._connected()
        products = {device.device_id: device.product for node in await self.nodes() for device in node.accelerators}
        workload = objects.build_workload(launch, self._options, products)
        for old in await self._workloads():
            if old.replica_id == launch.replica_id and old.generation < launch.generation:
                await self._remove(old, None)
        self._ended.pop(launch.replica_id, None)
        what = f"start the replica {launch.replica_id}"
        created, new = await cluster.create_workload(workload, what)
        try:
            await self._complete(launch, created, what, new=new)
        except Exception:
            # all of it or nothing: what belongs to the workload goes with it
            await cluster.delete_workload(created, 0)
            raise
        found = read_workload(created)
        assert found is not None
        return self._report(found, [])

    async def observe(self) -> list[ObservedReplica]:
        """See Runner. Replicas on nodes whose kubelet is silent are left out, as silence of the node itself."""
        cluster = await self._connected()
        silent = {names.head(node).name for node in await cluster.nodes() if not is_ready(node)}
        workloads = await self._workloads()
        pods: defaultdict[tuple[str, str], list[client.V1Pod]] = defaultdict(list)
        for pod in await cluster.pods():
            pods[names.label(pod, names.REPLICA), names.label(pod, names.GENERATION)].append(pod)
        found: dict[str, ObservedReplica] = {}
        for workload in sorted(workloads, key=lambda item: item.generation):
            mine = pods.pop((names.label_value(workload.replica_id), str(workload.generation)), [])
            seen = self._report(workload, mine)
            if {member.node_id for member in seen.members} & silent:
                continue
            found[seen.replica_id] = await self._settle(workload, seen)
        return [*found.values(), *self._gone(found, pods)]

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        """See Runner."""
        for workload in await self._workloads():
            if workload.replica_id == replica_id and workload.generation <= generation:
                await self._remove(workload, grace_seconds)

    async def log(
        self, replica_id: str, *, tail: int = 100, follow: bool = False, node_id: str | None = None
    ) -> AsyncIterator[str]:
        """See StreamsLogs. The cluster keeps the log of a pod, and of its engine's last end, as long as the pod."""
        cluster = await self._connected()
        label = names.label_value(replica_id)
        mine = [pod for pod in await cluster.pods() if names.label(pod, names.REPLICA) == label]
        if not mine:
            raise NotFoundError(
                f"The cluster has no pod of a replica {replica_id!r}.",
                hint="Kubernetes drops the log with the pod; keep logs longer with a log collector of the cluster.",
            )
        elsewhere = [pod for pod in mine if node_id is not None and pod.spec and pod.spec.node_name != node_id]
        mine = [pod for pod in mine if pod not in elsewhere] or mine
        mine.sort(key=lambda pod: (has_ended(pod), names.label(pod, names.MEMBER) != "leader", names.head(pod).name))
        async for piece in cluster.log(mine[0], tail=tail, follow=follow):
            yield piece

    async def environments(self, node_id: str) -> list[EnvironmentStatus]:
        """See KeepsEnvironments: the images that every node can pull."""
        found = [node for node in await self.nodes() if node.node_id == node_id]
        if not found:
            raise NotFoundError(f"The cluster has no node {node_id!r} that answers.")
        return found[0].environments

    async def install_environment(self, node_id: str, engine: str, version: str, variant: str) -> EnvironmentStatus:
        """See KeepsEnvironments: an image that was set is installed, another one cannot be made here."""
        image = self._options.image_of(engine, version, variant)
        return EnvironmentStatus(
            engine=engine,
            version=version,
            variant=variant,
            state=EnvironmentState.INSTALLED,
            message=f"container image {image}",
        )

    async def remove_environment(self, node_id: str, engine: str, version: str, variant: str) -> None:
        """See KeepsEnvironments: images belong to the settings."""
        raise InvalidError(
            f"On Kubernetes {engine} {version} is a container image and not an environment that could be removed.",
            hint="Take it out of AICP_KUBERNETES_IMAGES and start the platform again.",
        )

    def on_change(self, ring: Callable[[], None]) -> None:
        """See Watches."""
        self._bells.append(ring)

    async def close(self) -> None:
        """See Runner. Replicas go on."""
        if self._cluster is not None:
            await self._cluster.close()
            self._cluster = None

    async def _connected(self) -> Cluster:
        async with self._connecting:
            if self._cluster is None:
                api = await connect(self._options)
                self._cluster = Cluster(api, self._options.namespace, self._changed)
            return self._cluster

    def _changed(self) -> None:
        for ring in self._bells:
            ring()

    async def _workloads(self) -> list[Workload]:
        cluster = await self._connected()
        found = (read_workload(item) for item in await cluster.workloads())
        return [item for item in found if item is not None]

    async def _complete(self, launch: ReplicaLaunch, created: Mapping[str, Any], what: str, *, new: bool) -> None:
        """What the pods wait for: it is owned by the workload, and so made after it."""
        cluster = await self._connected()
        owner = objects.owner_of(dict(created))
        token = names.engine_token(self._key, launch.replica_id, launch.generation)
        await cluster.create_owned(objects.build_policy(launch, self._options, owner), what, new=new)
        await cluster.create_owned(objects.build_secret(launch, self._options, owner, token), what, new=new)
        files = objects.build_files(launch, self._options, owner)
        if files is not None:
            await cluster.create_owned(files, what, new=new)

    def _report(self, workload: Workload, pods: list[client.V1Pod]) -> ObservedReplica:
        start = (workload.replica_id, workload.generation)
        token = names.engine_token(self._key, *start)
        now, served, since = self._clock.now(), start in self._served, self._troubled.get(start)
        seen = report(workload, pods, token=token, was_ready=served or workload.served, troubled_since=since, now=now)
        if seen.state == ReplicaState.READY:
            self._served.add(start)
        if seen.reason and seen.state in (ReplicaState.STARTING, ReplicaState.FAILED):
            self._troubled.setdefault(start, now)
        else:
            self._troubled.pop(start, None)
        if workload.name in self._stopping and seen.state != ReplicaState.DRAINING:
            return seen.model_copy(update={"state": ReplicaState.DRAINING, "phase": "stopping"})
        return seen

    async def _settle(self, workload: Workload, seen: ObservedReplica) -> ObservedReplica:
        """A replica that has failed gives its cards back: nobody asks for its end any more."""
        if seen.state == ReplicaState.FAILED:
            log.warning("replica %s failed: %s", seen.replica_id, seen.reason)
            self._ended[seen.replica_id] = _Ended(seen, self._clock.now())
            await self._remove(workload, 0)
            return seen
        ended = self._ended.get(seen.replica_id)
        return ended.seen if ended is not None and ended.seen.state == ReplicaState.FAILED else seen

    def _gone(
        self, found: Mapping[str, ObservedReplica], left: Mapping[tuple[str, str], list[client.V1Pod]]
    ) -> list[ObservedReplica]:
        """Replicas without a workload: their pods still end, or they are told of as ended for a while."""
        now = self._clock.now()
        self._ended = {key: item for key, item in self._ended.items() if now - item.at < _REMEMBERED}
        ending = {label for label, _ in left}
        gone: list[ObservedReplica] = []
        for replica_id, item in self._ended.items():
            if replica_id in found:
                continue
            drains = names.label_value(replica_id) in ending and item.seen.state == ReplicaState.STOPPED
            gone.append(item.seen.model_copy(update={"state": ReplicaState.DRAINING}) if drains else item.seen)
        return gone

    async def _remove(self, workload: Workload, grace_seconds: float | None) -> None:
        cluster = await self._connected()
        if workload.replica_id not in self._ended:
            seen = ObservedReplica(
                replica_id=workload.replica_id,
                generation=workload.generation,
                state=ReplicaState.STOPPED,
                members=[ObservedMember(node_id=node_id) for node_id in workload.node_ids],
            )
            self._ended[workload.replica_id] = _Ended(seen, self._clock.now())
        self._stopping.add(workload.name)
        await cluster.remove(workload, grace_seconds)
        self._served.discard((workload.replica_id, workload.generation))
        self._troubled.pop((workload.replica_id, workload.generation), None)
