"""Media that requests name by their address: fetched here, so that no engine is ever sent anywhere.

Each name is resolved once and all its addresses are checked (`security/addresses.py`); the connection goes to the very
address that was checked, with the name's own certificate; every redirect is checked the same way.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import Sequence
from urllib.parse import urljoin
from weakref import WeakValueDictionary

import httpx
import msgspec

from aicp.core.errors import MalformedError
from aicp.gateway.bodies import encode
from aicp.gateway.config import MediaRules
from aicp.gateway.errors import ApiError, invalid
from aicp.gateway.links import Link, LinkedMedia
from aicp.security.addresses import MAX_REDIRECTS, AllowedUrl, Resolver, resolve_allowed, system_resolver

log = logging.getLogger(__name__)

_KINDS = {
    "image": ("image/",),
    "audio": ("audio/", "application/ogg"),
    "video": ("video/",),
    "file": ("image/", "application/pdf", "application/json", "text/plain", "text/markdown", "text/csv"),
}
"""Content types by medium. A page (text/html) is none: what its reader sees is not what its bytes say."""
_KIND = re.compile(r"[a-z]+/[a-z0-9.+-]{1,80}")
_DRAWING = "image/svg+xml"
"""A program rather than a picture; engines do not draw it."""


class Fetcher:
    """Fetches what links lead to. `resolver` and `transport` are the machine's own where none is given."""

    def __init__(
        self,
        rules: MediaRules,
        resolver: Resolver = system_resolver,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._rules, self._resolver, self._transport = rules, resolver, transport
        self._places = asyncio.Semaphore(rules.requests)
        self._of_keys: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._tls: ssl.SSLContext | None = None

    async def fill(self, found: LinkedMedia, key_id: str) -> bytes:
        """The body with all media in the places of their links. Raises ApiError 400 that names the field and why."""
        rules, links = self._rules, found.links
        if len(links) > rules.links:
            message = f"The request names {len(links)} addresses of media; at most {rules.links} are fetched for one."
            raise invalid(message, param=links[0].field, code="invalid_value")
        of_key = self._of_keys.setdefault(key_id, asyncio.Semaphore(rules.requests_of_key))
        try:
            async with asyncio.timeout(rules.seconds), of_key, self._places:
                await self._fetch_all(links)
        except TimeoutError as error:
            raise _failed(links[0], f"its media did not arrive within {rules.seconds:.0f} s") from error
        return encode(found.fields | {name: msgspec.Raw(encode(value)) for name, value in found.values.items()})

    async def _fetch_all(self, links: Sequence[Link]) -> None:
        if self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        budget = _Budget(self._rules.bytes_all)
        # a client for each request: it keeps no cookie, and no connection whose certificate proved another name
        async with httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=self._rules.seconds,
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=self._transport,
        ) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for link in links:
                        group.create_task(self._fetch(client, link, budget))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from errors

    async def _fetch(self, client: httpx.AsyncClient, link: Link, budget: _Budget) -> None:
        try:
            kind, data = await self._follow(client, link, budget)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise _failed(link, "its server did not answer as a web server does") from error
        link.put(kind, base64.b64encode(data).decode())

    async def _follow(self, client: httpx.AsyncClient, link: Link, budget: _Budget) -> tuple[str, bytes]:
        url = link.address
        for _ in range(MAX_REDIRECTS + 1):
            allowed = await self._allowed(link, url)
            headers = {"Host": allowed.authority, "Accept-Encoding": "identity", "User-Agent": "aicp-gateway"}
            extensions = {"sni_hostname": allowed.host}
            async with client.stream("GET", allowed.pinned, headers=headers, extensions=extensions) as response:
                location = response.headers.get("location")
                if not (response.is_redirect and location):
                    return await self._receive(link, response, budget)
                url = urljoin(url, location)
        raise _failed(link, f"it redirects more than {MAX_REDIRECTS} times")

    async def _allowed(self, link: Link, url: str) -> AllowedUrl:
        """One sentence for every reason: it must tell nothing of the names and addresses inside."""
        try:
            return await resolve_allowed(url, self._rules.allowed_networks, self._resolver)
        except MalformedError as error:
            log.info("a medium is not fetched: %s", error.message)
            message = (
                f"{link.address[:100]!r} may not be fetched: it must lead, over every redirect, to public addresses by "
                "http or https, or to one that the administrator lists in media_allowed_networks."
            )
            raise invalid(message, param=link.field, code="url_not_allowed") from error

    async def _receive(self, link: Link, response: httpx.Response, budget: _Budget) -> tuple[str, bytes]:
        if response.status_code != 200:
            raise _failed(link, f"its server answers {response.status_code}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _KIND.fullmatch(kind) or not kind.startswith(_KINDS[link.medium]) or kind == _DRAWING:
            raise _failed(link, f"its content type is {kind[:80]!r}, which is no {link.medium}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _failed(link, "its server compresses it, unasked")
        most, parts, size = self._rules.bytes_each, list[bytes](), 0
        too_large = _failed(
            link, f"it is larger than {most / 2**20:.0f} MiB, or all of the request's media together are"
        )
        declared = response.headers.get("content-length", "0")
        if len(declared) > 15 or not declared.isdigit() or int(declared) > most:
            raise too_large
        async for part in response.aiter_raw():
            size += len(part)
            if size > most or not budget.take(len(part)):
                raise too_large
            parts.append(part)
        return kind, b"".join(parts)


class _Budget:
    """Bytes that the media of one request may have together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Whether so many more are within it."""
        self._left -= size
        return self._left >= 0


def _failed(link: Link, why: str) -> ApiError:
    message = f"{link.address[:100]!r} could not be fetched: {why}. A data: URL can be sent instead."
    return invalid(message, param=link.field, code="media_not_fetched")
