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

import msgspec

from aicp.core.errors import MalformedError
from aicp.gateway.bodies import encode
from aicp.gateway.config import MediaRules
from aicp.gateway.errors import ApiError, invalid
from aicp.gateway.links import Link, LinkedMedia
from aicp.gateway.web import UNSOUND, Connect, WebAnswer, get
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
    """Fetches what links lead to, over `connect`, at addresses that `resolver` gives."""

    def __init__(
        self, rules: MediaRules, resolver: Resolver = system_resolver, connect: Connect = asyncio.open_connection
    ) -> None:
        self._rules, self._resolver, self._connect = rules, resolver, connect
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
            raise _failed(links[0], f"the request's media did not arrive within {rules.seconds:g} s") from error
        return encode(found.fields | {name: msgspec.Raw(encode(value)) for name, value in found.values.items()})

    async def _fetch_all(self, links: Sequence[Link]) -> None:
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        tls = self._tls
        budget = _Budget(self._rules.bytes_all)
        try:
            async with asyncio.TaskGroup() as group:
                for link in links:
                    group.create_task(self._fetch(link, tls, budget))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _fetch(self, link: Link, tls: ssl.SSLContext, budget: _Budget) -> None:
        try:
            kind, data = await self._follow(link, tls, budget)
        except UNSOUND as error:
            raise _failed(link, "its server does not answer, or not as a web server does") from error
        link.put(kind, base64.b64encode(data).decode())

    async def _follow(self, link: Link, tls: ssl.SSLContext, budget: _Budget) -> tuple[str, bytes]:
        url = link.address
        for _ in range(MAX_REDIRECTS + 1):
            allowed = await self._allowed(link, url)
            async with get(allowed, tls, self._connect) as answer:
                if answer.redirect is None:
                    return await self._receive(link, answer, budget)
                url = urljoin(url, answer.redirect)
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

    async def _receive(self, link: Link, answer: WebAnswer, budget: _Budget) -> tuple[str, bytes]:
        if answer.status != 200:
            raise _failed(link, f"its server answers {answer.status}")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _KIND.fullmatch(kind) or not kind.startswith(_KINDS[link.medium]) or kind == _DRAWING:
            raise _failed(link, f"its content type is {kind[:80]!r}, which is no {link.medium}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise _failed(link, "its server compresses it, unasked")
        most, parts, size = self._rules.bytes_each, list[bytes](), 0
        large = _failed(link, f"it has more than {most} bytes, or all of the request's media together have too many")
        if int(answer.headers.get("content-length", "0")) > most:
            raise large
        async for part in answer.pieces():
            size += len(part)
            if size > most or not budget.take(len(part)):
                raise large
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
