"""Secrets taken out of text."""

from __future__ import annotations

import pytest

from aicp.core.join_token import make_join_token
from aicp.security.keys import make_key
from aicp.security.redaction import redact
from aicp.security.tokens import make_token


def test_keys_keep_their_public_part():
    key = make_key()
    assert (
        redact(f"key {key.secret}, again {key.secret}") == f"key {key.prefix}-[redacted], again {key.prefix}-[redacted]"
    )
    assert redact(f"created {key.prefix}") == f"created {key.prefix}"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param(f"Authorization: Bearer {make_token()}", "aicp-session-", id="a session"),
        pytest.param(f"joined with {make_join_token('0' * 64)}", "0" * 64, id="a join token"),
        ("authorization: bearer abcdefgh.ijkl", "abcdefgh"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("token hf_abcdefghijklmnopqrstuv", "abcdefghijklmnop"),
        ("sk-proj-abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnop"),
        ("postgresql+asyncpg://aicp:hunter22@db/aicp", "hunter22"),
        ('{"password": "hunter22", "user": "a"}', "hunter22"),
        ("AWS_SECRET=hunter22", "hunter22"),
        ("api_key=hunter22&x=1", "hunter22"),
        ("https://s3/a?X-Amz-Signature=0123abcd&b=1", "0123abcd"),
    ],
)
def test_secrets_do_not_survive(text: str, secret: str):
    assert secret not in redact(text).replace("aicp-session-[redacted]", "")
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    ["GET /api/v1/keys -> 200 in 1.0 ms", "tokens: 12 in, 40 out", "https://example.com/a@b", "the token expired"],
)
def test_ordinary_lines_stay_as_they_are(text: str):
    assert redact(text) == text
