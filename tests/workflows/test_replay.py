"""Runs that began under an earlier version of this code still replay: stored histories, random ones, a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from tests.workflows.playing import replayer
from tests.workflows.record_histories import FOLDER, SCENARIOS, file_of

TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
UNHANDLED_COMMAND = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND


def read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
async def test_replays_when_a_history_was_recorded_earlier(path: Path) -> None:
    await replayer().replay_workflow(read(path))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_has_a_history_of_this_engine_version_when_there_is_a_scenario(scenario: str) -> None:
    assert file_of(scenario).exists(), "run python -m tests.workflows.record_histories"


async def test_fails_to_replay_when_a_history_is_of_other_code() -> None:
    """The same history with another effect."""
    recorded = file_of("straight").read_text()
    assert recorded.count('"http_request"') == 1, "as the activity that ran; the plan is encoded"
    events = json.loads(recorded.replace('"http_request"', '"smtp_request"'))["events"]
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json("tampered", json.dumps({"events": events})))
