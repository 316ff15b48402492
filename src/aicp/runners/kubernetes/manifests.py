"""Manifests of the platform itself: control plane and gateway as pods, with no more rights than they use."""

from __future__ import annotations

from typing import Any

import yaml
from kubernetes.aio import client

from aicp.core.errors import InvalidError
from aicp.runners.base import PlatformManifests
from aicp.runners.kubernetes import names
from aicp.runners.kubernetes.objects import LWS_GROUP, LWS_PLURAL, plain
from aicp.runners.kubernetes.options import ClusterOptions, read_options

CONTROL, GATEWAY = "control", "gateway"
CONTROL_PORT, GATEWAY_PORT = 8600, 8601
_DATA = "/var/lib/aicp"
_TOKEN, _TLS = "/etc/aicp-token", "/etc/aicp-tls"
_USER = 10001


def render(wanted: PlatformManifests) -> str:
    """All documents, in the order in which they are applied; the same text for the same wish."""
    options = _checked(wanted)
    documents = [plain(item) for item in _documents(wanted, options)]
    return yaml.safe_dump_all(documents, sort_keys=True, default_flow_style=False, width=120, explicit_start=True)


def role_rules() -> list[client.V1PolicyRule]:
    """The verbs that the runner uses in its namespace, and no other."""
    workload = ["create", "get", "list", "watch", "delete"]
    return [
        client.V1PolicyRule(api_groups=["apps"], resources=["deployments"], verbs=workload),
        client.V1PolicyRule(api_groups=[LWS_GROUP], resources=[LWS_PLURAL], verbs=workload),
        # OwnerReferencesPermissionEnforcement asks for it: an owned object that holds up the end of its owner
        client.V1PolicyRule(api_groups=["apps"], resources=["deployments/finalizers"], verbs=["update"]),
        client.V1PolicyRule(api_groups=[LWS_GROUP], resources=[f"{LWS_PLURAL}/finalizers"], verbs=["update"]),
        client.V1PolicyRule(api_groups=[""], resources=["pods"], verbs=["list", "watch", "delete"]),
        client.V1PolicyRule(api_groups=[""], resources=["pods/log"], verbs=["get"]),
        client.V1PolicyRule(api_groups=[""], resources=["secrets", "configmaps"], verbs=["create"]),
        client.V1PolicyRule(api_groups=["networking.k8s.io"], resources=["networkpolicies"], verbs=["create"]),
    ]


def _checked(wanted: PlatformManifests) -> ClusterOptions:
    if not wanted.image.strip() or any(part.isspace() for part in wanted.image):
        raise InvalidError(
            f"{wanted.image!r} is no container image.", hint="Name one: --image registry.example.org/aicp:1.0"
        )
    return read_options(
        {
            "namespace": wanted.namespace,
            "scheduler": wanted.scheduler,
            "models": wanted.models,
            "images": wanted.images,
            "token_secret": wanted.token_secret,
        }
    )


def _documents(wanted: PlatformManifests, options: ClusterOptions) -> list[Any]:
    found: list[Any] = [_account(wanted, f"aicp-{name}") for name in (CONTROL, GATEWAY)]
    found += [_account(wanted, names.ENGINE_ACCOUNT), *_rights(wanted)]
    found.append(_claim(wanted, "aicp-data", "ReadWriteOnce", wanted.data_size))
    if options.models_claim is not None:
        found.append(_claim(wanted, options.models_claim, "ReadWriteMany", wanted.models_size))
    found += [
        _deployment(wanted, CONTROL, _control_variables(wanted)),
        _deployment(wanted, GATEWAY, _gateway_variables(wanted)),
        _service(wanted, CONTROL, CONTROL_PORT),
        _service(wanted, GATEWAY, GATEWAY_PORT),
        *_policies(wanted),
    ]
    return found


def _metadata(wanted: PlatformManifests, name: str, component: str | None = None) -> client.V1ObjectMeta:
    labels = dict(names.PART_OF)
    if component is not None:
        labels[names.COMPONENT] = component
    return client.V1ObjectMeta(name=name, namespace=wanted.namespace, labels=labels)


def _account(wanted: PlatformManifests, name: str) -> client.V1ServiceAccount:
    return client.V1ServiceAccount(
        api_version="v1",
        kind="ServiceAccount",
        metadata=_metadata(wanted, name),
        automount_service_account_token=False,
    )


def _rights(wanted: PlatformManifests) -> list[Any]:
    """In the namespace a Role; nodes belong to no namespace, so reading them takes a ClusterRole."""
    group = "rbac.authorization.k8s.io"
    control = client.RbacV1Subject(kind="ServiceAccount", name=f"aicp-{CONTROL}", namespace=wanted.namespace)
    cluster_name = f"aicp-nodes-{wanted.namespace}"
    nodes = client.V1PolicyRule(api_groups=[""], resources=["nodes"], verbs=["list", "watch"])
    return [
        client.V1Role(
            api_version=f"{group}/v1", kind="Role", metadata=_metadata(wanted, "aicp-runner"), rules=role_rules()
        ),
        client.V1RoleBinding(
            api_version=f"{group}/v1",
            kind="RoleBinding",
            metadata=_metadata(wanted, "aicp-runner"),
            role_ref=client.V1RoleRef(api_group=group, kind="Role", name="aicp-runner"),
            subjects=[control],
        ),
        client.V1ClusterRole(
            api_version=f"{group}/v1",
            kind="ClusterRole",
            metadata=client.V1ObjectMeta(name=cluster_name, labels=dict(names.PART_OF)),
            rules=[nodes],
        ),
        client.V1ClusterRoleBinding(
            api_version=f"{group}/v1",
            kind="ClusterRoleBinding",
            metadata=client.V1ObjectMeta(name=cluster_name, labels=dict(names.PART_OF)),
            role_ref=client.V1RoleRef(api_group=group, kind="ClusterRole", name=cluster_name),
            subjects=[control],
        ),
    ]


def _claim(wanted: PlatformManifests, name: str, mode: str, size: str) -> client.V1PersistentVolumeClaim:
    return client.V1PersistentVolumeClaim(
        api_version="v1",
        kind="PersistentVolumeClaim",
        metadata=_metadata(wanted, name),
        spec=client.V1PersistentVolumeClaimSpec(
            access_modes=[mode],
            storage_class_name=wanted.storage_class,
            resources=client.V1VolumeResourceRequirements(requests={"storage": size}),
        ),
    )


def _common_variables(wanted: PlatformManifests) -> dict[str, str]:
    found = {"AICP_DATA_DIR": _DATA, "AICP_PORT": str(CONTROL_PORT), "AICP_GATEWAY_PORT": str(GATEWAY_PORT)}
    if wanted.tls_secret is None:
        return {**found, "AICP_INSECURE": "true"}
    return {**found, "AICP_TLS_CERTIFICATE": f"{_TLS}/tls.crt", "AICP_TLS_KEY": f"{_TLS}/tls.key"}


def _control_variables(wanted: PlatformManifests) -> dict[str, str]:
    scheme = "https" if wanted.tls_secret else "http"
    return {
        **_common_variables(wanted),
        "AICP_HOST": "0.0.0.0",
        "AICP_GATEWAY_HOST": _host(wanted, GATEWAY),
        "AICP_RUNNER": "kubernetes",
        "AICP_KUBERNETES_NAMESPACE": wanted.namespace,
        "AICP_KUBERNETES_SCHEDULER": wanted.scheduler,
        "AICP_KUBERNETES_IMAGE": wanted.image,
        "AICP_KUBERNETES_IMAGES": ",".join(wanted.images),
        "AICP_KUBERNETES_MODELS": wanted.models,
        "AICP_KUBERNETES_CONTROL_URL": f"{scheme}://{_host(wanted, CONTROL)}:{CONTROL_PORT}",
        "AICP_KUBERNETES_TOKEN_SECRET": wanted.token_secret,
    }


def _gateway_variables(wanted: PlatformManifests) -> dict[str, str]:
    # its own address follows `host` elsewhere; here that is where the control plane answers
    return {**_common_variables(wanted), "AICP_HOST": _host(wanted, CONTROL), "AICP_GATEWAY_HOST": "0.0.0.0"}


def _host(wanted: PlatformManifests, component: str) -> str:
    return f"aicp-{component}.{wanted.namespace}.svc"


def _deployment(wanted: PlatformManifests, component: str, variables: dict[str, str]) -> client.V1Deployment:
    labels = {**names.PART_OF, names.COMPONENT: component}
    return client.V1Deployment(
        api_version="apps/v1",
        kind="Deployment",
        metadata=_metadata(wanted, f"aicp-{component}", component),
        spec=client.V1DeploymentSpec(
            replicas=1,
            # two control planes on one data directory would fight; a gateway is replaced without a gap
            strategy=client.V1DeploymentStrategy(type="Recreate" if component == CONTROL else "RollingUpdate"),
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=_pod(wanted, component, variables)
            ),
        ),
    )


def _pod(wanted: PlatformManifests, component: str, variables: dict[str, str]) -> client.V1PodSpec:
    port = CONTROL_PORT if component == CONTROL else GATEWAY_PORT
    data = client.V1VolumeMount(name="data", mount_path=_DATA)
    token = client.V1VolumeMount(name="token", mount_path=_TOKEN, read_only=True)
    tls = [client.V1VolumeMount(name="tls", mount_path=_TLS, read_only=True)] if wanted.tls_secret else []
    # the token becomes the file that every process of the platform reads, closed to others
    copy = f"umask 077 && mkdir -p {_DATA}/run && cp {_TOKEN}/token {_DATA}/run/internal.token"
    alive = client.V1TCPSocketAction(port=port)
    small = {"cpu": "100m", "memory": "128Mi"}
    return client.V1PodSpec(
        service_account_name=f"aicp-{component}",
        automount_service_account_token=component == CONTROL,
        enable_service_links=False,
        termination_grace_period_seconds=30,
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=_USER,
            run_as_group=_USER,
            fs_group=_USER,
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
        init_containers=[
            client.V1Container(
                name="token",
                image=wanted.image,
                command=["sh", "-c", copy],
                resources=client.V1ResourceRequirements(requests=small, limits=small),
                security_context=_confined(),
                volume_mounts=[data, token],
            )
        ],
        containers=[
            client.V1Container(
                name=component,
                image=wanted.image,
                command=["aicp-server", component],
                env=[client.V1EnvVar(name=name, value=value) for name, value in sorted(variables.items())],
                ports=[client.V1ContainerPort(name="http", container_port=port)],
                readiness_probe=client.V1Probe(tcp_socket=alive, period_seconds=2),
                liveness_probe=client.V1Probe(tcp_socket=alive, period_seconds=10, failure_threshold=6),
                resources=client.V1ResourceRequirements(
                    requests={"cpu": "500m", "memory": "512Mi"}, limits={"memory": "2Gi"}
                ),
                security_context=_confined(),
                volume_mounts=[data, *tls],
            )
        ],
        volumes=_volumes(wanted, component),
    )


def _confined() -> client.V1SecurityContext:
    return client.V1SecurityContext(
        allow_privilege_escalation=False, run_as_non_root=True, capabilities=client.V1Capabilities(drop=["ALL"])
    )


def _volumes(wanted: PlatformManifests, component: str) -> list[client.V1Volume]:
    if component == CONTROL:
        claim = client.V1PersistentVolumeClaimVolumeSource(claim_name="aicp-data")
        data = client.V1Volume(name="data", persistent_volume_claim=claim)
    else:
        data = client.V1Volume(name="data", empty_dir=client.V1EmptyDirVolumeSource())
    token = client.V1SecretVolumeSource(secret_name=wanted.token_secret, default_mode=0o440)
    found = [data, client.V1Volume(name="token", secret=token)]
    if wanted.tls_secret:
        tls = client.V1SecretVolumeSource(secret_name=wanted.tls_secret, default_mode=0o440)
        found.append(client.V1Volume(name="tls", secret=tls))
    return found


def _service(wanted: PlatformManifests, component: str, port: int) -> client.V1Service:
    return client.V1Service(
        api_version="v1",
        kind="Service",
        metadata=_metadata(wanted, f"aicp-{component}", component),
        spec=client.V1ServiceSpec(
            selector={**names.PART_OF, names.COMPONENT: component},
            ports=[client.V1ServicePort(name="http", port=port, target_port=port)],
        ),
    )


def _policies(wanted: PlatformManifests) -> list[client.V1NetworkPolicy]:
    """Engines are closed to all whom their own policy does not name; the two front doors are open on their port."""
    return [
        _policy(wanted, "aicp-engines", "engine", []),
        _policy(wanted, "aicp-control", CONTROL, [_open(CONTROL_PORT)]),
        _policy(wanted, "aicp-gateway", GATEWAY, [_open(GATEWAY_PORT)]),
    ]


def _policy(
    wanted: PlatformManifests, name: str, component: str, ingress: list[client.V1NetworkPolicyIngressRule]
) -> client.V1NetworkPolicy:
    selector = client.V1LabelSelector(match_labels={**names.PART_OF, names.COMPONENT: component})
    return client.V1NetworkPolicy(
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        metadata=_metadata(wanted, name),
        spec=client.V1NetworkPolicySpec(pod_selector=selector, policy_types=["Ingress"], ingress=ingress),
    )


def _open(port: int) -> client.V1NetworkPolicyIngressRule:
    return client.V1NetworkPolicyIngressRule(ports=[client.V1NetworkPolicyPort(protocol="TCP", port=port)])
