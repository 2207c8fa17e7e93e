"""Kinds of entries in a run's audit trail; docs/tables.md says when each is recorded."""

from __future__ import annotations

from typing import Literal, TypeAlias

AuditKind: TypeAlias = Literal[
    "attempt_failed",
    "attempt_lost",
    "budget_exceeded",
    "child_started",
    "compensation_failed",
    "compensation_started",
    "complete_step",
    "decision_kept",
    "decision_made",
    "decision_refused",
    "fail_step",
    "incident_opened",
    "jumped",
    "loop_opened",
    "message_refused",
    "repeat_evaluated",
    "retry_step",
    "run_cancelled",
    "run_completed",
    "run_failed",
    "run_paused",
    "run_resumed",
    "run_started",
    "signal_delivered",
    "signal_received",
    "skip_step",
    "concurrency_awaited",
    "concurrency_acquired",
    "step_cancelled",
    "step_completed",
    "step_evaluated",
    "step_failed",
    "step_skipped",
    "step_started",
    "step_waiting",
    "task_claimed",
    "task_closed",
    "task_escalated",
    "task_opened",
    "task_released",
    "task_reminded",
    "went_back",
]
"""Entries of the machine."""

TableAuditKind: TypeAlias = Literal["run_cancelled", "run_lost", "run_queued", "run_stuck", "value_quarantined"]
"""Entries that no workflow records: at the start, by repairs, by the tables themselves."""
