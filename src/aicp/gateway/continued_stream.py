"""A stream that can change its engine: what the client has got of it is kept, and read only when that is needed."""

from __future__ import annotations

from typing import Final

from aicp.gateway.continuations import Said, Splice, rest_of
from aicp.gateway.errors import ApiError
from aicp.gateway.streams import EventBuffer, Stream
from aicp.gateway.tokens import Tokens

_PIECES_BYTES: Final = 1 << 16
"""More than that of an engine's events is not held: they are read, and their text, a fortieth of them, stays."""
_MOST_CHARACTERS: Final = 1 << 18
"""A longer answer is not continued."""


class ContinuedStream:
    """A stream of completions. `body` is the request that it answers, `how` says how its engines go on with a text."""

    def __init__(self, stream: Stream, tokens: Tokens, path: str, how: str, body: bytes) -> None:
        self._stream, self._tokens = stream, tokens
        self._path, self._how, self._body = path, how, body
        self._events = EventBuffer()
        self._pieces: list[bytes] = []
        self._size = 0
        self._said = Said()
        self._splice: Splice | None = None
        self._keeps = True
        self._ending = b""
        self.rest = b""
        """The request for what is missing of the answer; empty: there is only an end to make."""

    @property
    def complete(self) -> bool:
        """See Stream."""
        return self._stream.complete

    @property
    def failed(self) -> bool:
        """See Stream."""
        return self._stream.failed

    def feed(self, data: bytes) -> bytes:
        """See Stream. The client gets whole events only: what breaks off within one was never seen."""
        data = self._events.whole(data)
        if self._splice is not None:
            data = self._splice.events(data)
        if self._keeps and data:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > _PIECES_BYTES:
                self._read()
        return self._stream.feed(data)

    def finish(self) -> bytes:
        """See Stream."""
        return self._stream.feed(self._events.rest() + self._ending) + self._stream.finish()

    def break_off(self, error: ApiError) -> bytes:
        """See Stream."""
        return self._stream.break_off(error)

    def lost(self) -> bool:
        """Its engine has ended. Whether the answer can be completed all the same: by `rest`, or by `finish` at once."""
        self._events.rest()
        if not self._keeps or self._stream.failed:
            return False
        self._read()
        tokens = max(self._said.pieces, self._tokens.completion or 0)
        told = tokens - self._said.blank
        rest = rest_of(self._path, self._how, self._body, self._said, told) if self._keeps else None
        if rest is None:
            return False
        self.rest = rest
        self._splice = Splice(self._said, told, self._tokens.prompt)
        if not rest:
            self._ending = self._said.ending(self._path)
            if self._tokens.completion is None:
                self._tokens.completion = tokens
        return True

    def _read(self) -> None:
        """Takes the text from the events that are held."""
        said = self._said
        said.read(b"".join(self._pieces))
        self._pieces, self._size = [], 0
        if said.size > _MOST_CHARACTERS or (not said.plain and not said.finished):
            self._keeps, self._said = False, Said()


def no_stream(body: bytes, request_id: str) -> bytes:
    """The rest of a stream can only be one."""
    raise ApiError(502, "The engine did not stream the rest of the answer.", code="engine_error")
