"""How long an engine works on for a client that has left, and what a stream costs while it is silent."""

from __future__ import annotations

import resource
import socket
import time
from typing import Any

from gateway.doors import Door
from gateway.programs import Engine, chat_body
from gateway.stage import Ground, figure
from report import spread

_CLOSES = 10
_UNDER_WAY_SECONDS = 0.1
_PATIENCE_SECONDS = 2.0
_LONG_STREAM = chat_body("Go on and on. chunks=100000 pace=2000", stream=True)
_LONG_THOUGHT = chat_body("Think it over. wait=5000000")
_SILENT_STREAM = chat_body("Say a word, then nothing. chunks=2 pace=900000000", stream=True)
_WARM_UP_STREAMS, _STREAMS, _OTHER_DESCRIPTORS = 200, 8000, 400
_REST_SECONDS = 2.0
_LOOKS = 3


def abort(ground: Ground) -> dict[str, Any]:
    """Milliseconds from a client's close until its engine sees its own connection closed.

    `never`: how many closes the engine had not seen two seconds later.
    """
    kinds = {"stream": _LONG_STREAM, "plain": _LONG_THOUGHT}
    with ground.stage("ours", "sglang_router") as (engine, doors):
        found = {
            door.name: {kind: _aborts(engine, door, body, ground.rounds) for kind, body in kinds.items()}
            for door in doors
        }
    return {**found["ours"], "sglang_router": found["sglang_router"]}


def _aborts(engine: Engine, door: Door, body: str, rounds: int) -> dict[str, Any]:
    waits: list[float] = []
    never = 0
    for _ in range(_CLOSES * rounds):
        client = _ask(door, body)
        if body is _LONG_STREAM:
            _first_chunk(client)
        time.sleep(_UNDER_WAY_SECONDS)
        left_at = time.monotonic()
        client.close()
        seen_at = engine.closed_at(_PATIENCE_SECONDS)
        if seen_at is None:
            never += 1
        else:
            waits.append((seen_at - left_at) * 1000)
    return {**(figure(waits) if len(waits) > 1 else {}), "closes": _CLOSES * rounds, "never": never}


def idle(ground: Ground) -> dict[str, Any]:
    """Growth of the gateway's resident memory by each open stream, both of its connections counted; 1 KB = 1000 bytes.

    A fresh gateway for each look; each has carried some streams before its memory is first looked at.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    streams = min(_STREAMS, (most - _OTHER_DESCRIPTORS) // 2)
    looks = [_look(ground, streams) for _ in range(_LOOKS)]
    return {
        "kb_each": figure([(full - empty) / streams / 1000 for empty, full in looks]),
        "streams": streams,
        "resident_mb_before": spread([empty / 1e6 for empty, _ in looks]),
        "resident_mb_with_all": spread([full / 1e6 for _, full in looks]),
        "descriptor_limit": most,
    }


def _look(ground: Ground, streams: int) -> tuple[int, int]:
    with ground.stage("ours") as (_, doors):
        door = doors[0]
        _hold(door, _WARM_UP_STREAMS)
        empty = door.resident_bytes()
        return empty, _hold(door, streams)


def _hold(door: Door, streams: int) -> int:
    """The gateway's resident bytes while so many streams have sent their first chunk and are silent."""
    clients: list[socket.socket] = []
    try:
        for _ in range(streams):
            clients.append(_ask(door, _SILENT_STREAM))
            _first_chunk(clients[-1])
        time.sleep(_REST_SECONDS)
        return door.resident_bytes()
    finally:
        for client in clients:
            client.close()
        time.sleep(_REST_SECONDS)


def _ask(door: Door, body: str) -> socket.socket:
    head = f"authorization: Bearer {door.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    client = socket.create_connection(("127.0.0.1", door.port), timeout=10)
    client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}\r\n\r\n{body}".encode())
    return client


def _first_chunk(client: socket.socket) -> None:
    """Raises RuntimeError for an answer that is no stream."""
    data = b""
    while b"data: " not in data:
        piece = client.recv(1 << 16)
        data += piece
        if not piece or not data.startswith(b"HTTP/1.1 200"[: len(data)]):
            raise RuntimeError(f"no stream but {data[:300]!r}")
