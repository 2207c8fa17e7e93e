"""A fingerprint of a run's lines, so that a workflow's result and the rows can be compared without either."""

from __future__ import annotations

import hashlib
import json

from playbooks.state import RunState


def digest_of_lines(state: RunState) -> str:
    """SHA-256 over key, visit, status, attempts and cost of every step, in key order."""
    lines = [
        [key, step.visit, step.status, len(step.attempts), format(step.cost.normalize(), "f")]
        for key, step in sorted(state.steps.items())
    ]
    return hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()
