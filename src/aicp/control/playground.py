"""Tries from the console: relayed to the gateway under a key that the platform makes and holds for each user.

So a try passes the same checks and is metered the same way as an application's call, and no key lies in the browser.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import unquote

import httpx

from aicp.core.access import Caller
from aicp.core.api_key import ApiKey
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, NotFoundError, UnavailableError
from aicp.core.identity import Permission
from aicp.security.keys import key_digest, make_key
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.projects import Projects

_KEY_LIFE = timedelta(hours=2)
_RENEW_SECONDS = 3600.0
# A fresh key is known to the gateway after its next look at the route table, which a change ends at once.
_KNOWN_WITHIN_SECONDS = 5.0
_RETRY_SECONDS = 0.1
_DROPPED = frozenset({"", ".", ".."})
_NO_TRIES = ("v1/files", "v1/batches")
_TIMEOUT = httpx.Timeout(connect=5.0, read=None, write=60.0, pool=5.0)


@dataclass(frozen=True, slots=True)
class Relayed:
    """A request to be relayed: `path` begins with `v1/`."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _HeldKey:
    secret: str
    made_at: float


def connect_gateway(url: str, *, verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """The connection pool to the gateway at `url`. It never goes through a proxy of the environment."""
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=20)
    return httpx.AsyncClient(base_url=url, verify=verify, limits=limits, timeout=_TIMEOUT, trust_env=False)


class Playground:
    """Relays to the gateway. `client` is the connection pool to it, with the gateway's address as its base."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, pepper: bytes, client: httpx.AsyncClient) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._pepper = pepper
        self._client = client
        self._keys: dict[tuple[str, str], _HeldKey] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._earlier_ended = False

    async def send(self, caller: Caller, project: str, request: Relayed) -> httpx.Response:
        """The gateway's answer, body unread: iterate `aiter_raw()` and `aclose()` it; closing aborts the engine's work.

        Raises UnavailableError when the gateway does not answer.
        """
        caller.require(Permission.PLAYGROUND_USE, project, what=f"Project {project!r}")
        path = unquote(request.path)
        # A client drops such segments on the way, and another address than the one looked at would be reached.
        if not path.startswith("v1/") or not _DROPPED.isdisjoint(path.split("/")):
            raise InvalidError(
                f"/{request.path} is not an address of the gateway.", hint="Its addresses begin with /v1/."
            )
        if path.startswith(_NO_TRIES):
            # A key may read its project's files; whose role lets him try a model may not.
            raise InvalidError(
                f"/{request.path} is for applications with a key of their own.",
                hint="The console's own are under /api/v1/files and /api/v1/batches.",
            )
        deadline = self._clock.monotonic() + _KNOWN_WITHIN_SECONDS
        key = await self._key(caller, project)
        while True:
            response = await self._forward(request, key)
            if response.status_code != httpx.codes.UNAUTHORIZED or self._clock.monotonic() > deadline:
                return response
            await response.aclose()
            if self._clock.monotonic() - key.made_at > _KNOWN_WITHIN_SECONDS:
                # Not too new but ended, with another role of the user.
                self._keys.pop((caller.user, project), None)
                key = await self._key(caller, project)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _forward(self, request: Relayed, key: _HeldKey) -> httpx.Response:
        headers = {**(request.headers or {}), "Authorization": f"Bearer {key.secret}", "Accept-Encoding": "identity"}
        url = httpx.URL(f"/{request.path}", query=request.query.encode() or None)
        built = self._client.build_request(request.method, url, headers=headers, content=request.body or None)
        try:
            return await self._client.send(built, stream=True)
        except httpx.TransportError as error:
            raise UnavailableError(
                "The gateway does not answer.", hint="Look at `aicp status`; it is restarted by itself."
            ) from error

    async def _key(self, caller: Caller, project: str) -> _HeldKey:
        owner = (caller.user, project)
        async with self._locks[owner]:
            held = self._keys.get(owner)
            if held is None or self._clock.monotonic() - held.made_at > _RENEW_SECONDS:
                held = self._keys[owner] = await self._make(caller, project)
            return held

    async def _make(self, caller: Caller, project: str) -> _HeldKey:
        fresh, now = make_key(), self._clock.now()
        expires_at = now + _KEY_LIFE
        key = ApiKey(
            id=fresh.id,
            name=f"playground of {caller.user}",
            project=project,
            prefix=fresh.prefix,
            expires_at=expires_at,
            created_at=now,
            created_by=caller.user,
        )
        async with self._database.transaction() as tx:
            if await Projects(tx).find(project) is None:
                raise NotFoundError(f"Project {project!r} does not exist.")
            if not self._earlier_ended:
                # Their secrets went with the process that held them.
                await ApiKeys(tx).revoke_playground(now)
                self._earlier_ended = True
            await ApiKeys(tx).create(key, key_digest(self._pepper, fresh.secret), "playground")
            details = {"name": key.name, "purpose": "playground", "expires_at": expires_at.isoformat()}
            await Events(tx).audit(caller, now, "key.create", "key", key.id, project=project, details=details)
        self._bell.ring("key", key.id)
        return _HeldKey(fresh.secret, self._clock.monotonic())
