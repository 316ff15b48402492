"""Replicas as Deployments and LeaderWorkerSets of a Kubernetes cluster; needs the package `kubernetes`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from aicp.core.errors import InvalidError
from aicp.runners.base import AgentAddress, PlatformManifests, Runner
from aicp.runners.kubernetes.options import read_options


class KubernetesRunnerDriver:
    """Makes runners over one namespace of one cluster, and the manifests of the platform itself."""

    def check(self, options: Mapping[str, Any]) -> None:
        """See ChecksOptions."""
        read_options(options)
        if importlib.util.find_spec("kubernetes") is None:
            raise InvalidError(
                "The runner `kubernetes` needs the Python package `kubernetes`, which is not installed.",
                hint="Install it beside the platform: pip install --require-hashes -r requirements/kubernetes.txt "
                "(or pip install 'aicp[kubernetes]').",
            )

    def connect(self, agents: Sequence[AgentAddress], options: Mapping[str, Any] | None = None) -> Runner:
        """See RunnerDriver. The token of the first address is what the engines' tokens are made from."""
        self.check(options or {})
        module = importlib.import_module(f"{__name__}.runner")
        return module.KubernetesRunner(read_options(options or {}), key=agents[0].token if agents else "")

    def render(self, wanted: PlatformManifests) -> str:
        """See RendersManifests."""
        self.check({"namespace": wanted.namespace})
        return importlib.import_module(f"{__name__}.manifests").render(wanted)


driver = KubernetesRunnerDriver()
