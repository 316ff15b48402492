"""A key that its connection has shown before."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

from tests.support.gateway_process import PEPPER, entry_of, new_secret

from aicp.gateway.api_keys import KeyRing, Seen

NOW = datetime.fromtimestamp(1_800_000_000, UTC)


def test_what_was_seen_holds_for_that_key_alone_and_only_with_its_ring() -> None:
    secret, other = new_secret(), new_secret()
    pepper = base64.b64encode(PEPPER).decode()
    ring, seen = KeyRing(pepper, [entry_of(secret), entry_of(other)]), Seen()
    key = ring.check(secret.encode(), NOW, seen)
    assert key is not None
    assert ring.check(secret.encode(), NOW, seen) is key
    found = ring.check(other.encode(), NOW, seen)
    assert found is not None
    assert found.id == entry_of(other).id
    assert ring.check(secret.encode()[:-1] + b"#", NOW, seen) is None
    assert ring.check(secret.encode(), NOW, seen) is key, "a wrong one in between changes nothing"
    assert KeyRing(pepper, [entry_of(other)]).check(secret.encode(), NOW, seen) is None, "revoked by the next table"


def test_nothing_that_is_no_key_is_taken_from_a_connection_that_has_shown_none() -> None:
    ring = KeyRing(base64.b64encode(PEPPER).decode(), [])
    assert ring.check(b"", NOW, Seen()) is None


def test_a_key_that_was_seen_ends_when_it_expires() -> None:
    secret = new_secret()
    entry = replace(entry_of(secret), expires_at=NOW.timestamp() + 1)
    ring, seen = KeyRing(base64.b64encode(PEPPER).decode(), [entry]), Seen()
    assert ring.check(secret.encode(), NOW, seen) is not None
    assert ring.check(secret.encode(), datetime.fromtimestamp(NOW.timestamp() + 1, UTC), seen) is None
