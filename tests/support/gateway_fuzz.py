"""Random clients: valid requests, broken at random, in random pieces; what the gateway does of them is checked.

A second reading of the same bytes, strict and slow, says which requests they hold. Nothing else may reach an engine
(it would be smuggled); every answer is HTTP; nothing raises; nothing piles up.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from tests.support.clock import FakeClock
from tests.support.gateway_bench import ANSWER, Bench, Wire

from aicp.gateway.client_connection import ClientConnection
from aicp.gateway.live import Connections
from aicp.gateway.upstream import UpstreamConnection

_MOST_WAITING = 64
_LINE = re.compile(rb"([A-Z-]+) +([!-~]+) +HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(;[^\r\n\x00]*)?")
_TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 0\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"x: " + b"y" * 3000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
    b"\xff\xfe",
    b"[" * 200,
    b'{"model":"demo"',
    b"ffffffffffffffff\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
]


class Finding(AssertionError):
    """The gateway did what it must not."""


@dataclass
class Read:
    """A request as the strict reading has it."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes


def strict(data: bytes) -> tuple[list[Read], bool]:
    """The requests that a stream of bytes surely holds, and whether all of it was understood."""
    found: list[Read] = []
    while data := data.lstrip(b"\r\n"):
        head, end, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        line, pairs = _LINE.fullmatch(lines[0]), [_HEADER.fullmatch(one) for one in lines[1:]]
        if not end or line is None or not all(pairs):
            return found, False
        headers: dict[bytes, list[bytes]] = {}
        for pair in pairs:
            if pair is not None:
                headers.setdefault(pair[1].lower(), []).append(pair[2].rstrip(b" \t"))
        framed = _framed(headers, rest, old=line[3] == b"0")
        if framed is None:
            return found, False
        body, data = framed
        found.append(Read(line[1], line[2], {name: values[-1] for name, values in headers.items()}, body))
        options = re.split(rb"[ \t]*,[ \t]*", b",".join(headers.get(b"connection", [])).lower())
        if b"close" in options or line[3] == b"0":
            return found, False
    return found, True


def _framed(headers: dict[bytes, list[bytes]], rest: bytes, *, old: bool) -> tuple[bytes, bytes] | None:
    """The body that comes with such headers, and what follows it; None when that is not beyond doubt, or incomplete."""
    lengths, codings = headers.get(b"content-length", []), headers.get(b"transfer-encoding", [])
    if len(lengths) + len(codings) > 1 or (codings and (codings[0].lower() != b"chunked" or old)):
        return None
    if codings:
        return _unframed(rest)
    if not lengths:
        return b"", rest
    if not lengths[0].isdigit() or len(rest) < int(lengths[0]):
        return None
    return rest[: int(lengths[0])], rest[int(lengths[0]) :]


def _unframed(data: bytes) -> tuple[bytes, bytes] | None:
    """A chunked body and what follows it."""
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        size = _SIZE.fullmatch(line)
        if not end or size is None:
            return None
        length = int(size[1], 16)
        if not length:
            break
        if len(data) < length + 2 or data[length : length + 2] != b"\r\n":
            return None
        body, data = body + data[:length], data[length + 2 :]
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end or (line and not _HEADER.fullmatch(line)):
            return None
        if not line:
            return body, data


@dataclass
class _ClientWire(Wire):
    left: bool = False
    """The client went before it had everything."""


@dataclass
class World:
    """One gateway that many random clients call."""

    bench: Bench
    clock: FakeClock
    asked: list[bytes] = field(default_factory=list)
    """Bodies that reached the engine in the present case."""
    failures: list[str] = field(default_factory=list)
    sent: bytes = b""
    """By the client of the present case."""
    mangled: bool = False
    """An engine's answer was broken."""

    async def case(self, chance: random.Random) -> None:
        """One client from its first byte to its last. Raises Finding."""
        self.asked.clear()
        self.failures.clear()
        self.mangled = False
        requests = [self._request(chance, number) for number in range(chance.randrange(1, 5))]
        sent = b"".join(requests)
        broken = chance.random() < 0.8
        if broken:
            for _ in range(chance.randrange(1, 5)):
                sent = _mutated(chance, sent)
        self.sent = sent
        wire = await self._play(chance, sent)
        reads, understood = strict(sent)
        self._check(wire, reads, understood=understood and not broken and not self.mangled)

    def _request(self, chance: random.Random, number: int) -> bytes:
        kind = chance.randrange(8)
        if kind < 2:
            method, path = chance.choice([(b"GET", b"/healthz"), (b"GET", b"/v1/models"), (b"HEAD", b"/v1/models")])
            return b"%b %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n\r\n" % (method, path, self._key())
        body = self._body(chance, number)
        path = chance.choice([b"/v1/chat/completions"] * 5 + [b"/v1/messages", b"/v1/responses", b"/v1/embeddings"])
        head = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" % path
        head += b"authorization: Bearer %b\r\n" % self._key()
        head += b"expect: 100-continue\r\n" if chance.random() < 0.05 else b""
        head += b"connection: close\r\n" if chance.random() < 0.05 else b""
        if chance.random() < 0.6:
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        framed, at = b"", 0
        while at < len(body):
            piece = body[at : at + chance.randrange(1, 60)]
            at += len(piece)
            framed += b"%x%b\r\n%b\r\n" % (len(piece), b";a=b" if chance.random() < 0.1 else b"", piece)
        trailer = b"x-trailer: 1\r\n" if chance.random() < 0.1 else b""
        return b"%btransfer-encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (head, framed, trailer)

    def _key(self) -> bytes:
        return self.bench.key.encode()

    def _body(self, chance: random.Random, number: int) -> bytes:
        fields: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "user": str(number)}
        fields |= {"input": "Hi", "max_tokens": 5} if chance.random() < 0.3 else {}
        fields["stream"] = chance.random() < 0.4
        if chance.random() < 0.3:
            words = ["'; DROP TABLE api_keys; --", "\0", "\ud800", "é" * 50, "$(id)", "{{7*7}}", "../../etc/passwd"]
            fields[chance.choice(["model", "user", "x", "messages"])] = chance.choice([*words, None, [], 1e300, {}])
        return json.dumps(fields).encode()

    async def _play(self, chance: random.Random, sent: bytes) -> _ClientWire:
        """Sends it in pieces; the engine answers now and then, and the clock goes on."""
        bench, wire = self.bench, _ClientWire(self.bench.client_wire.outbox)
        engine = self._engine()
        client = ClientConnection(bench.gateway, Connections(), asyncio.get_running_loop())
        client.connection_made(cast(Any, wire))
        at = 0
        while at < len(sent) and not wire.ended:
            size = chance.choice([1, 7, 50, 500, len(sent)])
            client.data_received(sent[at : at + size])
            at += size
            engine = await self._answer(chance, engine)
            if chance.random() < 0.05:
                client.pause_writing()
                client.resume_writing()
            self._look(client)
        for _ in range(10):
            engine = await self._answer(chance, engine, always=True)
        if not wire.ended:
            self.clock.advance(30.0)
            client.check(self.clock.monotonic())
            wire.left = True
        client.connection_lost(None)
        await asyncio.sleep(0)
        return wire

    def _engine(self) -> tuple[UpstreamConnection, Wire]:
        replica = self.bench.replica
        while (old := replica.pool.take()) is not None:
            old.abort()
        connection, wire = UpstreamConnection(replica.pool), Wire(self.bench.client_wire.outbox)
        connection.connection_made(cast(Any, wire))
        replica.pool.give(connection)
        return connection, wire

    async def _answer(
        self, chance: random.Random, engine: tuple[UpstreamConnection, Wire], *, always: bool = False
    ) -> tuple[UpstreamConnection, Wire]:
        """Gives the engine's answer when it was asked, and lets everybody take a turn."""
        await asyncio.sleep(0)
        connection, wire = engine
        if wire.written and (always or chance.random() < 0.5):
            self.asked.append(wire.written.partition(b"\r\n\r\n")[2])
            wire.written = b""
            if not connection.closed:
                connection.data_received(self._said(chance))
        if connection.closed or wire.ended:
            return self._engine()
        return engine

    def _said(self, chance: random.Random) -> bytes:
        if chance.random() < 0.7:
            return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
                len(ANSWER),
                ANSWER,
            )
        event = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}],"x":{"y":1}}\n\n'
        if chance.random() < 0.3:
            event += b'data: {"error":{"message":"no","code":500},"more":"x"}\n\n'
        event += (
            b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1,"z":"\xc3\xa9"}}\n\ndata: [DONE]\n\n'
        )
        said = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        said += b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)
        if chance.random() < 0.5:
            self.mangled = True
            return _mutated(chance, said)
        return said

    def _look(self, client: ClientConnection) -> None:
        waiting = cast(Any, client)
        for name, most in (("_waiting", _MOST_WAITING), ("_headers", 64)):
            held = getattr(waiting, name, ())  # the compiled form shows nothing of it
            if len(held) > most:
                raise Finding(f"{len(held)} of {name} are held")

    def _check(self, wire: _ClientWire, reads: list[Read], *, understood: bool) -> None:
        if self.failures:
            raise Finding(f"something failed within: {self.failures[0]}")
        bodies = [_json(read.body) for read in reads if read.method == b"POST"]
        at = 0
        for body in self.asked:
            got = _json(body)
            while at < len(bodies) and not _same(got, bodies[at]):
                at += 1
            if at == len(bodies):
                raise Finding(f"an engine was asked what no request says: {body[:200]!r}")
            at += 1
        answered = answers(wire.written, [read.method for read in reads], ended=wire.ended or wire.left)
        if len(answered) > len(reads) + 1:
            raise Finding(f"{len(answered)} answers to {len(reads)} requests")
        if understood and not wire.ended and len(answered) != len(reads):
            raise Finding(f"{len(answered)} answers to {len(reads)} sound requests")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _same(asked: Any, body: Any) -> bool:
    """Whether the engine's body is that of the request; of a translated one only whose it is."""
    if not isinstance(asked, dict) or not isinstance(body, dict):
        return False
    if "input" in body or "max_tokens" in body:
        return True
    left_out = ("stream_options",)
    return {name: value for name, value in asked.items() if name not in left_out} == {
        name: value for name, value in body.items() if name not in left_out
    }


def answers(data: bytes, methods: list[bytes], *, ended: bool) -> list[int]:
    """Statuses of the answers that a client got; the last may be cut when `ended`. Raises Finding for no HTTP."""
    found: list[int] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        line = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*", head.split(b"\r\n")[0])
        if not end or line is None:
            raise Finding(f"this is no answer: {data[:100]!r}")
        data = rest
        if line[1] == b"100":
            continue
        headers = dict(one.lower().split(b": ", 1) for one in head.split(b"\r\n")[1:])
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        found.append(int(line[1]))
        unread = line[1] == b"400" or len(found) > len(methods)
        if unread and ended and headers.get(b"connection") == b"close":
            return found  # whether it was a HEAD is not known; nothing follows in either case
        if method == b"HEAD":
            continue
        data = _after_body(headers, data, ended=ended, doubtful=len(found) > len(methods))
    return found


def _after_body(headers: dict[bytes, bytes], data: bytes, *, ended: bool, doubtful: bool) -> bytes:
    """What follows the body of an answer; `doubtful`: it may be one to a HEAD."""
    if headers.get(b"transfer-encoding") == b"chunked":
        unframed = _unframed(data)
        if unframed is None and not ended:
            raise Finding("a chunked answer without end on a connection that goes on")
        return b"" if unframed is None else unframed[1]
    if b"content-length" not in headers:
        return b""  # up to the end of the connection
    length = int(headers[b"content-length"])
    if len(data) < length and not doubtful:
        raise Finding("an answer is shorter than it says")
    return data[length:] if len(data) >= length else data


def _mutated(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(7)
    if kind == 0:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + data[at + chance.randrange(1, 20) :]
    if kind == 2:
        return data[:at] + chance.choice(_TOKENS) + data[at:]
    if kind == 3:
        return data[:at]
    line = data.rfind(b"\r\n", 0, at) + 2 if b"\r\n" in data[:at] else 0
    if kind == 4:
        return data[:line] + chance.choice(_TOKENS) + data[line:]
    end = data.find(b"\r\n", at) + 2
    if kind == 5 and end > 1:
        return data[:end] + data[line:end] + data[end:]  # a line twice
    return data[:line] + data[max(end, line) :]  # a line less


class _Listener(logging.Handler):
    """Notes what is logged as a failure of the gateway itself."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        self._failures.append(self.format(record))


def listen(world: World) -> Callable[[], None]:
    """Failures that are only logged count too, from now on and until the answer is called."""
    handler, log = _Listener(world.failures), logging.getLogger("aicp.gateway")
    log.addHandler(handler)
    return lambda: log.removeHandler(handler)
