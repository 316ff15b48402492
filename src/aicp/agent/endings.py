"""Says why an engine ended, in words a user understands."""

from __future__ import annotations

import re
import signal

from aicp.core.quantity import format_bytes

_LONGEST = 600
_STARTING = "aicp: starting "  # what the agent notes in the log before each start
_TELLING = re.compile(
    r"error|exception|fail|fatal|cannot|could not|not found|out of memory|killed|refus", re.IGNORECASE
)
_EXCEPTION = re.compile(r"(?:^|\] +)([\w.]*(?:Error|Exception): .+)$")
"""The line that ends a traceback, also behind the prefix of a log."""


def explain_ending(code: int | None, log_tail: str, *, memory_kills: int = 0, memory_limit_bytes: int = 0) -> str:
    """The exit code in words, and the log lines that tell most. `code` negative is a signal, None unknown."""
    if memory_kills > 0:
        limit = f" of {format_bytes(memory_limit_bytes)}" if memory_limit_bytes else ""
        return f"The engine needed more host memory than its limit{limit} and was ended by the kernel."
    how = _how(code)
    lines = telling_lines(log_tail)
    return f"{how} Its last words: {lines}" if lines else how


def telling_lines(log_tail: str, count: int = 3) -> str:
    """The exceptions of the last start, else its last lines that speak of a failure, else its very last ones.

    At most 600 characters.
    """
    lines = [line.strip() for line in log_tail.splitlines() if line.strip()]
    # A log holds many starts, and the agent's own words about how the earlier ones ended.
    begins = [number for number, line in enumerate(lines, start=1) if line.startswith(_STARTING)]
    lines = lines[begins[-1] :] if begins else lines
    # The first exception is the cause; the processes above it end with exceptions of their own.
    raised = list(dict.fromkeys(match[1] for line in lines if (match := _EXCEPTION.search(line))))
    if raised:
        return " / ".join(raised if len(raised) <= count else [*raised[: count - 1], raised[-1]])[:_LONGEST]
    telling = [line for line in lines if _TELLING.search(line)] or lines
    return " / ".join(telling[-count:])[-_LONGEST:]


def _how(code: int | None) -> str:
    if code is None:
        return "The engine ended (its exit code went to an earlier agent)."
    if code < 0:
        return f"The engine was ended by {_signal_name(-code)}."
    if code == 0:
        return "The engine ended by itself without an error."
    return f"The engine ended with exit code {code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
