"""A gateway without sockets over two replicas whose model always says the same, and goes on where it is told to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tests.support.gateway_bench import Bench, Wire
from tests.support.gateway_process import entry_of
from tests.support.http_wire import request

from aicp.core.route import Target
from aicp.gateway.api_keys import Key
from aicp.gateway.upstream import UpstreamConnection

CHAT, TEXTS = "/v1/chat/completions", "/v1/completions"
PIECES = ["Hello", " wörld", " ", "\n\n", "- a 😀", " list", ",", ' of "usage"', "\t", "and \\n", " more", "."]
TEXT = "".join(PIECES)
PROMPT = 7
CONTINUES = {CHAT: "continue_final_message", TEXTS: "prompt"}


def asked(wire: Wire) -> dict[str, Any]:
    """The body of the request that an engine got last."""
    return json.loads(wire.written.rpartition(b"\r\n\r\n")[2])


def said_before(body: dict[str, Any]) -> str:
    """What the engine is to go on with."""
    if "prompt" in body:
        return body["prompt"].removeprefix("Say it:")
    last = body["messages"][-1]
    return last["content"] if last["role"] == "assistant" else ""


def stream_of(body: dict[str, Any], name: str = "one", *, text: str = TEXT) -> bytes:
    """The answer of an engine whose model always says `text`, and goes on where it is told to."""
    before = said_before(body)
    assert text.startswith(before), "what was said did not reach the second engine as it was"
    pieces, at, told = [], 0, 0
    for piece in PIECES if text == TEXT else list(text):
        begin, at = at, at + len(piece)
        told += at <= len(before)
        pieces += [piece[max(len(before) - begin, 0) :]] if at > len(before) else []
    most = body.get("max_tokens", 1000)
    reason = "stop" if len(pieces) <= most else "length"
    pieces = pieces[:most]
    usage = {"prompt_tokens": PROMPT + told, "completion_tokens": len(pieces)}
    usage |= {"total_tokens": sum(usage.values()), "prompt_tokens_details": {"cached_tokens": PROMPT + told}}
    base = {"id": f"cmpl-{name}", "object": "chunk", "created": len(name), "model": "demo"}
    chat = "messages" in body

    def chunk(piece: str | None, reason: str | None = None) -> dict[str, Any]:
        said = {"delta": {} if piece is None else {"content": piece}} if chat else {"text": piece or ""}
        return {**base, "choices": [{"index": 0, **said, "finish_reason": reason}]}

    first = {**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    events: list[Any] = [first] if chat else []
    events += [chunk(piece) for piece in pieces] + [chunk(None, reason), {**base, "choices": [], "usage": usage}]
    lines = [json.dumps(event).encode() for event in events] + [b"[DONE]"]
    return framed([b"data: %b\n\n" % line for line in lines])


def framed(events: list[bytes], *, end: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + (b"0\r\n\r\n" if end else b"")


def chunk_of(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return (
        b"data: %b\n\n" % json.dumps({"id": "c", "created": 1, "model": "demo", "choices": [choice], **more}).encode()
    )


@dataclass
class Pair:
    """A gateway over two replicas, of which one at a time is asked."""

    bench: Bench
    engines: list[tuple[UpstreamConnection, Wire]] = field(default_factory=list)

    def refresh(self) -> None:
        """Every replica has one idle connection, and nothing is written anywhere."""
        self.engines.clear()
        table = self.bench.routes.table
        assert table is not None
        found = table.find("demo", Key(entry_of(self.bench.key)))
        assert found is not None
        for replica in found.replicas:
            while (old := replica.pool.take()) is not None:
                old.abort()
            connection, wire = UpstreamConnection(replica.pool), Wire(self.bench.client_wire.outbox)
            connection.connection_made(cast(Any, wire))
            replica.pool.give(connection)
            self.engines.append((connection, wire))
        self.bench.client_wire.written = b""

    def ask(self, path: str = CHAT, *, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        """Sends a request; what the first engine gets."""
        said = {"prompt": "Say it:"} if path == TEXTS else {"messages": [{"role": "user", "content": "Say it"}]}
        body = {
            name: value
            for name, value in {"model": "demo", "stream": True, **said, **fields}.items()
            if value is not None
        }
        self.bench.client.data_received(request("POST", path, body, key=self.bench.key, headers=headers))
        return asked(self.working()[1])

    def working(self) -> tuple[UpstreamConnection, Wire]:
        """The engine at work."""
        (found,) = [one for one in self.engines if one[1].written and not one[0].closed]
        return found

    def lose(self, data: bytes, size: int = 1 << 20) -> None:
        """The engine at work says `data`, in pieces, and dies."""
        connection = self.working()[0]
        for at in range(0, len(data), size):
            connection.data_received(data[at : at + size])
        connection.connection_lost(ConnectionResetError())

    def read(self) -> list[Any]:
        """The events that the client got; the stream has ended as it should."""
        head, _, rest = self.bench.client_wire.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            piece, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            body += piece
            if not piece:
                break
        else:
            raise AssertionError("the stream has no end")
        assert rest == b""
        lines = [part.rpartition(b"data: ")[2] for part in body.split(b"\n\n")[:-1]]
        return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def make_pair(bench: Bench, **changes: Any) -> Pair:
    """Two replicas of `demo`, which serve completions of both kinds."""
    targets = [Target("rep_1", "unix:/nowhere"), Target("rep_2", "unix:/nowhere-else")]
    route = replace(
        bench.table.routes[0], targets=targets, endpoints=[CHAT, TEXTS], **{"continues": CONTINUES, **changes}
    )
    bench.routes.swap(replace(bench.table, etag="2", routes=[route]))
    found = Pair(bench)
    found.refresh()
    return found
