"""Identifiers: a short prefix that names the noun, then time-ordered randomness."""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$"
_NAME = re.compile(NAME_PATTERN)


def _base32(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, rest = divmod(number, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def new_id(prefix: str) -> str:
    """A new identifier such as `svc_01k9...`; sorts by creation time (milliseconds), 60 random bits."""
    return f"{prefix}_{_base32(time.time_ns() // 1_000_000, 10)}{_base32(secrets.randbits(60), 12)}"


def is_name(text: str) -> bool:
    """Whether `text` may name a model, service, project or pool (lower case, digits, `. _ -`, at most 63)."""
    return _NAME.fullmatch(text) is not None
