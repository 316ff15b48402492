"""Encryption of what the platform must be able to read again: credentials of outside sources."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aicp.security.keys import load_secret

_NONCE_BYTES = 12
"""The size that AES-GCM is specified for (NIST SP 800-38D)."""


class Keyring:
    """Seals with AES-256-GCM under keys derived from one root, one for each purpose (HKDF-SHA256, RFC 5869)."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def seal(self, purpose: str, row_id: str, plain: bytes) -> bytes:
        """`plain` as nonce and ciphertext, bound to `purpose` and `row_id`: of no use in another's place."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher(purpose).encrypt(nonce, plain, row_id.encode())

    def open(self, purpose: str, row_id: str, sealed: bytes) -> bytes:
        """What was sealed. Raises ValueError when it was changed, sealed for another row, or under another root."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher(purpose).decrypt(nonce, text, row_id.encode())
        except (InvalidTag, ValueError) as error:
            raise ValueError(f"what is kept of {row_id} was damaged, or sealed under another key") from error

    def _cipher(self, purpose: str) -> AESGCM:
        return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(self._root))


def load_keyring(file: Path) -> Keyring:
    """The keyring of this platform; its root is made at the first start. Raises ValueError when the file is damaged."""
    return Keyring(load_secret(file, loss="stored credentials cannot be read"))
