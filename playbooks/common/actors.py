"""Conversions between an `Actor` and its JSON forms. They do not verify who the sender is."""

from __future__ import annotations

from uuid import UUID

from playbooks.common import ids
from playbooks.common.values import Actor, JsonObject, Via

_TEMPORAL_CLIENT = "a Temporal client"


def system_actor(organization_id: UUID) -> Actor:
    """Return the service itself as an actor."""
    return Actor(id=ids.system_actor_id(organization_id), name="HERA Playbooks", via="system")


def asserted_actor(organization_id: UUID, value: JsonObject | None) -> Actor:
    """Return the identity that a Temporal client claims: `{sub, name?, roles?}`; clients without `sub` share one."""
    facts = value or {}
    subject = facts.get("sub")
    if not isinstance(subject, str) or not subject:
        return Actor(id=ids.actor_id(organization_id, "temporal-client"), name=_TEMPORAL_CLIENT, via="temporal")
    name = facts.get("name")
    return Actor(
        id=ids.actor_id(organization_id, subject),
        name=name if isinstance(name, str) and name else subject,
        roles=_roles(facts),
        via="temporal",
    )


def actor_to_json(actor: Actor) -> JsonObject:
    """Return the actor as the API writes it into a control message: `{id, name, roles}`."""
    return {"id": str(actor.id), "name": actor.name, "roles": list(actor.roles)}


def actor_from_json(value: JsonObject, via: Via) -> Actor | None:
    """Parse the form of `actor_to_json`; None where a field is missing or of the wrong type."""
    identity, name = value.get("id"), value.get("name")
    if not isinstance(identity, str) or not isinstance(name, str):
        return None
    try:
        return Actor(id=UUID(identity), name=name, roles=_roles(value), via=via)
    except ValueError:
        return None


def _roles(value: JsonObject) -> tuple[str, ...]:
    roles = value.get("roles")
    return tuple(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else ()
