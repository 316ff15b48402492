"""Passwords and session tokens."""

from __future__ import annotations

from aicp.security.passwords import Passwords, make_password
from aicp.security.redaction import redact
from aicp.security.tokens import make_token, token_digest


async def test_only_the_right_password_matches():
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsE")
    assert not await passwords.verify("damaged", "correct horse")


async def test_a_user_who_does_not_exist_never_matches():
    passwords = Passwords()
    assert not await passwords.verify(None, "")
    assert not await passwords.verify(None, "anything")


async def test_two_hashes_of_one_password_differ():
    passwords = Passwords()
    assert await passwords.hash("same") != await passwords.hash("same")


def test_made_passwords_and_tokens_are_long_and_never_repeat():
    assert len({make_password() for _ in range(50)}) == 50
    assert len(make_password()) == 23
    tokens = {make_token() for _ in range(50)}
    assert len({token_digest(token) for token in tokens}) == 50
    assert all(redact(token) != token for token in tokens)
