"""The context of one request: the services of the process and the verified sender.

Routes ask for it by the permission that they need; operations and views take it as their first argument.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import Request

from api.http.security import Principal, authenticated
from api.services import Services
from playbooks.common.permissions import Permission
from playbooks.common.values import Json, JsonObject
from storage.database.sessions import ReadSession, WriteSession


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What an operation needs of the process and of the sender."""

    services: Services
    principal: Principal

    def reading(self) -> AbstractAsyncContextManager[ReadSession]:
        """Open a read-only transaction of the sender's organization, which sees one moment."""
        return self.services.database.reading(self.principal.organization_id)

    def writing(self) -> AbstractAsyncContextManager[WriteSession]:
        """Open a transaction in the sender's name, as `Services.writing` does."""
        return self.services.writing(self.principal)

    def reveal(self, value: Json) -> Json:
        """Return a stored value with what is sensitive in clear text, or as `***` without `runs:view_sensitive`."""
        sealer = self.services.sealer
        return sealer.open(value) if self.principal.may("runs:view_sensitive") else sealer.redact(value)

    def reveal_object(self, value: JsonObject) -> JsonObject:
        """Do the same for an object, which stays one."""
        result = self.reveal(value)
        return result if isinstance(result, dict) else {}


async def _services(request: Request) -> Services:
    return request.app.state.services


ServicesDep: TypeAlias = Annotated[Services, Depends(_services)]


def requires(*permissions: Permission) -> Callable[[Principal, Services], Awaitable[RequestContext]]:
    """Return a dependency that gives the context if the token carries one of the permissions (any token if none)."""

    async def authorized(
        principal: Annotated[Principal, Depends(authenticated)], services: ServicesDep
    ) -> RequestContext:
        if permissions:
            principal.needs(*permissions)
        return RequestContext(services=services, principal=principal)

    return authorized


Authenticated: TypeAlias = Annotated[RequestContext, Depends(requires())]
Reader: TypeAlias = Annotated[RequestContext, Depends(requires("playbooks:read"))]
Manager: TypeAlias = Annotated[RequestContext, Depends(requires("playbooks:manage"))]
Executor: TypeAlias = Annotated[RequestContext, Depends(requires("playbooks:execute"))]
RunReader: TypeAlias = Annotated[RequestContext, Depends(requires("runs:read"))]
RunController: TypeAlias = Annotated[RequestContext, Depends(requires("runs:control"))]
Auditor: TypeAlias = Annotated[RequestContext, Depends(requires("audit:read"))]
TaskReader: TypeAlias = Annotated[RequestContext, Depends(requires("tasks:act", "runs:read"))]
TaskActor: TypeAlias = Annotated[RequestContext, Depends(requires("tasks:act"))]
