"""Client of the control plane's internal interface, for the platform's own processes.

Small on purpose: the gateway's memory is counted, and a general HTTP client would double it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httptools
import msgspec

from aicp.client.trust import pinned
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.live import NOBODY, LiveReport, Watched
from aicp.core.route import RouteTable, Totals

T = TypeVar("T")
_READ_BYTES = 1 << 18
_JSON = {"content-type": "application/json"}


class InternalClient:
    """The interface at `url` under the platform's internal token.

    Every method raises UnavailableError when control does not answer and AicpError (with `status`) when it refuses.
    `certificate` is the PEM file that an https `url` is pinned to. One connection a call at a time is kept open.
    """

    def __init__(self, url: str, token: str, *, certificate: Path | None = None, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(url)
        self.url = url
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = pinned(certificate) if parts.scheme == "https" else None
        self._fixed = f"host: {parts.netloc}\r\nauthorization: Bearer {token}\r\n"
        self._timeout_seconds = timeout_seconds
        self._idle: list[_Connection] = []

    async def routes(self, etag: str = "", *, wait_seconds: float = 30.0) -> RouteTable | None:
        """The route table; None when it still is the one of `etag` after `wait_seconds`."""
        path = f"/internal/v1/routes?etag={quote(etag, safe='')}&wait={wait_seconds:g}"
        answer = await self._send("GET", path, timeout_seconds=wait_seconds + self._timeout_seconds)
        return None if answer.status == HTTPStatus.NOT_MODIFIED else self._decode(answer.body, RouteTable)

    async def usage(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        """Ships closed records (JSON of `aicp.core.usage.UsageRecord`); the same (gateway_id, sequence) counts once."""
        head = b'{"gateway_id":%b,"sequence":%d,"records":[' % (msgspec.json.encode(gateway_id), sequence)
        await self._send("POST", "/internal/v1/usage", b"%b%b]}" % (head, b",".join(records)))

    async def bodies(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        """Ships bodies of requests (JSON of `aicp.core.request_log.BodyRecord`); those that came before count once."""
        head = b'{"gateway_id":%b,"sequence":%d,"records":[' % (msgspec.json.encode(gateway_id), sequence)
        await self._send("POST", "/internal/v1/request-bodies", b"%b%b]}" % (head, b",".join(records)))

    async def heartbeat(
        self,
        gateway_id: str,
        etag: str,
        inflight: Mapping[str, int],
        started_at: datetime | None = None,
        facts: Mapping[str, Any] | None = None,
        live: LiveReport | None = None,
    ) -> Watched:
        """Tells which table a gateway serves from, its requests in flight by replica, more `facts`, and what goes on.

        Answers what somebody looks at, so that the next heartbeat can tell it.
        """
        beat = {"etag": etag, "inflight": dict(inflight), "started_at": started_at, **(facts or {})}
        if live is not None:
            beat["live"] = live
        path = f"/internal/v1/gateways/{quote(gateway_id, safe='')}/heartbeat"
        answer = await self._send("POST", path, msgspec.json.encode(beat))
        return self._decode(answer.body, Watched) if answer.status == HTTPStatus.OK else NOBODY

    async def totals(self, gateway_id: str) -> Totals:
        """What limits by day and month count, with the gateway's batches so far."""
        answer = await self._send("GET", f"/internal/v1/gateways/{quote(gateway_id, safe='')}/totals")
        return self._decode(answer.body, Totals)

    async def artifact(self, sha256: str, *, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a model file from `offset` on. The caller checks the digest."""
        headers = {"range": f"bytes={offset}-"} if offset else {}
        connection = await self._connect()
        try:
            wanted = HTTPStatus.PARTIAL_CONTENT if offset else HTTPStatus.OK
            connection.send(self._request("GET", f"/internal/v1/artifacts/{quote(sha256, safe='')}", None, headers))
            async for piece in connection.pieces(self._timeout_seconds):
                if connection.answer.status == wanted and piece:
                    yield piece
            if connection.answer.status != wanted:
                raise _refused(connection.answer)
        except (OSError, EOFError, httptools.HttpParserError) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    @asynccontextmanager
    async def relay(
        self, method: str, path: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
    ) -> AsyncIterator[RelayedAnswer]:
        """A request whose body and answer pass through piece by piece. A body goes on a connection of its own, once.

        An answer that comes before the body's end ends the body. Raises UnavailableError, also in the middle.
        """
        connection = await self._connect()
        sending: asyncio.Task[None] | None = None
        try:
            chunked = {} if body is None else {"transfer-encoding": "chunked"}
            connection.send(self._request(method, path, None, {**headers, **chunked}))
            sending = None if body is None else asyncio.ensure_future(connection.send_body(body))
            answer = RelayedAnswer(connection)
            await answer.head()
            yield answer
        except (OSError, EOFError, httptools.HttpParserError) as error:
            raise self._unreachable(error) from error
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            connection.close()

    async def close(self) -> None:
        """Gives connections back."""
        while self._idle:
            self._idle.pop().close()

    async def _send(
        self, method: str, path: str, body: bytes | None = None, *, timeout_seconds: float | None = None
    ) -> _Answer:
        request = self._request(method, path, body, _JSON if body is not None else {})
        try:
            async with asyncio.timeout(timeout_seconds or self._timeout_seconds):
                answer = await self._exchange(request)
        except (OSError, EOFError, httptools.HttpParserError) as error:
            raise self._unreachable(error) from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(answer)
        return answer

    async def _exchange(self, request: bytes) -> _Answer:
        """Every call may be sent twice: all are idempotent. So a kept connection that went stale costs nothing."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(OSError, EOFError):
                return await self._over(connection, request)
        return await self._over(await self._connect(), request)

    async def _over(self, connection: _Connection, request: bytes) -> _Answer:
        complete = False
        try:
            connection.send(request)
            async for _ in connection.pieces(None):
                pass
            complete = True
        finally:
            if complete and connection.reusable:
                self._idle.append(connection)
            else:
                connection.close()
        return connection.answer

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_READ_BYTES)
        except OSError as error:
            raise self._unreachable(error) from error
        return _Connection(reader, writer)

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = "" if body is None else f"content-length: {len(body)}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{self._fixed}{lines}{length}\r\n".encode() + (body or b"")

    def _decode(self, body: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.DecodeError as error:
            raise UnavailableError(
                f"The control plane at {self.url} sent what is no {shape.__name__}: {error}"
            ) from error

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"The control plane at {self.url} does not answer ({str(error) or type(error).__name__}).",
            hint="It is restarted by itself; look at logs/control.log in the data directory when this lasts.",
        )


@dataclass(slots=True)
class _Answer:
    status: int = 0
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list[bytes])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    complete: bool = False


class _Connection:
    """One connection; also what httptools calls back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = httptools.HttpResponseParser(self)
        self.answer = _Answer()
        self._kept = False

    @property
    def reusable(self) -> bool:
        return self._kept and not self._reader.at_eof()

    def send(self, request: bytes) -> None:
        self.answer = _Answer()
        self._writer.write(request)

    async def pieces(self, timeout_seconds: float | None) -> AsyncIterator[bytes]:
        """The body as it comes; `answer.body` is the whole of an error or of a short answer. Raises EOFError."""
        kept: list[bytes] = []
        while not self.answer.complete:
            async with asyncio.timeout(timeout_seconds):
                data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError("the connection ended early")
            self._parser.feed_data(data)
            fresh, self.answer.pieces = self.answer.pieces, []
            if timeout_seconds is None or self.answer.status >= HTTPStatus.BAD_REQUEST:
                kept += fresh
            for piece in fresh:
                yield piece
        self.answer.body = b"".join(kept)

    async def send_body(self, body: AsyncIterator[bytes]) -> None:
        """Sends a body in chunks, no faster than the other side takes it."""
        with suppress(OSError):  # what it answers, or that it does not, is seen where answers are read
            async for piece in body:
                self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await self._writer.drain()
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()

    async def more(self) -> list[bytes]:
        """Pieces of the body that have come, none when it is complete. Raises EOFError."""
        while not self.answer.pieces and not self.answer.complete:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError("the connection ended early")
            self._parser.feed_data(data)
        fresh, self.answer.pieces = self.answer.pieces, []
        return fresh

    async def head(self) -> None:
        """Reads until the answer's head is there. Raises EOFError."""
        while not self.answer.status:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError("the connection ended early")
            self._parser.feed_data(data)

    def close(self) -> None:
        self._writer.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.answer.pieces.append(body)

    def on_message_complete(self) -> None:
        self.answer.complete = True
        # asked here: the parser forgets the message's framing right after
        self._kept = self._parser.should_keep_alive()


class RelayedAnswer:
    """An answer that comes piece by piece. Names of `headers` are in lower case."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def head(self) -> None:
        """Waits for status and headers."""
        await self._connection.head()

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return self._connection.answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        return self._connection.answer.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its body, no faster than it is asked for."""
        while fresh := await self._connection.more():
            for piece in fresh:
                yield piece


def _refused(answer: _Answer) -> AicpError:
    error = AicpError(f"The control plane answered {answer.status}: {answer.body[:500].decode(errors='replace')}")
    error.status = answer.status
    return error
