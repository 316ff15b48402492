"""What the client gets: a whole answer, a stream, or an error."""

from __future__ import annotations

from typing import Protocol

from aicp.gateway import http
from aicp.gateway.errors import ApiError, Dialect

_STREAM_HEADERS = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"


class Reply(Protocol):
    """The client's connection, for the time of one request."""

    closing: bool
    """The connection ends after this answer, so its head must say so."""
    chunked: bool
    """The client understands chunked bodies."""

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        ...

    def done(self) -> None:
        """The answer is complete."""
        ...

    def finish(self, data: bytes) -> None:
        """The last bytes of an answer."""
        ...

    def abort(self) -> None:
        """Ends the connection: the answer cannot be completed and the client must not take it for whole."""
        ...


class Answer:
    """Writes one answer in HTTP."""

    __slots__ = ("_dialect", "_reply", "_request_id", "sent")

    def __init__(self, reply: Reply, dialect: Dialect, request_id: str) -> None:
        self._reply = reply
        self._dialect = dialect
        self._request_id = request_id
        self.sent = False
        """Whether the client has got anything."""

    def whole(self, body: bytes, content_type: bytes = http.JSON) -> None:
        """A complete answer, 200."""
        self.sent = True
        reply = self._reply
        name = self._request_id.encode()
        reply.finish(http.head(200, content_type, name, length=len(body), close=reply.closing) + body)

    def error(self, error: ApiError) -> None:
        """A complete answer that is an error."""
        self.sent = True
        reply = self._reply
        body = error.body(self._dialect, self._request_id)
        name, more = self._request_id.encode(), error.headers()
        reply.finish(http.head(error.status, http.JSON, name, length=len(body), close=reply.closing, more=more) + body)

    def piece(self, data: bytes, content_type: bytes) -> None:
        """A piece of an answer whose length is not known."""
        reply = self._reply
        if not self.sent:
            self._start(content_type)
        if data:
            reply.write(b"%x\r\n%b\r\n" % (len(data), data) if reply.chunked else data)

    def end(self, data: bytes, content_type: bytes) -> None:
        """The last piece, maybe empty."""
        self.piece(data, content_type)
        if self._reply.chunked:
            self._reply.write(http.LAST_CHUNK)
        self._reply.done()

    def abort(self) -> None:
        """Cuts an answer that cannot be completed and has no way to say so."""
        self._reply.abort()

    def _start(self, content_type: bytes) -> None:
        self.sent = True
        reply = self._reply
        if not reply.chunked:
            reply.closing = True
        more = _STREAM_HEADERS if content_type is http.EVENTS else b""
        name = self._request_id.encode()
        reply.write(http.head(200, content_type, name, close=reply.closing, chunked=reply.chunked, more=more))
