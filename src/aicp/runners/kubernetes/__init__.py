"""Replicas as Deployments and LeaderWorkerSets of a Kubernetes cluster; needs the package `kubernetes`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aicp.core.errors import InvalidError
from aicp.runners.base import AgentAddress, PlatformManifests, Runner
from aicp.runners.kubernetes.options import read_options

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class KubernetesRunnerDriver:
    """Makes runners over one namespace of one cluster, and the manifests of the platform itself."""

    def check(self, options: Mapping[str, Any]) -> None:
        """See ChecksOptions."""
        config = read_options(options).config
        _check_package()
        if config is not None and not Path(config).is_file():
            raise InvalidError(f"The kubeconfig file {config} does not exist.", hint="Correct AICP_KUBERNETES_CONFIG.")
        if config is None and not _ACCOUNT.is_file():
            raise InvalidError(
                "It is not known which cluster is meant: no kubeconfig file is set, and this is no pod of a cluster.",
                hint="Set AICP_KUBERNETES_CONFIG to a kubeconfig file, or run the platform in the cluster.",
            )

    def connect(self, agents: Sequence[AgentAddress], options: Mapping[str, Any] | None = None) -> Runner:
        """See RunnerDriver. The token of the first address is what the engines' tokens are made from."""
        self.check(options or {})
        module = importlib.import_module(f"{__name__}.runner")
        return module.KubernetesRunner(read_options(options or {}), key=agents[0].token if agents else "")

    def render(self, wanted: PlatformManifests) -> str:
        """See RendersManifests."""
        _check_package()
        return importlib.import_module(f"{__name__}.manifests").render(wanted)


def _check_package() -> None:
    if importlib.util.find_spec("kubernetes") is None:
        raise InvalidError(
            "The runner `kubernetes` needs the Python package `kubernetes`, which is not installed.",
            hint="Install it beside the platform: pip install --require-hashes -r requirements/kubernetes.txt "
            "(or pip install 'aicp[kubernetes]').",
        )


driver = KubernetesRunnerDriver()
