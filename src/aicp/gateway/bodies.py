"""Request bodies: read once, checked, and made ready for the engine. Values of fields stay the bytes that came."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from aicp.gateway.errors import ApiError, invalid

Fields = dict[str, msgspec.Raw]

DEPTH: Final = 64
_CONTAINERS: Final = 1_000_000
_MOST_CHOICES: Final = 128
_FIRST_BYTES: Final = 256
_SHORT: Final = 1024
_BLOCK: Final = 1 << 16
_BRACKETS: Final = b"[]{}"
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_fields: Final = msgspec.json.Decoder(Fields)
_text: Final = msgspec.json.Decoder(str)
encode: Final = msgspec.json.Encoder().encode


def read_fields(body: bytes) -> Fields:
    """The top-level fields of a JSON object; of a repeated one the last, as engines take it.

    Raises ApiError 400 for anything else: malformed, NaN, not UTF-8, nested too deep.
    """
    if not body:
        raise invalid("The request has no body; send a JSON object.", code="malformed_json")
    try:
        if not body.isascii():
            str(body, "utf-8")
        fields = _fields.decode(body)
    except msgspec.ValidationError as error:
        raise invalid("The body must be a JSON object.", code="malformed_json") from error
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not valid JSON: {_reason(error)}.", code="malformed_json") from error
    except UnicodeDecodeError as error:
        raise invalid(f"The body is not UTF-8 (byte {error.start}).", code="malformed_json") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _has_more(body, DEPTH) and too_deep(body, DEPTH):
        raise _too_deep()
    return fields


def read_value(data: bytes) -> Any:
    """A JSON value as plain data. Raises ApiError 400 for a number that nothing can hold, such as 1e999."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not valid JSON: {_reason(error)}.", code="malformed_json") from error


def is_all(fields: Fields, text: bytes) -> bool:
    """Whether `text` is an object of these fields and nothing else: no space between them, and no field twice.

    False for names that are escaped or not ASCII; they are as long as they look in no other case.
    """
    size = 1
    for name, raw in fields.items():
        size += len(name) + len(raw) + 4  # two quotation marks, a colon, a comma or the last bracket
    return size == len(text)


def text_field(fields: Fields, name: str) -> str:
    """A field that must be there and be text. Raises ApiError 400."""
    raw = fields.get(name)
    if raw is None:
        raise invalid(f"The field {name!r} is missing.", param=name, code="missing_field")
    try:
        text = _text.decode(raw)
    except msgspec.DecodeError as error:
        raise invalid(f"The field {name!r} must be text.", param=name, code="invalid_type") from error
    if not text:
        raise invalid(f"The field {name!r} is empty.", param=name, code="missing_field")
    return text


def flag_field(fields: Fields, name: str) -> bool:
    """A field that is true, false, null or absent. Raises ApiError 400."""
    raw = fields.get(name)
    if raw is None:
        return False
    text = bytes(raw)
    if text not in (b"true", b"false", b"null"):
        raise invalid(f"The field {name!r} must be true or false.", param=name, code="invalid_type")
    return text == b"true"


def check_fields(fields: Fields, refused: frozenset[str], needed: str) -> None:
    """Refuses fields that steer the engine, shapes that no schema allows, and amounts that harm others.

    Raises ApiError 400 that names the field.
    """
    if not refused.isdisjoint(fields):
        name = next(name for name in fields if name in refused)
        raise invalid(
            f"The field {name!r} steers the engine itself and is not accepted here.",
            param=name,
            code="unsupported_parameter",
        )
    if needed and needed not in fields:
        raise invalid(f"The field {needed!r} is missing.", param=needed, code="missing_field")
    raw = fields.get("messages")
    if raw is not None:
        messages = bytes(raw)
        if messages[:2] != b"[{":
            _check_messages(messages)
    raw = fields.get("tools")
    if raw is not None and bytes(raw)[:1] not in (b"[", b"n"):
        # llama.cpp answers 500 to it
        raise invalid("The field 'tools' must be a list.", param="tools", code="invalid_type")
    for name in ("n", "best_of"):
        if name in fields:
            _check_choices(fields[name], name)


def with_usage(fields: Fields) -> bool:
    """Makes a streamed request ask for usage; answers whether the client asked too. Raises ApiError 400."""
    raw = fields.get("stream_options")
    options: Fields = {}
    if raw is not None and bytes(raw) != b"null":
        try:
            options = _fields.decode(raw)
        except msgspec.DecodeError as error:
            message = "The field 'stream_options' must be an object."
            raise invalid(message, param="stream_options", code="invalid_type") from error
    try:
        asked = flag_field(options, "include_usage")
    except ApiError as error:
        message = "The field 'stream_options.include_usage' must be true or false."
        raise invalid(message, param="stream_options", code="invalid_type") from error
    fields["stream_options"] = msgspec.Raw(encode({**options, "include_usage": True}))
    return asked


def too_deep(body: bytes, depth: int) -> bool:
    """Whether a valid JSON text nests deeper than `depth`, without recursion and in bounded memory."""
    brackets = _structure(body)
    if len(brackets) > 2 * _CONTAINERS:
        return True
    for _ in range(depth):
        # each round takes away the innermost level of every branch
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _has_more(body: bytes, most: int) -> bool:
    """Whether more than `most` brackets open anywhere. Jumps from one to the next: most of a long body is text."""
    if len(body) < _SHORT:
        return body.count(b"[") + body.count(b"{") > most
    for bracket in (b"[", b"{"):
        at = body.find(bracket)
        while at >= 0:
            most -= 1
            if most < 0:
                return True
            at = body.find(bracket, at + 1)
    return False


def _structure(body: bytes) -> bytes:
    """The brackets of a JSON text that are outside of its strings."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside: list[bytes] = []
    inside = False
    for start in range(0, len(plain), _BLOCK):
        pieces = plain[start : start + _BLOCK].split(b'"')
        text = b"".join(pieces[inside::2])
        outside.append(text.translate(_ONE_KIND, _NOT_BRACKETS))
        inside ^= not len(pieces) % 2
    return b"".join(outside)


def _check_messages(data: bytes) -> None:
    """Only what no schema allows; the rest is the engine's to judge."""
    if not data.startswith(b"["):
        raise invalid("The field 'messages' must be a list.", param="messages", code="invalid_type")
    first = data[1:_FIRST_BYTES].lstrip()[:1]
    if first == b"]":
        raise invalid("The field 'messages' is empty.", param="messages", code="invalid_value")
    if first not in (b"{", b""):
        raise invalid("Every one of the 'messages' must be an object.", param="messages", code="invalid_type")


def _check_choices(raw: msgspec.Raw, name: str) -> None:
    try:
        number = msgspec.json.decode(raw, type=int | None)
    except msgspec.DecodeError as error:
        raise invalid(f"The field {name!r} must be a whole number.", param=name, code="invalid_type") from error
    if number is not None and not 1 <= number <= _MOST_CHOICES:
        raise invalid(f"The field {name!r} must be from 1 to {_MOST_CHOICES}.", param=name, code="invalid_value")


def _too_deep() -> ApiError:
    return invalid(f"The body nests deeper than {DEPTH} levels or too much.", code="nested_too_deep")


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ")
