"""Answers name the model as their caller did, where its engine knows it by another name."""

from __future__ import annotations

import msgspec

from aicp.gateway.bodies import Fields, encode
from aicp.gateway.errors import ApiError
from aicp.gateway.streams import Stream, event_data, split_events

_fields = msgspec.json.Decoder(Fields)
_HOLDERS = ("response", "message")
"""Objects within streamed events that name the model once more."""


def named(body: bytes, name: str) -> bytes:
    """A JSON object with its `model` replaced; all else, and what is no object, stays as it is."""
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    changed = {"model": msgspec.Raw(encode(name))} if "model" in fields else {}
    for holder in _HOLDERS:
        inner = bytes(fields[holder]) if holder in fields else b""
        renamed = named(inner, name) if inner.startswith(b"{") else inner
        if renamed != inner:
            changed[holder] = msgspec.Raw(renamed)
    return encode({**fields, **changed}) if changed else body


class NamedStream:
    """A stream of which every event names the model `name`."""

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream, self._name = stream, name

    @property
    def complete(self) -> bool:
        """See Stream."""
        return self._stream.complete

    @property
    def failed(self) -> bool:
        """See Stream."""
        return self._stream.failed

    def feed(self, data: bytes) -> bytes:
        """See Stream."""
        return b"".join(self._named(event) for event in split_events(self._stream.feed(data)))

    def finish(self) -> bytes:
        """See Stream."""
        return self._stream.finish()

    def break_off(self, error: ApiError) -> bytes:
        """See Stream."""
        return self._stream.break_off(error)

    def _named(self, event: bytes) -> bytes:
        data = event_data(event)
        return event.replace(data, named(data, self._name)) if data.startswith(b"{") else event
