"""Everything this runner asks of the API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import client

from aicp.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from aicp.runners.kubernetes import names
from aicp.runners.kubernetes.calls import ApiException, already_exists, ask, explain, is_absent
from aicp.runners.kubernetes.objects import LWS_GROUP, LWS_PLURAL, LWS_VERSION, plain
from aicp.runners.kubernetes.states import Workload
from aicp.runners.kubernetes.watching import Mirror

_LWS = (LWS_GROUP, LWS_VERSION)
_BLOCK = 1 << 16


class Cluster:
    """One namespace of one cluster, its nodes, and mirrors of what concerns this runner."""

    def __init__(self, api: client.ApiClient, namespace: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._namespace = namespace
        self._apps = client.AppsV1Api(api)
        self._core = client.CoreV1Api(api)
        self._networking = client.NetworkingV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        mine = {"label_selector": names.SELECTOR}
        groups = (*_LWS, namespace, LWS_PLURAL)
        lists = self._custom.list_namespaced_custom_object
        deployments, pods = self._apps.list_namespaced_deployment, self._core.list_namespaced_pod
        self._deployments = Mirror("Deployments", deployments, mine, (namespace,), plain, changed=changed)
        self._groups = Mirror("LeaderWorkerSets", lists, mine, groups, plain, changed=changed, optional=True)
        self._pods = Mirror("Pods", pods, mine, (namespace,), plain, changed=changed)
        self._nodes = Mirror("Nodes", self._core.list_node, {}, (), plain)

    async def nodes(self) -> list[client.V1Node]:
        """Every node of the cluster."""
        return [_model(client.V1Node, item) for item in await self._nodes.objects()]

    async def pods(self) -> list[client.V1Pod]:
        """The pods of engines, also those that end."""
        return [_model(client.V1Pod, item) for item in await self._pods.objects()]

    async def workloads(self) -> list[dict[str, Any]]:
        """Deployments and LeaderWorkerSets of this runner, as JSON."""
        alone = [{"kind": "Deployment", **item} for item in await self._deployments.objects()]
        groups = [{"kind": "LeaderWorkerSet", **item} for item in await self._groups.objects()]
        return alone + groups

    async def create_workload(
        self, wanted: client.V1Deployment | dict[str, Any], what: str
    ) -> tuple[dict[str, Any], bool]:
        """Makes it, or finds it made; the second value says whether it is new.

        Raises ConflictError while one of the same name is being removed.
        """
        group = isinstance(wanted, dict)
        name = wanted["metadata"]["name"] if isinstance(wanted, dict) else names.head(wanted).name
        new = True
        try:
            found = await self._created(wanted)
        except ApiException as error:
            if group and is_absent(error):
                raise _no_groups(what) from error
            if not already_exists(error):
                raise explain(error, what) from error
            new, found = False, await self._present(name or "", group, what)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"The API server cannot be reached to {what}: {error}.") from error
        kind = "LeaderWorkerSet" if group else "Deployment"
        made = {"apiVersion": f"{LWS_GROUP}/{LWS_VERSION}" if group else "apps/v1", "kind": kind, **plain(found)}
        if made["metadata"].get("deletionTimestamp"):
            raise _still_there(name)
        (self._groups if group else self._deployments).put(made)
        return made, new

    async def delete_workload(self, made: Mapping[str, Any], grace_seconds: float | None) -> None:
        """Removes it and what it owns; gone is success."""
        await self._delete(made["kind"], made["metadata"]["name"], made["metadata"]["uid"], grace_seconds)

    async def remove(self, workload: Workload, grace_seconds: float | None) -> None:
        """Removes a workload and what it owns; pods get `grace_seconds` (None: what they were started with)."""
        await self._delete(workload.kind, workload.name, workload.uid, None)
        if grace_seconds is not None:  # after the workload, which would replace them
            await self._end_pods(workload, grace_seconds)

    async def create_owned(
        self, wanted: client.V1Secret | client.V1ConfigMap | client.V1NetworkPolicy, what: str, *, new: bool
    ) -> None:
        """Makes what belongs to a workload, unless it is there.

        Raises ConflictError where it is there and the workload is `new`: then it belongs to a former one.
        """
        creating: Awaitable[Any]
        match wanted:
            case client.V1Secret():
                creating = self._core.create_namespaced_secret(self._namespace, wanted)
            case client.V1ConfigMap():
                creating = self._core.create_namespaced_config_map(self._namespace, wanted)
            case _:
                creating = self._networking.create_namespaced_network_policy(self._namespace, wanted)
        try:
            await ask(creating, what)
        except ConflictError as error:
            if not already_exists(error.__cause__):
                raise
            if new:
                raise _still_there(wanted.metadata.name if wanted.metadata else None) from error

    async def log(self, pod: client.V1Pod, *, tail: int, follow: bool) -> AsyncIterator[str]:
        """Text of the engine's log, then with `follow` what comes. Raises NotFoundError for a pod that is gone."""
        name = names.head(pod).name or ""
        reading = self._core.read_namespaced_pod_log_without_preload_content(
            name, self._namespace, container="engine", tail_lines=tail, follow=follow or None
        )
        answer: Any = await ask(reading, f"read the log of {name}")
        try:
            if answer.status == 404:
                raise NotFoundError(f"The cluster has no log of the pod {name}.")
            if answer.status >= 400:
                text = (await answer.text()).strip()
                raise UnavailableError(f"The cluster does not give the log of the pod {name}: {text}")
            async for block in answer.content.iter_chunked(_BLOCK):
                yield block.decode("utf-8", "replace")
        finally:
            answer.close()

    async def close(self) -> None:
        """Ends the watches and gives connections back."""
        mirrors = (self._deployments, self._groups, self._pods, self._nodes)
        await asyncio.gather(*(mirror.close() for mirror in mirrors))
        await self._api.close()

    async def _created(self, wanted: client.V1Deployment | dict[str, Any]) -> Any:
        async with asyncio.timeout(20.0):
            if isinstance(wanted, dict):
                return await self._custom.create_namespaced_custom_object(*_LWS, self._namespace, LWS_PLURAL, wanted)
            return await self._apps.create_namespaced_deployment(self._namespace, wanted)

    async def _present(self, name: str, group: bool, what: str) -> Any:
        if group:
            reading = self._custom.get_namespaced_custom_object(*_LWS, self._namespace, LWS_PLURAL, name)
        else:
            reading = self._apps.read_namespaced_deployment(name, self._namespace)
        return await ask(reading, what)

    async def _delete(self, kind: str, name: str, uid: str, grace_seconds: float | None) -> None:
        # by its uid: a later one of the same name is not meant
        body = client.V1DeleteOptions(
            propagation_policy="Foreground",
            preconditions=client.V1Preconditions(uid=uid),
            grace_period_seconds=None if grace_seconds is None else max(0, round(grace_seconds)),
        )
        if kind == "LeaderWorkerSet":
            deleting = self._custom.delete_namespaced_custom_object(*_LWS, self._namespace, LWS_PLURAL, name, body=body)
        else:
            deleting = self._apps.delete_namespaced_deployment(name, self._namespace, body=body)
        await _unless_gone(deleting, f"stop {name}")

    async def _end_pods(self, workload: Workload, grace_seconds: float) -> None:
        """The grace of a deletion goes to the object alone, so each pod is told of its own."""
        label = names.label_value(workload.replica_id)
        for pod in await self.pods():
            mine = names.label(pod, names.REPLICA), names.label(pod, names.GENERATION)
            if mine != (label, str(workload.generation)):
                continue
            seconds = pod.spec.termination_grace_period_seconds if pod.spec else None
            if seconds == round(grace_seconds):
                continue
            body = client.V1DeleteOptions(grace_period_seconds=max(0, round(grace_seconds)))
            name = names.head(pod).name or ""
            deleting = self._core.delete_namespaced_pod(name, self._namespace, body=body)
            await _unless_gone(deleting, f"stop {name}")


async def _unless_gone(call: Awaitable[Any], what: str) -> None:
    try:
        await ask(call, what)
    except (NotFoundError, ConflictError) as error:
        # 404: gone; 409: another object of that name stands there, and the one that was meant is gone
        if not isinstance(error.__cause__, ApiException):
            raise


def _still_there(name: str | None) -> ConflictError:
    return ConflictError(f"The former objects of {name} are still being removed.", hint="It is tried again.")


def _no_groups(what: str) -> InvalidError:
    return InvalidError(
        f"The cluster knows no LeaderWorkerSet, which is needed to {what} on several nodes.",
        hint="Install it in the cluster (kubernetes-sigs/lws), or publish on the cards of one node.",
    )


def _model(kind: Any, found: Mapping[str, Any]) -> Any:
    model = kind.from_dict(dict(found))
    assert model is not None
    return model
