"""Connections between machines: a side that falls silent without a word, as in a cut network, is known to be gone."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final, Protocol

_SILENT_SECONDS: Final = 3
_ASK_SECONDS: Final = 2
_ASK_TIMES: Final = 3
_UNTAKEN_MILLISECONDS: Final = 9_000
_TCP_USER_TIMEOUT: Final = 18
"""Linux: how long what was sent may stay without an acknowledgment (tcp(7))."""


class Line(Protocol):
    """A socket, or what an event loop shows of one."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """See socket."""
        ...


def expect_answers(line: Line) -> None:
    """Ends a TCP connection whose other side has not been heard of for nine seconds. On a listening socket it holds for
    what is accepted there. Systems without these options keep their own, longer times."""
    with suppress(OSError, AttributeError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_SECONDS)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _ASK_SECONDS)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _ASK_TIMES)
        line.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _UNTAKEN_MILLISECONDS)
