"""Authentication of `http_request`: bearer token, basic, or an API key in a header or the query.

Credentials are kept apart from the author's own headers and query, so that a redirect to another origin can drop them.
No credential reaches an error's text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from activities.handler import HandlerCall, failed
from playbooks.common.values import JsonObject


@dataclass(frozen=True, slots=True)
class Credentials:
    """Header and query fields that identify us. Kept out of `repr`."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def read_credentials(call: HandlerCall) -> Credentials:
    """Return the credentials of `config.auth`, its `${...}` resolved; none without it.

    Raises StepFailedError: `NOT_SUPPORTED` for a kind that is not built, `INVALID_CONFIG` for a missing field.
    """
    auth = call.resolve(call.config.get("auth"))
    if auth is None:
        return Credentials()
    if not isinstance(auth, dict):
        raise failed("validation", "INVALID_CONFIG", "auth is not an object", pointer="/config/auth")
    match auth.get("type"):
        case "bearer":
            return Credentials({"Authorization": f"Bearer {_text(auth, 'token')}"})
        case "basic":
            pair = f"{_text(auth, 'username')}:{_text(auth, 'password')}".encode()
            return Credentials({"Authorization": f"Basic {base64.b64encode(pair).decode()}"})
        case "api_key":
            key = {_text(auth, "name"): _text(auth, "value")}
            return Credentials(query=key) if auth.get("in") == "query" else Credentials(headers=key)
        case _:
            raise failed(
                "validation", "NOT_SUPPORTED", "this kind of auth is not supported", pointer="/config/auth/type"
            )


def _text(auth: JsonObject, name: str) -> str:
    value = auth.get(name)
    if not isinstance(value, str) or not value:
        raise failed("validation", "INVALID_CONFIG", f"auth needs '{name}'", pointer=f"/config/auth/{name}")
    return value
