"""What routing looks at of a request: its size, its beginning, its session."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from aicp.gateway.bodies import Fields
from aicp.gateway.calls import Call
from aicp.gateway.prefixes import FIRST_BYTES, Block, chain
from aicp.gateway.routes import Route
from aicp.gateway.speeds import Traffic

_PARTS = ("tools", "system", "instructions", "messages", "prompt", "input")
"""What a prompt is made of, in the order of the usual templates."""
_SESSION_HEADER: Final = b"x-session-id"
_SESSION_FIELD: Final = "prompt_cache_key"


class Prompt:
    """`tokens` is an estimate, `per_byte` the tokens of a byte. `whole` says that the answer will be no stream."""

    __slots__ = ("blocks", "per_byte", "session", "size", "tokens", "traffic", "whole")

    def __init__(
        self, traffic: Traffic, blocks: list[Block], session: list[Block], size: int, most: float, *, whole: bool
    ) -> None:
        self.traffic, self.blocks, self.session, self.size, self.whole = traffic, blocks, session, size, whole
        # a picture has many bytes and few tokens; a context holds no more than so many
        self.tokens = min(size / traffic.bytes_per_token, most)
        self.per_byte = self.tokens / size


def read_prompt(
    route: Route, project: str, fields: Fields, headers: Mapping[bytes, bytes], call: Call
) -> Prompt | None:
    """None where there is nothing to choose. Projects, services and models share no blocks."""
    if len(route.replicas) < 2:
        return None
    entry = route.entry
    space = hash((project, entry.service, entry.upstream_model))
    data = b""
    for name in _PARTS if len(call.body) >= FIRST_BYTES else ():
        part = fields.get(name)
        if part is not None:
            data = data + bytes(part) if data else bytes(part)
    session = session_of(fields, headers)
    return Prompt(
        route.traffic,
        chain(space, data) if len(data) >= FIRST_BYTES else [],
        [hash((space, "session", session))] if session else [],
        len(call.body),
        entry.context_length or inf,
        whole=not call.stream,
    )


def session_of(fields: Fields, headers: Mapping[bytes, bytes]) -> bytes:
    """What a client calls its session; empty where it has none."""
    session = headers.get(_SESSION_HEADER, b"")
    if not session and _SESSION_FIELD in fields:
        session = bytes(fields[_SESSION_FIELD])
    return session if session != b"null" else b""
