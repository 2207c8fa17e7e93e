"""Kinds of entries in a run's audit trail; docs/tables.md says when each is recorded."""

from __future__ import annotations

from typing import Literal, TypeAlias

AuditKind: TypeAlias = (
    Literal["run_started", "run_paused", "run_resumed", "run_completed", "run_failed", "run_cancelled"]
    | Literal["step_started", "step_waiting", "step_completed", "step_failed", "step_skipped", "step_cancelled"]
    | Literal["step_evaluated", "attempt_failed", "attempt_lost", "budget_exceeded", "incident_opened"]
    | Literal["task_opened", "task_claimed", "task_released", "task_reminded", "task_escalated", "task_closed"]
    | Literal["decision_made", "decision_kept", "decision_refused", "message_refused"]
    | Literal["retry_step", "skip_step", "complete_step", "fail_step", "signal_received", "signal_delivered"]
    | Literal["loop_opened", "repeat_evaluated", "went_back", "jumped", "child_started"]
    | Literal["compensation_started", "compensation_failed", "concurrency_awaited", "concurrency_acquired"]
)
"""Entries of the machine."""

TableAuditKind: TypeAlias = Literal["run_queued", "run_cancelled", "run_lost", "run_stuck", "value_quarantined"]
"""Entries that no workflow records: at the start, by repairs, by the tables themselves."""
