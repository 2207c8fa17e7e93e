"""Proofs of identity in messages to Temporal: the API's signature on a control message, and a person's ticket.

Invariant: a signature holds for one run only, and a ticket for one task only, so neither can be replayed elsewhere.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from playbooks.common.errors import NotEligibleError
from playbooks.common.values import Actor
from playbooks.engine.model.control_messages import ControlMessage, signed_part

TICKET_LIFETIME = timedelta(minutes=10)
_TICKET_AUDIENCE = "playbook-ticket"
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketClaims:
    """A person, and a task on which they may act. `subject`: the person's id or the token's `sub`; Unix times."""

    task_id: UUID
    execution_id: UUID
    organization_id: UUID
    subject: str
    name: str
    roles: tuple[str, ...]
    expires_at: int


def sign(message: ControlMessage, key: bytes, workflow_id: str) -> ControlMessage:
    """Return the message with the API's signature for the run with this workflow id."""
    return replace(message, signature=_signature(message, key, workflow_id))


def verify(message: ControlMessage, key: bytes | Sequence[bytes], workflow_id: str) -> bool:
    """Return whether one of the keys signed this message for this run. Compares in constant time; never raises."""
    if message.signature is None or not message.signature.isascii():
        return False
    keys = (key,) if isinstance(key, bytes) else key
    return any(hmac.compare_digest(message.signature, _signature(message, each, workflow_id)) for each in keys)


def issue_ticket(
    key: bytes,
    *,
    task_id: UUID,
    execution_id: UUID,
    organization_id: UUID,
    actor: Actor,
    lifetime: timedelta = TICKET_LIFETIME,
) -> str:
    """Issue a short-lived ticket with which `actor` may act on one task through a Temporal client."""
    claims: dict[str, object] = {
        "aud": _TICKET_AUDIENCE,
        "task_id": str(task_id),
        "execution_id": str(execution_id),
        "organization_id": str(organization_id),
        "sub": str(actor.id),
        "name": actor.name,
        "roles": list(actor.roles),
        "exp": int(time.time() + lifetime.total_seconds()),
    }
    return jwt.encode({"alg": _ALGORITHM}, claims, OctKey.import_key(key), algorithms=[_ALGORITHM])


def read_ticket(text: str, key: bytes | Sequence[bytes]) -> TicketClaims:
    """Return the claims of a ticket. Raises NotEligibleError when it is malformed, expired, or not signed by us.

    The caller compares task, execution and organization with what the ticket is used for.
    """
    for each in (key,) if isinstance(key, bytes) else key:
        try:
            token = jwt.decode(text, OctKey.import_key(each), algorithms=[_ALGORITHM])
            return _ticket_claims(token.claims)
        except (JoseError, ValueError, KeyError, TypeError):  # another key, or nothing that we made
            continue
    raise NotEligibleError("the ticket is not valid, or not valid any more")


def _ticket_claims(claims: dict[str, object]) -> TicketClaims:
    registry = jwt.JWTClaimsRegistry(aud={"essential": True, "value": _TICKET_AUDIENCE}, exp={"essential": True})
    registry.validate(claims)
    roles = claims["roles"]
    if not isinstance(roles, list):
        raise TypeError("roles is not a list")
    return TicketClaims(
        task_id=UUID(str(claims["task_id"])),
        execution_id=UUID(str(claims["execution_id"])),
        organization_id=UUID(str(claims["organization_id"])),
        subject=str(claims["sub"]),
        name=str(claims["name"]),
        roles=tuple(str(role) for role in roles),  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] -- JSON
        expires_at=int(str(claims["exp"])),
    )


def _signature(message: ControlMessage, key: bytes, workflow_id: str) -> str:
    """Return the HMAC-SHA256 in hex over the canonical text: sorted keys, no blanks, ASCII."""
    content = {"workflow_id": workflow_id, **signed_part(message)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, text.encode(), sha256).hexdigest()
