"""The data converter of clients, workers, tests and replays: pydantic JSON, encrypted with AES-256-GCM.

Invariants: a payload of one run cannot be used as another run's (the workflow id, which has the organization, is
authenticated and compared); plain payloads from Temporal's own clients pass; and decoding never raises, because
in a worker that would block a run for ever on one hostile signal. A payload that cannot be opened is returned
unchanged, so a reader of typed values fails with an unknown encoding, and a reader of raw values can refuse it.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Self

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    ActivitySerializationContext,
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from runtime.keys import KeyRing, KeyRingError

ENCODING = b"binary/encrypted"
KEY_ID_FIELD = "encryption-key-id"
WORKFLOW_ID_FIELD = "playbook-workflow-id"
COMPRESSION_FIELD = "compression"
COMPRESSED_FROM_BYTES: Final = 1024
"""Plans and flushes are repetitive JSON, which shrinks to a tenth; the server stores and reads it many times."""

_ZLIB: Final = b"zlib"
_CONVERTERS: Final = PydanticPayloadConverter().converters
_KEPT_CONTEXTS: Final = 4096
"""Workflows whose converter a process keeps: about as many as a worker caches, a few KB each."""


def data_converter(key_ring: KeyRing) -> DataConverter:
    """Return the converter that every client, worker and replayer uses. Failure messages are encrypted too."""
    return RunDataConverter(
        payload_converter_class=SharedPayloadConverter,
        payload_codec=EncryptionCodec(key_ring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


class RunDataConverter(DataConverter):
    """Keeps the converter of each workflow: the SDK asks for it with every payload, and making one costs more than
    converting with it."""

    def with_context(self, context: SerializationContext) -> Self:
        """Return the converter for the payloads of one workflow and of its activities."""
        owner = _owner_of(context)
        if owner is None or not isinstance(self.payload_codec, EncryptionCodec) or self.payload_codec.owner is not None:
            return super().with_context(context)
        found = self._of_workflows.get(owner)
        if found is None:
            found = self._of_workflows[owner] = super().with_context(context)
            if len(self._of_workflows) > _KEPT_CONTEXTS:
                self._of_workflows.popitem(last=False)
        return found

    @cached_property
    def _of_workflows(self) -> OrderedDict[str, Self]:
        return OrderedDict()


class SharedPayloadConverter(CompositePayloadConverter):
    """Pydantic's JSON, with one cache of schemas for the process.

    The SDK makes a converter for each workflow, and two for each of its tasks; each would build the schemas of our
    messages again, which costs more than all else that a short run does.
    """

    def __init__(self) -> None:  # pyright: ignore[reportMissingSuperCall]
        self.converters = _CONVERTERS

    def with_context(self, context: SerializationContext) -> Self:
        """Return itself: none of these converters depends on the workflow."""
        return self


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Seals payloads. `owner` is the workflow's id, or None where the SDK does not give it (the codec endpoint)."""

    def __init__(self, key_ring: KeyRing, workflow_id: str | None = None) -> None:
        self._key_ring = key_ring
        self.owner = workflow_id

    def with_context(self, context: SerializationContext) -> EncryptionCodec:
        """Return the codec for the payloads of one workflow; a known owner is never replaced by an unknown one."""
        owner = _owner_of(context)
        return self if owner is None else EncryptionCodec(self._key_ring, owner)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal each payload, marked with key id and owner."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open each payload; plain ones, and those that cannot be opened here, stay unchanged. Never raises."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        owner = (self.owner or "").encode()
        plain = payload.SerializeToString()
        metadata = {"encoding": ENCODING, WORKFLOW_ID_FIELD: owner}
        if len(plain) >= COMPRESSED_FROM_BYTES:
            plain = zlib.compress(plain, level=1)
            metadata[COMPRESSION_FIELD] = _ZLIB
        key_id, sealed = self._key_ring.seal(plain, owner)
        metadata[KEY_ID_FIELD] = key_id.encode()
        return Payload(metadata=metadata, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        owner = payload.metadata.get(WORKFLOW_ID_FIELD, b"")
        if self.owner is not None and owner and owner != self.owner.encode():
            return payload
        key_id = payload.metadata.get(KEY_ID_FIELD, b"").decode(errors="replace")
        try:
            plain = self._key_ring.open(key_id, payload.data, owner)
            if payload.metadata.get(COMPRESSION_FIELD) == _ZLIB:
                plain = zlib.decompress(plain)
            return Payload.FromString(plain)
        except (KeyRingError, DecodeError, zlib.error):
            return payload


def _owner_of(context: SerializationContext) -> str | None:
    """Return the id of the workflow that owns the payloads, or None where the SDK does not give it."""
    known = isinstance(context, WorkflowSerializationContext | ActivitySerializationContext)
    return (context.workflow_id or None) if known else None
