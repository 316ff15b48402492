"""Replicas under agents that Ray places and supervises, one a node; needs the package `ray`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from aicp.core.errors import InvalidError
from aicp.core.registry import Registry
from aicp.runners.base import AgentAddress, Runner, RunnerDriver
from aicp.runners.ray.options import read_options


class RayRunnerDriver:
    """Makes runners that reach agents as the local one does, and hear of dead nodes from Ray."""

    def check(self, options: Mapping[str, Any]) -> None:
        """See ChecksOptions."""
        read_options(options)
        if importlib.util.find_spec("ray") is None:
            raise InvalidError(
                "The runner `ray` needs the Python package `ray`, which is not installed.",
                hint="Install it beside the platform: pip install --require-hashes -r requirements/ray.txt "
                "(or pip install 'aicp[ray]').",
            )

    def connect(self, agents: Sequence[AgentAddress], options: Mapping[str, Any] | None = None) -> Runner:
        """See RunnerDriver. The first agent is this machine's own, which the platform starts itself."""
        agents_alone = Registry[RunnerDriver]("aicp.runners").get("local").connect(agents, options)
        module = importlib.import_module(f"{__name__}.runner")
        return module.RayRunner(agents_alone, read_options(options or {}))


driver = RayRunnerDriver()
