"""Settings about the place where replicas run."""

from __future__ import annotations

from aicp.main import setting_values as read
from aicp.main.setting import Setting

RUNNER_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "runner",
        read.driver("aicp.runners"),
        "local",
        "Where replicas run: `local` (processes under the agents of nodes), `ray` (the same, with Ray starting the "
        "agents of further machines and telling at once which machine died) or `kubernetes` (pods of a cluster).",
    ),
    Setting(
        "ray_address",
        read.plain,
        "127.0.0.1:6379",
        "IP address of this machine that the other ones reach, and the port of Ray's head on it: `10.0.0.1:6379`.",
    ),
    Setting(
        "ray_redis",
        read.plain,
        "",
        "Redis that keeps the state of Ray's head: `rediss://:password@host:6379` with TLS and "
        "`ray_redis_authority`, or `redis://` on this machine's loopback; always with a password. Default: a database "
        "in the data directory.",
    ),
    Setting(
        "ray_redis_authority",
        read.optional_path,
        "",
        "PEM file of the authority that signed the certificate of a `rediss://` address. Ray believes all of its "
        "certificates, whatever name they bear: let it sign for nothing else.",
    ),
    Setting(
        "ray_reconnect_seconds",
        read.patience,
        "300",
        "Seconds for which nodes go on without Ray's head before they give their Ray up; at least 300.",
    ),
    Setting(
        "kubernetes_config",
        read.optional_path,
        "",
        "Kubeconfig file of the cluster. Default: the service account of the pod that the platform runs in.",
    ),
    Setting("kubernetes_namespace", read.plain, "aicp", "Namespace of the cluster in which replicas run."),
    Setting(
        "kubernetes_scheduler",
        read.one_of("none", "hami", "volcano"),
        "none",
        "What cuts cards in the cluster: `hami`, `volcano`, or `none` (whole cards alone).",
    ),
    Setting(
        "kubernetes_images",
        read.names,
        "",
        "Container images of engines, comma-separated: `ENGINE=IMAGE`, `ENGINE:VERSION=IMAGE` or "
        "`ENGINE:VERSION:VARIANT=IMAGE`, the most precise one being taken.",
    ),
    Setting("kubernetes_image", read.optional, "", "Image of the platform itself, with which pods fetch models."),
    Setting(
        "kubernetes_models",
        read.plain,
        "claim:aicp-models",
        "Where model copies lie: `claim:NAME` (a PersistentVolumeClaim that every node can mount) or "
        "`node:/directory` (of each node).",
    ),
    Setting(
        "kubernetes_control_url",
        read.optional,
        "",
        "Address at which pods reach the control plane. Default: that of this process, where it is not loopback.",
    ),
    Setting(
        "kubernetes_token_secret",
        read.plain,
        "aicp-internal",
        "Secret of the namespace whose key `token` holds the platform's internal token.",
    ),
    Setting(
        "kubernetes_gateway_networks",
        read.names,
        "",
        "Networks besides the gateway's pods from which engines may be called, comma-separated: `10.1.0.0/16`.",
    ),
)
