"""The objects of one replica: a Deployment or a LeaderWorkerSet, and what belongs to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, ReplicaLaunch, ReplicaMember
from aicp.runners.kubernetes import containers, names
from aicp.runners.kubernetes.containers import Place
from aicp.runners.kubernetes.options import ClusterOptions
from aicp.runners.kubernetes.resources import CPU, PodResources, pod_resources

LWS_GROUP, LWS_VERSION, LWS_PLURAL = "leaderworkerset.x-k8s.io", "v1", "leaderworkersets"
_MOST_FILE_BYTES = 900_000
"""The API server takes a ConfigMap of at most 1 MiB."""


def build_workload(
    launch: ReplicaLaunch, options: ClusterOptions, products: Mapping[str, str]
) -> client.V1Deployment | dict[str, Any]:
    """What runs the replica: a Deployment for one member, a LeaderWorkerSet (as plain JSON) for several.

    Raises InvalidError where the cluster cannot run it as it was asked.
    """
    return build_group(launch, options, products) if len(launch.members) > 1 else _alone(launch, options, products)


def _alone(launch: ReplicaLaunch, options: ClusterOptions, products: Mapping[str, str]) -> client.V1Deployment:
    labels = labels_of(launch)
    template = _template(launch, 0, options, products)
    return client.V1Deployment(
        api_version="apps/v1",
        kind="Deployment",
        metadata=_metadata(launch, options),
        spec=client.V1DeploymentSpec(
            replicas=1,
            revision_history_limit=0,
            # a second copy would want the same cards at the same time
            strategy=client.V1DeploymentStrategy(type="Recreate"),
            selector=client.V1LabelSelector(match_labels={name: labels[name] for name in _IDENTITY}),
            template=template,
        ),
    )


def build_group(launch: ReplicaLaunch, options: ClusterOptions, products: Mapping[str, str]) -> dict[str, Any]:
    """Leader and followers, all started anew when one of them ends: their collective state is lost with it."""
    _check_followers(launch)
    return {
        "apiVersion": f"{LWS_GROUP}/{LWS_VERSION}",
        "kind": "LeaderWorkerSet",
        "metadata": plain(_metadata(launch, options)),
        "spec": {
            "replicas": 1,
            "startupPolicy": "LeaderCreated",
            "leaderWorkerTemplate": {
                "size": len(launch.members),
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": plain(_template(launch, 0, options, products)),
                "workerTemplate": plain(_template(launch, 1, options, products)),
            },
        },
    }


def build_secret(
    launch: ReplicaLaunch, options: ClusterOptions, owner: client.V1OwnerReference, token: str
) -> client.V1Secret:
    """The engine's token."""
    return client.V1Secret(
        api_version="v1",
        kind="Secret",
        type="Opaque",
        immutable=True,
        metadata=_metadata(launch, options, owner),
        string_data={containers.TOKEN_KEY: token},
    )


def build_files(
    launch: ReplicaLaunch, options: ClusterOptions, owner: client.V1OwnerReference
) -> client.V1ConfigMap | None:
    """What the model consists of, for who fetches it; None without a model. Raises InvalidError for too many files."""
    member = launch.members[0]
    if member.launch.model_digest is None:
        return None
    files = json.dumps(member.model_files)
    if len(files) > _MOST_FILE_BYTES:
        raise InvalidError(
            f"The model consists of {len(member.model_files)} files, more than a ConfigMap can list.",
            hint="Import a version of it without files that are not needed for serving.",
        )
    data = {containers.FILES_KEY: files}
    if options.control_certificate:
        data[containers.CERTIFICATE_KEY] = options.control_certificate
    return client.V1ConfigMap(
        api_version="v1", kind="ConfigMap", immutable=True, metadata=_metadata(launch, options, owner), data=data
    )


def build_policy(
    launch: ReplicaLaunch, options: ClusterOptions, owner: client.V1OwnerReference
) -> client.V1NetworkPolicy:
    """The platform's own pods and networks that were allowed reach the engine; members of a replica each other."""
    labels = labels_of(launch)
    mine = client.V1LabelSelector(match_labels={names.REPLICA: labels[names.REPLICA]})
    # the gateway sends requests, the control plane reads the engine's metrics
    callers = [
        client.V1NetworkPolicyPeer(
            pod_selector=client.V1LabelSelector(match_labels={**names.PART_OF, names.COMPONENT: component})
        )
        for component in ("gateway", "control")
    ]
    callers += [
        client.V1NetworkPolicyPeer(ip_block=client.V1IPBlock(cidr=network)) for network in options.gateway_networks
    ]
    ports = [client.V1NetworkPolicyPort(protocol="TCP", port=names.ENGINE_PORT)]
    rules = [_ingress(callers, ports)]
    if len(launch.members) > 1:
        rules.append(_ingress([client.V1NetworkPolicyPeer(pod_selector=mine)], None))
    return client.V1NetworkPolicy(
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        metadata=_metadata(launch, options, owner),
        spec=client.V1NetworkPolicySpec(pod_selector=mine, policy_types=["Ingress"], ingress=rules),
    )


def owner_of(workload: client.V1Deployment | dict[str, Any]) -> client.V1OwnerReference:
    """The workload as the owner of other objects, which go with it, and before its name is free again."""
    found = workload if isinstance(workload, dict) else plain(workload)
    return client.V1OwnerReference(
        api_version=found["apiVersion"],
        kind=found["kind"],
        name=found["metadata"]["name"],
        uid=found["metadata"]["uid"],
        block_owner_deletion=True,
        controller=True,
    )


def labels_of(launch: ReplicaLaunch) -> dict[str, str]:
    """By which the replica is found again."""
    return {
        **names.PART_OF,
        names.COMPONENT: "engine",
        names.MANAGED_BY: names.RUNNER,
        names.REPLICA: names.label_value(launch.replica_id),
        names.SERVICE: names.label_value(launch.service),
        names.GENERATION: str(launch.generation),
    }


def plain(value: Any) -> Any:
    """A model as JSON with the API's own names, without what is not set."""
    if hasattr(value, "to_dict"):
        value = value.to_dict(serialize=True)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


_IDENTITY = (names.MANAGED_BY, names.REPLICA, names.GENERATION)


def _metadata(
    launch: ReplicaLaunch, options: ClusterOptions, owner: client.V1OwnerReference | None = None
) -> client.V1ObjectMeta:
    first = launch.members[0]
    told = {
        names.REPLICA: launch.replica_id,
        names.SERVICE: launch.service,
        names.NODES: json.dumps([member.node_id for member in launch.members]),
        names.LIMITS: json.dumps([explain_limits(member.allocation) for member in launch.members]),
        names.START_SECONDS: f"{first.launch.health.start_timeout_seconds:g}",
    }
    return client.V1ObjectMeta(
        name=names.object_name(launch.replica_id, launch.generation),
        namespace=options.namespace,
        labels=labels_of(launch),
        annotations=told,
        owner_references=[owner] if owner else None,
    )


def _template(
    launch: ReplicaLaunch, index: int, options: ClusterOptions, products: Mapping[str, str]
) -> client.V1PodTemplateSpec:
    """The pod of the first member, or of every other one."""
    member = launch.members[index]
    several = len(launch.members) > 1
    place = Place(names.object_name(launch.replica_id, launch.generation), leads=index == 0, several=several)
    resources = pod_resources(member.allocation, options.scheduler, products)
    fetch = containers.fetch_container(member, options)
    role = {names.MEMBER: "leader" if index == 0 else "follower"}
    return client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels_of(launch) | role, annotations=resources.annotations or None),
        spec=client.V1PodSpec(
            service_account_name=names.ENGINE_ACCOUNT,
            automount_service_account_token=False,
            enable_service_links=False,
            scheduler_name=resources.scheduler,
            security_context=containers.pod_security(),
            termination_grace_period_seconds=max(1, round(member.launch.stop_grace_seconds)),
            affinity=_affinity(launch, [launch.members[0]] if index == 0 else launch.members[1:]),
            tolerations=_tolerations(resources),
            init_containers=[fetch] if fetch else None,
            containers=[containers.engine_container(member, resources, options, place)],
            volumes=containers.volumes(member, options, place),
        ),
    )


def _affinity(launch: ReplicaLaunch, members: list[ReplicaMember]) -> client.V1Affinity:
    """The nodes that the platform's scheduler chose, and no two members on one of them."""
    # this field takes one value: a term for each node, any of which will do
    terms = [
        client.V1NodeSelectorTerm(
            match_fields=[client.V1NodeSelectorRequirement(key="metadata.name", operator="In", values=[node_id])]
        )
        for node_id in sorted({member.node_id for member in members})
    ]
    node = client.V1NodeAffinity(
        required_during_scheduling_ignored_during_execution=client.V1NodeSelector(node_selector_terms=terms)
    )
    if len(launch.members) == 1:
        return client.V1Affinity(node_affinity=node)
    apart = client.V1PodAffinityTerm(
        topology_key="kubernetes.io/hostname",
        label_selector=client.V1LabelSelector(match_labels={names.REPLICA: labels_of(launch)[names.REPLICA]}),
    )
    return client.V1Affinity(
        node_affinity=node,
        pod_anti_affinity=client.V1PodAntiAffinity(required_during_scheduling_ignored_during_execution=[apart]),
    )


def _tolerations(resources: PodResources) -> list[client.V1Toleration] | None:
    """Nodes with cards are commonly kept for pods that ask for them, by a taint named like the resource."""
    extended = sorted(name for name in resources.limits if "/" in name)
    return [client.V1Toleration(key=name, operator="Exists", effect="NoSchedule") for name in extended] or None


def _check_followers(launch: ReplicaLaunch) -> None:
    first, *others = launch.members[1:]
    for member in others:
        same = member.launch == first.launch and _size(member.allocation) == _size(first.allocation)
        if not same:
            raise InvalidError(
                "The followers of a replica over several nodes must be alike: a LeaderWorkerSet has one template for "
                "them.",
                hint="Publish on equal cards of equal nodes.",
            )


def _size(allocation: Allocation) -> tuple[object, ...]:
    cards = [(item.vendor, item.compute_percent, item.memory_bytes, item.mechanism) for item in allocation.devices]
    return cards, allocation.cpu_cores, allocation.memory_bytes


def explain_limits(allocation: Allocation) -> list[str]:
    """What holds a member to its size, in words."""
    found = [f"limits of the container: {allocation.cpu_cores:g} cores, {allocation.memory_bytes >> 20} MiB"]
    for share in allocation.devices:
        if share.vendor != CPU and share.mechanism:
            found.append(f"{share.mechanism}: {share.compute_percent} % and {share.memory_bytes >> 20} MiB of a card")
    return found


def _ingress(
    callers: list[client.V1NetworkPolicyPeer], ports: list[client.V1NetworkPolicyPort] | None
) -> client.V1NetworkPolicyIngressRule:
    rule = client.V1NetworkPolicyIngressRule.from_dict(
        {"from": [plain(caller) for caller in callers], "ports": [plain(port) for port in ports] if ports else None}
    )
    assert rule is not None
    return rule
