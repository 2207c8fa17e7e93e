"""Bearer tokens: the caller, the organization and the permissions.

Invariant: no claim of a token is used before its signature, its time and the shape of each claim have been checked.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey
from joserfc.jws import extract_compact
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from playbooks.common.errors import ServiceUnavailableError, UnauthorizedError
from playbooks.common.permissions import PERMISSIONS
from runtime.settings import MissingSettingError, Settings

DEFAULT_PERMISSIONS: Final = tuple(name for name in PERMISSIONS if name != "playbooks:admin")
DEFAULT_LIFETIME: Final = timedelta(hours=12)

_SHARED_SECRET_ALGORITHMS: Final = ["HS256"]
_PUBLIC_KEY_ALGORITHMS: Final = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]
_MAX_TOKEN_CHARACTERS: Final = 16_384
_LEEWAY_SECONDS: Final = 30
_Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class TokenClaims(BaseModel):
    """Claims of a checked token. `name` is the person's display name, the subject where the token has none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sub: _Text
    organization_id: UUID
    name: _Text | None = None
    roles: tuple[_Text, ...] = Field(default=(), max_length=200)
    permissions: frozenset[_Text] = Field(default=frozenset(), max_length=200)
    exp: int

    @property
    def display_name(self) -> str:
        return self.name or self.sub


def issue_token(
    secret: str,
    *,
    organization_id: UUID,
    subject: str,
    roles: Sequence[str],
    permissions: Sequence[str] = DEFAULT_PERMISSIONS,
    name: str | None = None,
    lifetime: timedelta = DEFAULT_LIFETIME,
) -> str:
    """Issue a token signed with the shared secret (HS256), for development and tests."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": subject,
        "organization_id": str(organization_id),
        "roles": list(roles),
        "permissions": list(permissions),
        "iat": now,
        "exp": now + int(lifetime.total_seconds()),
    }
    if name is not None:
        claims["name"] = name
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret), algorithms=_SHARED_SECRET_ALGORITHMS)


class TokenVerifier:
    """Checks tokens against the shared secret, the issuer's published keys (JWKS), or both."""

    def __init__(self, settings: Settings, fetch: Callable[[str], Awaitable[dict[str, Any]]] | None = None) -> None:
        """Raises MissingSettingError when neither PLAYBOOK_JWT_SECRET nor PLAYBOOK_JWKS_URL is set."""
        if settings.jwt_secret is None and settings.jwks_url is None:
            raise MissingSettingError("neither PLAYBOOK_JWT_SECRET nor PLAYBOOK_JWKS_URL is set")
        self._secret = (
            None if settings.jwt_secret is None else OctKey.import_key(settings.jwt_secret.get_secret_value())
        )
        self._published = None if settings.jwks_url is None else PublishedKeys(settings.jwks_url, fetch or _fetch)

    async def verify(self, token: str) -> TokenClaims:
        """Return the claims. Raises UnauthorizedError for anything but a valid token, ServiceUnavailableError when the
        issuer's keys are needed and cannot be fetched."""
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
            raise UnauthorizedError("the token is not valid")
        key_id, algorithm = _header_of(token)
        if algorithm in _SHARED_SECRET_ALGORITHMS and self._secret is not None:
            return _checked(token, self._secret, _SHARED_SECRET_ALGORITHMS)
        if algorithm in _PUBLIC_KEY_ALGORITHMS and self._published is not None:
            return _checked(token, await self._published.keys_for(key_id), _PUBLIC_KEY_ALGORITHMS)
        raise UnauthorizedError("the token's algorithm is not accepted here")


class PublishedKeys:
    """The issuer's public keys, fetched when first needed, again after a while, and for an unknown key id."""

    FRESH_SECONDS: Final = 300.0
    REFETCH_SECONDS: Final = 10.0

    def __init__(self, url: str, fetch: Callable[[str], Awaitable[dict[str, Any]]]) -> None:
        self._url = url
        self._fetch = fetch
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    async def keys_for(self, key_id: str | None) -> KeySet:
        """Return the keys, newly fetched where they are old or do not have `key_id`, at most every 10 s.

        While the issuer is away the known keys stay in use. Raises ServiceUnavailableError without any.
        """
        now = time.monotonic()
        is_wanted = self._keys is None or now - self._fetched_at > self.FRESH_SECONDS or not self._has(key_id)
        if is_wanted and now - self._tried_at > self.REFETCH_SECONDS:
            self._tried_at = now
            try:
                self._keys = KeySet.import_key_set(await self._fetch(self._url))  # pyright: ignore[reportArgumentType] -- checked there
                self._fetched_at = now
            except (httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
                if self._keys is None:
                    self._tried_at = float("-inf")
                    raise ServiceUnavailableError("the token issuer's keys cannot be fetched") from error
        if self._keys is None:
            raise ServiceUnavailableError("the token issuer's keys cannot be fetched")
        return self._keys

    def _has(self, key_id: str | None) -> bool:
        return key_id is None or (self._keys is not None and any(key.kid == key_id for key in self._keys.keys))


async def _fetch(url: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(timeout=5.0) as client:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()


def _header_of(token: str) -> tuple[str | None, str | None]:
    try:
        header = extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise UnauthorizedError("the token is not valid") from error
    key_id, algorithm = header.get("kid"), header.get("alg")
    return (key_id if isinstance(key_id, str) else None, algorithm if isinstance(algorithm, str) else None)


def _checked(token: str, key: OctKey | KeySet, algorithms: list[str]) -> TokenClaims:
    try:
        claims = jwt.decode(token, key, algorithms=algorithms).claims
        jwt.JWTClaimsRegistry(leeway=_LEEWAY_SECONDS, exp={"essential": True}).validate(claims)
        return TokenClaims.model_validate(claims)
    except (JoseError, ValidationError, ValueError, TypeError) as error:
        raise UnauthorizedError("the token is not valid, or not valid any more") from error
