"""What is left out of a body before it is redacted, because it would hide from redaction what it says."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_TAIL = 320
"""The longest beginning of a secret that is not known for one without its end."""
_PIECES = r"(?:[a-z_]{0,40}logprobs|(?:prompt_|output_)?token_ids)"
_PIECES_NAME = re.compile(_PIECES)
_WRITTEN_PIECES = re.compile(rf'"{_PIECES}"\s*+:\s*+[\[{{](?!\s*+[\]}}])'.encode())
_decode = msgspec.json.Decoder().decode


def without_tail(text: str) -> str:
    """A text that was cut, without what may be the beginning of something that must be taken out."""
    end = len(text)
    least = max(end - _TAIL, 0)
    while end > least and "!" <= text[end - 1] <= "~":
        end -= 1
    return text[:end].rstrip(" 0123456789+().-")


def is_pieces(name: str, value: Any) -> bool:
    """Whether a field says token by token what a text says whole: there no secret is found."""
    return bool(value) and isinstance(value, (list, dict)) and _PIECES_NAME.fullmatch(name) is not None


def without_pieces(value: Any) -> Any:
    """What was read of JSON, without such fields."""
    if isinstance(value, dict):
        return {name: without_pieces(inner) for name, inner in value.items() if not is_pieces(name, inner)}
    if isinstance(value, list):
        return [without_pieces(inner) for inner in value]
    return value


def without_written_pieces(data: bytes) -> tuple[bytes, bool]:
    """JSON without such fields. What cannot be read, as where it was cut, ends before the first of them, and False."""
    found = _WRITTEN_PIECES.search(data)
    if found is None:
        return data, True
    try:
        return msgspec.json.encode(without_pieces(_decode(data))), True
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data[: found.start()], False
