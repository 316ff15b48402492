"""An OpenAI-compatible server that answers with what it was asked. For tests and load runs, never offered to users.

Only the standard library, in one file: `python _echo_server.py --listen /path.sock --model name`. The bearer token
comes from ECHO_TOKEN. One word is one token. Endpoints: /health, /metrics, /v1/models, /v1/chat/completions,
/v1/completions, /v1/embeddings, /v1/rerank.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

_MAXIMUM_BODY_BYTES = 64 * 1024 * 1024
_EMBEDDING_WIDTH = 32
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 413: "Content Too Large"}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


@dataclass(frozen=True)
class Settings:
    """How the server behaves; delays in seconds."""

    model: str
    token: str
    context_length: int
    first_token_delay: float
    token_delay: float


@dataclass
class Counters:
    """What /metrics shows."""

    running: int = 0
    requests: int = 0
    aborted: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0


@dataclass(frozen=True)
class Request:
    """One parsed HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The words of one answer, and what is said about it."""

    words: list[str]
    prompt_tokens: int
    finish_reason: str
    begun: bool = False  # others stand before them

    def usage(self) -> dict[str, int]:
        """OpenAI's token counts."""
        done = len(self.words)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": done,
            "total_tokens": self.prompt_tokens + done,
        }


class Connection:
    """One client connection: requests one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def read(self) -> Request | None:
        """The next request, or None at the end."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Request(method, target.split("?", 1)[0], headers, await self._body(headers))

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            pieces: list[bytes] = []
            while size := int((await self._reader.readline()).split(b";")[0], 16):
                pieces.append(await self._reader.readexactly(size))
                await self._reader.readexactly(2)
            await self._reader.readline()
            return b"".join(pieces)
        length = int(headers.get("content-length", "0"))
        if length > _MAXIMUM_BODY_BYTES:
            raise Refused(413, "The body is too large.")
        return await self._reader.readexactly(length)

    async def send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """A whole answer."""
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {content_type}\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await self._writer.drain()

    async def send_json(self, status: int, value: Any) -> None:
        """A whole answer as JSON."""
        await self.send(status, json.dumps(value).encode())

    async def start_stream(self) -> None:
        """The head of a stream of server-sent events."""
        self._writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await self._writer.drain()

    async def send_event(self, value: Any) -> None:
        """One event of a stream."""
        data = value if isinstance(value, str) else json.dumps(value)
        line = f"data: {data}\n\n".encode()
        self._writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        await self._writer.drain()

    async def end_stream(self) -> None:
        """The end of a stream."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def close(self) -> None:
        """Ends the connection."""
        self._writer.close()


@dataclass
class EchoServer:
    """Answers requests with their own words."""

    settings: Settings
    counters: Counters = field(default_factory=Counters)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until the client ends it."""
        connection = Connection(reader, writer)
        try:
            while request := await connection.read():
                await self._answer(connection, request)
        except Refused as refused:
            await connection.send_json(refused.status, refused.body)
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            self.counters.aborted += 1
        finally:
            await connection.close()

    async def _answer(self, connection: Connection, request: Request) -> None:
        self.counters.requests += 1
        self.counters.running += 1
        try:
            await self._route(connection, request)
        except Refused as refused:
            await connection.send_json(refused.status, refused.body)
        finally:
            self.counters.running -= 1

    async def _route(self, connection: Connection, request: Request) -> None:
        if request.path == "/health":
            return await connection.send(200, b"")
        if request.path == "/metrics":
            return await connection.send(200, self._metrics().encode(), "text/plain; version=0.0.4")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.settings.token and not hmac.compare_digest(given.encode(), self.settings.token.encode()):
            raise Refused(401, "Unauthorized")
        if request.path == "/v1/models":
            model = {"id": self.settings.model, "object": "model", "created": 0, "owned_by": "echo"}
            return await connection.send_json(200, {"object": "list", "data": [model]})
        kinds = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/v1/embeddings": self._embeddings,
            "/v1/rerank": self._rerank,
        }
        if request.path not in kinds:
            raise Refused(404, f"No such endpoint: {request.path}")
        await kinds[request.path](connection, self._parse(request.body))

    def _parse(self, body: bytes) -> dict[str, Any]:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"The body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refused(400, "The body is not a JSON object.")
        if value.get("model") != self.settings.model:
            raise Refused(404, f"The model {value.get('model')!r} does not exist.", "model")
        return value

    def _echo(self, prompt: str, everything: str, body: dict[str, Any], said: int = 0) -> Answer:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        prompt_tokens = len(everything.split())
        if prompt_tokens > self.settings.context_length:
            raise Refused(400, f"The prompt has {prompt_tokens} tokens, the context {self.settings.context_length}.")
        words = prompt.split()[said:]
        if limit is not None and not isinstance(limit, int):
            raise Refused(400, "max_tokens is not a whole number.", "max_tokens")
        cut = words[:limit] if limit is not None else words
        return Answer(cut, prompt_tokens, "length" if len(cut) < len(words) else "stop", begun=said > 0)

    async def _chat(self, connection: Connection, body: dict[str, Any]) -> None:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "messages is not a list with at least one message.", "messages")
        texts = [_content(message) for message in messages]
        goes_on = body.get("continue_final_message") is True and len(texts) > 1
        said = len(texts[-1].split()) if goes_on else 0
        answer = self._echo(texts[-2 if goes_on else -1], " ".join(texts), body, said)
        base = {"id": "chatcmpl-echo", "created": 0, "model": self.settings.model}
        if body.get("stream"):
            head = {**base, "object": "chat.completion.chunk"}
            return await self._stream(connection, body, answer, head, _chat_choice)
        await self._wait(connection, answer)
        message = {"role": "assistant", "content": " ".join(answer.words)}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        await connection.send_json(
            200, {**base, "object": "chat.completion", "choices": [choice], "usage": answer.usage()}
        )

    async def _completion(self, connection: Connection, body: dict[str, Any]) -> None:
        prompt = body.get("prompt")
        if not isinstance(prompt, str):
            raise Refused(400, "prompt is not a text.", "prompt")
        answer = self._echo(prompt, prompt, body)
        base = {"id": "cmpl-echo", "created": 0, "model": self.settings.model, "object": "text_completion"}
        if body.get("stream"):
            return await self._stream(connection, body, answer, base, _text_choice)
        await self._wait(connection, answer)
        choice = _text_choice(" ".join(answer.words), answer.finish_reason, True)
        await connection.send_json(200, {**base, "choices": [choice], "usage": answer.usage()})

    async def _stream(
        self, connection: Connection, body: dict[str, Any], answer: Answer, head: dict[str, Any], choice: Any
    ) -> None:
        await connection.start_stream()
        count = 0
        async for word in self._words(connection, answer):
            count += 1
            await connection.send_event({**head, "choices": [choice(word, None, count == 1)]})
        await connection.send_event({**head, "choices": [choice("", answer.finish_reason, False)]})
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            await connection.send_event({**head, "choices": [], "usage": answer.usage()})
        await connection.send_event("[DONE]")
        await connection.end_stream()

    async def _wait(self, connection: Connection, answer: Answer) -> None:
        async for _ in self._words(connection, answer):
            pass

    async def _words(self, connection: Connection, answer: Answer) -> AsyncIterator[str]:
        """The words at the pace of the settings. Raises ConnectionError when the client has gone."""
        self.counters.prompt_tokens += answer.prompt_tokens
        for index, word in enumerate(answer.words):
            delay = self.settings.token_delay if index else self.settings.first_token_delay
            if delay:
                await asyncio.sleep(delay)
            if connection.is_gone():
                raise ConnectionError
            self.counters.generation_tokens += 1
            yield f" {word}" if index or answer.begun else word

    async def _embeddings(self, connection: Connection, body: dict[str, Any]) -> None:
        given = body.get("input")
        items: list[Any] = given if isinstance(given, list) else [given]
        texts = [item for item in items if isinstance(item, str)]
        if not texts or len(texts) != len(items):
            raise Refused(400, "input is not a text or a list of texts.", "input")
        data = [{"object": "embedding", "index": index, "embedding": _embed(text)} for index, text in enumerate(texts)]
        tokens = sum(len(text.split()) for text in texts)
        self.counters.prompt_tokens += tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        await connection.send_json(200, {"object": "list", "model": self.settings.model, "data": data, "usage": usage})

    async def _rerank(self, connection: Connection, body: dict[str, Any]) -> None:
        query, documents = body.get("query"), body.get("documents")
        if not isinstance(query, str) or not isinstance(documents, list):
            raise Refused(400, "query is not a text, or documents is not a list.", "query")
        wanted = set(query.lower().split())
        scored = [
            {"index": index, "document": {"text": str(text)}, "relevance_score": _overlap(wanted, str(text))}
            for index, text in enumerate(documents)
        ]
        scored.sort(key=lambda entry: -entry["relevance_score"])
        tokens = sum(len(str(text).split()) for text in documents) + len(query.split())
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        top = body.get("top_n") or len(scored)
        await connection.send_json(
            200, {"id": "rerank-echo", "model": self.settings.model, "results": scored[:top], "usage": usage}
        )

    def _metrics(self) -> str:
        values = {
            "echo:requests_running": self.counters.running,
            "echo:requests_total": self.counters.requests,
            "echo:aborted_total": self.counters.aborted,
            "echo:prompt_tokens_total": self.counters.prompt_tokens,
            "echo:generation_tokens_total": self.counters.generation_tokens,
        }
        return "".join(f"{name} {value}\n" for name, value in values.items())


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is not None and not isinstance(content, str):
        raise Refused(400, "A message's content is not a text.", "messages")
    return content or ""


def _chat_choice(text: str, finish_reason: str | None, first: bool) -> dict[str, Any]:
    delta: dict[str, Any] = {"role": "assistant", "content": text} if first else {"content": text}
    return {"index": 0, "delta": {} if finish_reason else delta, "finish_reason": finish_reason}


def _text_choice(text: str, finish_reason: str | None, _first: bool) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}


def _embed(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()[:_EMBEDDING_WIDTH]
    values = [byte / 127.5 - 1 for byte in digest]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


def _overlap(wanted: set[str], text: str) -> float:
    return len(wanted & set(text.lower().split())) / max(1, len(wanted))


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, help="path of the unix socket")
    parser.add_argument("--model", required=True)
    parser.add_argument("--context-length", type=int, default=4096)
    parser.add_argument("--start-delay-ms", type=int, default=0)
    parser.add_argument("--first-token-delay-ms", type=int, default=0)
    parser.add_argument("--token-delay-ms", type=int, default=0)
    parser.add_argument("--fail-start", action="store_true")
    return parser.parse_args(words)


async def _run(arguments: argparse.Namespace, token: str) -> None:
    await asyncio.sleep(arguments.start_delay_ms / 1000)
    settings = Settings(
        model=arguments.model,
        token=token,
        context_length=arguments.context_length,
        first_token_delay=arguments.first_token_delay_ms / 1000,
        token_delay=arguments.token_delay_ms / 1000,
    )
    server = await asyncio.start_unix_server(EchoServer(settings).serve, arguments.listen, limit=1024 * 1024)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    server.close()


def main() -> int:
    """Runs until SIGTERM; 3 when asked to fail."""
    arguments = _arguments(sys.argv[1:])
    if arguments.fail_start:
        return 3
    # The token reaches an engine as a variable of its own process, so that no list of processes shows it.
    asyncio.run(_run(arguments, os.getenv("ECHO_TOKEN", "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
