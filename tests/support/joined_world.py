"""A platform and one machine that joins it, and a caller that never stops asking."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import httpx
from tests.support.joined_node import JoinedNode, LinkedMachine
from tests.support.platform import ENVIRONMENTS, Platform, eventually

from aicp.core.launch import ReplicaState
from aicp.core.node import NodeState
from aicp.core.replica import Replica
from aicp.core.service import Mode, ServiceCreate, ServiceSpec


class World:
    """A platform that takes machines, one that can join, and a key."""

    def __init__(self, platform: Platform, machine: LinkedMachine, folder: Path) -> None:
        self.platform, self.machine = platform, machine
        self.node = JoinedNode(folder / "n", str(ENVIRONMENTS), machine)
        self.door = platform.env["AICP_CLUSTER_ADDRESS"].replace("0.0.0.0", machine.gateway)

    def token(self, *options: str) -> str:
        """A fresh token."""
        return str(json.loads(self.platform.cli("node", "token", *options, "--json").stdout)["token"])

    def join(self, *options: str) -> None:
        """The machine joins with a fresh token, and has said what it has."""
        self.node.cli("node", "join", self.door, "--token", self.token(*options), "--detach")
        eventually("the node is ready", lambda: self.state() == NodeState.READY and self.reported(), seconds=30)

    def state(self) -> NodeState | None:
        """Of the machine that joins; None while the platform knows no such node."""
        nodes = {node.id: node for node in self.platform.client.nodes.list()}
        return nodes[self.node.node_id].state if self.node.node_id in nodes else None

    def reported(self) -> bool:
        """Whether the platform knows what the machine has."""
        return self.platform.client.nodes.get(self.node.node_id).status is not None

    def publish(self, name: str, replicas: int = 2) -> str:
        """A service over both nodes; the secret of a key for it."""
        spec = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM, replicas=replicas, drain_seconds=1)
        made = self.platform.client.services.create(ServiceCreate(name=name, spec=spec, create_key=True))
        assert made.key is not None
        eventually("all replicas serve", lambda: len(self.ready(name)) == replicas, seconds=90)
        return made.key

    def ready(self, name: str) -> list[Replica]:
        """Replicas of a service that serve."""
        return [one for one in self.platform.client.services.replicas(name) if one.state == ReplicaState.READY]

    def here(self, name: str) -> list[Replica]:
        """Ready replicas on the machine that joined."""
        own = self.node.node_id
        return [one for one in self.ready(name) if one.allocation is not None and one.allocation.node_id == own]


class Calls:
    """Asks all the time, and keeps what was no success."""

    def __init__(self, platform: Platform, secret: str, model: str) -> None:
        self.answered, self.failed = 0, list[str]()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(platform, secret, model))

    def __enter__(self) -> Calls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self, platform: Platform, secret: str, model: str) -> None:
        while not self._ends.is_set():
            try:
                answer = platform.chat(secret, model, "hello", max_tokens=4)
                self.answered += 1
                if answer.status_code != httpx.codes.OK:
                    self.failed.append(answer.text)
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            self._ends.wait(0.05)
