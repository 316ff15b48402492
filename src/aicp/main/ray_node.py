"""A machine that joined a platform whose runner is `ray`: keeps Ray's node running, and an agent whatever happens.

Ray's keeper starts the agent. Where Ray ended, or starts none for a while - its head is away, or this machine cut off -
one is started here: it adopts the engines and ends them when its lease runs out. The keeper takes over from it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from aicp.core.ray_member import AGENT_RECORD, AGENT_VARIABLE, RayMember
from aicp.core.registry import Registry
from aicp.main.preflight import prepare_data_dir
from aicp.main.ray_membership import read_membership, watch_membership
from aicp.main.ray_start import end_leftovers, node_command, ray_variables
from aicp.main.settings import Settings, environment
from aicp.telemetry.processes import ProcessIdentity, read_identity

STAND_IN_SECONDS = 20.0
LOOK_SECONDS = 1.0
_STEADY_SECONDS, _PAUSE_SECONDS = 10.0, 5.0
_AGENT_SECONDS, _RAY_SECONDS = 90.0, 20.0


def main(settings: Settings) -> int:
    """Until SIGTERM, which stops the engines too."""
    Registry[Any]("aicp.runners").get("ray").check({})  # whether Ray is installed
    prepare_data_dir(settings.data_dir)
    member, node_id, reconnect_seconds = read_membership(settings.data_dir / "run" / "ray")
    command = [sys.executable, "-m", "aicp.main.server", "agent", "--data-dir", str(settings.data_dir)]
    variables = environment() | settings.as_environment()
    end_leftovers(member)
    more = member.environment(reconnect_seconds) | {AGENT_VARIABLE: json.dumps(command)}
    ray = partial(subprocess.Popen[bytes], node_command(member, node_id), env=ray_variables(variables) | more)
    renewed = threading.Event()
    watch = threading.Thread(
        target=watch_membership, args=(settings.data_dir, member, node_id, renewed), name="papers", daemon=True
    )
    watch.start()
    return RayNode(ray, member, command, variables, renewed).run()


class RayNode:
    """Ray's node process and the agent of one machine. `renewed` is set when there are new papers for Ray."""

    def __init__(
        self,
        start_ray: Callable[[], subprocess.Popen[bytes]],
        member: RayMember,
        command: list[str],
        variables: dict[str, str],
        renewed: threading.Event,
    ) -> None:
        self._start_ray = start_ray
        self._ray = start_ray()
        self._began = time.monotonic()
        self._member = member
        self._command = command
        self._variables = variables
        self._renewed = renewed
        self._stop = threading.Event()
        self._stand_in: subprocess.Popen[bytes] | None = None
        self._alone = 0.0
        """Seconds without an agent."""

    def run(self) -> int:
        """See main."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        while not self._stop.wait(LOOK_SECONDS):
            self.look()
        self._end()
        return 0

    def look(self) -> None:
        """Once in `LOOK_SECONDS`: whether Ray runs, by the papers that there are, and an agent."""
        if self._renewed.is_set() or self._ray.poll() is not None:
            self._renewed.clear()
            self._start_anew()
        if self._stand_in is not None:
            self._stand_in.poll()
        self._alone = 0.0 if self._agent() else self._alone + LOOK_SECONDS
        if self._alone >= STAND_IN_SECONDS:
            self._stand_in, self._alone = self._start_stand_in(), 0.0

    def _start_anew(self) -> None:
        """Ray again. Its agent ended with it, and another one takes care of the engines until Ray starts one."""
        steady = time.monotonic() - self._began > _STEADY_SECONDS
        end_leftovers(self._member)
        self._ray.wait()
        if self._stand_in is None or self._stand_in.poll() is not None:
            self._stand_in = self._start_stand_in()
        if not steady:
            self._stop.wait(_PAUSE_SECONDS)
        self._ray, self._began = self._start_ray(), time.monotonic()

    def _agent(self) -> ProcessIdentity | None:
        try:
            identity = read_identity(json.loads((self._member.directory / AGENT_RECORD).read_text()))
        except (OSError, ValueError):
            return None
        return identity if identity is not None and identity.alive() else None

    def _start_stand_in(self) -> subprocess.Popen[bytes]:
        record = str(self._member.directory / AGENT_RECORD)
        wrapper = [sys.executable, "-m", "aicp.runners.ray.bound", str(os.getpid()), record, *self._command]
        return subprocess.Popen(wrapper, env=self._variables)

    def _end(self) -> None:
        """The agent first, which stops its engines; then Ray."""
        agent = self._agent()
        if agent is not None:
            with suppress(ProcessLookupError):
                os.kill(agent.pid, signal.SIGTERM)
            waits = threading.Event()
            for _ in range(int(_AGENT_SECONDS / 0.1)):
                if not agent.alive():
                    break
                waits.wait(0.1)
        self._ray.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._ray.wait(_RAY_SECONDS)
        end_leftovers(self._member)
