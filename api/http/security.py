"""Authentication: the sender of a request and the permissions of the token.

Whether a person may decide a task is a rule of the engine. Invariant: identity, roles and organization come from the
verified token only, never from a body, path or query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from playbooks.common.errors import ForbiddenError, UnauthorizedError
from playbooks.common.permissions import Permission
from playbooks.common.values import Actor

_bearer = HTTPBearer(bearerFormat="JWT", description="A token of the organization.", auto_error=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The verified sender of a request. `subject` is the token's `sub`."""

    organization_id: UUID
    actor: Actor
    subject: str
    permissions: frozenset[str]

    def may(self, *permissions: Permission) -> bool:
        """Return whether the token carries at least one of these."""
        return not self.permissions.isdisjoint(permissions)

    def needs(self, *permissions: Permission) -> None:
        """Raise ForbiddenError unless the token carries at least one of these."""
        if not self.may(*permissions):
            raise ForbiddenError(f"this needs the permission {' or '.join(permissions)}")


async def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal:
    """Return the principal of the bearer token. Raises UnauthorizedError without a valid one."""
    if credentials is None:
        raise UnauthorizedError("send a bearer token in the Authorization header")
    verify: Callable[[str], Awaitable[Principal]] = request.app.state.services.authenticate
    return await verify(credentials.credentials)
