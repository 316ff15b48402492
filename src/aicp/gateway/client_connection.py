"""A client's connection: HTTP/1.1 in, answers out in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, cast

import httptools

from aicp.gateway import http
from aicp.gateway.answer import Answer
from aicp.gateway.api_keys import Seen
from aicp.gateway.endpoints import Work
from aicp.gateway.errors import ApiError, internal_error
from aicp.gateway.gateway import Gateway, Job
from aicp.gateway.inflow import Inflow
from aicp.gateway.live import Connections
from aicp.gateway.requests import HEADERS, Request, is_local

log = logging.getLogger(__name__)

_SMALL_BODY: Final = 1 << 16
_WAITING_REQUESTS: Final = 32
_WAITING_BYTES: Final = 1 << 20
_DISCARD_BYTES: Final = 1 << 28
_DISCARD_SECONDS: Final = 60.0
_DISCARD_IDLE_SECONDS: Final = 5.0


class ClientConnection(asyncio.Protocol):
    """One connection; requests are read ahead but served one after the other."""

    __slots__ = (
        "_address",
        "_bytes_in_head",
        "_clock",
        "_discarded",
        "_discarding",
        "_gateway",
        "_headers",
        "_job",
        "_last",
        "_limits",
        "_live",
        "_local",
        "_loop",
        "_now",
        "_outbox",
        "_parser",
        "_reading",
        "_reading_since",
        "_request",
        "_seen",
        "_stalled_since",
        "_transport",
        "_url",
        "_waiting",
        "busy",
        "chunked",
        "closing",
        "leaving",
        "only",
    )

    def __init__(self, gateway: Gateway, live: Connections, loop: asyncio.AbstractEventLoop) -> None:
        self._gateway = gateway
        self._clock = gateway.site.clock
        self._limits, self._outbox = gateway.site.limits, gateway.site.outbox
        self._live, self._loop = live, loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast(asyncio.Transport, None)
        self._local, self._address, self._seen = False, "", Seen()
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: Request | None = None
        self._waiting: deque[Request] = deque()
        self._job: Job | None = None
        self._bytes_in_head = self._discarded = 0
        self._reading = self._discarding = self._last = self.leaving = False
        self._now = self._reading_since = self._clock.monotonic()
        self._stalled_since: float | None = None
        self.busy = False
        """A request is being served."""
        self.closing = False
        self.chunked = True
        self.only = gateway.only

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._local = is_local(peer)
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._live.add(self)
        self.leaving = self._live.leaving
        if len(self._live) > self._limits.connections:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._now = self._clock.monotonic()
        if self._discarding or self._last:
            self._discarded += len(data)
            if self._discarded > _DISCARD_BYTES:
                self._transport.abort()
            return
        if not self._reading:
            self._reading, self._reading_since = True, self._now
        self._bytes_in_head += len(data)
        if self._request is None and self._bytes_in_head > self._limits.header_bytes and self._head_too_large(data):
            return
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                log.exception("a request could not be read")
                self._refuse_bytes(internal_error())
                return
            self._refuse_bytes(ApiError(400, f"This is not HTTP/1.1: {error}.", code="malformed_http"))
            return
        if self._request is not None and self._bytes_in_head > self._limits.header_bytes + len(data):
            # a chunked body that brings no data but chunk extensions or trailers, which the parser holds
            self._refuse_bytes(ApiError(431, "The body has too much beside its data.", code="head_too_large"))

    def _feed(self, data: bytes) -> None:
        while data and not self._transport.is_closing():
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._discarding:
                    return
                # an upgrade is an offer: it is not taken, the request is served, and HTTP/1.1 goes on behind it
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            else:
                return

    def eof_received(self) -> bool:
        """A client that ends its side has left."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._live.discard(self)
        if not self._live:
            self._live.empty.set()
        self._waiting.clear()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def pause_writing(self) -> None:
        self._stalled_since = self._clock.monotonic()
        if self._job is not None:
            self._job.pause()

    def resume_writing(self) -> None:
        self._stalled_since = None
        if self._job is not None:
            self._job.resume()
        elif self._waiting:
            self._loop.call_soon(self._serve_next)

    def on_url(self, url: bytes) -> None:
        """httptools: the path, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header line. One behind a body (a trailer) says nothing, least of all of the next request."""
        if self._request is not None:
            return
        lowered = name.lower()
        if lowered in HEADERS:
            before = self._headers.get(lowered)
            self._headers[lowered] = value if before is None else b"%b, %b" % (before, value)

    def on_headers_complete(self) -> None:
        """httptools: the head is whole, so that most refusals are known before a body is read."""
        self._bytes_in_head = 0
        if self._discarding or self._last:
            return
        url, headers = self._url, self._headers
        # asked for its version only where it may be an old one: that makes a text each time
        plain = b"connection" not in headers and self._parser.should_keep_alive()
        version = "1.1" if plain else self._parser.get_http_version()
        old = version == "1.0"
        self._url, self._headers = b"", {}
        request = self._request = self._gateway.request(self._parser.get_method(), url, headers, old=old)
        self._gateway.admit(request, self._seen, local=self._local, address=self._address)
        length = int(headers.get(b"content-length", b"0"))
        if length > self._limits.body_bytes and not (request.endpoint and request.endpoint.work is Work.RELAY):
            self._too_large(request)
        waits = not old and b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        chunked = b"transfer-encoding" in headers
        if version == "0.9" or (chunked and (old or headers[b"transfer-encoding"].lower() != b"chunked")):
            # others may read it in another way: as a line without headers, or by the first coding and not by the last
            message = "A request needs a version in its first line, and a body as it is or once chunked."
            request.refusal = ApiError(400, message, code="malformed_http")
            self._refuse_early(request)
        elif self._parser.should_upgrade() and (length or chunked):
            # the parser does not read such a body: it must not be taken for the next request
            request.refusal = ApiError(400, "This server speaks HTTP/1.1 only; do not ask for an upgrade.")
            self._refuse_early(request)
        elif request.refusal is not None:
            if length > _SMALL_BODY or waits or chunked:
                self._refuse_early(request)
        elif request.endpoint is not None and request.endpoint.work is Work.RELAY and (length or chunked):
            request.inflow = Inflow(self._transport)  # served while its body comes, as the last of its connection
            if waits:
                self._outbox.put(self._transport, http.CONTINUE)
            self._enter(request)
        elif waits and not self.busy:
            self._outbox.put(self._transport, http.CONTINUE)

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._bytes_in_head = 0
        request = self._request
        if request is None or self._discarding:
            return
        if request.inflow is not None:
            request.inflow.feed(body)
            return
        request.size += len(body)
        if request.size > self._limits.body_bytes:
            self._too_large(request)
            self._refuse_early(request)
        elif request.refusal is None and request.endpoint is not None and request.endpoint.work is Work.CALL:
            request.parts.append(body)  # what nobody reads is not held

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        request, self._request = self._request, None
        self._reading = False
        if request is None or self._discarding:
            return
        if request.inflow is not None:
            request.inflow.end()  # it is being served already, or waits to be
            self._last = True  # the connection ends with its answer: what follows is never served, nor held
            return
        request.keep_alive = self._parser.should_keep_alive() and not request.old and request.method != b"CONNECT"
        if self._must_wait():
            self._waiting.append(request)
            if len(self._waiting) >= _WAITING_REQUESTS or sum(one.size for one in self._waiting) > _WAITING_BYTES:
                self._transport.pause_reading()
        else:
            self._serve(request)

    def write(self, data: bytes) -> None:
        """Reply: sends bytes, unless the client has just left; the request is canceled then."""
        if not self._transport.is_closing():
            self._outbox.at_once(self._transport, data)

    def finish(self, data: bytes) -> None:
        """Reply: sends a whole answer, or the last bytes of one."""
        if not self._transport.is_closing():
            self._outbox.put(self._transport, data)
        self.done()

    def abort(self) -> None:
        """Reply: ends the connection."""
        self._job = None
        self.busy = False
        self._outbox.flush()
        self._transport.abort()

    def done(self) -> None:
        """Reply: the answer is complete; the next request may be served."""
        self._job = None
        self.busy = False
        if self._transport.is_closing():
            return
        if self.closing:
            self._outbox.flush()
        if self.closing and not self._discarding:
            self._transport.close()
        elif self.closing:
            # the client sees the end of the answer at once, and may still send what it has begun to send
            if self._transport.can_write_eof():
                self._transport.write_eof()
        elif self._waiting:
            # not at once: an answer without a wait would nest the next one in this one
            self._loop.call_soon(self._serve_next)

    def leave(self) -> None:
        """A client may just be sending on a kept connection: that is answered, and told to be the last."""
        self.leaving = True

    def drain(self) -> None:
        """The gateway is ending: the answer under way is the last one."""
        self.closing = True
        if not self.busy and not self._waiting and not self._reading:
            self._outbox.flush()
            self._transport.close()

    def cut(self) -> None:
        """The gateway ends now."""
        if self._job is not None:
            self._job.cancel("interrupted")
        self._transport.abort()

    def check(self, now: float) -> None:
        """Once a second: what takes too long ends."""
        limits = self._limits
        if self.busy and not self._discarding:
            self._now = now  # idle time begins when an answer ends
        if self._stalled_since is not None and now - self._stalled_since > limits.stalled_reader_seconds:
            self._transport.abort()
        elif self._job is not None:
            self._job.check(now)
        elif self._discarding:
            if now - self._now > _DISCARD_IDLE_SECONDS or now - self._reading_since > _DISCARD_SECONDS:
                self._transport.abort()
        elif self.busy:
            return
        elif self._reading:
            self._check_reading(now)
        elif now - self._now > (limits.leave_idle_seconds if self.leaving else limits.idle_seconds):
            self._transport.close()

    def _check_reading(self, now: float) -> None:
        limits = self._limits
        if self._request is None:
            late = now - self._reading_since > limits.header_seconds
        else:
            late = now - self._now > limits.body_idle_seconds or now - self._reading_since > limits.body_seconds
        if late:
            self._refuse_bytes(ApiError(408, "The request did not arrive in time.", code="request_timeout"))

    def leave_body(self) -> None:
        """Reply: the answer comes before the body has ended. What still comes is thrown away."""
        self._discarding = True
        self._reading_since = self._clock.monotonic()
        self._request = None

    def _serve_next(self) -> None:
        ready = self._waiting and not self.busy and self._stalled_since is None
        if ready and not self._transport.is_closing():
            request = self._waiting.popleft()
            self._transport.resume_reading()
            self._serve(request)

    def _serve(self, request: Request) -> None:
        self.busy = True
        self.chunked = not request.old
        self.closing = self.closing or not request.keep_alive or (self.leaving and not self._waiting)
        job = None
        try:
            job = self._gateway.begin(request, self)
        except Exception:
            log.exception("request %s could not be served", request.id)
            if self.busy:
                Answer(self, request).error(internal_error())
        if self.busy:
            self._job = job
            if self._stalled_since is not None and job is not None:
                job.pause()

    def _too_large(self, request: Request) -> None:
        size = self._limits.body_bytes // 2**20
        request.refusal = ApiError(413, f"The body is larger than {size} MiB.", code="body_too_large")

    def _refuse_early(self, request: Request) -> None:
        """Answers before the body has come. What still comes is thrown away, else the client never sees the answer."""
        self.closing = self._discarding = True
        self._reading_since = self._clock.monotonic()
        self._request = None
        request.keep_alive = False
        self._enter(request)

    def _enter(self, request: Request) -> None:
        if self._must_wait():
            self._waiting.append(request)
        else:
            self._serve(request)

    def _must_wait(self) -> bool:
        """Answers keep the order of requests, and none is made while the client does not take those before it."""
        return self.busy or bool(self._waiting) or self._stalled_since is not None

    def _head_too_large(self, data: bytes) -> bool:
        """Whether it is the head, and not the body that came with it, that is too large; then it is refused."""
        end = data.find(b"\r\n\r\n")
        if end >= 0 and self._bytes_in_head - len(data) + end <= self._limits.header_bytes:
            return False
        size = self._limits.header_bytes // 1024
        self._refuse_bytes(ApiError(431, f"The head of the request is larger than {size} KiB.", code="head_too_large"))
        return True

    def _refuse_bytes(self, error: ApiError) -> None:
        """Answers what could not be read as a request."""
        if self._discarding or self._last:
            return  # its head was refused already, or it is never served
        method = self._parser.get_method() if self._url else b""
        request = self._request or self._gateway.request(method, b"", {})
        request.refusal = request.refusal or error
        self._refuse_early(request)
