"""Runs that start runs, and runs of one key, over the death of the worker that carries them."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from tests.support.stack import Stack
from tests.support.waiting import wait_until

NAP: dict[str, Any] = {
    "name": "Nap",
    "step_number": 1,
    "step_type": "system",
    "worker_type": "timer",
    "config": {"duration_seconds": 2},
}


def book(code: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": code.title(), "code": code, "industry": "RETAIL", "steps": list(steps), **fields}


def starting(code: str, **fields: Any) -> dict[str, Any]:
    step = {"name": "Child", "step_number": 1, "step_type": "system", "worker_type": "sub_playbook"}
    return {**step, "config": {"playbook": code}, **fields}


def steps_of(run: Any, key: str) -> list[Any]:
    return [step for step in run["steps"] if step["step_key"].partition("[")[0] == key]


def test_all_complete_two_at_a_time_when_the_worker_dies_in_between(own_stack: Stack) -> None:
    author = own_stack.client("paula", "playbook_author")
    author.publish(book("nap", NAP, policies={"concurrency": {"key": "all", "max_runs": 2}}))
    parent = author.publish(book("parent", starting("nap", for_each={"items": "${input.items}"})))
    alone = author.publish(book("alone", starting("nap"), policies={"concurrency": {"max_runs": 1}}))
    runs = [author.execute(parent, {"items": [1, 2, 3]}), *(author.execute(alone, {}) for _ in range(2))]
    wait_until(lambda: bool(steps_of(author.run(runs[0]), "child")), 30, "the first child")
    own_stack.kill(own_stack.worker)
    time.sleep(1)
    own_stack.start_worker()
    ended = [author.finished(run, 120) for run in runs]
    assert [run["status"] for run in ended] == ["completed"] * 3, ended
    below = [author.run(child) for child in children(ended)]
    assert len(below) == 5, "one child for each, however often its start was tried"
    assert {run["status"] for run in below} == {"completed"}
    napped = sorted((run["steps"][0]["started_at"], run["steps"][0]["completed_at"]) for run in below)
    for begun, _ in napped:
        assert sum(other <= begun < end for other, end in napped) <= 2
    listed = author.get("/playbooks/runs", params={"code": "nap"}).json()["total"]
    assert listed == 5
    assert_healthy(own_stack)


def children(ended: list[Any]) -> list[str]:
    found = [step["child_execution_id"] for run in ended for step in steps_of(run, "child")]
    return [child for child in found if child is not None]


def assert_healthy(stack: Stack) -> None:
    """The doctor finds nothing wrong once everything has come to rest."""
    command = [sys.executable, "-m", "cli.main", "doctor", "--older-than", "0", "--org", stack.organization]
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
