"""The service's encryption keys: a ring of named AES-256 keys, sealing (AES-256-GCM) and derived keys (HKDF).

The first key of the ring encrypts and every key decrypts, so a key is changed by adding a new one in front.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class KeyRingError(ValueError):
    """A key ring that cannot be read, or a sealed value that no key of the ring opens. Never holds key material."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Named keys. `current_id` encrypts. The keys are kept out of `repr`, so they cannot reach a log."""

    current_id: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read `id1:base64key,id2:base64key` (32-byte keys, the first one encrypts). Raises KeyRingError."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate((part for part in text.split(",") if part.strip()), start=1):
            key_id, _, encoded = entry.strip().partition(":")
            if not _KEY_ID.fullmatch(key_id) or key_id in keys:
                raise KeyRingError(f"encryption key {number} has no id, a malformed one, or one used before")
            keys[key_id] = _decode_key(encoded, key_id)
        if not keys:
            raise KeyRingError("there is no encryption key")
        return cls(next(iter(keys)), keys)

    def seal(self, plaintext: bytes, associated_data: bytes) -> tuple[str, bytes]:
        """Return the key id, and nonce plus ciphertext. The same `associated_data` is needed to open it again."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = _cipher(self.keys[self.current_id]).encrypt(nonce, plaintext, associated_data)
        return self.current_id, nonce + sealed

    def open(self, key_id: str, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. Raises KeyRingError for an unknown key, a changed value or other associated data."""
        key = self.keys.get(key_id)
        if key is None:
            raise KeyRingError(f"the key ring has no key '{key_id[:64]}'")
        try:
            return _cipher(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated_data)
        except (InvalidTag, ValueError) as error:
            raise KeyRingError("a sealed value was changed, or belongs to somebody else") from error

    def derive(self, label: str, *, key_id: str | None = None) -> bytes:
        """Derive a 32-byte key for one purpose, from the current key (or the named one) by HKDF-SHA256."""
        source = self.keys[key_id or self.current_id]
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label.encode()).derive(source)


@lru_cache(maxsize=64)
def _cipher(key: bytes) -> AESGCM:
    """Return the cipher of a key, kept because expanding a key costs more than sealing a small value."""
    return AESGCM(key)


def generate_key(key_id: str) -> str:
    """Generate a ring of one key in the text form that `KeyRing.parse` reads."""
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def _decode_key(encoded: str, key_id: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyRingError(f"encryption key '{key_id}' is not base64") from error
    if len(key) != KEY_BYTES:
        raise KeyRingError(f"encryption key '{key_id}' has {len(key)} bytes instead of {KEY_BYTES}")
    return key
