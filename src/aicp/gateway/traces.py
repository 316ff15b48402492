"""W3C trace context: what follows a request from process to process (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aicp.gateway.record import Record

PARENT, STATE = b"traceparent", b"tracestate"
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_STATE = re.compile(rb"[\x20-\x7e]*")
_LONGEST_STATE = 512
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Context:
    """Where a request comes from. `state` is what vendors add, as it came."""

    trace_id: int
    span_id: int
    sampled: bool
    state: bytes = b""


class Trace(Protocol):
    """One request as its trace sees it. All times are monotonic seconds."""

    def lines(self) -> bytes:
        """Header lines for the engine that is tried."""
        ...

    def named(self, model: str) -> None:
        """What its client calls the model."""
        ...

    def waited(self, now: float, seconds: float) -> None:
        """It has stood in a queue for so long."""
        ...

    def tried(self, replica: str, now: float, status: int) -> None:
        """It goes to a replica; `status` is what the one before answered, 0 for nothing."""
        ...

    def closed(self, record: Record, now: float) -> None:
        """It is over."""
        ...


class Passed:
    """A trace that others keep: its context goes on to the engine as it came."""

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def lines(self) -> bytes:
        """As they came."""
        return self._lines

    def named(self, model: str) -> None:
        """Nobody keeps it here."""

    def waited(self, now: float, seconds: float) -> None:
        """Nobody keeps it here."""

    def tried(self, replica: str, now: float, status: int) -> None:
        """Nobody keeps it here."""

    def closed(self, record: Record, now: float) -> None:
        """Nobody keeps it here."""


def read_context(headers: Mapping[bytes, bytes]) -> Context | None:
    """The context that a request brings; None when it has none, or one that is not sound and so is not passed on."""
    found = _PARENT.fullmatch(headers.get(PARENT, b"").strip())
    if found is None or (found[4] and found[0].startswith(b"00")):
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    if not trace_id or not span_id:
        return None
    state = headers.get(STATE, b"").strip()
    if len(state) > _LONGEST_STATE or not _STATE.fullmatch(state):
        state = b""
    return Context(trace_id, span_id, bool(int(found[3], 16) & _SAMPLED), state)


def passed_on(headers: Mapping[bytes, bytes]) -> Trace | None:
    """The trace of a request that brings a sound context, for a gateway that keeps none."""
    context = read_context(headers)
    if context is None:
        return None
    parent = b"traceparent: %b\r\n" % headers[PARENT].strip()
    return Passed(parent + _state_line(context.state))


def context_lines(context: Context) -> bytes:
    """A context as header lines."""
    parent = b"traceparent: 00-%032x-%016x-%02x\r\n" % (context.trace_id, context.span_id, context.sampled)
    return parent + _state_line(context.state)


def _state_line(state: bytes) -> bytes:
    return b"tracestate: %b\r\n" % state if state else b""
