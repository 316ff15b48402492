"""A machine that joined a platform whose runner is `ray`: keeps Ray's node running, and an agent whatever happens.

Ray's keeper starts the agent. Where there is none for a while - Ray is away, or this machine cut off - one is started
here: it adopts the engines and ends them when its lease runs out. The keeper takes over from it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from aicp.core.errors import InvalidError
from aicp.core.ray_member import AGENT_RECORD, AGENT_VARIABLE, RayMember
from aicp.core.registry import Registry
from aicp.main.preflight import prepare_data_dir
from aicp.main.ray_start import end_leftovers, node_command, ray_variables
from aicp.main.settings import Settings, environment
from aicp.telemetry.processes import ProcessIdentity, read_identity

MEMBERSHIP = "membership.json"
"""What the answer to a join said of Ray: head, own address, node id, seconds of patience."""
STAND_IN_SECONDS = 20.0
_LOOK_SECONDS = 1.0
_AGENT_SECONDS, _RAY_SECONDS = 90.0, 20.0


def main(settings: Settings) -> int:
    """Until SIGTERM, which stops the engines too; 1 when Ray ended, so that the supervisor starts this anew."""
    Registry[Any]("aicp.runners").get("ray").check({})  # whether Ray is installed
    prepare_data_dir(settings.data_dir)
    directory = settings.data_dir / "run" / "ray"
    member, node_id, reconnect_seconds = read_membership(directory)
    command = [sys.executable, "-m", "aicp.main.server", "agent", "--data-dir", str(settings.data_dir)]
    variables = environment() | settings.as_environment()
    end_leftovers(member)
    more = member.environment(reconnect_seconds) | {AGENT_VARIABLE: json.dumps(command)}
    ray = subprocess.Popen(node_command(member, node_id), env=ray_variables(variables) | more)
    return RayNode(ray, member, command, variables).run()


class RayNode:
    """Ray's node process and the agent of one machine."""

    def __init__(
        self, ray: subprocess.Popen[bytes], member: RayMember, command: list[str], variables: dict[str, str]
    ) -> None:
        self._ray = ray
        self._member = member
        self._command = command
        self._variables = variables
        self._stop = threading.Event()
        self._stand_in: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """See main."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        alone = 0.0
        while not self._stop.wait(_LOOK_SECONDS):
            if self._ray.poll() is not None:
                end_leftovers(self._member)
                return 1
            if self._stand_in is not None:
                self._stand_in.poll()
            alone = 0.0 if self._agent() else alone + _LOOK_SECONDS
            if alone >= STAND_IN_SECONDS:
                self._stand_in = self._start_stand_in()
                alone = 0.0
        self._end()
        return 0

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


def read_membership(directory: Path) -> tuple[RayMember, str, int]:
    """The membership, the node's id, and the seconds of patience. Raises InvalidError when it is not whole."""
    path = directory / MEMBERSHIP
    try:
        said = json.loads(path.read_text())
        member = RayMember(directory, str(said["head"]), str(said["address"]))
        return member, str(said["node_id"]), int(said["reconnect_seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(
            f"{path} does not say where Ray's head is ({error}).", hint="Join the platform again: aicp node join."
        ) from error


def write_membership(member: RayMember, node_id: str, reconnect_seconds: int) -> None:
    """The way to `read_membership`."""
    said = {"head": member.head, "address": member.address, "node_id": node_id, "reconnect_seconds": reconnect_seconds}
    member.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (member.directory / MEMBERSHIP).write_text(json.dumps(said))
