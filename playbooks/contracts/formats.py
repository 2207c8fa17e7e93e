"""Formats that are checked: email, date, date-time, uuid, uri. Others are annotations, as the specification allows."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

from playbooks.common.values import Json

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_FRACTION = re.compile(r"\.[0-9]+")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]*")


def is_email(value: object) -> bool:
    return not isinstance(value, str) or (_EMAIL.fullmatch(value) is not None and ".." not in value)


def is_date(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return _DATE.fullmatch(value) is not None and bool(date.fromisoformat(value))


def is_date_time(value: object) -> bool:
    """Check for RFC 3339 with an offset; a leap second is valid."""
    if not isinstance(value, str):
        return True
    if not _DATE_TIME.fullmatch(value):
        return False
    whole_seconds = _FRACTION.sub("", value.upper()).replace(":60", ":59")
    return bool(datetime.fromisoformat(whole_seconds))


def is_uuid(value: object) -> bool:
    return not isinstance(value, str) or (_UUID.fullmatch(value) is not None)


def is_uri(value: object) -> bool:
    return not isinstance(value, str) or (_URI.fullmatch(value) is not None and bool(urlsplit(value).scheme))


CHECKS: dict[str, Callable[[object], bool]] = {
    "email": is_email,
    "date": is_date,
    "date-time": is_date_time,
    "uuid": is_uuid,
    "uri": is_uri,
}
"""Checkers by format. Each may raise ValueError for a text that is well-formed but has no meaning (30 February)."""


def numbers_alike(value: Json) -> Json:
    """Replace 1.0 by 1 in `value`: JSON Schema treats them as equal."""
    if isinstance(value, dict):
        return {name: numbers_alike(item) for name, item in value.items()}
    if isinstance(value, list):
        return [numbers_alike(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
