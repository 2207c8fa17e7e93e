"""Control flow on the real processes: loops, joins, ways back and ends, in the API and in the rows."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.support.stack import Client, Stack
from tests.support.waiting import wait_until

MOST_EVENTS, MOST_BYTES = 51_200, 50 * 1024 * 1024
"""Temporal terminates an execution whose history is longer (limit.historyCount.error, limit.historySize.error)."""

_CODES = itertools.count(1)
_PURE: dict[str, Any] = {"step_type": "system", "worker_type": "data_processor"}
_NOTE: dict[str, Any] = {"step_type": "system", "worker_type": "notification_sender", "config": {"message": "hello"}}


def _document(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    code = f"flow-{next(_CODES)}"
    numbered = [{"step_number": number, **step} for number, step in enumerate(steps, 1)]
    return {"name": "Flow", "code": code, "industry": "TESTING", "steps": numbered, **fields}


def _step(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "key": name, **_PURE, **fields}


def _wait_for(name: str, signal: str, **fields: Any) -> dict[str, Any]:
    return _step(name, worker_type="signal_wait", config={"signals": [signal]}, **fields)


@pytest.fixture(scope="module")
def author(stack: Stack) -> Client:
    return stack.client("paula", "playbook_author", "approver")


def _start(author: Client, document: dict[str, Any], **input_data: Any) -> str:
    return author.execute(author.publish(document), input_data)


def _steps(run: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(step["step_key"], step["visit"], step["status"]) for step in run["steps"]]


def _status(stack: Stack, run: str) -> str:
    """Not through the API, which would read each line of the run every time."""
    return stack.rows("select transaction_status as s from universal_transactions where id = $1", UUID(run))[0]["s"]


def _has(author: Client, run: str, key: str, status: str) -> None:
    def is_there() -> bool:
        return any(step["step_key"] == key and step["status"] == status for step in author.run(run)["steps"])

    wait_until(is_there, 30, f"{key} {status}")


def _control(author: Client, run: str, **body: Any) -> Any:
    answer = author.put(f"/playbooks/runs/{run}", body)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["data"]


def _with_incident(author: Client) -> list[str]:
    answer = author.get("/playbooks/runs", params={"has_incident": True})
    assert answer.status_code == 200, answer.text
    return [item["execution_id"] for item in answer.json()["data"]]


def _assert_gapless(run: dict[str, Any]) -> None:
    numbers = [event["number"] for event in run["timeline"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_each_item_has_its_line_and_the_step_their_outputs_when_a_loop_is_done(stack: Stack, author: Client) -> None:
    double = _step(
        "double",
        for_each={"items": "${input.numbers}", "max_concurrency": 3},
        input={"n": "${item}", "at": "${index}"},
        config={"output": {"twice": "${input.n * 2}", "at": "${input.at}"}},
        cost={"unit_amount": 0.5},
    )
    total = _step("total", config={"output": {"all": "${steps.double.output.results.map(r, r.twice)}"}})
    run = author.finished(_start(author, _document(double, total), numbers=[1, 2, 3, 4, 5]))
    assert run["status"] == "completed", run["error_details"]
    assert run["output_data"]["total"]["all"] == [2, 4, 6, 8, 10]
    items = [step for step in run["steps"] if step["step_key"].startswith("double[")]
    assert [step["output_data"]["at"] for step in items] == [0, 1, 2, 3, 4]
    assert (run["total_steps"], run["completed_steps"]) == (2, 2)
    lines = stack.rows(
        "select line_number, line_amount from universal_transaction_lines"
        " where transaction_id = $1 and line_type = 'step_execution' order by line_number",
        UUID(run["execution_id"]),
    )
    assert [line["line_number"] for line in lines] == [1, 2, 100_001, 100_002, 100_003, 100_004, 100_005]
    assert sum(line["line_amount"] for line in lines) == Decimal("2.5")
    _assert_gapless(run)


def test_step_is_visited_again_until_its_condition_is_false_when_it_repeats(author: Client) -> None:
    again = _step("again", repeat={"while": "run.cost < 3.0", "max": 10}, cost={"unit_amount": 1}, **_NOTE)
    run = author.finished(_start(author, _document(again, _step("after"))))
    assert run["status"] == "completed", run["error_details"]
    assert _steps(run) == [("again", visit, "completed") for visit in (1, 2, 3)] + [("after", 1, "completed")]
    assert Decimal(str(run["cost"])) == 3
    _assert_gapless(run)


def test_run_goes_back_when_a_person_asks_for_changes(author: Client) -> None:
    check = _step(
        "check",
        step_type="human",
        worker_type="reviewer",
        required_roles=["approver"],
        approval={"return_to_step": {"step": "draft", "max": 2}},
    )
    run = _start(author, _document(_step("draft"), check, _step("publish")))
    assert author.decide(author.task(run, "check"), "request_changes", comment="not yet").status_code == 200
    assert author.decide(author.task(run, "check")).status_code == 200
    done = author.finished(run)
    assert done["status"] == "completed", done["error_details"]
    assert _steps(done) == [
        ("draft", 1, "completed"),
        ("draft", 2, "completed"),
        ("check", 1, "completed"),
        ("check", 2, "completed"),
        ("publish", 1, "completed"),
    ]


def test_first_message_decides_and_the_other_branch_is_cancelled_when_a_join_needs_one(author: Client) -> None:
    joined = _step(
        "joined",
        dependencies=[{"depends_on": "paid"}, {"depends_on": "refused"}],
        join={"mode": "any", "others": "cancel"},
    )
    run = _start(
        author,
        _document(
            _wait_for("paid", "payment", parallel_group="g"),
            _wait_for("refused", "refusal", parallel_group="g"),
            joined,
        ),
    )
    _has(author, run, "paid", "waiting")
    answer = author.post(f"/playbooks/runs/{run}/signals", {"name": "payment", "payload": {"amount": 5}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {"name": "payment", "delivered_to": ["paid"], "kept": False}
    done = author.finished(run)
    assert done["status"] == "completed", done["error_details"]
    assert _steps(done) == [("paid", 1, "completed"), ("refused", 1, "cancelled"), ("joined", 1, "completed")]
    paid = next(step for step in done["steps"] if step["step_key"] == "paid")
    assert paid["output_data"]["payload"] == {"amount": 5}


def test_signal_takes_its_timeout_branch_when_nobody_sends_it(author: Client) -> None:
    wait = _step("wait", worker_type="signal_wait", config={"signals": ["go"], "timeout_seconds": 0.2})
    late = _step("late", condition="steps.wait.output.timed_out")
    in_time = _step("in_time", condition="!steps.wait.output.timed_out")
    done = author.finished(_start(author, _document(wait, late, in_time)))
    assert _steps(done) == [("wait", 1, "completed"), ("late", 1, "completed"), ("in_time", 1, "skipped")]


def test_run_waits_for_somebody_when_a_step_became_an_incident(author: Client) -> None:
    call = _step(
        "call",
        step_type="external",
        worker_type="http_request",
        config={"url": "http://127.0.0.1:9/nobody"},
        retry={"max_retries": 0},
        on_error={"action": "incident"},
        output_contract={"type": "object", "required": ["ok"]},
    )
    run = _start(author, _document(call, _step("after", input={"ok": "${steps.call.output.ok}"})))
    _has(author, run, "call", "waiting")
    assert run in _with_incident(author)
    wrong = author.put(f"/playbooks/runs/{run}", {"action": "complete_step", "step": "call", "output": {"no": 1}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "CONTRACT_VALIDATION_FAILED")
    _control(author, run, action="retry_step", step="call")
    _has(author, run, "call", "waiting")
    _control(author, run, action="complete_step", step="call", output={"ok": True}, reason="by phone")
    done = author.finished(run)
    assert done["status"] == "completed", done["error_details"]
    assert done["output_data"] == {"after": {"ok": True}}
    assert run not in _with_incident(author)
    kinds = [event["kind"] for event in done["timeline"]]
    assert kinds.count("incident_opened") == 2 and "complete_step" in kinds
    gone = author.put(f"/playbooks/runs/{run}", {"action": "retry_step", "step": "call"})
    assert (gone.status_code, gone.json()["code"]) == (409, "INVALID_STATUS")


def test_what_was_done_is_undone_in_reverse_when_the_run_is_cancelled(author: Client) -> None:
    def bookable(name: str) -> dict[str, Any]:
        undo = {**_NOTE, "input": {"booking": f"${{steps.{name}.output.id}}"}}
        return _step(name, config={"output": {"id": name.upper()}}, compensation=undo)

    run = _start(author, _document(bookable("flight"), bookable("hotel"), _wait_for("wait", "go")))
    _has(author, run, "wait", "waiting")
    answer = author.delete(f"/playbooks/runs/{run}", params={"reason": "changed our mind"})
    assert answer.status_code in (200, 202), answer.text
    done = author.finished(run)
    assert done["status"] == "cancelled"
    assert {key: status for key, _, status in _steps(done)} == {
        "flight": "completed",
        "flight!undo": "completed",
        "hotel": "completed",
        "hotel!undo": "completed",
        "wait": "cancelled",
    }
    undone = [step for step in done["steps"] if step["step_key"].endswith("!undo")]
    assert {step["step_key"]: step["input_data"] for step in undone} == {
        "flight!undo": {"booking": "FLIGHT"},
        "hotel!undo": {"booking": "HOTEL"},
    }
    ended = [event["step_key"] for event in done["timeline"] if event["kind"] == "step_completed"]
    assert ended == ["flight", "hotel", "hotel!undo", "flight!undo"]
    _assert_gapless(done)


def test_doctor_finds_nothing_when_all_of_these_ran(stack: Stack, author: Client) -> None:
    """Last on purpose: it looks at the rows and histories of what ran before."""
    assert author.get("/playbooks/runs").json()["total"] > 0
    command = [sys.executable, "-m", "cli.main", "doctor", "--json", "--older-than", "0", "--org", stack.organization]
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["differences"] == []


@pytest.mark.soak
@pytest.mark.parametrize(("is_effect", "count"), [(False, 5_000), (True, 5_000)], ids=["pure", "effects"])
def test_loop_over_5000_items_is_done_under_the_limits_of_a_history(
    stack: Stack, author: Client, *, is_effect: bool, count: int
) -> None:
    work = _NOTE if is_effect else {"config": {"output": {"ok": "${input.n >= 0}"}}}
    loop = {"items": "${input.things}", "max_concurrency": 50}
    check = _step("check", **{"for_each": loop, "input": {"n": "${item.n}"}, **work})
    run = _start(author, _document(check), things=[{"n": n, "text": "x" * 20} for n in range(count)])
    wait_until(lambda: _status(stack, run) in ("completed", "failed"), 900, "the run to end")
    done = author.run(run, include="steps")
    assert done["status"] == "completed", done["error_details"]
    made = done["output_data"]["check"]
    assert (made["completed"], len(made["results"])) == (count, count)
    counted = stack.rows(
        "select count(*) as n from universal_transaction_lines where transaction_id = $1"
        " and line_type = 'step_execution' and line_data->>'status' = 'completed'",
        UUID(run),
    )
    assert counted[0]["n"] == count + 1
    row = stack.rows("select metadata from universal_transactions where id = $1", UUID(run))[0]
    histories = [_history(stack, run, execution) for execution in row["metadata"]["temporal_run_ids"]]
    print(f"{count} items, histories of {histories} events and bytes")
    assert max(events for events, _ in histories) < MOST_EVENTS
    assert max(size for _, size in histories) < MOST_BYTES


def _history(stack: Stack, run: str, execution: str) -> tuple[int, int]:
    """Events and bytes of one execution's history."""
    workflow = f"playbook-run/{stack.organization_id}/{run}"
    described = stack.temporal_cli("workflow", "describe", "-w", workflow, "-r", execution, "--output", "json")
    info = json.loads(described)["workflowExecutionInfo"]
    return int(info["historyLength"]), int(info["historySizeBytes"])
