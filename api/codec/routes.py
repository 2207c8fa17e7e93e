"""The remote codec of the Temporal Web UI, which decrypts payloads.

Callers need the codec token, or, where none is set (development), have to be on this machine. Invariant: a browser lets
no page but the configured Web UI read an answer.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.context import ServicesDep
from api.http.problems import documented
from api.services import Services
from playbooks.common.errors import ForbiddenError, UnauthorizedError
from runtime.codec import decode_payloads, echo_payloads

PATH = "/codec/decode"
ENCODE_PATH = "/codec/encode"
PATHS = (PATH, ENCODE_PATH)
router = APIRouter(tags=["operations"])

_PAYLOADS: dict[str, Any] = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"payloads": {"type": "array", "items": {"type": "object"}}},
            },
            "example": {"payloads": [{"metadata": {"encoding": "YmluYXJ5L2VuY3J5cHRlZA=="}, "data": "..."}]},
        }
    }
}


@router.post(
    PATH,
    openapi_extra={"requestBody": _PAYLOADS},
    responses={**documented(), 200: {**_PAYLOADS, "description": "Decoded."}},
)
async def decode(request: Request, services: ServicesDep) -> Response:
    """Decode payloads as Temporal's remote codec protocol has it; what cannot be decrypted is returned unchanged."""
    _check_caller(request, services)
    answer = await decode_payloads(services.settings.key_ring, await request.body())
    return JSONResponse(answer, headers=_cors(request, services))


@router.post(
    ENCODE_PATH,
    openapi_extra={"requestBody": _PAYLOADS},
    responses={**documented(), 200: {**_PAYLOADS, "description": "The same payloads."}},
)
async def encode(request: Request, services: ServicesDep) -> Response:
    """Return the payloads unchanged: a client that has only the codec sends plain payloads, and workers read both."""
    _check_caller(request, services)
    return JSONResponse(echo_payloads(await request.body()), headers=_cors(request, services))


@router.options(ENCODE_PATH, include_in_schema=False)
@router.options(PATH, include_in_schema=False)
async def preflight(request: Request, services: ServicesDep) -> Response:
    """Answer the CORS preflight request for the Web UI's page."""
    return Response(status_code=204, headers=_cors(request, services))


def _check_caller(request: Request, services: Services) -> None:
    token = services.settings.codec_token
    if token is None:
        if not _is_local(request):
            raise ForbiddenError("the codec answers callers on its own machine only, unless a codec token is set")
        return
    _, _, sent = request.headers.get("authorization", "").partition(" ")
    if not hmac.compare_digest(sent.encode(), token.get_secret_value().encode()):
        raise UnauthorizedError("send the codec token as a bearer token")


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _cors(request: Request, services: Services) -> dict[str, str]:
    origin = request.headers.get("origin", "")
    if origin not in _origins(services.settings.temporal_ui_url):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": "content-type, authorization, x-namespace",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Max-Age": "600",
    }


def _origins(ui_url: str | None) -> frozenset[str]:
    """Return the Web UI's origin; for loopback under both names, because people type either."""
    if not ui_url:
        return frozenset()
    configured = ui_url.rstrip("/")
    names = ("127.0.0.1", "localhost")
    parts = urlsplit(configured)
    if parts.hostname not in names:
        return frozenset({configured})
    return frozenset(urlunsplit((parts.scheme, f"{name}:{parts.port or 80}", "", "", "")) for name in names)
