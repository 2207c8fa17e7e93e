"""Reads protobuf messages without their descriptors: field numbers and raw values.

Owns the wire format (the protobuf encoding's varints and lengths). Must not know what a field means. The expression
engine hands out its checked expressions only in this form.
"""

from __future__ import annotations

from typing import TypeAlias, cast

Fields: TypeAlias = dict[int, list[int | bytes]]
"""One message: field numbers with their raw values, in the order they came."""


def messages(fields: Fields, number: int) -> list[bytes]:
    """All messages (texts, bytes) under a number."""
    return [value for value in fields.get(number, ()) if isinstance(value, bytes)]


def message(fields: Fields, number: int) -> bytes:
    """The last one, which is the one that counts; empty where there is none."""
    values = messages(fields, number)
    return values[-1] if values else b""


def text_of(fields: Fields, number: int) -> str:
    """The text under a number; empty where there is none."""
    return message(fields, number).decode()


def fields_of(data: bytes) -> Fields:
    """One message as its field numbers with their raw values. ValueError where it is unreadable."""
    fields: Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = cast("tuple[int | bytes, int]", _varint(data, at))
            case 1:
                value, at = data[at : at + 8], at + 8
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case 5:
                value, at = data[at : at + 4], at + 4
            case _:
                raise ValueError("unknown wire type")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise ValueError("the message ends within a number")
