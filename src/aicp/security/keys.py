"""API keys: `sk-<id>-<random>-<check>`.

`id` (16 characters) is public and names the key; `random` (32 random bytes as 43 base-62 digits) is the secret;
`check` (CRC-32 of what stands before it, 8 hex digits) lets a mistyped or cut key be refused without a look-up.
Only an HMAC under the platform's pepper is ever stored, so that no copy of the database gives a key back. Standard
library only: the gateway uses it too.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(r"(sk-([0-9a-hjkmnp-tv-z]{16})-[0-9A-Za-z]{43})-([0-9a-f]{8})", re.ASCII)
_SECRET_BYTES = 32
_SECRET_DIGITS = 43
"""62**43 is the first power of 62 beyond 2**256."""
_KEPT_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key: `id` is the row's id, `prefix` what may be shown, `secret` what only its owner may see."""

    id: str
    prefix: str
    secret: str


def make_key(key_id: str | None = None) -> NewKey:
    """A key from the system's random source; with `key_id` another secret for the row of that id."""
    fresh = "".join(secrets.choice(_ID_ALPHABET) for _ in range(16))
    name = fresh if key_id is None else key_id.removeprefix("key_")
    rest = f"sk-{name}-{_base62(secrets.token_bytes(_SECRET_BYTES))}"
    return NewKey(id=f"key_{name}", prefix=f"sk-{name}", secret=f"{rest}-{_check(rest)}")


def key_id(text: str) -> str | None:
    """The id of the row that `text` claims to be the key of; None when it cannot be a key at all."""
    match = _KEY.fullmatch(text)
    if match is None or _check(match[1]) != match[3]:
        return None
    return f"key_{match[2]}"


def key_digest(pepper: bytes, secret: str) -> str:
    """What is stored of a key: hex HMAC-SHA256 of the whole key under the pepper."""
    return hmac.digest(pepper, secret.encode(), sha256).hex()


def verify_key(pepper: bytes, text: str, digest: str) -> bool:
    """Whether `text` is the key of `digest`, in a time that does not depend on where they differ."""
    return hmac.compare_digest(key_digest(pepper, text), digest)


def load_pepper(file: Path) -> bytes:
    """The platform's pepper, made at the first start. It is no part of the database. Losing it voids all keys.

    Raises ValueError when the file was damaged.
    """
    return load_secret(file, loss="all API keys are void")


def load_secret(file: Path, *, loss: str) -> bytes:
    """32 random bytes that outlive the process, made at the first start in a file that only the platform's user reads.

    Raises ValueError, saying what is lost without them (`loss`), when the file was damaged.
    """
    if not file.exists():
        fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_KEPT_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.rename(file)
    secret = file.read_bytes()
    if len(secret) != _KEPT_BYTES:
        raise ValueError(f"{file} must hold {_KEPT_BYTES} bytes; restore it from a backup, or {loss}.")
    return secret


def encode_pepper(pepper: bytes) -> str:
    """The pepper as the route table carries it (base64)."""
    return base64.b64encode(pepper).decode()


def _check(rest: str) -> str:
    return f"{zlib.crc32(rest.encode()):08x}"


def _base62(data: bytes) -> str:
    number, digits = int.from_bytes(data), ""
    for _ in range(_SECRET_DIGITS):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits
