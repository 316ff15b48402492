"""What the client gets: a whole answer, a stream, or an error."""

from __future__ import annotations

from typing import Final, Protocol

from aicp.gateway import http
from aicp.gateway.errors import ApiError
from aicp.gateway.record import Record
from aicp.gateway.requests import Request

_STREAM_HEADERS: Final = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"


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

    def leave_body(self) -> None:
        """The answer comes before the request's body has ended."""
        ...


class Witness(Protocol):
    """Sees a request's answer beside its client: for what must be kept of it."""

    def saw(self, content_type: bytes, data: bytes) -> None:
        """A part of the answer's body, or all of it, as the client gets it."""
        ...

    def closed(self, record: Record) -> None:
        """The request is accounted for, once; the last of its answer may come after that, when nobody has left."""
        ...

    def ended(self, *, whole: bool) -> None:
        """Nothing more comes; `whole`: the client has got a complete answer, which may be an error."""
        ...


class Answer:
    """Writes one answer in HTTP."""

    __slots__ = ("_reply", "_request", "kind", "more", "sent", "witnesses")

    def __init__(self, reply: Reply, request: Request) -> None:
        self._reply = reply
        self._request = request
        self.sent = False
        """Whether the client has got anything."""
        self.more = b""
        """Header lines that every answer of this request carries."""
        self.kind: bytes | None = None
        """What an answer in pieces is, where it is the engine that says it."""
        self.witnesses: tuple[Witness, ...] = ()

    def whole(self, body: bytes, content_type: bytes = http.JSON) -> None:
        """A complete answer, 200."""
        self._finish(200, content_type, body)

    def relayed(self, status: int, content_type: bytes, body: bytes) -> None:
        """A complete answer that another process gave."""
        self._finish(status, content_type, body)

    def error(self, error: ApiError) -> None:
        """A complete answer that is an error."""
        self._finish(error.status, http.JSON, error.body(self._request.dialect, self._request.id), error.headers())

    def piece(self, data: bytes, content_type: bytes) -> None:
        """A piece of an answer whose length is not known."""
        reply = self._reply
        if not self.sent:
            self._start(content_type)
        for witness in self.witnesses:
            witness.saw(self.kind or content_type, data)
        if data:
            reply.write(b"%x\r\n%b\r\n" % (len(data), data) if reply.chunked else data)

    def end(self, data: bytes, content_type: bytes) -> None:
        """The last piece, maybe empty."""
        self.piece(data, content_type)
        if self._reply.chunked:
            self._reply.write(http.LAST_CHUNK)
        self._reply.done()
        for witness in self.witnesses:
            witness.ended(whole=True)

    def leave_body(self) -> None:
        """The rest of the request's body is not needed."""
        self._reply.leave_body()

    def abort(self) -> None:
        """Cuts an answer that cannot be completed and has no way to say so."""
        self._reply.abort()
        for witness in self.witnesses:
            witness.ended(whole=False)

    def _finish(self, status: int, content_type: bytes, body: bytes, more: bytes = b"") -> None:
        self.sent = True
        reply, request = self._reply, self._request
        head = http.head(
            status, content_type, request.id.encode(), length=len(body), close=reply.closing, more=self.more + more
        )
        # HEAD gets the head of what GET would get; a body would be taken for the next answer
        reply.finish(head if request.method == b"HEAD" else head + body)
        for witness in self.witnesses:
            witness.saw(content_type, body)
            witness.ended(whole=True)

    def _start(self, content_type: bytes) -> None:
        self.sent = True
        reply = self._reply
        if not reply.chunked:
            reply.closing = True
        more = self.more + _STREAM_HEADERS if content_type is http.EVENTS else self.more
        content_type, name = self.kind or content_type, self._request.id.encode()
        reply.write(http.head(200, content_type, name, close=reply.closing, chunked=reply.chunked, more=more))
