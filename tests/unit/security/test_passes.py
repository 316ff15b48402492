"""Passes: for one key, until one moment, of this platform only."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from aicp.core.route import KeyEntry
from aicp.gateway.api_keys import KeyRing
from aicp.security.passes import make_pass, read_pass

PEPPER = bytes(range(32))
ENDS = 1_800_000_000
BEFORE, AFTER = datetime.fromtimestamp(ENDS - 1, UTC), datetime.fromtimestamp(ENDS, UTC)


def ring(**fields: object) -> KeyRing:
    entry = KeyEntry(id="key_abc", digest="00", project="default", **fields)  # pyright: ignore[reportArgumentType]
    return KeyRing(base64.b64encode(PEPPER).decode(), [entry])


def test_a_pass_says_whose_it_is() -> None:
    assert read_pass(PEPPER, make_pass(PEPPER, "key_abc", ENDS)) == ("key_abc", ENDS)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("key_abc", "key_abd"),
        lambda text: text.replace(str(ENDS), str(ENDS + 1)),
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text + "0",
        lambda text: text.removeprefix("pass."),
        lambda text: "",
    ],
)
def test_one_that_was_changed_is_none(change) -> None:
    assert read_pass(PEPPER, change(make_pass(PEPPER, "key_abc", ENDS))) is None


def test_one_of_another_platform_is_none() -> None:
    assert read_pass(PEPPER, make_pass(bytes(32), "key_abc", ENDS)) is None


def test_the_gateway_takes_it_as_the_key_until_it_ends_and_from_everywhere() -> None:
    keys, text = ring(networks=["10.0.0.0/8"]), make_pass(PEPPER, "key_abc", ENDS).encode()
    lent = keys.check(text, BEFORE)
    assert lent is not None
    assert (lent.id, lent.project) == ("key_abc", "default")
    assert lent.may_come_from("127.0.0.1")
    current = keys.current(lent, BEFORE)
    assert current is not None
    assert not current.may_come_from("127.0.0.1"), "the key itself stays bound to its networks"
    assert keys.check(text, BEFORE) is lent
    assert keys.check(text, AFTER) is None


def test_a_pass_ends_with_its_key() -> None:
    text = make_pass(PEPPER, "key_abc", ENDS).encode()
    assert ring(expires_at=BEFORE.timestamp()).check(text, BEFORE) is None
    assert KeyRing(base64.b64encode(PEPPER).decode(), []).check(text, BEFORE) is None
