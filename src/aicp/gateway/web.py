"""One GET of what lies in the web, to an address that was checked. Small on purpose, as `client/internal.py` is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import httptools

from aicp.security.addresses import AllowedUrl

Connect = Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""`asyncio.open_connection`, as far as it is used here."""
UNSOUND = (OSError, EOFError, ValueError, httptools.HttpParserError, httptools.HttpParserUpgrade)
"""What a server that is no sound web server leads to."""
_READ_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16
"""Of a head, and of what comes behind the body: a line there is copied anew with every piece of it."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = "%/:=&?~+!$,;'@()*[]"


class WebAnswer:
    """An answer whose head has come; also what httptools calls back. Header names are in lower case."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._parser = httptools.HttpResponseParser(self)
        self._fresh: list[bytes] = []
        self._begun = self._complete = False
        self.headers: dict[str, str] = {}

    @property
    def status(self) -> int:
        """Of the final answer; interim ones are passed over."""
        return self._parser.get_status_code()

    @property
    def redirect(self) -> str | None:
        """Where it leads, if it leads elsewhere."""
        return self.headers.get("location") or None if self.status in _REDIRECTS else None

    async def head(self) -> None:
        """Waits for the head. Raises one of UNSOUND."""
        size = 0
        while not self._begun:
            size += await self._read()
            if size > _HEAD_BYTES + _READ_BYTES:
                raise ValueError("the head has no end")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises one of UNSOUND, EOFError when it is cut."""
        size = 0
        while True:
            fresh, self._fresh = self._fresh, []
            if fresh:
                size = 0
            elif size > _HEAD_BYTES + _READ_BYTES:
                raise ValueError("what is no body has no end")
            for piece in fresh:
                yield piece
            if self._complete:
                return
            size += await self._read()

    async def _read(self) -> int:
        data = await self._reader.read(_READ_BYTES)
        if data:
            self._parser.feed_data(data)
        elif self._begun and not {"content-length", "transfer-encoding"} & self.headers.keys():
            self._complete = True  # the end of the connection is the end of the body
        else:
            raise EOFError("the connection ended early")
        return len(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header line."""
        if not self._begun:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """httptools: the head is whole."""
        self._begun = self.status >= 200
        if not self._begun:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._fresh.append(body)

    def on_message_complete(self) -> None:
        """httptools: the body is whole."""
        self._complete = self._begun


@asynccontextmanager
async def get(allowed: AllowedUrl, tls: ssl.SSLContext, connect: Connect) -> AsyncIterator[WebAnswer]:
    """The answer to a GET, over a connection of its own that ends with the block. Raises one of UNSOUND."""
    secure = {"ssl": tls, "server_hostname": allowed.host} if allowed.scheme == "https" else {}
    reader, writer = await connect(allowed.address, allowed.port, limit=_READ_BYTES, **secure)
    try:
        writer.write(_request(allowed))
        answer = WebAnswer(reader)
        await answer.head()
        yield answer
    finally:
        writer.transport.abort()


def _request(allowed: AllowedUrl) -> bytes:
    parts = urlsplit(allowed.url)
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    lines = b"accept: */*\r\naccept-encoding: identity\r\nuser-agent: aicp-gateway\r\nconnection: close\r\n\r\n"
    return b"GET %b HTTP/1.1\r\nhost: %b\r\n%b" % (target.encode("ascii"), allowed.authority.encode("idna"), lines)
