"""Reading of images: what `/v1/ocr` takes and answers, and chat with a model whose engine serves nothing else.

An engine's `/v1/ocr` gets `{"model", "image": "data:image/...;base64,..."}`, or a list of such, and whatever else the
caller sent. It answers `{"lines": [{"text", "box", "score", "image"}], "usage"}`: lines in reading order; `box` the
four corners as [x, y] in pixels, clockwise from the top left of the text; `score` from 0 to 1; `image` the number of
its image, 0 where it is left out; `usage` as in chat, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from aicp.gateway import http
from aicp.gateway.bodies import Fields, encode, read_value, with_usage
from aicp.gateway.errors import engine_failed, invalid
from aicp.gateway.translation_rules import Rule, passed_on, refused

MOST_IMAGES = 16
_IMAGE = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,")
_WHY = "asks for more than this model does, which reads the text of images"
_RULES: Mapping[str, Rule] = {
    "n": refused(_WHY, 1),
    "tools": refused(_WHY),
    "functions": refused(_WHY),
    "response_format": refused(_WHY, {"type": "text"}),
    "logprobs": refused(_WHY),
    "top_logprobs": refused(_WHY),
    "modalities": refused(_WHY, ["text"]),
    "audio": refused(_WHY),
}


class _Line(msgspec.Struct):
    text: str
    image: int = 0


class _Read(msgspec.Struct):
    lines: list[_Line]
    created: int = 0
    usage: dict[str, Any] | None = None


_read = msgspec.json.Decoder(_Read)


def check_images(fields: Fields) -> None:
    """Raises ApiError 400 unless `image` is an image or a list of some, as `data:` URLs."""
    given = read_value(bytes(fields["image"]))
    images = given if isinstance(given, list) else [given]
    if not 1 <= len(images) <= MOST_IMAGES:
        raise invalid(f"The field 'image' holds from 1 to {MOST_IMAGES} images.", param="image", code="invalid_value")
    _check_all(images, "image")


class ChatReading:
    """One chat request whose images are read. Raises ApiError 400."""

    def __init__(self, fields: Fields, name: str, *, stream: bool) -> None:
        given = {field: read_value(bytes(raw)) for field, raw in fields.items() if field != "messages"}
        passed_on(fields, given, _RULES)
        self._name = name
        self._usage = with_usage(fields) if stream else True
        self._stream = stream
        self._images = _images(read_value(bytes(fields["messages"])))

    @property
    def kind(self) -> bytes:
        """The content type of its answer."""
        return http.EVENTS if self._stream else http.JSON

    def body(self, model: str) -> bytes:
        """The engine's request."""
        return encode({"model": model, "image": self._images})

    def whole(self, body: bytes, request_id: str) -> bytes:
        """The chat completion, or all of its stream, that the lines are. Raises ApiError 502 when there are none."""
        try:
            read = _read.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise engine_failed("The engine's answer holds no lines of text.") from error
        answer = {"id": f"chatcmpl-{request_id.removeprefix('req_')}", "created": read.created, "model": self._name}
        if self._stream:
            return b"".join(b"data: %b\n\n" % event for event in self._events(answer, read))
        message = {"role": "assistant", "content": _text(read)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return encode(answer | {"object": "chat.completion", "choices": [choice], "usage": _usage(read)})

    def _events(self, answer: dict[str, Any], read: _Read) -> Iterator[bytes]:
        answer["object"] = "chat.completion.chunk"
        for delta, reason in (({"role": "assistant", "content": _text(read)}, None), ({}, "stop")):
            yield encode(answer | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        if self._usage:
            yield encode(answer | {"choices": [], "usage": _usage(read)})
        yield b"[DONE]"


def _images(messages: Any) -> list[str]:
    """The images of the last message that has some."""
    for message in reversed(messages):
        content = message.get("content") if isinstance(message, dict) else None
        found = [image for part in content if (image := _image(part))] if isinstance(content, list) else []
        if len(found) > MOST_IMAGES:
            message = f"A message may hold {MOST_IMAGES} images for this model, not {len(found)}."
            raise invalid(message, param="messages", code="invalid_value")
        if found:
            _check_all(found, "messages")
            return found
    message = "This model reads the text of images: a message needs a part of the type image_url."
    raise invalid(message, param="messages", code="invalid_value")


def _image(part: Any) -> Any:
    value = part.get("image_url") or part.get("image") if isinstance(part, dict) else None
    return value.get("url") if isinstance(value, dict) else value


def _check_all(images: list[Any], field: str) -> None:
    if not all(isinstance(image, str) and _IMAGE.match(image) for image in images):
        message = "An image must be a URL of the form data:image/png;base64,..."
        raise invalid(message, param=field, code="invalid_value")


def _text(read: _Read) -> str:
    """All lines; an empty one between images."""
    texts: dict[int, list[str]] = {}
    for line in read.lines:
        texts.setdefault(line.image, []).append(line.text)
    return "\n\n".join("\n".join(lines) for _, lines in sorted(texts.items()))


def _usage(read: _Read) -> dict[str, Any]:
    return read.usage or {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
