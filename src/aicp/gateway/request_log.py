"""What is kept of requests beyond their usage: bodies, where a project wants them. Best effort, bounded, redacted.

Bodies are held in memory until their request has ended and go to the disk redacted: what must not be kept is never
there. What finds no room, in memory or on the disk, is dropped and counted; no request waits for it or fails of it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

import msgspec

from aicp.core.clock import Clock
from aicp.core.route import RequestLogEntry
from aicp.gateway.answer import Answer
from aicp.gateway.body_entries import EVENTS, BodyEntry, Seen, fill, is_text
from aicp.gateway.body_segments import BodySegments
from aicp.gateway.meter import Meter
from aicp.gateway.record import Record
from aicp.gateway.requests import Request

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_ENDS_WITHIN_SECONDS = 120.0
"""An answer whose request is accounted for and whose end is never told has ended by then."""
_MOST_HELD_BYTES = 1 << 26
_OWN_BYTES = 1 << 10
"""What a request takes beside its bodies."""
_EVENTS_FACTOR = 16
"""So much longer are a stream's events than the text in them that is kept."""
_FINE = frozenset({"ok", "canceled"})
_LEFT = frozenset({"canceled", "interrupted"})
"""How requests end whose answer has no end."""
_encode = msgspec.json.Encoder().encode


class Sighting:
    """One request whose bodies are kept, as a witness of its answer."""

    __slots__ = (
        "_full",
        "_log",
        "_most",
        "_parts",
        "_told",
        "answer",
        "closed_at",
        "held",
        "over",
        "record",
        "request",
        "rule",
    )

    def __init__(self, owner: RequestLog, rule: RequestLogEntry, request: Seen) -> None:
        self._log, self.rule, self.request = owner, rule, request
        self.answer = Seen(whole=False)
        self._parts: list[bytes] = []
        self._most = 0
        self.held = len(request.data) + _OWN_BYTES
        self.record: Record | None = None
        self._told = self._full = self.over = False
        self.closed_at = 0.0

    def saw(self, content_type: bytes, data: bytes) -> None:
        """See Witness."""
        if self.over:
            return
        answer = self.answer
        if not answer.kind:
            answer.kind = content_type.decode("latin-1")[:100].lower()
            self._full = not is_text(answer.kind)
            self._most = self.rule.max_body_bytes * (_EVENTS_FACTOR if answer.kind.startswith(EVENTS) else 1)
        answer.size += len(data)
        if self._full or not data:
            return
        kept = data[: self._most]
        self._most -= len(kept)
        if not self._log.hold(len(kept)):
            kept = b""
        self._full = len(kept) < len(data)  # what comes later is not put behind a gap
        self._parts.append(kept)
        self.held += len(kept)

    def closed(self, record: Record) -> None:
        """See Witness."""
        self.record = record
        if self._told or record.outcome in _LEFT:
            self.end()
        else:
            self._log.ends(self)

    def ended(self, *, whole: bool) -> None:
        """See Witness."""
        self._told, self.answer.whole = True, whole
        if self.record is not None:
            self.end()

    def end(self) -> None:
        """Nothing more comes."""
        if not self.over:
            self.over = True
            self.answer.data = b"".join(self._parts)
            self._parts = []
            self._log.over(self)


class RequestLog:
    """Keeps bodies in `segments`. `random` gives floats from 0 to 1."""

    def __init__(self, segments: BodySegments, clock: Clock, random: Callable[[], float]) -> None:
        self._segments, self._clock, self._random = segments, clock, random
        self._ending: dict[Sighting, None] = {}
        self._ready: list[Sighting] = []
        self._held = 0
        self.dropped = 0
        """Bodies that found no room in memory, or could not be redacted or written."""

    def watch(self, rule: RequestLogEntry, request: Request, answer: Answer, meter: Meter) -> None:
        """Looks at a request that begins, if chance wants it and there is room."""
        if rule.share < 1.0 and self._random() >= rule.share:
            return
        seen = _seen(request, rule.max_body_bytes)
        if not self.hold(len(seen.data) + _OWN_BYTES):
            self.dropped += 1
            return
        sighting = Sighting(self, rule, seen)
        answer.witnesses += (sighting,)
        meter.witnesses += (sighting,)

    def hold(self, size: int) -> bool:
        """Takes room in memory; False when there is none."""
        if self._held + size > _MOST_HELD_BYTES:
            return False
        self._held += size
        return True

    def ends(self, sighting: Sighting) -> None:
        """Its request is accounted for; the last of its answer is still to come."""
        sighting.closed_at = self._clock.monotonic()
        self._ending[sighting] = None

    def over(self, sighting: Sighting) -> None:
        """It is complete."""
        self._ending.pop(sighting, None)
        record = sighting.record
        if record is None or (sighting.rule.bodies == "errors" and record.outcome in _FINE):
            self._held -= sighting.held
        else:
            self._ready.append(sighting)

    async def run(self) -> None:
        """Writes what has ended, for ever."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            self._give_up_late()
            await self.write()

    async def write(self, most_seconds: float = math.inf) -> None:
        """Writes what has ended; what is not written in that time is dropped."""
        ready, self._ready = self._ready, []
        if not ready:
            return
        try:
            self.dropped += await asyncio.to_thread(self._write, ready, time.monotonic() + most_seconds)
        finally:
            self._held -= sum(sighting.held for sighting in ready)

    def _write(self, ready: list[Sighting], deadline: float) -> int:
        """How many could not be written. Works for half of the time at most: requests come first."""
        lost = 0
        for number, sighting in enumerate(ready):
            began = time.monotonic()
            if began > deadline:
                return lost + len(ready) - number
            try:
                self._segments.append(_line(sighting))
            except OSError as error:
                lost += 1
                log.warning("bodies of a request are dropped: %s", error)
            except Exception:
                # what cannot be redacted is never written
                lost += 1
                log.exception("bodies of a request could not be redacted and are dropped")
            time.sleep(time.monotonic() - began)
        return lost

    def _give_up_late(self) -> None:
        late = self._clock.monotonic() - _ENDS_WITHIN_SECONDS
        for sighting in list(self._ending):
            if sighting.closed_at > late:
                break
            sighting.end()


def _seen(request: Request, most: int) -> Seen:
    kind = request.headers.get(b"content-type", b"application/json").decode("latin-1")[:100].lower()
    seen = Seen(kind, size=sum(map(len, request.parts)), whole=True)
    if seen.size and is_text(kind):
        seen.data = b"".join(request.parts)[:most] if len(request.parts) > 1 else request.parts[0][:most]
    return seen


def _line(sighting: Sighting) -> bytes:
    record = sighting.record
    assert record is not None
    entry = BodyEntry(
        record.request_id,
        record.api_key_id,
        record.project,
        record.service,
        record.endpoint,
        record.started_at,
        record.outcome,
        record.status,
    )
    fill(entry, sighting.rule, sighting.request, sighting.answer)
    return b"%b\n" % _encode(entry)
