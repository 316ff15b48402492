"""Runs on each node as Ray's one actor there: keeps the node's agent running, as its child, and does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aicp.core.ray_member import AGENT_RECORD, AGENT_VARIABLE, MARK_VARIABLE, without_ray

_PAUSE_SECONDS = 1.0


class Keeper:
    """The agent is in this process's group, and is told to leave its engines alone when this process ends."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._command: list[str] = json.loads(environment[AGENT_VARIABLE])
        self._record = str(Path(environment[MARK_VARIABLE]) / AGENT_RECORD)
        self._environment = without_ray(environment)
        self._agent: subprocess.Popen[bytes] | None = None
        # one thread for good: the kernel counts the end of the thread that started a process as its parent's end
        threading.Thread(target=self._keep, name="agent", daemon=True).start()

    def state(self) -> dict[str, Any]:
        """Pid of the agent, None between two of them."""
        agent = self._agent
        return {"pid": agent.pid if agent is not None and agent.poll() is None else None}

    def _keep(self) -> None:
        while True:
            wrapper = [sys.executable, "-m", "aicp.runners.ray.bound", str(os.getpid()), self._record, *self._command]
            self._agent = subprocess.Popen(wrapper, env=self._environment, stdin=subprocess.DEVNULL)
            self._agent.wait()
            time.sleep(_PAUSE_SECONDS)
