"""What is sealed opens for its own row alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicp.security.keyring import Keyring, load_keyring

RING = Keyring(bytes(range(32)))


def test_what_was_sealed_is_opened_and_never_sealed_alike():
    first, second = (RING.seal("credentials", "job_1", b"secret") for _ in range(2))
    assert first != second
    assert b"secret" not in first
    assert RING.open("credentials", "job_1", first) == b"secret"


@pytest.mark.parametrize(
    ("purpose", "row", "ring"),
    [("credentials", "job_2", RING), ("other", "job_1", RING), ("credentials", "job_1", Keyring(bytes(32)))],
    ids=["another row", "another purpose", "another root"],
)
def test_it_opens_for_nothing_else(purpose: str, row: str, ring: Keyring):
    sealed = RING.seal("credentials", "job_1", b"secret")
    with pytest.raises(ValueError, match="was damaged"):
        ring.open(purpose, row, sealed)


def test_every_changed_byte_is_noticed():
    sealed = RING.seal("credentials", "job_1", b"secret")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="was damaged"):
            RING.open("credentials", "job_1", bytes(changed))
    for length in (0, 5, 12, len(sealed) - 1):
        with pytest.raises(ValueError, match="was damaged"):
            RING.open("credentials", "job_1", sealed[:length])


def test_the_root_is_made_once_and_only_for_the_platforms_user(tmp_path: Path):
    file = tmp_path / "keyring"
    sealed = load_keyring(file).seal("credentials", "job_1", b"secret")
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_keyring(file).open("credentials", "job_1", sealed) == b"secret"
    file.write_bytes(b"cut")
    with pytest.raises(ValueError, match="stored credentials cannot be read"):
        load_keyring(file)
