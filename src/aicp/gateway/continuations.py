"""A stream that lost its engine: what it has said, the request for its rest, and the rest made part of the same answer.

The method is that of Dynamo's request migration, with text in the place of tokens: what was said becomes the beginning
of the model's own turn, `max_tokens` is shortened by it, and the rest comes under the first answer's name. Text is made
tokens of anew at the seam, and chance is drawn anew: a rest is as good as the lost one, and not the same to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from aicp.gateway.bodies import Fields, encode
from aicp.gateway.endpoints import COMPLETIONS
from aicp.gateway.errors import engine_failed
from aicp.gateway.streams import event_data, split_events

HEADER = b"x-aicp-continue"
"""With `never` a client says that it would rather have an error than another engine's rest."""
FLAG = "continue_final_message"
"""How an engine goes on with a chat's last message: told by this field and its counterpart."""
PREFILL = "prefill"
"""Or without being told, where that message is the model's."""
_NO = (b"null", b"false", b"0")
_ONE = (b"null", b"1")
_ALONE: Mapping[str, tuple[bytes, ...]] = {
    "n": _ONE,
    "best_of": _ONE,
    "logprobs": _NO[:2],
    "top_logprobs": _NO,
    "prompt_logprobs": _NO[:1],
    "n_probs": _NO,
    "echo": _NO,
    "suffix": (b"null", b'""'),
    "use_beam_search": _NO,
    "return_token_ids": _NO,
    "return_tokens": _NO,
    "return_tokens_as_token_ids": _NO,
    "return_progress": _NO,
}
"""Fields that make more of an answer than one text, and their values that do not."""
_SHAPES = frozenset(
    {"response_format", "structured_outputs", "structural_tag", "grammar", "json_schema"}
    | {f"guided_{name}" for name in ("json", "regex", "choice", "grammar")}
)
"""Fields that force a form on the answer: within it no other engine knows where the first one was."""
_PLAIN = (b"null", b'{"type":"text"}')
_NAMES = ("id", "object", "created", "model", "system_fingerprint")
"""What all chunks of one answer have in common."""
_THOUGHTS = ("reasoning_content", "reasoning")
_EMPTY = (b'""', b"null")
_LIMITS = ("max_completion_tokens", "max_tokens")
_DONE = b"data: [DONE]\n\n"


class _Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    index: int = 0
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


_read_chunk = msgspec.json.Decoder(_Chunk).decode
_read_chunks = msgspec.json.Decoder(list[_Chunk]).decode
_read_fields = msgspec.json.Decoder(Fields).decode
_read_number = msgspec.json.Decoder(int | None).decode
_read_text = msgspec.json.Decoder(str).decode
_read_objects = msgspec.json.Decoder(list[Fields]).decode


def may_continue(fields: Fields) -> bool:
    """Whether a request is for one plain answer."""
    return _ALONE.keys().isdisjoint(fields) or all(
        bytes(fields[name]) in values for name, values in _ALONE.items() if name in fields
    )


class Said:
    """What a client has got of an answer, as far as another engine must know it."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: dict[str, list[str]] = {}
        self.names: Fields = {}
        self.pieces = 0
        """Pieces of text: engines send one for a token, or for several, never for less."""
        self.blank = 0
        """Of them the last ones, in which there is only white space."""
        self.size = 0
        """Characters in all of them."""
        self.role = self.finished = False
        self.plain = True
        """There is nothing in it that cannot be said again."""

    @property
    def text(self) -> str:
        """What the model has said."""
        return "".join(self._texts)

    @property
    def thoughts(self) -> dict[str, str]:
        """What it thought before, by the name that its engine has for it."""
        return {name: "".join(pieces) for name, pieces in self._thoughts.items()}

    def read(self, data: bytes) -> None:
        """Takes whole events."""
        if self.names and data.startswith(b"data: ") and data.endswith(b"\n\n"):
            # the usual ones all at once: JSON holds no line ends, so that nothing else can be meant
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._take(_read_chunks(b"[%b]" % data[6:-2].replace(b"\n\ndata: ", b",")))
                return
        for event in split_events(data):
            told = event_data(event)
            if told and told != b"[DONE]":
                self._read(told)

    def _read(self, data: bytes) -> None:
        try:
            chunk = _read_chunk(data)
            if not self.names:
                fields = _read_fields(data)
                self.names = {name: fields[name].copy() for name in _NAMES if name in fields}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.plain = False
            return
        self._take([chunk])

    def _take(self, chunks: list[_Chunk]) -> None:
        for chunk in chunks:
            if chunk.error is not None:
                self.plain = False
            for choice in chunk.choices:
                delta, text = choice.delta, choice.delta.content or choice.text
                if choice.index or delta.refusal or delta.tool_calls or delta.function_call:
                    self.plain = False
                if text:
                    self._texts.append(text)
                    self.size += len(text)
                    self.pieces += 1
                    self.blank = 0 if text.strip() else self.blank + 1
                if delta.reasoning or delta.reasoning_content:
                    self._think(delta, new=not text)
                if delta.role is not None:
                    self.role = True
                if choice.finish_reason is not None:
                    self.finished = True

    def _think(self, delta: _Delta, *, new: bool) -> None:
        self.pieces += new
        self.blank = 0
        for name in _THOUGHTS:
            piece = getattr(delta, name)
            if piece:
                self._thoughts.setdefault(name, []).append(piece)
                self.size += len(piece)

    def ending(self, path: str) -> bytes:
        """The events that its answer lacks when nothing is left to say."""
        if self.finished:
            return _DONE
        said: dict[str, Any] = {"text": "", "logprobs": None} if path == COMPLETIONS.path else {"delta": {}}
        last = {**self.names, "choices": [{"index": 0, **said, "finish_reason": "length"}]}
        return b"data: %b\n\n%b" % (encode(last), _DONE)


def rest_of(path: str, how: str, body: bytes, said: Said, tokens: int) -> bytes | None:
    """The request for the rest of an answer of which `tokens` tokens were said, not counting white space at the end.

    Empty: there is no rest, only an end; None: this answer cannot be continued.
    """
    text, thoughts = said.text.rstrip(), said.thoughts
    try:
        fields = _read_fields(body)
        if said.finished:
            return b""
        if not said.plain or not may_continue(fields) or (thoughts and not text):
            return None
        if not said.pieces:
            return body
        if not all(_is_plain(fields[name]) for name in _SHAPES & fields.keys()):
            return None
        if not _shorten(fields, tokens):
            return b""
        if text and not (_prompt(fields, text) if path == COMPLETIONS.path else _turn(fields, how, text, thoughts)):
            return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return encode(fields)


def _is_plain(value: msgspec.Raw) -> bool:
    return bytes(value) in _PLAIN or msgspec.json.decode(value) == {"type": "text"}


def _shorten(fields: Fields, tokens: int) -> bool:
    """Takes what was said from what may be said; False when nothing is left of it."""
    for name in _LIMITS:
        most = _read_number(fields[name]) if name in fields else None
        if most is not None and most > 0:
            if most <= tokens:
                return False
            fields[name] = msgspec.Raw(encode(most - tokens))
    least = _read_number(fields["min_tokens"]) if "min_tokens" in fields else None
    if least is not None:
        fields["min_tokens"] = msgspec.Raw(encode(max(least - tokens, 0)))
    return True


def _prompt(fields: Fields, text: str) -> bool:
    """A text goes on where it ends; of tokens or several prompts that cannot be told."""
    if bytes(fields["prompt"])[:1] != b'"':
        return False
    fields["prompt"] = msgspec.Raw(encode(_read_text(fields["prompt"]) + text))
    return True


def _turn(fields: Fields, how: str, text: str, thoughts: dict[str, str]) -> bool:
    """The chat's last message becomes the model's own, with `text` at its end; the caller's may have begun it."""
    messages = _read_objects(fields["messages"])
    last = messages[-1] if messages else {}
    begun = how == PREFILL or bytes(fields.get(FLAG, b"")) == b"true"
    if begun and bytes(last.get("role", b"")) == b'"assistant"':
        if bytes(last.get("content", b""))[:1] != b'"' or thoughts:
            return False
        last["content"] = msgspec.Raw(encode(_read_text(last["content"]) + text))
    else:
        turn = {"role": "assistant", "content": text, **thoughts}
        messages.append({name: msgspec.Raw(encode(value)) for name, value in turn.items()})
    fields["messages"] = msgspec.Raw(encode(messages))
    if how == FLAG:
        fields |= {FLAG: msgspec.Raw(b"true"), "add_generation_prompt": msgspec.Raw(b"false")}
    return True


class Splice:
    """Makes the events of a rest those of the answer that it belongs to.

    `tokens` were said before, in answer to `prompt` tokens where the first engine told. White space at the end of what
    was said is in neither: the second engine is not told of it (templates cut it off), and what it says of it again is
    left out.
    """

    def __init__(self, said: Said, tokens: int, prompt: int | None) -> None:
        text = said.text
        self._names, self._role, self._talked = said.names, said.role, bool(text)
        self._tokens, self._prompt = tokens, prompt
        self._owed = text[len(text.rstrip()) :]

    def events(self, data: bytes) -> bytes:
        """What comes of whole events. Raises ApiError for a rest that is none."""
        return b"".join(self._event(event) for event in split_events(data))

    def _event(self, event: bytes) -> bytes:
        data = event_data(event)
        if not data.startswith(b"{"):
            return event
        try:
            fields = _read_fields(data)
            told = "choices" in fields and bytes(fields["choices"]) != b"[]"
            if told and not self._choices(fields):
                return b""
            if "usage" in fields and bytes(fields["usage"]) != b"null":
                fields["usage"] = msgspec.Raw(encode(self._usage(msgspec.json.decode(fields["usage"]))))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, TypeError) as error:
            raise engine_failed("The rest of the answer is no stream of completions.") from error
        if "choices" in fields:
            fields |= {name: value for name, value in self._names.items() if name in fields}
        return b"data: %b\n\n" % encode(fields)

    def _choices(self, fields: Fields) -> bool:
        """Changes the choices of a chunk; False when nothing is left of it."""
        choices = _read_objects(fields["choices"])
        worth = False
        for choice in choices:
            delta = _read_fields(choice["delta"]) if "delta" in choice else {}
            if self._role:
                delta.pop("role", None)
            if self._talked and any(bytes(delta.get(name, b"null")) not in _EMPTY for name in _THOUGHTS):
                raise engine_failed("The model began to think again in the middle of its answer.")
            for holder, name in ((delta, "content"), (choice, "text")):
                if self._owed and name in holder:
                    self._leave_out(holder, name)
            if "delta" in choice:
                choice["delta"] = msgspec.Raw(encode(delta))
            more = [value for name, value in choice.items() if name in ("text", "finish_reason")]
            worth = worth or any(bytes(value) not in _EMPTY for value in (*delta.values(), *more))
        fields["choices"] = msgspec.Raw(encode(choices))
        return worth

    def _leave_out(self, holder: Fields, name: str) -> None:
        text = msgspec.json.decode(holder[name], type=str | None) or ""
        again = 0
        while again < min(len(text), len(self._owed)) and text[again] == self._owed[again]:
            again += 1
        if text:
            self._owed = self._owed[again:] if again == len(text) else ""
            holder[name] = msgspec.Raw(encode(text[again:]))

    def _usage(self, usage: dict[str, Any]) -> dict[str, Any]:
        """What was said before was the second engine's prompt: it is counted as what it is, part of the answer."""
        prompt, said = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(prompt, int) or not isinstance(said, int):
            return usage
        first = max(prompt - self._tokens, 0) if self._prompt is None else self._prompt
        changed = {"prompt_tokens": first, "completion_tokens": said + self._tokens}
        if "total_tokens" in usage:
            changed["total_tokens"] = first + said + self._tokens
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
            details["cached_tokens"] = min(details["cached_tokens"], first)
        return {**usage, **changed}
