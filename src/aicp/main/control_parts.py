"""What the control process is made of: use cases that write intent, and loops that make it true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import httpx

from aicp.api.access import Authenticator
from aicp.artifacts.blobs import Blobs
from aicp.artifacts.credentials import Credentials
from aicp.artifacts.files import FileContents
from aicp.artifacts.uploads import UploadFiles
from aicp.control.accelerators import AcceleratorCatalog
from aicp.control.api_keys import ApiKeys
from aicp.control.batches import Batches
from aicp.control.cache_rules import CacheRules
from aicp.control.catalog import Catalog
from aicp.control.changes import Changes
from aicp.control.engines import Engines
from aicp.control.event_log import EventLog
from aicp.control.files import Files
from aicp.control.gateways import Gateways
from aicp.control.health import Health
from aicp.control.jobs import Jobs
from aicp.control.joins import Cluster, Joins
from aicp.control.listeners import HostPorts, Listeners
from aicp.control.logs import Logs
from aicp.control.metrics import Metrics
from aicp.control.models import Models
from aicp.control.nodes import Nodes
from aicp.control.playground import Playground, connect_gateway
from aicp.control.pool_moves import PoolMoves
from aicp.control.pools import Pools
from aicp.control.prices import Prices
from aicp.control.projects import Projects
from aicp.control.providers import Outside, Providers
from aicp.control.public_routes import PublicRoutes
from aicp.control.request_log import RequestLog
from aicp.control.reservations import Reservations
from aicp.control.routes import RouteTables
from aicp.control.service_uses import version_uses
from aicp.control.services import Services
from aicp.control.sessions import Sessions
from aicp.control.traffic import Traffic
from aicp.control.uploads import Uploads
from aicp.control.usage import Usage
from aicp.control.users import Users
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.ids import new_id
from aicp.core.port_range import port_ranges
from aicp.core.registry import Registry
from aicp.engines.base import Engine
from aicp.hubs.base import Hub, HubSettings
from aicp.main.cluster import agent_of, open_cluster
from aicp.main.cluster_settings import split_address
from aicp.main.settings import Settings
from aicp.reconcile.autoscaling import Autoscaler
from aicp.reconcile.batch_calls import GatewayCalls, Room
from aicp.reconcile.batches import BatchLoop
from aicp.reconcile.cleanup import Cleanup
from aicp.reconcile.engines import EngineInstaller, EngineRemover
from aicp.reconcile.imports import ModelImport
from aicp.reconcile.jobs import JobRunner
from aicp.reconcile.loop import Loop
from aicp.reconcile.metrics import MetricSampler
from aicp.reconcile.nodes import NodeReconciler
from aicp.reconcile.request_bodies import Retention
from aicp.reconcile.services import ServiceReconciler
from aicp.reconcile.uploads import UploadCheck
from aicp.runners.base import AgentAddress, HasHead, KeepsEnvironments, Runner, RunnerDriver, StreamsLogs, Watches
from aicp.security.keyring import load_keyring
from aicp.security.keys import load_pepper
from aicp.security.passwords import Passwords
from aicp.security.tls import pinned
from aicp.security.tls_identity import TlsIdentity
from aicp.store.database import Database


class Reach(Runner, StreamsLogs, KeepsEnvironments):
    """The runner this process needs: one that also streams logs and keeps environments."""


@dataclass(frozen=True, slots=True)
class Foundation:
    """What everything else is built on."""

    settings: Settings
    database: Database
    clock: Clock
    bell: Bell
    pepper: bytes
    passwords: Passwords
    engines: Registry[Engine]
    hubs: Registry[Hub]
    hub_settings: HubSettings
    blobs: Blobs
    credentials: Credentials
    uploads: UploadFiles
    files: FileContents
    runner: Any
    outside: Outside
    cluster: Cluster | None


def lay_foundation(settings: Settings, database: Database, clock: Clock, internal_token: str) -> Foundation:
    """Opens what lies under the data directory. Raises ValueError for a damaged pepper, OSError for a full disk."""
    artifacts = settings.data_dir / "artifacts"
    endpoints = {"huggingface": settings.hf_endpoint, "modelscope": settings.modelscope_endpoint}
    keyring = load_keyring(settings.data_dir / "run" / "keyring")
    agents = [AgentAddress(f"unix:{settings.agent_socket}", internal_token)]
    return Foundation(
        settings=settings,
        database=database,
        clock=clock,
        bell=Bell(),
        pepper=load_pepper(settings.data_dir / "run" / "pepper"),
        passwords=Passwords(),
        engines=Registry[Engine]("aicp.engines"),
        hubs=Registry[Hub]("aicp.hubs"),
        hub_settings=HubSettings(
            uploads_dir=artifacts / "uploads",
            closed_directories=(settings.data_dir, settings.environments_dir),
            directories=settings.import_directories,
            offline=settings.offline,
            allowed_networks=settings.import_allowed_networks,
            endpoints={name: url for name, url in endpoints.items() if url},
        ),
        blobs=Blobs(artifacts),
        credentials=Credentials(artifacts / "credentials", keyring),
        uploads=UploadFiles(artifacts / "uploads"),
        files=FileContents(artifacts / "files"),
        runner=Registry[RunnerDriver]("aicp.runners").get(settings.runner).connect(agents, _runner_options(settings)),
        outside=Outside(keyring, settings.import_allowed_networks, settings.offline, settings.gateway_url),
        cluster=open_cluster(settings, clock),
    )


def build_use_cases(base: Foundation, sessions: Sessions) -> Mapping[type, object]:
    """One object a concept, by the type that endpoints ask for."""
    shared = (base.database, base.clock, base.bell)
    keys = ApiKeys(*shared, base.pepper)
    return {
        AcceleratorCatalog: AcceleratorCatalog(),
        Authenticator: sessions,
        Sessions: sessions,
        ApiKeys: keys,
        Batches: Batches(*shared),
        CacheRules: CacheRules(*shared),
        Catalog: Catalog(base.database, base.engines),
        Changes: Changes(base.bell),
        Engines: Engines(*shared, base.engines),
        EventLog: EventLog(base.database, base.clock),
        Files: Files(*shared, base.files, quota_bytes=base.settings.file_quota),
        Gateways: Gateways(*shared),
        Health: Health(
            base.database,
            runner=base.settings.runner,
            patience_seconds=base.settings.ray_reconnect_seconds if base.settings.runner == "ray" else None,
            head=_head(base.runner),
        ),
        Jobs: Jobs(*shared),
        Joins: Joins(*shared, base.cluster),
        Listeners: Listeners(*shared, _host_ports(base.settings)),
        Logs: Logs(base.database, base.runner),
        Metrics: Metrics(base.database, base.clock),
        Models: Models(
            *shared,
            blobs=base.blobs,
            credentials=base.credentials,
            hubs=base.hubs,
            settings=base.hub_settings,
            uses=version_uses,
        ),
        Nodes: Nodes(*shared, base.cluster.ray if base.cluster else None),
        PoolMoves: PoolMoves(*shared),
        Pools: Pools(*shared),
        Playground: Playground(*shared, base.pepper, _gateway(base.settings)),
        Prices: Prices(*shared, base.settings.currency),
        Projects: Projects(*shared),
        Providers: Providers(*shared, base.outside),
        PublicRoutes: PublicRoutes(*shared, base.outside),
        RequestLog: RequestLog(*shared),
        Reservations: Reservations(*shared),
        RouteTables: RouteTables(
            *shared, base.engines, base.outside, pepper=base.pepper, currency=base.settings.currency
        ),
        Services: Services(*shared, base.engines, keys, gateway_url=f"{base.settings.gateway_url}/v1"),
        Traffic: Traffic(base.database, base.clock, base.settings.currency),
        Uploads: Uploads(*shared, files=base.uploads, blobs=base.blobs),
        Usage: Usage(base.database, base.clock),
        Users: Users(*shared, base.passwords),
        Blobs: base.blobs,
    }


def _head(runner: Runner) -> HasHead | None:
    return runner if isinstance(runner, HasHead) else None


def _runner_options(settings: Settings) -> dict[str, Any]:
    """The runner's own settings; what it must prove of the control plane is a text that it hands on."""
    options = settings.runner_options()
    certificate = options.get("control_certificate")
    return options | ({"control_certificate": certificate.read_text("utf-8")} if certificate else {})


def _gateway(settings: Settings) -> httpx.AsyncClient:
    certificate = settings.tls_certificate
    return connect_gateway(settings.gateway_url, verify=pinned(certificate) if certificate else True)


def _host_ports(settings: Settings) -> HostPorts:
    return HostPorts(
        control=(settings.host, settings.port),
        gateway=(settings.gateway_host, settings.gateway_port),
        reserved=port_ranges(settings.reserved_ports),
        insecure=settings.insecure,
    )


class Runs(Protocol):
    """Works beside the requests until it is canceled."""

    async def run(self) -> None:
        """Until canceled."""
        ...


def _hear(runner: Runner, bell: Bell) -> None:
    """A runner that notices changes by itself shortens the waits of the loops."""

    def ring() -> None:
        bell.ring("runner")
        bell.ring("node")

    if isinstance(runner, Watches):
        runner.on_change(ring)


@dataclass(frozen=True, slots=True)
class Loops:
    """What runs beside the requests."""

    nodes: Loop[Any, Any]
    services: Loop[Any, Any]
    others: Mapping[str, Runs]

    def all(self) -> Mapping[str, Runs]:
        """Every one by its name."""
        return {"nodes": self.nodes, "services": self.services, **self.others}


def build_loops(base: Foundation) -> Loops:
    """The loops of this process, not yet running."""
    database, clock, bell = base.database, base.clock, base.bell
    _hear(base.runner, bell)
    nodes = NodeReconciler(database, base.runner, clock, bell, partial(agent_of, base.settings))
    lease = timedelta(seconds=base.settings.node_lease_seconds)
    host = split_address(base.cluster.address)[0] if base.cluster else None
    services = ServiceReconciler(database, base.runner, base.engines, clock, bell, lease=lease, host=host)
    imports = ModelImport(database, clock, bell, base.blobs, base.credentials, base.hubs, base.hub_settings)
    calls = GatewayCalls(_gateway(base.settings), base.pepper, clock, Room(base.settings.batch_requests))
    own = TlsIdentity.kept(base.settings.data_dir / "run" / "authority", "control")
    workers = [
        imports,
        UploadCheck(database, base.uploads),
        EngineInstaller(base.runner, bell),
        EngineRemover(base.runner, bell),
    ]
    return Loops(
        nodes=Loop(nodes, bell, clock),
        services=Loop(services, bell, clock),
        others={
            "autoscaling": Loop(Autoscaler(database, base.engines, clock, bell, own.client), bell, clock),
            "jobs": JobRunner(database, clock, bell, workers, name=new_id("ctl"), after=[imports.ended]),
            "batches": BatchLoop(database, bell, base.files, calls),
            "cleanup": Cleanup(database, clock, base.blobs, base.credentials, base.uploads, base.files),
            "metrics": MetricSampler(database, clock),
            "retention": Retention(database, clock),
        },
    )
