"""What a caller sees of values that rows hold sealed: the value with the permission, `***` without."""

from __future__ import annotations

from api.http.security import Principal
from playbooks.common.values import Json, JsonObject
from storage.database.sealing import Sealer


def shown(value: Json, principal: Principal, sealer: Sealer) -> Json:
    """The value as this principal may see it."""
    return sealer.open(value) if principal.may("runs:view_sensitive") else sealer.redact(value)


def shown_object(value: JsonObject, principal: Principal, sealer: Sealer) -> JsonObject:
    """The same for an object, which stays one."""
    result = shown(value, principal, sealer)
    return result if isinstance(result, dict) else {}
