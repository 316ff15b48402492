"""Passes: what the platform calls its own gateway with on behalf of an API key, whose secret nobody keeps.

`pass.<key id>.<expiry>.<mark>`: the mark is an HMAC under the platform's pepper, which only control and gateways have.
The gateway takes a pass as the key itself, with all its limits, but from its networks: who asked the platform was
checked when he asked. Standard library only: the gateway uses it too.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

_PASS = re.compile(r"pass\.(key_[0-9a-z]{1,40})\.([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)


def make_pass(pepper: bytes, key_id: str, expires_at: int) -> str:
    """A pass for a key until `expires_at` (Unix seconds)."""
    return f"pass.{key_id}.{expires_at}.{_mark(pepper, key_id, expires_at)}"


def read_pass(pepper: bytes, text: str) -> tuple[str, int] | None:
    """The key's id and the expiry that a pass was made for; None for what is no pass of this platform."""
    match = _PASS.fullmatch(text)
    if match is None:
        return None
    key_id, expires_at = match[1], int(match[2])
    return (key_id, expires_at) if hmac.compare_digest(_mark(pepper, key_id, expires_at), match[3]) else None


def _mark(pepper: bytes, key_id: str, expires_at: int) -> str:
    return hmac.digest(pepper, f"pass.{key_id}.{expires_at}".encode(), sha256).hex()
