"""How values cross Temporal: pydantic JSON, encrypted with AES-256-GCM.

Owns the one data converter of clients, workers, tests and replays. Must not know any message. Invariants: a
payload of one run cannot be passed off as another run's (the workflow id, which names the organization, is
authenticated and compared); plain payloads from Temporal's own clients pass; and decoding never raises, because
in a worker that would block a run for ever on one hostile signal. What cannot be opened stays as it is, so a
reader that needs a typed value fails with an unknown encoding, and one that reads raw values can refuse it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
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


_CONVERTERS: Final = tuple(PydanticPayloadConverter().converters.values())


def data_converter(key_ring: KeyRing) -> DataConverter:
    """The converter that every client, worker and replayer uses. Failure messages are encrypted too."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=SharedPayloadConverter,
        payload_codec=EncryptionCodec(key_ring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


class SharedPayloadConverter(CompositePayloadConverter):
    """Pydantic's JSON, with one cache of schemas for the process.

    The SDK makes a converter for each workflow; each would build the schemas of our messages again, which costs more
    than all else that a short run does.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Seals payloads. `workflow_id` is whose they are, or None where the SDK does not say (the codec endpoint)."""

    def __init__(self, key_ring: KeyRing, workflow_id: str | None = None) -> None:
        self._key_ring = key_ring
        self._workflow_id = workflow_id

    def with_context(self, context: SerializationContext) -> EncryptionCodec:
        """The same codec for the payloads of one workflow; a known owner is never replaced by an unknown one."""
        if isinstance(context, WorkflowSerializationContext | ActivitySerializationContext) and context.workflow_id:
            return EncryptionCodec(self._key_ring, context.workflow_id)
        return self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Sealed payloads, one for each, marked with key id and owner."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Opened payloads; plain ones, and those that cannot be opened here, as they came. Never raises."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        owner = (self._workflow_id or "").encode()
        key_id, sealed = self._key_ring.seal(payload.SerializeToString(), owner)
        metadata = {"encoding": ENCODING, KEY_ID_FIELD: key_id.encode(), WORKFLOW_ID_FIELD: owner}
        return Payload(metadata=metadata, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        owner = payload.metadata.get(WORKFLOW_ID_FIELD, b"")
        if self._workflow_id is not None and owner and owner != self._workflow_id.encode():
            return payload
        key_id = payload.metadata.get(KEY_ID_FIELD, b"").decode(errors="replace")
        try:
            return Payload.FromString(self._key_ring.open(key_id, payload.data, owner))
        except (KeyRingError, DecodeError):
            return payload
