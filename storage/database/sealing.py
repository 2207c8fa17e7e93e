"""Values marked `x-sensitive` inside rows: encrypted in place, the rest of the document readable.

The marker is `{"$sealed": "<key id>:<base64 of nonce and ciphertext>"}`. Invariant: in what `seal` or `escape_markers`
returned, every member `$sealed` is ours (a client's own gets one more `$`), so sealed values come back exactly, and no
value of a client is taken for a marker.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from typing import cast

from playbooks.common.json_pointer import from_parts, parts, transform_at
from playbooks.common.values import Json
from runtime.keys import KeyRing, KeyRingError

SEALED = "$sealed"
HIDDEN = "***"
_PURPOSE = b"playbooks-sealed-value"
_LOOKALIKE = re.compile(r"\$+sealed")


class Sealer:
    """Seals and opens values with one key ring. Safe to share; holds no state."""

    def __init__(self, key_ring: KeyRing) -> None:
        self._ring = key_ring

    def seal(self, value: Json, pointers: Sequence[str]) -> Json:
        """`value` with the members at `pointers` (JSON Pointers, `*` for any) encrypted.

        Null stays null: the absence of a value is no secret, and readers need it. Sealing the same value twice gives
        different texts; both open to the same value.
        """
        places = [from_parts(_escaped(part) for part in parts(pointer)) for pointer in pointers]
        return transform_at(escape_markers(value), places, self._seal_one)

    def open(self, value: Json) -> Json:
        """`value` with everything sealed in it decrypted. Raises KeyRingError for an unknown key or a changed value."""
        return _read(value, self._open_one)

    def redact(self, value: Json) -> Json:
        """`value` with `***` for everything sealed in it."""
        return _read(value, lambda _: HIDDEN)

    def _seal_one(self, value: Json) -> Json:
        if value is None:
            return None
        plaintext = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        key_id, sealed = self._ring.seal(plaintext, _PURPOSE)
        return {SEALED: f"{key_id}:{base64.b64encode(sealed).decode()}"}

    def _open_one(self, marker: Json) -> Json:
        key_id, _, encoded = marker.partition(":") if isinstance(marker, str) else ("", "", "")
        try:
            sealed = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KeyRingError("a sealed value cannot be read") from error
        plaintext = cast("Json", json.loads(self._ring.open(key_id, sealed, _PURPOSE)))
        return _read(plaintext, self._open_one)


def escape_markers(value: Json) -> Json:
    """`value` for a column without sealed members that is read by `open` or `redact` all the same."""
    if isinstance(value, dict):
        return {_escaped(name): escape_markers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [escape_markers(item) for item in value]
    return value


def _escaped(name: str) -> str:
    return f"${name}" if name.startswith("$") and _LOOKALIKE.fullmatch(name) else name


def _unescaped(name: str) -> str:
    return name[1:] if name.startswith("$$") and _LOOKALIKE.fullmatch(name) else name


def _read(value: Json, of_marker: Callable[[Json], Json]) -> Json:
    """`value` as its owner wrote it, with `of_marker` applied to the text of each marker."""
    if isinstance(value, dict):
        if SEALED in value:
            return of_marker(value[SEALED])
        return {_unescaped(name): _read(item, of_marker) for name, item in value.items()}
    if isinstance(value, list):
        return [_read(item, of_marker) for item in value]
    return value
