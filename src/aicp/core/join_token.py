"""Join tokens: `aicp-join-<id>-<secret>-<fingerprint>`.

`id` names the row, `secret` is 32 random bytes of which only a digest is kept, `fingerprint` is that of the platform's
authority: so a machine that joins knows whom to believe, and nothing else needs to be copied.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TOKEN = re.compile(r"aicp-join-([0-9a-hjkmnp-tv-z]{16})-([0-9a-f]{64})-([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class JoinTokenText:
    """The parts of a token."""

    id: str
    secret: str
    fingerprint: str

    def __str__(self) -> str:
        return f"aicp-join-{self.id.removeprefix('join_')}-{self.secret}-{self.fingerprint}"

    def digest(self) -> str:
        """What is stored: hex SHA-256. The secret is random, so a slow hash would add nothing."""
        return sha256(self.secret.encode()).hexdigest()

    def fits(self, digest: str) -> bool:
        """Whether it is the token of a digest, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.digest(), digest)


def make_join_token(fingerprint: str) -> JoinTokenText:
    """A fresh token for the platform with this authority."""
    name = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return JoinTokenText(f"join_{name}", secrets.token_hex(32), fingerprint)


def read_join_token(text: str) -> JoinTokenText | None:
    """The parts of a token; None for what cannot be one, such as one that was cut."""
    match = _TOKEN.fullmatch(text.strip())
    return JoinTokenText(f"join_{match[1]}", match[2], match[3]) if match else None
