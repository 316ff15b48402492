"""A Kubernetes API server for tests, over real HTTP: it keeps objects, checks them by the published schema, allows what
a Role allows, and lets clients watch. Nothing runs in it; a test says what becomes of its pods.

What it does as the real one does: resource versions and watches from one on, 410 for those too old, 409 for names that
are taken and preconditions that fail, owner references, foreground deletion, grace, and strict field validation.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from tests.support.kubernetes_schema import complaints

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource: its API group with version, plural, kind and model of the client."""

    group: str
    plural: str
    name: str
    model: str
    namespaced: bool = True

    @property
    def api_group(self) -> str:
        """As a Role names it."""
        return self.group.rsplit("/", 1)[0] if "/" in self.group else ""


KINDS = (
    Kind("apps/v1", "deployments", "Deployment", "V1Deployment"),
    Kind("v1", "pods", "Pod", "V1Pod"),
    Kind("v1", "secrets", "Secret", "V1Secret"),
    Kind("v1", "configmaps", "ConfigMap", "V1ConfigMap"),
    Kind("v1", "nodes", "Node", "V1Node", namespaced=False),
    Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "V1NetworkPolicy"),
    Kind("leaderworkerset.x-k8s.io/v1", "leaderworkersets", "LeaderWorkerSet", "LeaderWorkerSet"),
)
_CONTROLLED = ("Deployment", "LeaderWorkerSet")


@dataclass(slots=True)
class _Collection:
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    events: list[tuple[int, Json]] = field(default_factory=list)
    oldest: int = 0
    """Resource version before which nothing can be watched any more."""


class ApiError(Exception):
    """A refusal, as a Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def status(self) -> Json:
        """What a client gets."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


class KubernetesApi:
    """The server. `rules` are those of a Role and a ClusterRole; None allows everything."""

    def __init__(self, *, rules: list[Json] | None = None, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.kinds = {(kind.group, kind.plural): kind for kind in kinds}
        self.rules = rules
        self.url = ""
        self.token = "a-token"
        self.asked: list[tuple[str, str]] = []
        """(verb, resource) of every call that was allowed."""
        self.broken = False
        """Answers 503 to everything while true."""
        self.refusals: dict[str, ApiError] = {}
        """By resource: what the next creation is refused with."""
        self.logs: dict[str, str] = {}
        self.reconcile: Callable[[], None] = lambda: None
        self._collections: defaultdict[str, _Collection] = defaultdict(_Collection)
        self._versions = count(100)
        self._version = 99
        self._ids = count(1)
        self._news = asyncio.Condition()
        self._watches: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def serve(self, folder: Path) -> AsyncIterator[Path]:
        """Serves on a port of its own; the path of a kubeconfig file for it."""
        application = web.Application(client_max_size=4 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        path = folder / "kubeconfig.yaml"
        path.write_text(yaml.safe_dump(self._kubeconfig()))
        try:
            yield path
        finally:
            await self.cut_watches()
            await runner.cleanup()

    def all(self, plural: str) -> list[Json]:
        """Copies of every object of a resource."""
        return [json.loads(json.dumps(item)) for item in self._collections[plural].objects.values()]

    def one(self, plural: str) -> Json:
        """The only object of a resource."""
        (found,) = self.all(plural)
        return found

    def add(self, plural: str, found: Json) -> Json:
        """Makes an object as somebody else in the cluster would, checked like any."""
        kind = next(item for item in self.kinds.values() if item.plural == plural)
        return self._create(kind, found["metadata"].get("namespace", ""), found)

    def update(self, plural: str, name: str, change: Callable[[Json], None]) -> None:
        """Changes an object as a controller would; the result is checked."""
        kind = next(item for item in self.kinds.values() if item.plural == plural)
        key = next(key for key in self._collections[plural].objects if key[1] == name)
        found = json.loads(json.dumps(self._collections[plural].objects[key]))
        change(found)
        self._check(kind, found)
        self._put(kind, key, found, "MODIFIED")

    def drop(self, plural: str, name: str) -> None:
        """An object is gone for good, and what it owned with it."""
        kind = next(item for item in self.kinds.values() if item.plural == plural)
        key = next(key for key in self._collections[plural].objects if key[1] == name)
        self._remove(kind, key)

    def compact(self) -> None:
        """Forgets history: watches from before must begin anew."""
        for collection in self._collections.values():
            collection.events.clear()
            collection.oldest = self._version + 1
        self._bump()

    async def cut_watches(self) -> None:
        """Every open watch breaks off, as through a proxy that was started anew."""
        for task in list(self._watches):
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            if self.broken:
                raise ApiError(503, "ServiceUnavailable", "the server is starting")
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                raise ApiError(401, "Unauthorized", "Unauthorized")
            return await self._answer(request)
        except ApiError as error:
            return web.json_response(error.status(), status=error.code)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        kind, namespace, name, part = self._locate(request.path)
        verb = _verb(request, name)
        self._allow(kind, verb, part)
        if part == "log":
            return self._log(request, name)
        match verb:
            case "create":
                wanted = await request.json()
                self._allow_owners(wanted)
                return web.json_response(self._create(kind, namespace, wanted), status=201)
            case "list":
                return web.json_response(self._list(kind, namespace, request.query))
            case "watch":
                return await self._watch(kind, namespace, request)
            case "get":
                return web.json_response(self._get(kind, (namespace, name)))
            case "patch":
                return web.json_response(self._patch(kind, (namespace, name), await request.json()))
            case "delete":
                body = await request.json() if request.can_read_body else {}
                return web.json_response(self._delete(kind, (namespace, name), body or {}))
        raise ApiError(405, "MethodNotAllowed", f"{verb} is not allowed")

    def _locate(self, path: str) -> tuple[Kind, str, str, str]:
        parts = path.strip("/").split("/")
        group = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
        rest = parts[2 if parts[0] == "api" else 3 :]
        namespace = ""
        if rest[:1] == ["namespaces"]:
            namespace, rest = rest[1], rest[2:]
        kind = self.kinds.get((group, rest[0] if rest else ""))
        if kind is None or kind.namespaced != bool(namespace):
            raise ApiError(404, "NotFound", f"the server could not find the requested resource ({path})")
        return kind, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else ""

    def _allow(self, kind: Kind, verb: str, part: str) -> None:
        resource = f"{kind.plural}/{part}" if part else kind.plural
        if self.rules is not None and not any(
            kind.api_group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            for rule in self.rules
        ):
            raise ApiError(403, "Forbidden", f'{resource} is forbidden: User "aicp" cannot {verb} it')
        self.asked.append((verb, resource))

    def _allow_owners(self, wanted: Json) -> None:
        """As the admission plug-in OwnerReferencesPermissionEnforcement does."""
        for owner in wanted["metadata"].get("ownerReferences") or []:
            if owner.get("blockOwnerDeletion"):
                kind = next(item for item in self.kinds.values() if item.name == owner["kind"])
                self._allow(kind, "update", "finalizers")

    def _create(self, kind: Kind, namespace: str, found: Json) -> Json:
        if (refusal := self.refusals.pop(kind.plural, None)) is not None:
            raise refusal
        self._check(kind, found)
        name = found["metadata"].get("name") or f"{found['metadata']['generateName']}{next(self._ids):05x}"
        key = (namespace, name)
        if key in self._collections[kind.plural].objects:
            raise ApiError(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
        if found["metadata"].get("namespace", namespace) != namespace:
            raise ApiError(400, "BadRequest", "the namespace of the object does not match the request")
        made = json.loads(json.dumps(found))
        made["metadata"] |= {
            "name": name,
            "uid": f"uid-{next(self._ids)}",
            "creationTimestamp": _now(),
            **({"namespace": namespace} if namespace else {}),
        }
        if kind.name == "Secret":
            text = made.pop("stringData", {})
            made["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        self._put(kind, key, made, "ADDED")
        self.reconcile()
        return self._collections[kind.plural].objects[key]

    def _check(self, kind: Kind, found: Json) -> None:
        """Strict field validation, and what every kind must say of itself."""
        wrong = complaints(kind.model, found)
        if found.get("apiVersion", kind.group) != kind.group or found.get("kind", kind.name) != kind.name:
            wrong.append(f"the kind does not match {kind.group}/{kind.name}")
        if wrong:
            raise ApiError(422, "Invalid", f"strict decoding error: {'; '.join(wrong)}")

    def _list(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> Json:
        items = [
            item
            for (home, _), item in self._collections[kind.plural].objects.items()
            if home == namespace and _selected(item, query.get("labelSelector", ""))
        ]
        head = {"apiVersion": kind.group, "kind": f"{kind.name}List"}
        return {**head, "metadata": {"resourceVersion": str(self._version)}, "items": items}

    def _get(self, kind: Kind, key: tuple[str, str]) -> Json:
        found = self._collections[kind.plural].objects.get(key)
        if found is None:
            raise ApiError(404, "NotFound", f'{kind.plural} "{key[1]}" not found')
        return found

    def _patch(self, kind: Kind, key: tuple[str, str], change: Json) -> Json:
        found = _merged(self._get(kind, key), change)
        self._check(kind, found)
        self._put(kind, key, found, "MODIFIED")
        return found

    def _delete(self, kind: Kind, key: tuple[str, str], body: Json) -> Json:
        found = self._get(kind, key)
        wanted = (body.get("preconditions") or {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            raise ApiError(409, "Conflict", f"the UID in the precondition ({wanted}) does not match")
        grace = body.get("gracePeriodSeconds")
        if kind.name == "Pod" and grace != 0:
            self._mark(kind, key, 30 if grace is None else grace)
        elif kind.name in _CONTROLLED and body.get("propagationPolicy") == "Foreground":
            self._mark(kind, key, None)
            for pod in self._owned_pods(found):
                self._mark(self.kinds["v1", "pods"], (pod["metadata"]["namespace"], pod["metadata"]["name"]), 30)
        else:
            self._remove(kind, key)
        self.reconcile()
        return found

    def _mark(self, kind: Kind, key: tuple[str, str], grace: int | None) -> None:
        found = json.loads(json.dumps(self._collections[kind.plural].objects[key]))
        found["metadata"].setdefault("deletionTimestamp", _now())
        if grace is not None:
            before = found["metadata"].get("deletionGracePeriodSeconds", grace)
            found["metadata"]["deletionGracePeriodSeconds"] = min(grace, before)
        self._put(kind, key, found, "MODIFIED")

    def _owned_pods(self, owner: Json) -> list[Json]:
        uid = owner["metadata"]["uid"]
        return [
            pod
            for pod in self._collections["pods"].objects.values()
            if any(item["uid"] == uid for item in pod["metadata"].get("ownerReferences", []))
        ]

    def _remove(self, kind: Kind, key: tuple[str, str]) -> None:
        found = self._collections[kind.plural].objects.pop(key)
        self._bump()
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self._version)}}
        self._tell(kind, "DELETED", found)
        uid = found["metadata"]["uid"]
        for other in list(self.kinds.values()):
            for place, item in list(self._collections[other.plural].objects.items()):
                if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or []):
                    self._remove(other, place)

    def _put(self, kind: Kind, key: tuple[str, str], found: Json, event: str) -> None:
        self._bump()
        found["metadata"]["resourceVersion"] = str(self._version)
        found = {"apiVersion": kind.group, "kind": kind.name, **found}
        self._collections[kind.plural].objects[key] = found
        self._tell(kind, event, found)

    def _bump(self) -> None:
        self._version = next(self._versions)

    def _tell(self, kind: Kind, event: str, found: Json) -> None:
        told = json.loads(json.dumps({"type": event, "object": found}))
        self._collections[kind.plural].events.append((self._version, told))
        self._wake()

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._news:
                self._news.notify_all()

        task = asyncio.ensure_future(wake())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _watch(self, kind: Kind, namespace: str, request: web.Request) -> web.StreamResponse:
        collection = self._collections[kind.plural]
        version = int(request.query.get("resourceVersion") or self._version)
        end = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds") or 300)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            while True:
                if version < collection.oldest:
                    gone = ApiError(410, "Expired", f"too old resource version: {version}").status()
                    await answer.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    return answer
                for at, event in [item for item in collection.events if item[0] > version]:
                    version = at
                    home = event["object"]["metadata"].get("namespace", "")
                    if home == namespace and _selected(event["object"], request.query.get("labelSelector", "")):
                        await answer.write(json.dumps(event).encode() + b"\n")
                async with asyncio.timeout_at(end), self._news:
                    await self._news.wait()
        except TimeoutError:
            return answer
        finally:
            self._watches.discard(task)

    def _log(self, request: web.Request, name: str) -> web.Response:
        if name not in self.logs:
            raise ApiError(404, "NotFound", f'pods "{name}" not found')
        lines = self.logs[name].splitlines(keepends=True)
        return web.Response(text="".join(lines[-int(request.query.get("tailLines", "100")) :]))

    def _kubeconfig(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
        }


def _verb(request: web.Request, name: str) -> str:
    if request.method == "GET" and not name:
        # the client says `True` with a capital letter
        return "watch" if request.query.get("watch", "").lower() == "true" else "list"
    return {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(request.method, request.method)


def _selected(found: Json, selector: str) -> bool:
    labels = found["metadata"].get("labels") or {}
    wanted = [part.split("=", 1) for part in selector.split(",") if part]
    return all(labels.get(name) == value for name, value in wanted)


def _merged(found: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    base = dict(found) if isinstance(found, dict) else {}
    for name, value in change.items():
        if value is None:
            base.pop(name, None)
        else:
            base[name] = _merged(base.get(name), value)
    return base


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
