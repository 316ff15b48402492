"""Services, nodes, pools and engines."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterator

from aicp.client.transport import Transport
from aicp.core.advice import Advice, AdviceRequest
from aicp.core.engine import EngineInfo, EngineInstall
from aicp.core.errors import ConflictError
from aicp.core.job import Job
from aicp.core.node import Node, NodeState, NodeUpdate
from aicp.core.pool import DrainPlan, Pool, PoolCreate, PoolUpdate, PoolView, WaitingReplica
from aicp.core.replica import Replica
from aicp.core.service import (
    Mode,
    Plan,
    Published,
    Service,
    ServiceCreate,
    ServiceRevision,
    ServiceSpec,
    ServiceState,
    ServiceUpdate,
)
from aicp.core.value import Page

_SETTLED = {ServiceState.READY, ServiceState.FAILED, ServiceState.SLEEPING, ServiceState.STOPPED}


class Services:
    """Published models."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        project: str | None = None,
        state: ServiceState | None = None,
        mode: Mode | None = None,
        search: str | None = None,
    ) -> builtins.list[Service]:
        """Services the caller may see."""
        query = {"project": project, "state": state, "mode": mode, "search": search}
        return self._transport.every("/api/v1/services", Service, query)

    def get(self, name: str) -> Service:
        """One service with its state and reason."""
        return self._transport.get(f"/api/v1/services/{name}", Service)

    def plan(self, body: ServiceCreate) -> Plan:
        """What publishing `body` would run, and why; changes nothing."""
        return self._transport.post("/api/v1/services/plan", Plan, body)

    def plan_change(self, name: str, changes: ServiceUpdate) -> Plan:
        """What `update` would run, and why; changes nothing."""
        return self._transport.post(f"/api/v1/services/{name}/plan", Plan, changes)

    def publish(self, model: str, *, name: str | None = None, create_key: bool = False) -> Published:
        """Publishes `model` with every choice left to the platform."""
        return self.create(ServiceCreate(name=name, spec=ServiceSpec(model=model), create_key=create_key))

    def create(self, body: ServiceCreate) -> Published:
        """Publishes with the choices of `body`."""
        return self._transport.post("/api/v1/services", Published, body)

    def update(self, name: str, changes: ServiceUpdate) -> Service:
        """A new revision, another number of replicas, or stop and start."""
        return self._transport.patch(f"/api/v1/services/{name}", Service, changes)

    def rollback(self, name: str, generation: int | None = None) -> Service:
        """Back to the revision `generation`, or to the one before."""
        body = {} if generation is None else {"generation": generation}
        return self._transport.post(f"/api/v1/services/{name}/rollback", Service, body)

    def delete(self, name: str) -> None:
        """Stops the replicas and removes the service; its logs stay."""
        self._transport.delete(f"/api/v1/services/{name}")

    def revisions(self, name: str) -> builtins.list[ServiceRevision]:
        """All revisions, newest first."""
        return self._transport.every(f"/api/v1/services/{name}/revisions", ServiceRevision)

    def replicas(self, name: str) -> builtins.list[Replica]:
        """Running and ended replicas, newest first."""
        return self._transport.every(f"/api/v1/services/{name}/replicas", Replica)

    def waiting(self, name: str) -> builtins.list[WaitingReplica]:
        """Replicas without a place, and why each node of the pool does not take them."""
        return self._transport.get(f"/api/v1/services/{name}/waiting", Page[WaitingReplica]).items

    def replica(self, replica_id: str) -> Replica:
        """One replica, running or ended, of whatever service."""
        return self._transport.get(f"/api/v1/replicas/{replica_id}", Replica)

    def replica_log(self, replica_id: str, *, tail: int = 100, follow: bool = False, member: int = 0) -> Iterator[str]:
        """Lines of one replica's log, also when its service is gone; `member` is one of a replica that spans nodes."""
        query = {"tail": tail, "follow": follow, "member": member}
        return self._transport.lines(f"/api/v1/replicas/{replica_id}/log", query)

    def log(
        self, name: str, *, tail: int = 100, follow: bool = False, replica: str | None = None, member: int = 0
    ) -> Iterator[str]:
        """Lines of the engine's log; of the newest replica unless one is named, and of its leader unless `member` is
        another one."""
        query = {"tail": tail, "follow": follow, "replica": replica, "member": member}
        return self._transport.lines(f"/api/v1/services/{name}/log", query)

    def wait(
        self,
        name: str,
        *,
        generation: int | None = None,
        timeout_seconds: float = 1800,
        progress: Callable[[Service], None] | None = None,
    ) -> Service:
        """Waits until the newest revision is ready, failed, asleep or stopped.

        Raises ConflictError when the service failed, or when revision `generation`, if given, was rolled back.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            service = self.get(name)
            if progress:
                progress(service)
            if service.observed_generation >= service.generation and service.state in _SETTLED:
                break
            if time.monotonic() > deadline:
                raise ConflictError(f"{name} is still {service.state} after {timeout_seconds:.0f} s: {service.reason}")
            time.sleep(0.25)
        if service.state == ServiceState.FAILED:
            raise ConflictError(f"{name} failed: {service.reason}", hint=f"Look at `aicp logs {name}`.")
        if generation is not None:
            self._check_kept(service, generation)
        return service

    def _check_kept(self, service: Service, generation: int) -> None:
        revision = next((item for item in self.revisions(service.name) if item.generation == generation), None)
        if revision is not None and revision.outcome == "rolled_back":
            reason = service.reason or f"Revision {generation} was rolled back."
            hint = f"Revision {service.serving_generation} serves. Look at `aicp logs {service.name}`."
            raise ConflictError(f"{service.name}: {reason}", hint=hint)


class Nodes:
    """Machines."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, pool: str | None = None, state: NodeState | None = None, search: str | None = None) -> list[Node]:
        """Nodes with what their agents report."""
        return self._transport.every("/api/v1/nodes", Node, {"pool": pool, "state": state, "search": search})

    def replicas(self, node_id: str) -> builtins.list[Replica]:
        """What runs or ran on a node, newest first."""
        return self._transport.every(f"/api/v1/nodes/{node_id}/replicas", Replica)

    def get(self, node_id: str) -> Node:
        """One node."""
        return self._transport.get(f"/api/v1/nodes/{node_id}", Node)

    def cordon(self, node_id: str, cordoned: bool = True) -> Node:
        """Keeps new replicas off a node, or lets them on again."""
        return self.update(node_id, NodeUpdate(cordoned=cordoned))

    def update(self, node_id: str, changes: NodeUpdate) -> Node:
        """Another pool, other labels or taints, or cordoned; each only when given."""
        return self._transport.patch(f"/api/v1/nodes/{node_id}", Node, changes)

    def drain_plan(self, node_id: str) -> DrainPlan:
        """Which replicas a drain would move where, or has still to move; changes nothing."""
        return self._transport.get(f"/api/v1/nodes/{node_id}/drain", DrainPlan)

    def drain(self, node_id: str) -> DrainPlan:
        """Cordons a node and moves its replicas, each after its successor elsewhere serves."""
        return self._transport.post(f"/api/v1/nodes/{node_id}/drain", DrainPlan)

    def delete(self, node_id: str) -> None:
        """Forgets a node that is lost, or a joined one that holds no replicas."""
        self._transport.delete(f"/api/v1/nodes/{node_id}")


class Pools:
    """Named sets of nodes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[Pool]:
        """All pools with what they have and what is taken."""
        return self._transport.get("/api/v1/pools", Page[Pool]).items

    def get(self, name: str) -> Pool:
        """One pool."""
        return self._transport.get(f"/api/v1/pools/{name}", Pool)

    def advise(self, question: AdviceRequest) -> Advice:
        """How many cards of each kind services would need, whole and sliced; changes nothing."""
        return self._transport.post("/api/v1/pools/advice", Advice, question)

    def view(self, name: str) -> PoolView:
        """One pool with nodes and accelerators, what replicas hold of them, who waits, and how quotas stand."""
        return self._transport.get(f"/api/v1/pools/{name}/view", PoolView)

    def create(self, body: PoolCreate) -> Pool:
        """Adds a pool without nodes."""
        return self._transport.post("/api/v1/pools", Pool, body)

    def update(self, name: str, changes: PoolUpdate) -> Pool:
        """Changes what is given, and moves nodes into the pool."""
        return self._transport.patch(f"/api/v1/pools/{name}", Pool, changes)

    def delete(self, name: str) -> None:
        """Removes a pool without nodes and services."""
        self._transport.delete(f"/api/v1/pools/{name}")


class Engines:
    """Serving programs and where they are installed."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[EngineInfo]:
        """Engines with versions, variants, where they are installed and which services use them."""
        return self._transport.get("/api/v1/engines", Page[EngineInfo]).items

    def get(self, name: str) -> EngineInfo:
        """One engine with its parameters."""
        return self._transport.get(f"/api/v1/engines/{name}", EngineInfo)

    def install(
        self, name: str, version: str | None = None, node: str | None = None, *, variant: str | None = None
    ) -> Job:
        """Installs an engine, by default the newest version in the best variant on every node; answered with a job."""
        chosen = {"version": version, "variant": variant, "node": node}
        given = {field: value for field, value in chosen.items() if value is not None}
        return self._transport.post(f"/api/v1/engines/{name}/install", Job, EngineInstall.model_validate(given))

    def remove(self, name: str, version: str, *, variant: str | None = None) -> Job:
        """Removes an installed version that no service uses, in one variant or in all; answered with a job."""
        answer = self._transport.send("DELETE", f"/api/v1/engines/{name}/{version}", query={"variant": variant})
        return Job.model_validate_json(answer.content)
