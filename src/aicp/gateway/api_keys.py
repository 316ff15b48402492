"""API keys as the gateway knows them: only digests, all in memory."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from msgspec import Raw

from aicp.core.route import KeyEntry, RequestLogEntry
from aicp.gateway.bodies import encode
from aicp.gateway.budgets import Purse
from aicp.gateway.cache_store import Cache
from aicp.gateway.limits import Account
from aicp.security.keys import key_digest, key_id
from aicp.security.passes import read_pass

_LONGEST_KEY: Final = 256


class Key:
    """A live key."""

    __slots__ = (
        "accounts",
        "caches",
        "defaults",
        "digest",
        "expires_at",
        "id",
        "log",
        "max_output_tokens",
        "models",
        "networks",
        "previous_digest",
        "previous_until",
        "priority",
        "project",
        "purses",
        "weight",
    )

    def __init__(
        self,
        entry: KeyEntry,
        accounts: tuple[Account, ...] = (),
        purses: tuple[Purse, ...] = (),
        caches: Mapping[str, Cache] | None = None,
        log: RequestLogEntry | None = None,
    ) -> None:
        self.id = entry.id
        self.project = entry.project
        self.digest = entry.digest
        self.models = None if entry.models is None else frozenset(entry.models)
        self.expires_at = entry.expires_at
        self.priority, self.weight = entry.priority, entry.weight
        self.networks = None if entry.networks is None else tuple(map(ipaddress.ip_network, entry.networks))
        self.max_output_tokens = entry.max_output_tokens
        self.defaults = {name: Raw(encode(value)) for name, value in (entry.defaults or {}).items()}
        """Body fields by name, as JSON."""
        self.previous_digest, self.previous_until = entry.previous_digest, entry.previous_until
        self.accounts = accounts
        """Whose limits it falls under."""
        self.purses = purses
        """Whose budgets."""
        self.caches = caches
        """Caches of its project by public model name; None or empty where it has none."""
        self.log = log
        """Which bodies of its requests are kept; None: none."""

    def may_come_from(self, address: str) -> bool:
        """Whether a client's address is in its networks; a local socket has none and is always in."""
        if self.networks is None or not address:
            return True
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self.networks)


class KeyRing:
    """All live keys of one route table. Raises ValueError when the pepper is none.

    A key that was verified once is known by its SHA-256 from then on: an HMAC for every request would be the largest
    single cost of a request. Nothing but a live key ever gets there, so the list of known ones stays short.
    """

    def __init__(
        self,
        pepper: str,
        entries: Iterable[KeyEntry],
        accounts: Callable[[KeyEntry], tuple[Account, ...]] = lambda entry: (),
        purses: Callable[[KeyEntry], tuple[Purse, ...]] = lambda entry: (),
        caches: Callable[[str], Mapping[str, Cache] | None] = lambda project: None,
        logs: Mapping[str, RequestLogEntry] | None = None,
    ) -> None:
        try:
            self._pepper = base64.b64decode(pepper, validate=True)
        except binascii.Error as error:
            raise ValueError("the pepper of the route table is not base64") from error
        if len(self._pepper) < 16:
            raise ValueError("the pepper of the route table is too short")
        self._entries = {entry.id: entry for entry in entries}
        kept = logs or {}  # by project
        self._keys = {
            name: Key(entry, accounts(entry), purses(entry), caches(entry.project), kept.get(entry.project))
            for name, entry in self._entries.items()
        }
        # What an unknown key is compared with, so that it costs the same as a known one.
        self._nobody = key_digest(self._pepper, "nobody")
        self._verified: dict[bytes, tuple[Key, float | None]] = {}
        """By fingerprint, with the time at which that secret of the key ends."""

    @property
    def ids(self) -> Collection[str]:
        """Ids of all live keys."""
        return self._keys.keys()

    def check(self, text: bytes, now: datetime, seen: Seen | None = None) -> Key | None:
        """The key that `text` is, or None. An unknown key costs the same as a wrong secret of a known one."""
        if seen is not None and seen.ring is self and hmac.compare_digest(seen.text, text):
            return _live(seen.known, now)
        if len(text) > _LONGEST_KEY:
            return None
        fingerprint = sha256(text).digest()
        known = self._verified.get(fingerprint)
        if known is None:
            known = self._verify(text)
            if known is None:
                return None
            self._verified[fingerprint] = known
        if seen is not None:
            seen.ring, seen.text, seen.known = self, text, known
        return _live(known, now)

    def still(self, key: Key) -> bool:
        """Whether `key` is of this very table and does not expire, so that there is nothing to look up again."""
        return key.expires_at is None and self._keys.get(key.id) is key

    def current(self, key: Key, now: datetime) -> Key | None:
        """The same key in this table, for one that an earlier table knew; None when it was revoked or has expired."""
        found = self._keys.get(key.id)
        if found is None or key.digest not in (found.digest, found.previous_digest):
            return None
        return None if found.expires_at is not None and found.expires_at <= now.timestamp() else found

    def _verify(self, text: bytes) -> tuple[Key, float | None] | None:
        name = key_id(text.decode()) if text.isascii() else None
        if name is None:
            return self._lent(text)
        key = self._keys.get(name)
        digest = hmac.digest(self._pepper, text, sha256).hex()
        same = hmac.compare_digest(digest, self._nobody if key is None else key.digest)
        before = hmac.compare_digest(digest, (key.previous_digest if key is not None else None) or self._nobody)
        if key is None or not (same or before):
            return None
        if same:
            return key, key.expires_at
        return key, min(key.previous_until, key.expires_at or key.previous_until)

    def _lent(self, text: bytes) -> tuple[Key, float] | None:
        """The key that the platform itself calls on behalf of, from wherever it runs."""
        found = read_pass(self._pepper, text.decode()) if text.isascii() else None
        key = self._keys.get(found[0]) if found is not None else None
        if found is None or key is None:
            return None
        lent = Key(replace(self._entries[key.id], networks=None), key.accounts, key.purses, key.caches, key.log)
        return lent, min(found[1], key.expires_at or found[1])


class Seen:
    """The key that a connection has shown last: shown again, it is known without a digest, as long as its ring is."""

    __slots__ = ("known", "ring", "text")

    def __init__(self) -> None:
        self.ring: KeyRing | None = None
        self.text = b""
        self.known: tuple[Key, float | None] | None = None


def _live(known: tuple[Key, float | None] | None, now: datetime) -> Key | None:
    """A key whose secret has not ended."""
    if known is None:
        return None
    key, ends = known
    return key if ends is None or ends > now.timestamp() else None


def presented_key(authorization: bytes | None, api_key: bytes | None) -> bytes:
    """What a request's `Authorization: Bearer` or `x-api-key` header holds; empty when neither does."""
    if authorization is not None:
        if authorization.startswith(b"Bearer "):
            return authorization[7:].strip()
        scheme, _, text = authorization.partition(b" ")
        return text.strip() if scheme.lower() == b"bearer" else b""
    return (api_key or b"").strip()
