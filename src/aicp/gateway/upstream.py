"""Connections to one engine: an HTTP/1.1 client protocol and the pool that keeps idle ones."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import httptools

from aicp.core.errors import MalformedError
from aicp.core.mutual import is_mutual, parse_mutual
from aicp.gateway.outbox import Outbox
from aicp.security.addresses import resolve_allowed
from aicp.security.lines import expect_answers
from aicp.security.tls_identity import TlsIdentity

log = logging.getLogger(__name__)

_IDLE_CONNECTIONS: Final = 256
_QUEUE_FULL_SECONDS: Final = 0.005
_BARE_BYTES: Final = 1 << 16
_PORTS: Final = {"http": 80, "https": 443}
_WANTED: Final = frozenset({b"content-type", b"content-length", b"transfer-encoding", b"retry-after"})


class Receiver(Protocol):
    """Who gets an engine's answer: answer_at_once, or answer_head, answer_data*, and answer_end or answer_lost."""

    def answer_at_once(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        """A whole answer that came in one piece."""
        ...

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The status line and the wanted headers, names in lower case."""
        ...

    def answer_data(self, data: bytes) -> None:
        """A piece of the body, unframed."""
        ...

    def answer_end(self) -> None:
        """The answer is complete."""
        ...

    def answer_lost(self) -> None:
        """The connection ended before the answer did."""
        ...

    def answer_failed(self) -> None:
        """One of the other calls raised what it should not."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection, one request at a time."""

    __slots__ = (
        "_bare",
        "_complete",
        "_head",
        "_headers",
        "_kept",
        "_parser",
        "_parts",
        "_paused",
        "_pool",
        "_receiver",
        "answered",
        "closed",
        "transport",
    )

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool
        self._receiver: Receiver | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._bare = 0
        self._head = self._paused = False
        self._complete = self._kept = False
        self.answered = False
        """Whether a byte of the present answer has come."""
        self.closed = False
        self.transport = cast(asyncio.Transport, None)

    def send(self, request: bytes, receiver: Receiver, outbox: Outbox) -> None:
        """Sends a whole request through `outbox`; the answer goes to `receiver`."""
        self._receiver = receiver
        self._headers = {}
        self.answered = self._complete = False
        if not self.transport.is_closing():  # else its end is on its way here
            outbox.put(self.transport, request)

    def pause(self) -> None:
        """Reads no more for now; the engine feels it."""
        if not self.closed and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        if self._paused and not self.closed and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Ends the connection at once; the engine sees that nobody waits any more. The receiver is not called."""
        self._receiver = None
        self.closed = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self.abort()  # an answer to nothing: the connection is out of step
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._lose()
            return
        if self._parts or self._head or self._complete:
            self._bare = 0
        else:
            # a head or trailer without end: the parser copies a line of it anew with every piece
            self._bare += len(data)
            if self._bare > _BARE_BYTES + len(data):
                self._lose()
                return
        try:
            self._deliver(receiver)
        except Exception:
            log.exception("an answer of %s could not be dealt with", self._pool.address)
            self.abort()
            receiver.answer_failed()

    def _deliver(self, receiver: Receiver) -> None:
        if self._complete and self._head:
            self._head = False
            parts, self._parts = self._parts, []
            self._settle()
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            receiver.answer_at_once(self._parser.get_status_code(), self._headers, body)
            return
        if self._head:
            self._head = False
            receiver.answer_head(self._parser.get_status_code(), self._headers)
        if self._parts and self._receiver is not None:
            parts, self._parts = self._parts, []
            receiver.answer_data(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._complete and self._receiver is not None:
            self._settle()
            receiver.answer_end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._pool.forget(self)
        if self._receiver is None:
            return
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if exc is None and self.answered and self._headers and not framed:
            receiver, self._receiver = self._receiver, None
            receiver.answer_end()
        else:
            self._lose()

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header line."""
        lowered = name.lower()
        if lowered in _WANTED:
            self._headers[lowered] = value

    def on_headers_complete(self) -> None:
        """httptools: the head is whole. Interim answers (1xx) are passed over."""
        self._head = self._parser.get_status_code() >= 200

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """httptools: the answer is whole."""
        self._complete = self._parser.get_status_code() >= 200
        # asked here: the parser forgets the message's framing right after
        self._kept = self._parser.should_keep_alive()

    def _settle(self) -> None:
        """The answer is complete: the connection is free, or ends."""
        self._receiver = None
        self._complete = False
        if self._kept and not self.closed:
            if self._paused:
                self.resume()
            self._pool.give(self)
        else:
            self.closed = True
            self.transport.close()

    def _lose(self) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.answer_lost()


class UpstreamPool:
    """Connections to one address: `unix:/path`, `http://host:port` or `https://host[:port]`, the latter two maybe with
    a path before every endpoint's, or `mtls://name@host:port`, which is shown `credentials`. `token` is what the engine
    wants. `networks` is given for an outside provider, whose path holds the version of its API: it must be public or in
    one of them, whatever its name means at the time."""

    def __init__(
        self,
        address: str,
        token: str | None,
        networks: Sequence[str] | None = None,
        credentials: TlsIdentity | None = None,
    ) -> None:
        self.address = address
        self._place = _parse(address)
        self._networks = networks
        self._credentials = credentials
        if self._place.mutual and credentials is None:
            raise ValueError(f"{address!r} wants a certificate of the platform, and this gateway has none")
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        self._fixed = f"host: {self._place.name}\r\n{authorization}content-type: ".encode()
        self._heads: dict[str, bytes] = {}
        self._idle: list[UpstreamConnection] = []
        self._closed = False

    def request(self, path: str, request_id: bytes, body: bytes, kind: bytes | None = None, more: bytes = b"") -> bytes:
        """A POST as it goes over the wire. `kind` is the body's type; None is JSON. `more` are lines of its head."""
        head = self._heads.get(path) if kind is None else self._head(path, kind)
        if head is None:
            head = self._heads[path] = self._head(path, b"application/json")
        return b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b" % (head, len(body), request_id, more, body)

    def _head(self, path: str, kind: bytes) -> bytes:
        whole = self._place.prefix + (path if self._networks is None else path.removeprefix("/v1"))
        return b"POST %b HTTP/1.1\r\n%b%b\r\n" % (whole.encode(), self._fixed, kind)

    def take(self) -> UpstreamConnection | None:
        """The idle connection that was used last, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def connect(self, timeout_seconds: float) -> UpstreamConnection:
        """A new connection. Raises OSError (TimeoutError among them)."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                try:
                    return await self._open()
                except OSError as error:
                    # a unix socket refuses at once when its queue is full, where TCP would wait
                    if error.errno != errno.EAGAIN:
                        raise
                await asyncio.sleep(_QUEUE_FULL_SECONDS)

    async def _open(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        place = self._place
        if place.socket is not None:
            _, connection = await loop.create_unix_connection(lambda: UpstreamConnection(self), place.socket)
        elif self._networks is not None:
            address = await self._checked(self._networks)
            name = place.host if place.tls else None
            _, connection = await loop.create_connection(
                lambda: UpstreamConnection(self), address, place.port, ssl=place.tls, server_hostname=name
            )
        elif place.mutual and self._credentials is not None:
            _, connection = await loop.create_connection(
                lambda: UpstreamConnection(self),
                place.host,
                place.port,
                ssl=self._credentials.client(),
                server_hostname=place.name,
            )
            expect_answers(connection.transport.get_extra_info("socket"))
        else:
            _, connection = await loop.create_connection(
                lambda: UpstreamConnection(self), place.host, place.port, ssl=place.tls
            )
        return connection

    async def _checked(self, networks: Sequence[str]) -> str:
        """The one address that may be connected to. Raises ConnectionRefusedError."""
        try:
            return (await resolve_allowed(self.address, networks)).address
        except MalformedError as error:
            log.warning("%s", error.message)
            raise ConnectionRefusedError(error.message) from error

    def give(self, connection: UpstreamConnection) -> None:
        """Takes back a connection whose answer is complete."""
        if self._closed or len(self._idle) >= _IDLE_CONNECTIONS:
            connection.abort()
        else:
            self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Closes idle connections, and busy ones when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an engine listens, and what it is called in requests."""

    socket: str | None = None
    host: str = ""
    port: int = 0
    name: str = "engine"
    prefix: str = ""
    tls: ssl.SSLContext | None = None
    mutual: bool = False


def _parse(address: str) -> _Place:
    """Raises ValueError for what is no address of an engine."""
    if address.startswith("unix:/"):
        return _Place(socket=address.removeprefix("unix:"))
    if is_mutual(address):
        node = parse_mutual(address)
        return _Place(None, node.host, node.port, node.name, mutual=True)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{address!r} is no address of an engine") from error
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in _PORTS or not parts.hostname or not plain or not address.isascii():
        raise ValueError(f"{address!r} is no address of an engine")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    prefix = parts.path.rstrip("/")
    return _Place(None, parts.hostname, port or _PORTS[parts.scheme], parts.netloc, prefix, tls)
