"""Streams of server-sent events on their way to the client: usage is read, and hidden when it was not asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from aicp.gateway.engine_errors import event_error
from aicp.gateway.errors import ApiError, Dialect, openai_error
from aicp.gateway.reports import Event
from aicp.gateway.tokens import Tokens, read_event, usage_of_part

_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_EVENT: Final = 16 * 2**20
_TAIL: Final = 4096
_LAST_TYPES: Final = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


class Stream(Protocol):
    """Turns the engine's stream into the client's."""

    @property
    def complete(self) -> bool:
        """The engine has said its last word."""
        ...

    @property
    def failed(self) -> bool:
        """The engine has reported an error within the stream."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What the client gets for a piece of the engine's stream. Raises ApiError when that is no stream of events."""
        ...

    def finish(self) -> bytes:
        """What the client gets when the engine's answer ends."""
        ...

    def break_off(self, error: ApiError) -> bytes:
        """What the client gets when the engine's answer ends too early."""
        ...


class EventBuffer:
    """Cuts a stream into whole events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def whole(self, data: bytes) -> bytes:
        """All events that are complete with `data`, as one piece; the rest waits for more."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if data.endswith(b"\n\n") or data.endswith(b"\r\n\r\n"):
            return data
        cut = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4)
        if cut < 4:
            cut = 0
        self._rest = data[cut:]
        if len(self._rest) > _LONGEST_EVENT:
            raise ApiError(502, "The engine sent an event without end.", code="engine_error")
        return data[:cut]

    def rest(self) -> bytes:
        """What came after the last whole event."""
        rest, self._rest = self._rest, b""
        return rest


def split_events(data: bytes) -> Iterator[bytes]:
    """The events of a piece that ends with one."""
    start = 0
    for end in _END.finditer(data):
        yield data[start : end.end()]
        start = end.end()
    if start < len(data):
        yield data[start:]


def event_data(event: bytes) -> bytes:
    """The data of one event."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)


def error_event(error: ApiError) -> bytes:
    """An error within a stream, as OpenAI's clients expect it."""
    return b"data: %b\n\n" % msgspec.json.encode(openai_error(error))


class ChatStream:
    """Chat or text completions, passed on as they come."""

    def __init__(self, tokens: Tokens, *, show_usage: bool) -> None:
        self._tokens = tokens
        self._show_usage = show_usage
        self._events = EventBuffer()
        self.complete = False
        self.failed = False

    def feed(self, data: bytes) -> bytes:
        data = self._events.whole(data)
        if data.find(b'"usage"') >= 0 or data.find(b'"error"') >= 0:
            data = b"".join(self._shown(event) for event in split_events(data))
        if data.endswith(b"data: [DONE]\n\n") or data.endswith(b"data: [DONE]\r\n\r\n"):
            self.complete = True
        return data

    def finish(self) -> bytes:
        return self._events.rest()

    def break_off(self, error: ApiError) -> bytes:
        return error_event(error)

    def _shown(self, event: bytes) -> bytes:
        """What the client sees of an event."""
        data = event_data(event)
        read = read_event(data)
        if read is None:
            return event
        if read.error is not None:
            self.failed = True
            return error_event(event_error(data))
        if read.usage is None:
            return event
        self._tokens.update(read.usage)
        if self._show_usage:
            return event
        # some engines tell it in the chunk that ends the answer, or in every chunk
        return _without_usage(event, data) if read.choices else b""


class RawStream:
    """An answer of any kind (sound, subtitles), passed on as it comes; usage is read where it ends with some."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._tail = b""
        self.complete = self.failed = False

    def feed(self, data: bytes) -> bytes:
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]
        return data

    def finish(self) -> bytes:
        usage = usage_of_part(self._tail)
        if usage is not None:
            self._tokens.update(usage)
        return b""

    def break_off(self, error: ApiError) -> bytes:
        return b""


class TypedStream:
    """Responses or messages of an engine that speaks them itself: every event has a `type`."""

    def __init__(self, tokens: Tokens, dialect: Dialect, request_id: str) -> None:
        self._tokens = tokens
        self._request_id = request_id
        self._dialect = dialect
        self._events = EventBuffer()
        self.complete = False
        self.failed = False

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._shown(event) for event in split_events(self._events.whole(data)))

    def finish(self) -> bytes:
        return self._events.rest()

    def break_off(self, error: ApiError) -> bytes:
        if self._dialect is Dialect.ANTHROPIC:
            return b"event: error\ndata: %b\n\n" % error.body(self._dialect, self._request_id)
        event = {"type": "error", "code": error.code, "message": error.message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)

    def _shown(self, event: bytes) -> bytes:
        data = event_data(event)
        read = read_event(data)
        if read is None:
            return event
        if read.type is None and read.error is not None:
            # an error of the engine's HTTP server, in a schema that clients of this one do not know
            self.failed = True
            return self.break_off(event_error(data))
        self._read(read)
        return event

    def _read(self, event: Event) -> None:
        message = event.message if not isinstance(event.message, str) else None
        for part in (event, event.response, message):
            if part is not None and part.usage is not None:
                self._tokens.update(part.usage)
        self.complete = self.complete or event.type in _LAST_TYPES
        self.failed = self.failed or event.type in ("error", "response.failed")


def _without_usage(event: bytes, data: bytes) -> bytes:
    try:
        fields: dict[str, msgspec.Raw] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except UnicodeDecodeError:
        return event  # a name in it is no text: it stays as it is
    del fields["usage"]
    shown = msgspec.json.encode(fields)
    return event.replace(data, shown) if data in event else b"data: %b\n\n" % shown
