"""Passwords, hashed with argon2id off the event loop."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_READABLE = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Passwords:
    """Hashes and checks. `concurrency` caps how many run at once: each takes `memory_kib` and some 20 ms of a core,
    so that without the cap a flood of logins would take the machine.

    Parameters: the second of OWASP's equivalent minimum settings for argon2id (Password Storage Cheat Sheet).
    """

    def __init__(self, concurrency: int = 2, *, memory_kib: int = 19456) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=memory_kib, parallelism=1)
        self._slots = asyncio.Semaphore(concurrency)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """The encoded hash with its parameters and salt."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` belongs to `stored`. With None (no such user) it takes as long and answers False."""
        if stored is None:
            if self._decoy is None:
                self._decoy = await self.hash(secrets.token_hex(16))
            await self._matches(self._decoy, password)
            return False
        return await self._matches(stored, password)

    async def _matches(self, stored: str, password: str) -> bool:
        async with self._slots:
            with suppress(Argon2Error, InvalidHashError):
                return await asyncio.to_thread(self._hasher.verify, stored, password)
            return False


def make_password() -> str:
    """A random password of 20 characters (115 bits) that is easy to read and type."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(5)) for _ in range(4))
