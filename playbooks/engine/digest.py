"""A fingerprint of a run's lines, so that a workflow's result and the rows can be compared without either."""

from __future__ import annotations

import hashlib
import json

from playbooks.engine.model.state import RunState


def digest_of_lines(state: RunState) -> str:
    """SHA-256 over key, last visit, status, attempts and cost of every step, in key order.

    Items of a loop (`key[3]`) are left out: they leave the state when they are counted.
    """
    lines = [
        [key, step.visit, step.status, len(step.attempts), format(step.cost.normalize(), "f")]
        for key, step in sorted(state.steps.items())
        if step.index is None
    ]
    return hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()
