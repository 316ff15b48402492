"""Chat completions read for translation: a whole answer, or a stream driving a writer of another schema's events."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from aicp.gateway.engine_errors import event_error
from aicp.gateway.errors import ApiError, engine_failed
from aicp.gateway.reports import Usage
from aicp.gateway.streams import EventBuffer, event_data, split_events
from aicp.gateway.tokens import Tokens

DONE = b"[DONE]"


class Function(msgspec.Struct, gc=False):
    """A tool's name and the arguments as JSON text, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    """A call of a tool, or a piece of one."""

    index: int = 0
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Message(msgspec.Struct):
    """What the model says, or a piece of it. Engines differ in how they name its thoughts."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def thoughts(self) -> str:
        """What the model thought before it talked."""
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct):
    """One answer. `stop_reason` is the stop text that ended it, where the engine tells."""

    message: Message = msgspec.field(default_factory=Message)
    delta: Message = msgspec.field(default_factory=Message)
    index: int = 0
    finish_reason: str | None = None
    stop_reason: Any = None


class Completion(msgspec.Struct):
    """A whole answer or a chunk of a stream."""

    created: int = 0
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


class Ending(msgspec.Struct, frozen=True):
    """Why the model stopped."""

    finish_reason: str | None = None
    stop_text: str | None = None


_completion = msgspec.json.Decoder(Completion)


def read_completion(body: bytes) -> tuple[Completion, Choice]:
    """A whole answer and its first choice. Raises ApiError 502 when it is none."""
    try:
        completion = _completion.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise engine_failed("The engine's answer is no chat completion.") from error
    if not completion.choices:
        raise engine_failed("The engine's answer has no choice.")
    return completion, completion.choices[0]


def ending_of(choice: Choice) -> Ending:
    """Why a choice ended."""
    return Ending(choice.finish_reason, choice.stop_reason if isinstance(choice.stop_reason, str) else None)


class Writer(Protocol):
    """Writes the events of another schema. Every method answers the bytes to send."""

    def begin(self, created: int) -> bytes:
        """The answer begins; `created` is POSIX time."""
        ...

    def thoughts(self, text: str) -> bytes:
        """The model thinks."""
        ...

    def text(self, text: str) -> bytes:
        """The model talks."""
        ...

    def tool(self, call_id: str, name: str) -> bytes:
        """The model begins to call a tool."""
        ...

    def arguments(self, text: str) -> bytes:
        """A piece of that call's arguments."""
        ...

    def end(self, ending: Ending, tokens: Tokens) -> bytes:
        """The answer is complete."""
        ...

    def fail(self, error: ApiError) -> bytes:
        """The answer breaks off."""
        ...


class TranslatedStream:
    """A stream of chat chunks, told by `writer` in another schema."""

    def __init__(self, tokens: Tokens, writer: Writer) -> None:
        self._tokens = tokens
        self._writer = writer
        self._events = EventBuffer()
        self._begun = False
        self._ending: Ending | None = None
        self._tool: int | None = None
        self.complete = False
        self.failed = False

    def feed(self, data: bytes) -> bytes:
        """See Stream."""
        return b"".join(self._read(event_data(event)) for event in split_events(self._events.whole(data)))

    def finish(self) -> bytes:
        """See Stream."""
        if self.complete:
            return b""
        self.complete = True
        return self._begin(0) + self._writer.end(self._ending or Ending(), self._tokens)

    def break_off(self, error: ApiError) -> bytes:
        """See Stream."""
        self.complete = self.failed = True
        return self._begin(0) + self._writer.fail(error)

    def _read(self, data: bytes) -> bytes:
        if not data or self.complete:
            return b""
        if data == DONE:
            return self.finish()
        try:
            chunk = _completion.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise engine_failed("The engine's stream is not one of chat completions.") from error
        if chunk.error is not None:
            return self.break_off(event_error(data))
        if chunk.usage is not None:
            self._tokens.update(chunk.usage)
        written = self._begin(chunk.created)
        for choice in chunk.choices:
            if choice.index == 0:
                written += self._write(choice)
        return written

    def _begin(self, created: int) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._writer.begin(created)

    def _write(self, choice: Choice) -> bytes:
        delta, writer = choice.delta, self._writer
        written = writer.thoughts(delta.thoughts) if delta.thoughts else b""
        text = delta.content or delta.refusal
        if text:
            written += writer.text(text)
        for call in delta.tool_calls or ():
            if call.index != self._tool:
                self._tool = call.index
                written += writer.tool(call.id or f"call_{call.index}", call.function.name or "")
            if call.function.arguments:
                written += writer.arguments(call.function.arguments)
        if choice.finish_reason is not None:
            self._ending = ending_of(choice)
        return written
