"""API keys: their shape, and that only the right one passes."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from aicp.security.keys import encode_pepper, key_digest, key_id, load_pepper, make_key, verify_key

PEPPER = b"p" * 32


def test_a_key_names_its_row_and_verifies_under_its_pepper_only():
    key = make_key()
    assert re.fullmatch(r"sk-[0-9a-z]{16}-[0-9A-Za-z]{43}-[0-9a-f]{8}", key.secret)
    assert key.secret.startswith(key.prefix + "-")
    assert key_id(key.secret) == key.id
    digest = key_digest(PEPPER, key.secret)
    assert key.secret not in digest
    assert verify_key(PEPPER, key.secret, digest)
    assert not verify_key(b"q" * 32, key.secret, digest)
    assert not verify_key(PEPPER, make_key().secret, digest)


def test_any_wrong_character_is_refused_before_a_look_up():
    secret = make_key().secret
    for place, character in enumerate(secret):
        wrong = secret[:place] + ("x" if character != "x" else "y") + secret[place + 1 :]
        assert key_id(wrong) is None, place


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + "0", lambda s: s + "\n", lambda s: " " + s, str.upper]
)
def test_cut_and_padded_keys_are_refused(change):
    assert key_id(change(make_key().secret)) is None


@pytest.mark.parametrize(
    "text", ["", "sk-", "sk-x", "'; drop table api_keys; --", "\0" * 60, "é" * 58, "sk-" + "0" * 10_000]
)
def test_texts_that_are_no_keys_are_refused(text: str):
    assert key_id(text) is None


def test_the_pepper_is_made_once_and_is_private(tmp_path: Path):
    file = tmp_path / "pepper"
    pepper = load_pepper(file)
    assert load_pepper(file) == pepper
    assert len(pepper) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert len(encode_pepper(pepper)) == 44
    file.write_bytes(b"short")
    with pytest.raises(ValueError, match="backup"):
        load_pepper(file)
