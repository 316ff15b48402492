"""The rest of a cluster for tests: nodes, controllers that make pods, and pods to which a test does what it likes."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

from tests.support.kubernetes_api import Json, KubernetesApi

NAMESPACE = "aicp"
AT = "2026-01-05T12:00:00Z"
HAMI_CARDS = json.dumps(
    [
        {
            "id": "GPU-1",
            "count": 10,
            "devmem": 24564,
            "devcore": 100,
            "type": "NVIDIA-GeForce RTX 4090 D",
            "health": True,
        },
        {
            "id": "GPU-2",
            "index": 1,
            "count": 10,
            "devmem": 24564,
            "devcore": 100,
            "type": "NVIDIA-L20",
            "health": False,
        },
    ]
)


def make_node(name: str, *, cards: dict[str, str] | None = None, **more: Any) -> Json:
    """A node with 16 cores and 64 GiB; `cards` are further allocatable resources."""
    sizes = {"cpu": "15500m", "memory": "60Gi", "ephemeral-storage": "100Gi", "pods": "110", **(cards or {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, **more.get("labels", {})},
            "annotations": more.get("annotations", {}),
        },
        "spec": {"unschedulable": True} if more.get("cordoned") else {},
        "status": {
            "capacity": {**sizes, "cpu": "16", "memory": "64Gi"},
            "allocatable": sizes,
            "conditions": [{"type": "Ready", "status": "True" if more.get("ready", True) else "Unknown"}],
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "kubeletVersion": "v1.37.0",
                "bootID": "b",
                "containerRuntimeVersion": "containerd://2.1",
                "kernelVersion": "6.12",
                "kubeProxyVersion": "",
                "machineID": "m",
                "osImage": "Debian",
                "systemUUID": "s",
            },
        },
    }


class Controllers:
    """Makes the pods of Deployments and LeaderWorkerSets, as their controllers do."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._numbers = count(1)
        api.reconcile = self.reconcile

    def reconcile(self) -> None:
        """One pass over all workloads."""
        for plural in ("deployments", "leaderworkersets"):
            for workload in self._api.all(plural):
                if "deletionTimestamp" not in workload["metadata"] and not self.pods_of(workload):
                    self._make_pods(workload)

    def pods_of(self, workload: Json) -> list[Json]:
        """Its pods, the leader first."""
        uid = workload["metadata"]["uid"]
        return [pod for pod in self._api.all("pods") if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    def pod(self, workload: Json | None = None) -> str:
        """The name of the only pod."""
        (found,) = self.pods_of(workload or self._api.one("deployments"))
        return found["metadata"]["name"]

    def finish(self) -> None:
        """Every pod that ends has ended, and workloads that only waited for that are gone."""
        for pod in self._api.all("pods"):
            if "deletionTimestamp" in pod["metadata"]:
                self._api.drop("pods", pod["metadata"]["name"])
        for plural in ("deployments", "leaderworkersets"):
            for workload in self._api.all(plural):
                if "deletionTimestamp" in workload["metadata"]:
                    self._api.drop(plural, workload["metadata"]["name"])

    async def keep_moving(self) -> None:
        """Pods come up and end by themselves, until canceled."""
        while True:
            for pod in self._api.all("pods"):
                if pod["status"]["phase"] == "Pending" and "deletionTimestamp" not in pod["metadata"]:
                    self.run(pod["metadata"]["name"], ready=True)
            self.finish()
            await asyncio.sleep(0.02)

    def say(self, name: str, **status: Any) -> None:
        """The status of a pod from now on."""

        def change(pod: Json) -> None:
            pod["status"] = {"phase": "Pending", **status}
            if "podIP" in status:
                pod["spec"]["nodeName"] = status.pop("nodeName", "node-a")

        self._api.update("pods", name, change)

    def run(self, name: str, *, ready: bool, started: bool = True, restarts: int = 0, **more: Any) -> None:
        """The engine of a pod runs."""
        self.say(
            name,
            phase="Running",
            podIP=more.get("ip", "10.0.0.7"),
            conditions=[{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": AT}],
            containerStatuses=[
                engine({"running": {"startedAt": AT}}, ready=ready, started=started, restarts=restarts, **more)
            ],
        )

    def wait(self, name: str, reason: str, message: str | None = None, **more: Any) -> None:
        """The engine of a pod waits for something."""
        waiting = {"reason": reason, **({"message": message} if message else {})}
        self.say(name, containerStatuses=[engine({"waiting": waiting}, **more)])

    def _make_pods(self, workload: Json) -> None:
        spec = workload["spec"]
        if workload["kind"] == "Deployment":
            templates = [spec["template"]] * spec["replicas"]
        else:
            group = spec["leaderWorkerTemplate"]
            templates = [group["leaderTemplate"], *[group["workerTemplate"]] * (group["size"] - 1)]
        for template in templates:
            self._api.add("pods", self._pod(workload, template))

    def _pod(self, workload: Json, template: Json) -> Json:
        metadata = workload["metadata"]
        owner = {
            "apiVersion": workload["apiVersion"],
            "kind": workload["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template["metadata"],
                "name": f"{metadata['name']}-{next(self._numbers)}",
                "namespace": metadata["namespace"],
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }


def engine(state: Json, *, ready: bool = False, started: bool = False, restarts: int = 0, **more: Any) -> Json:
    """The status of an engine's container."""
    return {
        "name": more.get("name", "engine"),
        "image": "i",
        "imageID": "",
        "ready": ready,
        "started": started,
        "restartCount": restarts,
        "state": state,
        **({"lastState": more["last"]} if "last" in more else {}),
    }


def ended(code: int, reason: str = "Error") -> Json:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": AT, "finishedAt": AT}}
