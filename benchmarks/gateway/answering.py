"""Simulated replicas that answer over HTTP: OpenAI's chat schema as a stream, at the times that `simulated` tells.

A prompt is known by its text: every 2 KB of it are a block of the trace. How long the answer is says `max_tokens`. Of
an answer the first token is sent when it would come, and all others together when the last would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httptools
import msgspec
from gateway.simulated import Engine
from gateway.traces import BLOCK_BYTES, BLOCK_TOKENS

MARK = 64
"""So many characters tell which block it is."""
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"
_INFO = b'{"model_path":"mock","tokenizer_path":"mock","is_generation":true}'
_SERVER = (
    b'{"model_id":"mock","model_path":"mock","served_model_name":"mock","tp_size":1,"dp_size":1,"version":"0.5.6",'
    b'"internal_states":[{}]}'
)
_LOAD = b'[{"dp_rank":0,"num_reqs":0,"num_waiting_reqs":0,"num_tokens":0}]'
_KNOWN = {
    b"/health": b"{}",
    b"/v1/models": b'{"object":"list","data":[{"id":"mock","object":"model","created":1,"owned_by":"mock"}]}',
    b"/get_model_info": _INFO,
    b"/model_info": _INFO,
    b"/get_server_info": _SERVER,
    b"/server_info": _SERVER,
    b"/get_load": _LOAD,
    b"/v1/loads": _LOAD,
}
"""What gateways ask of a worker before they use it."""
_WHOLE = (
    b'{"id":"chatcmpl-0","object":"chat.completion","created":1760000000,"model":"mock","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
_CHUNK = (
    b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1760000000,"model":"mock","choices":'
    b'[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n'
)
_USAGE = (
    b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1760000000,"model":"mock","choices":[],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}\n\n'
)


class _Message(msgspec.Struct):
    content: str


class _Options(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct):
    messages: list[_Message]
    stream: bool = False
    max_tokens: int = 1
    stream_options: _Options | None = None


_decoder = msgspec.json.Decoder(_Request)


@dataclass(frozen=True)
class Pace:
    """A clock that runs `factor` times as fast as the real one."""

    factor: float
    start: float

    def now(self) -> float:
        """Seconds of the simulation."""
        return (time.monotonic() - self.start) * self.factor

    def real(self, seconds: float) -> float:
        """When the simulation will have got there, as a real clock tells it (that of asyncio's loops on Linux)."""
        return self.start + seconds / self.factor


class Replica(asyncio.Protocol):
    """One connection to a simulated replica. `blocks` are the numbers of blocks by their first characters."""

    def __init__(self, engine: Engine, pace: Pace, blocks: Mapping[str, int]) -> None:
        self._engine, self._pace, self._blocks = engine, pace, blocks
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._path = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()  # somebody asks whether it speaks HTTP/2

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._path = url.partition(b"?")[0]
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._path != b"/v1/chat/completions":
            self._send_whole(_KNOWN.get(self._path, b"{}"))
            return
        asked = _decoder.decode(b"".join(self._body))
        if not asked.stream:
            self._send_whole(_WHOLE)
            return
        text = asked.messages[-1].content
        blocks = [self._blocks[text[at : at + MARK]] for at in range(0, len(text), BLOCK_BYTES)]
        read_at = self._engine.read(blocks, self._pace.now())
        asyncio.get_running_loop().call_at(self._pace.real(read_at), self._first, asked, len(blocks) * BLOCK_TOKENS)

    def _first(self, asked: _Request, prompt: int) -> None:
        end = self._pace.now() + self._engine.write(asked.max_tokens)
        chunk = _CHUNK % (b"t", b"null")
        head = _HEAD % (b"text/event-stream", b"transfer-encoding: chunked")
        self._transport.write(head + b"%x\r\n%b\r\n" % (len(chunk), chunk))
        asyncio.get_running_loop().call_at(self._pace.real(end), self._last, asked, prompt)

    def _last(self, asked: _Request, prompt: int) -> None:
        self._engine.writing -= 1
        rest = _CHUNK % (b"t" * asked.max_tokens, b'"stop"')
        if asked.stream_options is not None and asked.stream_options.include_usage:
            rest += _USAGE % (prompt, asked.max_tokens, prompt + asked.max_tokens)
        rest += b"data: [DONE]\n\n"
        self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    def _send_whole(self, body: bytes) -> None:
        self._transport.write(_HEAD % (b"application/json", b"content-length: %d" % len(body)) + body)
