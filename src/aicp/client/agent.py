"""Client of the agent's interface, over its unix socket or a URL."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import TypeAdapter

from aicp.client.places import reach
from aicp.client.transport import error_of
from aicp.core.errors import UnavailableError
from aicp.core.join import LEASE_HEADER
from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaResize
from aicp.core.node import EnvironmentStatus, NodeStatus

T = TypeVar("T")
HEARD_WITHIN_SECONDS = 10.0
_CONNECT_SECONDS = 3.0

_NODE = TypeAdapter(NodeStatus)
_REPLICA = TypeAdapter(ObservedReplica)
_REPLICAS = TypeAdapter(list[ObservedReplica])
_ENVIRONMENT = TypeAdapter(EnvironmentStatus)
_ENVIRONMENTS = TypeAdapter(list[EnvironmentStatus])
_DIGESTS = TypeAdapter(list[str])


class AgentClient:
    """One agent. `address` is `unix:/path/agent.sock`, a bare path of one, a base URL, or `mtls://name@host:port`, for
    which `tls` gives what to prove oneself with. `lease_seconds` is for how long a joined node may serve after a call.
    Raises UnavailableError without that, ValueError for no address.

    Every method raises UnavailableError when the agent does not answer, and the agent's own AicpError otherwise.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        timeout_seconds: float = 10.0,
        tls: Callable[[], SSLContext] | None = None,
        lease_seconds: float | None = None,
    ) -> None:
        self.address = address
        self._lease_seconds = lease_seconds
        self._answered_at = -math.inf
        url, transport = reach(f"unix:{address}" if address.startswith("/") else address, tls)
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives connections back."""
        await self._http.aclose()

    async def node(self) -> NodeStatus:
        """The node with its accelerators, environments and model copies."""
        return await self._get("/v1/node", _NODE)

    async def replicas(self) -> list[ObservedReplica]:
        """Every replica the agent knows, running or ended."""
        return await self._get("/v1/replicas", _REPLICAS)

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        """Starts the member of `launch` that belongs to this node; idempotent by (replica_id, generation)."""
        body = launch.model_dump_json().encode()
        return self._decode(await self._send("PUT", f"/v1/replicas/{launch.replica_id}", content=body), _REPLICA)

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        """Holds a running replica to another allocation. Raises ConflictError when the node refuses."""
        path = f"/v1/replicas/{wanted.replica_id}/allocation"
        return self._decode(await self._send("PUT", path, content=wanted.model_dump_json().encode()), _REPLICA)

    async def stop(self, replica_id: str, *, generation: int | None = None, grace_seconds: float = 10.0) -> None:
        """Stops a replica; returns at once. `generation` guards a newer start; an unknown replica is success."""
        params = {"generation": generation, "grace_seconds": grace_seconds}
        await self._send("DELETE", f"/v1/replicas/{replica_id}", params=params)

    async def log(self, replica_id: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """The last `tail` lines of a replica's log, then with `follow` what is added, as text pieces."""
        timeout = httpx.Timeout(10.0, read=None if follow else 30.0)
        params = {"tail": tail, "follow": follow}
        try:
            async with self._http.stream(
                "GET", f"/v1/replicas/{replica_id}/log", params=params, timeout=timeout
            ) as answer:
                if not answer.is_success:
                    raise error_of(answer.status_code, await answer.aread())
                async for piece in answer.aiter_text():
                    yield piece
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def environments(self) -> list[EnvironmentStatus]:
        """Every engine environment on the node, also one that is being built or is broken."""
        return await self._get("/v1/environments", _ENVIRONMENTS)

    async def install(self, engine: str, version: str, variant: str) -> EnvironmentStatus:
        """Starts to build an environment; returns at once, `environments` shows the progress."""
        path = f"/v1/environments/{engine}/{version}/{variant}"
        return self._decode(await self._send("PUT", path), _ENVIRONMENT)

    async def remove_environment(self, engine: str, version: str, variant: str) -> None:
        """Removes an environment, or cancels its build. Raises ConflictError while a replica uses it."""
        await self._send("DELETE", f"/v1/environments/{engine}/{version}/{variant}")

    async def models(self) -> list[str]:
        """Digests of the model copies on the node."""
        return await self._get("/v1/models", _DIGESTS)

    async def remove_model(self, digest: str) -> None:
        """Removes a model copy. Raises ConflictError while a replica uses it; an unknown digest is success."""
        await self._send("DELETE", f"/v1/models/{digest}")

    async def _get(self, path: str, shape: TypeAdapter[T]) -> T:
        return self._decode(await self._send("GET", path), shape)

    async def _send(
        self, method: str, path: str, *, content: bytes | None = None, params: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        headers = self._lease() | ({"Content-Type": "application/json"} if content is not None else {})
        try:
            answer = await self._http.request(method, path, content=content, params=given, headers=headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._answered_at = time.monotonic()
        if not answer.is_success:
            raise error_of(answer.status_code, answer.content)
        return answer

    def _lease(self) -> dict[str, str]:
        """Only an agent whose answers come through gets another lease: one that hears without being heard is lost."""
        if self._lease_seconds is None or time.monotonic() - self._answered_at > HEARD_WITHIN_SECONDS:
            return {}
        return {LEASE_HEADER: f"{self._lease_seconds:g}"}

    def _decode(self, answer: httpx.Response, shape: TypeAdapter[T]) -> T:
        return shape.validate_json(answer.content)

    def _unreachable(self, error: httpx.HTTPError) -> UnavailableError:
        return UnavailableError(
            f"The agent at {self.address} does not answer ({str(error) or type(error).__name__}).",
            hint="It is restarted by itself; look at logs/agent.log in the data directory when this lasts.",
        )
