"""One request as its client sent it."""

from __future__ import annotations

import ipaddress
import os
import re
from datetime import datetime
from typing import Final

from aicp.gateway.api_keys import Key
from aicp.gateway.endpoints import Endpoint
from aicp.gateway.errors import ApiError, Dialect
from aicp.gateway.inflow import Inflow

_SOUND_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_RANDOM_BYTES: Final = 6
HEADERS: Final = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"connection",
        b"x-request-id",
        b"x-session-id",
        b"x-priority",
        b"x-slo-ttft-ms",
        b"x-aicp-continue",
        b"traceparent",
        b"tracestate",
        b"anthropic-version",
        b"cache-control",
    }
)
"""What is read of a request's head."""


class Request:
    """Filled while it arrives. `refusal` is set as soon as it is known that it will not be served."""

    __slots__ = (
        "at",
        "dialect",
        "endpoint",
        "headers",
        "id",
        "inflow",
        "keep_alive",
        "key",
        "method",
        "old",
        "parts",
        "path",
        "refusal",
        "size",
    )

    def __init__(
        self, name: str, at: datetime, method: bytes, path: bytes, headers: dict[bytes, bytes], *, old: bool
    ) -> None:
        self.id = name
        self.at = at
        """When its head had come."""
        self.method = method
        self.path = path
        self.headers = headers
        self.old = old
        """HTTP/1.0: no chunked bodies, no kept connection."""
        self.endpoint: Endpoint | None = None
        self.dialect = Dialect.OPENAI
        self.key: Key | None = None
        self.refusal: ApiError | None = None
        self.inflow: Inflow | None = None
        """Where its body goes when another process serves it."""
        self.parts: list[bytes] = []
        self.size = 0
        self.keep_alive = False

    def body(self) -> bytes:
        """The whole body; to be called once."""
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class RequestIds:
    """Makes ids: a random part for this run of the process and a count, which together never come twice."""

    def __init__(self) -> None:
        self._run = os.urandom(_RANDOM_BYTES).hex()
        self._last = 0

    def new(self, given: bytes | None) -> str:
        """A new id. One that the client gave is its beginning, so that both sides can find it; it is never all of it,
        because usage counts an id once."""
        self._last += 1
        if given is not None and _SOUND_ID.fullmatch(given):
            return f"{given.decode()}.{self._run}{self._last}"
        return f"req_{self._run}{self._last}"


def is_local(peer: object) -> bool:
    """Whether a client, by its transport's peer name, is on this machine."""
    if not isinstance(peer, tuple):
        return True
    try:
        return ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback
    except ValueError:
        return False
