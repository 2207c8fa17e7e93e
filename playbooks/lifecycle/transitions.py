"""The life cycle of a playbook version: draft -> active -> deprecated -> active, any -> deleted.

One table holds which action leads to which status. Permissions are named here and checked by the API.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from playbooks.common.errors import InvalidActionError, InvalidTransitionError
from playbooks.common.errors import error as problem
from playbooks.common.permissions import Permission

PlaybookStatus: TypeAlias = Literal["draft", "active", "deprecated", "deleted"]
Action: TypeAlias = Literal["publish", "deprecate", "reactivate", "archive", "delete"]

_TRANSITIONS: dict[tuple[PlaybookStatus, Action], PlaybookStatus] = {
    ("draft", "publish"): "active",
    ("draft", "delete"): "deleted",
    ("draft", "archive"): "deleted",
    ("active", "deprecate"): "deprecated",
    ("active", "archive"): "deleted",
    ("deprecated", "reactivate"): "active",
    ("deprecated", "archive"): "deleted",
}

PERMISSIONS: dict[Action, Permission] = {
    "publish": "playbooks:publish",
    "deprecate": "playbooks:publish",
    "reactivate": "playbooks:publish",
    "archive": "playbooks:admin",
    "delete": "playbooks:manage",
}
"""The permission that each action needs."""

ACTIONS: tuple[Action, ...] = tuple(PERMISSIONS)


def allowed_actions(status: PlaybookStatus) -> tuple[Action, ...]:
    """Return the actions that are possible from a status, in the order of the table."""
    return tuple(action for (start, action) in _TRANSITIONS if start == status)


def is_possible(status: PlaybookStatus, action: Action) -> bool:
    """Return true if the table has the action for this status."""
    return (status, action) in _TRANSITIONS


def next_status(status: PlaybookStatus, action: str) -> PlaybookStatus:
    """Return the status after an action.

    Raises InvalidActionError where there is no such action, InvalidTransitionError where it is not possible now.
    """
    if action not in PERMISSIONS:
        known = ", ".join(ACTIONS)
        text = f"there is no action '{action[:64]}'; it has to be one of {known}"
        raise InvalidActionError(text, (problem("/action", "INVALID_ACTION", text),))
    following = _TRANSITIONS.get((status, action))
    if following is None:
        allowed = ", ".join(allowed_actions(status)) or "nothing"
        text = f"'{action}' is not possible while the playbook is {status}; possible: {allowed}"
        raise InvalidTransitionError(text, (problem("/action", "INVALID_STATE_TRANSITION", text),))
    return following


def is_locked(status: PlaybookStatus) -> bool:
    """Return true if the document of a version with this status can no longer change: only a draft can."""
    return status != "draft"
