"""Who asks, and whether the token lets them.

Owns the `Principal` and the permission checks of routes. Whether a person may decide a task is the machine's to say.
Invariant: identity, roles and organization come from the verified token only, never from a body, path or query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from playbooks.common.errors import ForbiddenError, UnauthorizedError
from playbooks.common.values import Actor

Permission: TypeAlias = Literal[
    "playbooks:read",
    "playbooks:manage",
    "playbooks:publish",
    "playbooks:execute",
    "playbooks:admin",
    "runs:read",
    "runs:control",
    "runs:view_sensitive",
    "tasks:act",
    "audit:read",
]

_bearer = HTTPBearer(bearerFormat="JWT", description="A token of the organization.", auto_error=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The verified sender of a request. `subject` is the token's `sub`."""

    organization_id: UUID
    actor: Actor
    subject: str
    permissions: frozenset[str]

    def may(self, *permissions: Permission) -> bool:
        """Whether the token carries at least one of these."""
        return not self.permissions.isdisjoint(permissions)

    def needs(self, *permissions: Permission) -> None:
        """Raise ForbiddenError unless the token carries at least one of these."""
        if not self.may(*permissions):
            raise ForbiddenError(f"this needs the permission {' or '.join(permissions)}")


async def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal:
    """The principal of the bearer token. Raises UnauthorizedError without a valid one."""
    if credentials is None:
        raise UnauthorizedError("send a bearer token in the Authorization header")
    verify: Callable[[str], Awaitable[Principal]] = request.app.state.services.authenticate
    return await verify(credentials.credentials)


def requires(*permissions: Permission) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that answers the principal, if the token carries at least one of these permissions."""

    async def authorized(principal: Annotated[Principal, Depends(authenticated)]) -> Principal:
        principal.needs(*permissions)
        return principal

    return authorized


Authenticated: TypeAlias = Annotated[Principal, Depends(authenticated)]
Reader: TypeAlias = Annotated[Principal, Depends(requires("playbooks:read"))]
Manager: TypeAlias = Annotated[Principal, Depends(requires("playbooks:manage"))]
Executor: TypeAlias = Annotated[Principal, Depends(requires("playbooks:execute"))]
RunReader: TypeAlias = Annotated[Principal, Depends(requires("runs:read"))]
RunController: TypeAlias = Annotated[Principal, Depends(requires("runs:control"))]
Auditor: TypeAlias = Annotated[Principal, Depends(requires("audit:read"))]
TaskReader: TypeAlias = Annotated[Principal, Depends(requires("tasks:act", "runs:read"))]
TaskActor: TypeAlias = Annotated[Principal, Depends(requires("tasks:act"))]
