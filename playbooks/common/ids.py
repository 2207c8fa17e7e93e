"""Derived ids: one function builds each and, where needed, another parses it.

Equal arguments give equal ids, so a repeated call finds what the first one made.
"""

from __future__ import annotations

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f0d1c62-9a55-5c4e-8f5d-2c1b6f1f7a10")
_PREFIX = "playbook-run"


def workflow_id(organization_id: UUID, execution_id: UUID) -> str:
    """Return the Temporal workflow id of a run: `playbook-run/{organization_id}/{execution_id}`."""
    return f"{_PREFIX}/{organization_id}/{execution_id}"


def parse_workflow_id(text: str) -> tuple[UUID, UUID] | None:
    """Return organization and execution id of a workflow id, or None where it is not one of ours."""
    parts = text.split("/")
    if len(parts) != 3 or parts[0] != _PREFIX:
        return None
    try:
        return UUID(parts[1]), UUID(parts[2])
    except ValueError:
        return None


def task_id(execution_id: UUID, step_key: str, visit: int) -> UUID:
    """Id of the task that one visit of a human step opens."""
    return uuid5(execution_id, f"task:{step_key}:{visit}")


def step_entity_id(version_id: UUID, step_key: str) -> UUID:
    """Id of a step's definition row within one playbook version."""
    return uuid5(version_id, f"step:{step_key}")


def line_id(execution_id: UUID, line_number: int) -> UUID:
    """Id of a run's line; a repeated flush finds the same row."""
    return uuid5(execution_id, f"line:{line_number}")


def derived_execution_id(organization_id: UUID, route: str, key: str) -> UUID:
    """Id of the run that an `Idempotency-Key` names."""
    return uuid5(organization_id, f"execution:{route}:{key}")


def actor_id(organization_id: UUID, subject: str) -> UUID:
    """A person's id: the subject itself where it is a UUID, else derived from organization and subject."""
    try:
        return UUID(subject)
    except ValueError:
        return uuid5(organization_id, subject)


def system_actor_id(organization_id: UUID) -> UUID:
    """Id under which the service itself acts in an organization."""
    return uuid5(organization_id, f"{_NAMESPACE}:system")


def child_execution_id(organization_id: UUID, key: str) -> UUID:
    """Id of the run that a step starts under its effect key."""
    return derived_execution_id(organization_id, "sub_playbook", key)


def effect_key(execution_id: UUID, step_key: str, visit: int, again: int = 0) -> str:
    """Idempotency key of a step's effect: run, step and visit, never the attempt.

    `again`: number of attempts before a person restarted the step. A restart gets a new key, because the earlier
    effect is not wanted.
    """
    key = f"{execution_id}:{step_key}:{visit}"
    return f"{key}:{again}" if again else key
