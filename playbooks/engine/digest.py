"""Digest of a run's lines, by which a workflow's result and its rows can be compared."""

from __future__ import annotations

import hashlib
import json

from playbooks.engine.model.state import RunState


def digest_of_lines(state: RunState) -> str:
    """Return the SHA-256 over key, last visit, status, attempts and cost of every step, in key order.

    Items of a loop (`key[3]`) are left out: they leave the state when they are tallied.
    """
    lines = [
        [key, step.visit, step.status, len(step.attempts), format(step.cost.normalize(), "f")]
        for key, step in sorted(state.steps.items())
        if step.index is None
    ]
    return hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()
