"""The remote codec of Temporal's Web UI and CLI: payloads in clear text, once the API has authorized the caller."""

from __future__ import annotations

from google.protobuf.json_format import MessageToDict, Parse, ParseError
from temporalio.api.common.v1 import Payloads

from playbooks.common.errors import MalformedRequestError
from playbooks.common.values import JsonObject
from runtime.converter import EncryptionCodec
from runtime.keys import KeyRing

MAX_REQUEST_BYTES = 64 * 1024 * 1024


async def decode_payloads(key_ring: KeyRing, body: bytes) -> JsonObject:
    """Answer to `POST /codec/decode`: `{"payloads": [...]}` in and out, in protobuf's JSON form.

    A payload that cannot be opened is returned unchanged. Raises MalformedRequestError for another body.
    """
    decoded = await EncryptionCodec(key_ring).decode(_read(body).payloads)
    return MessageToDict(Payloads(payloads=decoded))


def echo_payloads(body: bytes) -> JsonObject:
    """Answer to `POST /codec/encode`: the payloads as they came. Raises MalformedRequestError for another body."""
    return MessageToDict(_read(body))


def _read(body: bytes) -> Payloads:
    if len(body) > MAX_REQUEST_BYTES:
        raise MalformedRequestError("the request is larger than any history page")
    try:
        return Parse(body, Payloads(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MalformedRequestError("the body is not a list of payloads") from error
