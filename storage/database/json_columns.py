"""Values of the domain inside JSON columns: a function to JSON and one back for each.

Instants are ISO 8601 in UTC, amounts are text, ids are text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter

from playbooks.common.values import Actor, Json, JsonObject, PayloadRef, StepError
from playbooks.engine.model.state import Attempt, PauseState, TaskState

_ACTOR = TypeAdapter(Actor)
_ERROR = TypeAdapter(StepError)
_ATTEMPTS = TypeAdapter(tuple[Attempt, ...])
_PAUSE = TypeAdapter(PauseState)
_TASK = TypeAdapter(TaskState)
_REF = TypeAdapter(PayloadRef)


def instant_to_json(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def instant_from_json(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def uuid_from_json(value: object) -> UUID | None:
    return UUID(value) if isinstance(value, str) else None


def actor_to_json(actor: Actor | None) -> Json:
    """`{id, name, roles, via}`, or null."""
    return None if actor is None else _dump(_ACTOR, actor)


def actor_from_json(value: object) -> Actor | None:
    return None if value is None else _ACTOR.validate_python(value)


def error_to_json(error: StepError | None) -> Json:
    return None if error is None else _dump(_ERROR, error)


def error_from_json(value: object) -> StepError | None:
    # A quarantined error is an object without a kind: the failure stays visible, its text does not.
    if not isinstance(value, dict):
        return None
    if "kind" not in value:
        return StepError(kind="system", code="QUARANTINED", message="the error's text cannot be stored")
    return _ERROR.validate_python(value)


def attempts_to_json(attempts: tuple[Attempt, ...]) -> Json:
    return _dump(_ATTEMPTS, attempts)


def attempts_from_json(value: object) -> tuple[Attempt, ...]:
    return _ATTEMPTS.validate_python(value) if isinstance(value, list) else ()


def pause_to_json(pause: PauseState | None) -> Json:
    return None if pause is None else _dump(_PAUSE, pause)


def pause_from_json(value: object) -> PauseState | None:
    return _PAUSE.validate_python(value) if isinstance(value, dict) and "since" in value else None


def task_to_json(task: TaskState | None) -> Json:
    return None if task is None else _dump(_TASK, task)


def ref_to_json(ref: PayloadRef) -> JsonObject:
    return cast("JsonObject", _dump(_REF, ref))


def ref_from_json(value: object) -> PayloadRef | None:
    return None if value is None else _REF.validate_python(value)


def as_object(value: object) -> JsonObject:
    """The JSON object, or an empty one for null and anything else (another application may have changed the row)."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def as_int(value: object, default: int = 0) -> int:
    return value if isinstance(value, int) else default


def _dump(adapter: TypeAdapter[Any], value: object) -> Json:
    return cast("Json", adapter.dump_python(value, mode="json"))
