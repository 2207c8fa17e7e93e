"""Permissions that a token may carry."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

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

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)
