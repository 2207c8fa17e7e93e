"""A playbook as large as they come: published, run, shown."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.callers import Caller

GROUPS, IN_GROUP = 20, 9


def large() -> dict[str, Any]:
    """200 steps: groups of steps that begin together, each followed by one that reads what it came to."""
    steps: list[dict[str, Any]] = []
    contract = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
    for group in range(GROUPS):
        value = f"${{steps.sum_{group - 1}.output.total}}" if group else "${input.amount}"
        for number in range(IN_GROUP):
            step: dict[str, Any] = {
                "name": f"Part {group} {number}",
                "step_type": "system",
                "worker_type": "data_processor",
                "parallel_group": f"group-{group}",
                "input": {"total": value},
                "config": {"output": {"total": "${input.total}"}},
                "output_contract": contract,
            }
            steps.append(step | ({"condition": "input.amount > 5.0"} if number == 0 else {}))
        last = f"${{steps.part_{group}_{IN_GROUP - 1}.output.total + 1.0}}"
        steps.append(
            {
                "name": f"Sum {group}",
                "step_type": "system",
                "worker_type": "data_processor",
                "input": {"total": last},
                "config": {"output": {"total": "${input.total}"}},
                "output_contract": contract,
            }
        )
    amount = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
    return {
        "name": "Large",
        "code": f"large-{uuid4().hex[:8]}",
        "industry": "FINANCE",
        "input_contract": amount,
        "steps": steps,
        "output": {"total": f"${{steps.sum_{GROUPS - 1}.output.total}}"},
    }


@pytest.mark.usefixtures("worker")
async def test_two_hundred_steps_in_twenty_groups_are_published_and_run(author: Caller) -> None:
    document = large()
    assert len(document["steps"]) == 200
    run = await author.started(await author.published(document), amount=2.0)
    done: Any = await author.run_once(run, "completed")
    assert done["output_data"] == {"total": 2.0 + GROUPS}
    statuses = [step["status"] for step in done["steps"]]
    assert (statuses.count("completed"), statuses.count("skipped")) == (180, 20)
