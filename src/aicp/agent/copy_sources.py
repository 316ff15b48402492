"""Where a node gets model files from: other nodes that have them, and the control plane, which has all."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import httpx

from aicp.client.places import reach
from aicp.core.errors import UnavailableError
from aicp.security.tls import pinned

log = logging.getLogger(__name__)

BLOCK = 1024 * 1024
_SECONDS = 30.0
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CopySource:
    """Where files come from: the control plane's own files when this node can read them, else its interface.

    `token` is empty where a certificate is what lets this node in. `certificate` is what an https control plane must
    prove to be. `tls` gives what this node proves itself with to other nodes, and to the control plane where
    `control_url` is `mtls://`.
    """

    control_url: str
    token: str
    artifacts_dir: Path | None = None
    certificate: Path | None = None
    tls: Callable[[], ssl.SSLContext] | None = None

    def local_file(self, sha256: str) -> Path | None:
        """The file in the control plane's storage, if it is on this machine and readable."""
        if self.artifacts_dir is None:
            return None
        path = self.artifacts_dir / "blobs" / "sha256" / sha256[:2] / sha256
        return path if os.access(path, os.R_OK) else None

    @asynccontextmanager
    async def origins(self, digest: str, peers: Sequence[str]) -> AsyncIterator[list[Origin]]:
        """Where the version's files can be fetched, to be tried in this order. The list may be changed."""
        async with AsyncExitStack() as stack:
            found: list[Origin] = []
            for peer in peers if self.tls is not None else ():
                try:
                    url, transport = reach(peer, self.tls)
                except (UnavailableError, ValueError) as error:
                    log.warning("no model files are fetched from %s: %s", peer, error)
                    continue
                http = await stack.enter_async_context(_client(url, transport))
                found.append(_Peer(peer, http, digest))
            found.append(_Control("the control plane", await stack.enter_async_context(self._control())))
            yield found

    def _control(self) -> httpx.AsyncClient:
        url, transport = reach(self.control_url, self.tls)
        trust = pinned(self.certificate) if self.certificate else True
        return _client(url, transport, trust, {"Authorization": f"Bearer {self.token}"} if self.token else None)


class Origin(Protocol):
    """One place to fetch from."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def blocks(self, path: str, sha256: str, offset: int) -> AsyncGenerator[bytes]:
        """A file from `offset` on. Raises UnavailableError where it cannot be had, or its end does not come."""
        ...


@dataclass(frozen=True, slots=True)
class Disk:
    """A file of this machine, for which neither name nor digest matters."""

    file: Path
    name: str = field(default="the control plane's storage")

    async def blocks(self, path: str, sha256: str, offset: int) -> AsyncGenerator[bytes]:
        """See Origin."""
        with self.file.open("rb") as file:
            file.seek(offset)
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block


@dataclass(frozen=True, slots=True)
class _Control:
    name: str
    http: httpx.AsyncClient

    def blocks(self, path: str, sha256: str, offset: int) -> AsyncGenerator[bytes]:
        return _download(self.http, f"/internal/v1/artifacts/{sha256}", offset, self.name)


@dataclass(frozen=True, slots=True)
class _Peer:
    name: str
    http: httpx.AsyncClient
    digest: str

    def blocks(self, path: str, sha256: str, offset: int) -> AsyncGenerator[bytes]:
        return _download(self.http, f"/v1/artifacts/{self.digest}/{quote(path)}", offset, self.name)


async def _download(http: httpx.AsyncClient, url: str, offset: int, name: str) -> AsyncGenerator[bytes]:
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    try:
        async with http.stream("GET", url, headers=headers) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            if not answer.is_success or (offset and answer.status_code != httpx.codes.PARTIAL_CONTENT):
                raise UnavailableError(f"{_sentence(name)} answered {answer.status_code} for a model file.")
            async for block in answer.aiter_bytes(BLOCK):
                yield block
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"A model file could not be fetched from {name} ({error or type(error).__name__}).",
            hint="It is tried again by itself.",
        ) from error


def _sentence(name: str) -> str:
    return name[:1].upper() + name[1:]


def _client(
    url: str,
    transport: httpx.AsyncHTTPTransport | None,
    trust: ssl.SSLContext | bool = True,
    headers: dict[str, str] | None = None,
) -> httpx.AsyncClient:
    timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    return httpx.AsyncClient(
        base_url=url, transport=transport, headers=headers, timeout=timeout, verify=trust, trust_env=False
    )
