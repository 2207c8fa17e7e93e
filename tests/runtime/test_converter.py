from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.converter import ActivitySerializationContext, DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from playbooks.common.errors import MalformedRequestError
from runtime.codec import decode_payloads
from runtime.converter import ENCODING, EncryptionCodec, data_converter
from runtime.keys import KeyRing, generate_key

RING = KeyRing.parse(generate_key("k1"))


@dataclass(frozen=True)
class Example:
    id: UUID
    cost: Decimal
    secret: str = "hush-hush"


def _of(workflow_id: str, ring: KeyRing = RING) -> DataConverter:
    return data_converter(ring).with_context(WorkflowSerializationContext("default", workflow_id))


async def test_returns_equal_values_when_sent_through_encrypted_payloads() -> None:
    value = Example(uuid4(), Decimal("53.00"))
    payloads = await _of("run/1").encode([value])
    assert payloads[0].metadata["encoding"] == ENCODING
    assert b"hush-hush" not in payloads[0].SerializeToString()
    assert await _of("run/1").decode(payloads, [Example]) == [value]


async def test_takes_little_room_when_a_value_is_large() -> None:
    value = [Example(UUID(int=1), Decimal(n)) for n in range(1_000)]
    payloads = await _of("run/1").encode([value])
    assert payloads[0].ByteSize() < 20_000
    assert await _of("run/1").decode(payloads, [list[Example]]) == [value]


@pytest.mark.parametrize("mark", [b"zlib", b"lz4"])
async def test_leaves_a_payload_closed_when_its_compression_is_a_lie(mark: bytes) -> None:
    small = (await _of("run/1").encode(["x"]))[0]
    small.metadata["compression"] = mark
    opened = await EncryptionCodec(RING, "run/1").decode([small])
    assert (opened == [small]) == (mark == b"zlib")


async def test_keeps_workflows_apart_when_their_converters_are_kept() -> None:
    whole = data_converter(RING)
    one, again, other = (whole.with_context(WorkflowSerializationContext("default", name)) for name in "aab")
    assert one is again
    sealed = await one.encode(["x"])
    assert await EncryptionCodec(RING, "b").decode(sealed) == sealed
    with pytest.raises(KeyError, match="binary/encrypted"):
        await other.decode(sealed, [str])


async def test_leaves_a_payload_closed_when_it_belongs_to_another_run() -> None:
    payloads = await _of("run/1").encode(["theirs"])
    opened = await EncryptionCodec(RING, "run/2").decode(payloads)
    assert opened == payloads
    payloads[0].metadata["playbook-workflow-id"] = b"run/2"  # and the mark cannot be forged
    assert await EncryptionCodec(RING, "run/2").decode(payloads) == payloads


async def test_knows_the_owner_when_the_context_is_an_activity() -> None:
    context = ActivitySerializationContext("default", None, None, None, "run/1", None, is_local=False)
    payloads = await data_converter(RING).with_context(context).encode(["x"])
    assert await _of("run/1").decode(payloads, [str]) == ["x"]


async def test_passes_plain_payloads_when_a_temporal_client_sent_them() -> None:
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b'{"decision":"approve"}')
    assert await _of("run/1").decode([plain]) == [{"decision": "approve"}]


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 100])
async def test_never_raises_when_a_payload_is_not_ours(data: bytes) -> None:
    hostile = Payload(metadata={"encoding": ENCODING, "encryption-key-id": b"\xff\xfe"}, data=data)
    unknown_key = Payload(metadata={"encoding": ENCODING, "encryption-key-id": b"k1"}, data=data)
    assert await EncryptionCodec(RING, "run/1").decode([hostile, unknown_key]) == [hostile, unknown_key]


async def test_hides_message_and_details_when_a_failure_is_sent() -> None:
    failure = Failure()
    await _of("run/1").encode_failure(ApplicationError("hush-hush message", "hush-hush detail"), failure)
    assert b"hush-hush" not in failure.SerializeToString()
    error = await _of("run/1").decode_failure(failure)
    assert isinstance(error, ApplicationError)
    assert error.message == "hush-hush message"
    assert error.details == ("hush-hush detail",)


async def test_opens_payloads_for_the_web_ui_when_asked_through_the_codec() -> None:
    sealed = await _of("run/1").encode([{"a": 1}])
    other = (await _of("run/1", KeyRing.parse(generate_key("k2"))).encode([1]))[0]
    answer = await decode_payloads(RING, MessageToJson(Payloads(payloads=[*sealed, other])).encode())
    opened = Payloads()
    from google.protobuf.json_format import Parse

    Parse(json.dumps(answer), opened)
    assert opened.payloads[0].data == b'{"a":1}'
    assert opened.payloads[1] == other


@pytest.mark.parametrize("body", [b"", b"7", b"\xff", b'{"payloads": 1}', b"[" * 5000])
async def test_refuses_a_codec_request_when_it_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        await decode_payloads(RING, body)


async def test_answers_no_payloads_when_none_were_asked() -> None:
    assert await decode_payloads(RING, b'{"payloads": [], "extra": 1}') == {}
