"""Documents that start other playbooks or limit the runs of one key: compiled, checked, simulated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from playbooks.common.errors import InputContractError, LimitExceededError, ValidationError
from playbooks.document.model import read_document
from playbooks.engine.model.plan import ChildPlan
from playbooks.evaluation.admission import check_input, slot_of
from tests.playbooks.building import Document, found, plan_of, playbook, system
from tests.playbooks.simulating import codes, fails, gives, played, statuses


def starting(number: int = 1, name: str = "Child", **fields: Any) -> Document:
    config = {"playbook": "other-book", **fields.pop("config", {})}
    return system(number, name, **{"worker_type": "sub_playbook", "config": config, **fields})


def limited(key: str | None = None, **fields: Any) -> Document:
    concurrency = {**({} if key is None else {"key": key}), **fields}
    return playbook(system(1, "One"), policies={"concurrency": concurrency})


# --- what compiles


@pytest.mark.parametrize(
    ("fields", "plan"),
    [
        ({}, ChildPlan(code="other-book")),
        ({"config": {"mode": "detach"}}, ChildPlan(code="other-book", waits=False)),
        ({"timeout_seconds": 90}, ChildPlan(code="other-book", timeout_seconds=90.0)),
    ],
)
def test_a_step_is_carried_by_a_child_when_it_runs_a_playbook(fields: Document, plan: ChildPlan) -> None:
    (step,) = plan_of(playbook(starting(**fields))).steps
    assert (step.carrier, step.child) == ("child", plan)


def test_a_compensation_may_be_a_playbook() -> None:
    undo = {"step_type": "system", "worker_type": "sub_playbook", "config": {"playbook": "undo-book"}}
    (undoing,) = plan_of(playbook(system(1, "One", compensation=undo))).compensations
    assert (undoing.carrier, undoing.child) == ("child", ChildPlan(code="undo-book"))


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"playbook": "Not A Code"}, "/playbook"),
        ({"max_depth": 0}, "/max_depth"),
        ({"max_depth": 21}, "/max_depth"),
        ({"mode": "sometimes"}, "/mode"),
        ({"version": 0}, "/version"),
        ({"priority": "urgent"}, "/priority"),
        ({"plabook": "x"}, "/plabook"),
    ],
)
def test_a_config_is_refused_with_its_place_when_it_does_not_fit(config: Document, pointer: str) -> None:
    assert f"/steps/0/config{pointer}" in [place for _, place in found(playbook(starting(config=config)))]


def test_a_step_may_read_a_childs_output_when_it_waits_and_nothing_else() -> None:
    reading = system(2, "Read", config={"output": "${steps.child.output.output.anything}"})
    assert found(playbook(starting(), reading)) == set()
    wrong = system(2, "Read", condition="steps.child.output.status == 1")
    assert {place for _, place in found(playbook(starting(), wrong))} == {"/steps/1/condition"}


def test_a_wait_that_outlasts_the_run_is_warned_of() -> None:
    written = playbook(starting(timeout_seconds=7_200), policies={"timeout_minutes": 60})
    assert found(written) == {("EXCEEDS_RUN_TIMEOUT", "/steps/0/timeout_seconds")}


@pytest.mark.parametrize("key", ["${steps.one.output}", "${run.id}", "${vars.x}", "${item}", "${input.", "${nobody}"])
def test_a_key_is_refused_when_it_reads_more_than_the_input(key: str) -> None:
    assert {place for _, place in found(limited(key))} == {"/policies/concurrency/key"}


def test_a_key_is_refused_when_the_contract_rules_out_what_it_reads() -> None:
    contract = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    written = limited("${input.b}") | {"input_contract": contract}
    assert found(written) == {("UNKNOWN_REFERENCE", "/policies/concurrency/key")}


# --- what a run starts with


def test_equal_keys_give_one_label_that_does_not_reveal_them() -> None:
    document = read_document(limited("${input.customer}-${input.n}", max_runs=3, on_limit="reject"))
    one, two = slot_of(document, {"customer": "acme", "n": 1}), slot_of(document, {"n": 1, "customer": "acme", "x": 2})
    other = slot_of(document, {"customer": "acme", "n": 2})
    assert one is not None
    assert one == two != other
    assert one.label.startswith("concurrency:test-book:")
    assert "acme" not in one.label
    assert (one.max_runs, one.on_limit) == (3, "reject")


def test_every_run_has_the_same_key_when_none_is_written_and_no_place_without_a_policy() -> None:
    document = read_document(limited())
    assert slot_of(document, {"a": 1}) == slot_of(document, {})
    assert slot_of(read_document(playbook(system(1, "One"))), {}) is None


@pytest.mark.parametrize("value", [None, True, 5, 1.5, [1], {"a": 1}, "text", "x" * 10_000, "\ud800"])
def test_any_value_makes_a_key(value: Any) -> None:
    slot = slot_of(read_document(limited("${input.a}")), {"a": value})
    assert slot is not None
    assert len(slot.label) < 100


def test_a_key_without_a_value_is_refused_with_its_place_in_the_input() -> None:
    with pytest.raises(ValidationError) as refused:
        slot_of(read_document(limited("${input.customer.id}")), {"customer": {}}, "/input")
    assert [(item.pointer, item.code) for item in refused.value.problems] == [("/input/customer/id", "MISSING_PATH")]


def test_an_input_is_refused_when_it_is_too_large_or_does_not_fit() -> None:
    document = read_document(playbook(system(1, "One"), input_contract={"type": "object", "required": ["a"]}))
    with pytest.raises(LimitExceededError):
        check_input(document, {"a": "x" * 300_000})
    with pytest.raises(InputContractError) as refused:
        check_input(document, {}, "/input")
    assert refused.value.problems[0].pointer == "/input/a"


# --- simulated


def test_a_simulation_takes_what_is_given_when_a_step_runs_a_playbook() -> None:
    written = playbook(starting(), system(2, "After", config={"output": "${steps.child.output.output.n}"}, input={}))
    output = {"execution_id": "any", "status": "completed", "output": {"n": 5}}
    run = played(written, attempts={"child": [fails("network"), gives(output)]})
    assert (run.ending, run.state.output) == ("completed", {"after": 5})
    assert len(run.state.steps["child"].attempts) == 2


def test_a_simulation_makes_up_the_end_of_a_child_when_nothing_is_given() -> None:
    contract = {"type": "object", "required": ["output"], "properties": {"output": {"const": {"n": 7}}}}
    run = played(playbook(starting(output_contract=contract), starting(2, "Apart", config={"mode": "detach"})))
    assert run.ending == "completed"
    outputs = [run.state.steps[key].output for key in ("child", "apart")]
    assert isinstance(outputs[0], dict)
    assert isinstance(outputs[1], dict)
    assert (outputs[0]["output"], outputs[1]["status"]) == ({"n": 7}, "started")
    assert codes(run) == []


def test_a_simulation_reports_that_a_child_has_no_contract() -> None:
    run = played(playbook(starting(), policies={"concurrency": {"max_runs": 1}}))
    assert statuses(run) == {"child": "completed"}
    assert codes(run) == [("NO_CONTRACT", "/steps/0")]


def test_a_simulated_child_may_take_days_unless_its_step_has_a_timeout() -> None:
    day = gives({"execution_id": "any", "status": "completed", "output": {}}, duration=timedelta(days=1))
    assert played(playbook(starting()), attempts={"child": [day]}).ending == "completed"
    once = {"max_retries": 0}
    run = played(playbook(starting(timeout_seconds=60, retry=once)), attempts={"child": [day]})
    assert (run.ending, run.state.error and run.state.error.kind) == ("failed", "timeout")
