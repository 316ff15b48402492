"""From a launch spec to the containers of a pod: placeholders, variables, probes, what they mount and may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes.aio import client

from aicp.core.errors import InvalidError
from aicp.core.launch import HealthCheck, LaunchSpec, ReplicaMember
from aicp.runners.kubernetes.names import ENGINE_PORT
from aicp.runners.kubernetes.options import ClusterOptions
from aicp.runners.kubernetes.resources import PodResources

MODELS = "/models"
SCRATCH = "/scratch"
TOKEN_KEY = "token"
FILES_KEY = "files.json"
CERTIFICATE_KEY = "control.pem"
ENGINE, FETCH = "engine", "fetch-model"
_SETTINGS = "/etc/aicp"
_TOKEN = "AICP_ENGINE_TOKEN"
_USER = 10001
_PLACEHOLDER = re.compile(
    r"\{(python|model|model_file|listen|port|host|token|home|threads|leader|rank|group_port|address|interface)\}"
)
_POD_ADDRESS = "AICP_POD_ADDRESS"
_GROUP_PORT = 29500
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PROBE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member runs: the object that its Secret and its files are named after, and whether callers reach it."""

    name: str
    leads: bool = True
    several: bool = False


def engine_container(
    member: ReplicaMember, resources: PodResources, options: ClusterOptions, place: Place
) -> client.V1Container:
    """The engine. Raises InvalidError for one without an image, or that nobody could reach."""
    spec = member.launch
    values = _values(member)
    health = _probes(spec.health) if place.leads else _Probes()
    mounts = [client.V1VolumeMount(name="scratch", mount_path=SCRATCH)]
    if spec.model_digest is not None:
        mounts.append(client.V1VolumeMount(name="models", mount_path=MODELS, read_only=True))
    if shares_memory(member):
        mounts.append(client.V1VolumeMount(name="memory", mount_path="/dev/shm"))
    return client.V1Container(
        name=ENGINE,
        image=options.image_of(spec.engine, spec.engine_version, spec.variant),
        command=[fill(part, values) for part in _command(spec)],
        env=_environment(spec, values, place),
        ports=[client.V1ContainerPort(name="http", container_port=ENGINE_PORT)] if place.leads else None,
        resources=client.V1ResourceRequirements(limits=resources.limits, requests=resources.requests),
        security_context=_confined(),
        volume_mounts=mounts,
        startup_probe=health.startup,
        readiness_probe=health.readiness,
        liveness_probe=health.liveness,
    )


def fetch_container(member: ReplicaMember, options: ClusterOptions) -> client.V1Container | None:
    """What brings the model's files before the engine starts, checked and resumable; None without a model."""
    if member.launch.model_digest is None or not member.model_files:
        return None
    if options.image is None or options.control_url is None:
        raise InvalidError(
            "Pods cannot fetch the model: the platform's own image and its address inside of the cluster are not set.",
            hint="Set AICP_KUBERNETES_IMAGE and AICP_KUBERNETES_CONTROL_URL.",
        )
    small = {"cpu": "500m", "memory": "512Mi"}
    certificate = [f"{_SETTINGS}/{CERTIFICATE_KEY}"] if options.control_certificate else []
    return client.V1Container(
        name=FETCH,
        image=options.image,
        command=[
            *("python3", "-m", "aicp.agent.fetch_model", "--digest", member.launch.model_digest),
            *("--files", f"{_SETTINGS}/{FILES_KEY}", "--into", MODELS, "--control", options.control_url),
            *(part for path in certificate for part in ("--certificate", path)),
        ],
        env=[
            client.V1EnvVar(
                name="AICP_INTERNAL_TOKEN",
                value_from=client.V1EnvVarSource(
                    secret_key_ref=client.V1SecretKeySelector(name=options.token_secret, key=TOKEN_KEY)
                ),
            )
        ],
        resources=client.V1ResourceRequirements(limits=small, requests=small),
        security_context=_confined(),
        volume_mounts=[
            client.V1VolumeMount(name="models", mount_path=MODELS),
            client.V1VolumeMount(name="settings", mount_path=_SETTINGS, read_only=True),
        ],
    )


def volumes(member: ReplicaMember, options: ClusterOptions, place: Place) -> list[client.V1Volume]:
    """Everything the containers of a member mount."""
    found = [client.V1Volume(name="scratch", empty_dir=client.V1EmptyDirVolumeSource())]
    if member.launch.model_digest is not None:
        found += [_models(options), _settings(place.name)]
    if shares_memory(member):
        source = client.V1EmptyDirVolumeSource(medium="Memory", size_limit=str(member.allocation.memory_bytes // 2))
        found.append(client.V1Volume(name="memory", empty_dir=source))
    return found


def pod_security() -> client.V1PodSecurityContext:
    """A user without rights, who also owns the volumes."""
    return client.V1PodSecurityContext(
        run_as_non_root=True,
        run_as_user=_USER,
        run_as_group=_USER,
        fs_group=_USER,
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
    )


def shares_memory(member: ReplicaMember) -> bool:
    """Whether its processes talk over shared memory: several cards do, and the default of 64 MiB is too little."""
    return len([share for share in member.allocation.devices if share.vendor != "cpu"]) > 1


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with known placeholders replaced, and with nothing that Kubernetes would take for one of its own."""
    escaped = text.replace("$(", "$$(")
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], escaped)


def _values(member: ReplicaMember) -> dict[str, str]:
    spec = member.launch
    model = f"{MODELS}/{spec.model_digest}" if spec.model_digest else ""
    return {
        "python": "python3",
        "model": model,
        "model_file": f"{model}/{spec.weights_file}" if model and spec.weights_file else "",
        "listen": f"{SCRATCH}/e.sock",
        "host": "0.0.0.0",
        "port": str(ENGINE_PORT),
        "token": f"$({_TOKEN})",
        "home": SCRATCH,
        "threads": str(max(1, int(member.allocation.cpu_cores))),
        "leader": "$(LWS_LEADER_ADDRESS)",
        "rank": "$(LWS_WORKER_INDEX)",
        "group_port": str(_GROUP_PORT),
        "address": f"$({_POD_ADDRESS})",
        "interface": "eth0",
    }


def _command(spec: LaunchSpec) -> list[str]:
    if not spec.network_command:
        raise InvalidError(
            f"The engine {spec.engine} can only be reached from its own machine, so it cannot run in a pod.",
            hint="Publish with another engine, or on the runner `local`.",
        )
    return spec.network_command


def _environment(spec: LaunchSpec, values: Mapping[str, str], place: Place) -> list[client.V1EnvVar]:
    """The token comes from a Secret alone; what needs it refers to that variable, so no spec shows it."""
    reference = client.V1SecretKeySelector(name=place.name, key=TOKEN_KEY)
    secret = client.V1EnvVarSource(secret_key_ref=reference)
    plain = {
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "XDG_CACHE_HOME": f"{SCRATCH}/.cache",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(_THREAD_VARIABLES, values["threads"]),
    }
    plain |= {name: fill(text, values) for name, text in spec.env.items()}
    found = [client.V1EnvVar(name=_TOKEN, value_from=secret)]
    if place.several:
        field = client.V1EnvVarSource(field_ref=client.V1ObjectFieldSelector(field_path="status.podIP"))
        found.append(client.V1EnvVar(name=_POD_ADDRESS, value_from=field))
    return found + [client.V1EnvVar(name=name, value=text) for name, text in sorted(plain.items())]


@dataclass(frozen=True, slots=True)
class _Probes:
    """What a kubelet asks of a container; nothing of one that nobody calls."""

    startup: client.V1Probe | None = None
    readiness: client.V1Probe | None = None
    liveness: client.V1Probe | None = None


def _probes(check: HealthCheck) -> _Probes:
    get = client.V1HTTPGetAction(path=check.path, port=ENGINE_PORT)
    timeout = max(1, round(check.timeout_seconds))
    return _Probes(
        startup=client.V1Probe(
            http_get=get,
            period_seconds=_PROBE_SECONDS,
            timeout_seconds=timeout,
            # the first comes at once, and times are told in whole seconds: what is ended so has had all of its time
            failure_threshold=2 + -(-round(check.start_timeout_seconds) // _PROBE_SECONDS),
        ),
        readiness=client.V1Probe(
            http_get=get, period_seconds=2, timeout_seconds=timeout, failure_threshold=3, success_threshold=1
        ),
        # a busy engine may be slow for long; only one that is silent for two minutes is started anew
        liveness=client.V1Probe(http_get=get, period_seconds=10, timeout_seconds=max(5, timeout), failure_threshold=12),
    )


def _confined() -> client.V1SecurityContext:
    return client.V1SecurityContext(
        allow_privilege_escalation=False,
        privileged=False,
        run_as_non_root=True,
        capabilities=client.V1Capabilities(drop=["ALL"]),
    )


def _models(options: ClusterOptions) -> client.V1Volume:
    if options.models_directory is not None:
        path = client.V1HostPathVolumeSource(path=options.models_directory, type="DirectoryOrCreate")
        return client.V1Volume(name="models", host_path=path)
    claim = client.V1PersistentVolumeClaimVolumeSource(claim_name=options.models_claim or "")
    return client.V1Volume(name="models", persistent_volume_claim=claim)


def _settings(name: str) -> client.V1Volume:
    return client.V1Volume(name="settings", config_map=client.V1ConfigMapVolumeSource(name=name))
