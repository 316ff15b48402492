"""Session tokens: random, shown once, stored only as a digest."""

from __future__ import annotations

import secrets
from hashlib import sha256

TOKEN_PREFIX = "aicp-session-"


def make_token() -> str:
    """A fresh session token of 256 random bits; the prefix lets logs and secret scanners know it."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """What is stored of a token: hex SHA-256. The token is random, so a slow hash would add nothing."""
    return sha256(token.encode()).hexdigest()
