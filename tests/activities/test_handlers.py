"""The built-in handlers on their own: rules, mappings, validation, scripted answers, timers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.ai_scripted import ScriptedHandler
from activities.handler import StepFailedError
from activities.pure import DataProcessorHandler, DataValidatorHandler, RulesEngineHandler
from playbooks.common.errors import ContractError, MappingError
from playbooks.evaluation import timing
from tests.activities.calls import handler_call

RULES = [
    {"name": "big", "when": "input.amount >= 100", "reason": "too small"},
    {"name": "known", "when": "input.kind in ['a', 'b']"},
]


@pytest.mark.parametrize(
    ("decision", "value", "passed", "failed", "matched"),
    [
        ("all", {"amount": 100, "kind": "a"}, True, [], "big"),
        ("all", {"amount": 1, "kind": "a"}, False, ["big"], "known"),
        ("any", {"amount": 1, "kind": "a"}, True, ["big"], "known"),
        ("any", {"amount": 1, "kind": "x"}, False, ["big", "known"], None),
        ("first", {"amount": 100, "kind": "x"}, True, [], "big"),
        ("first", {"amount": 1, "kind": "b"}, True, ["big"], "known"),
        ("first", {"amount": 1, "kind": "x"}, False, ["big", "known"], None),
        (None, {"amount": 1, "kind": "x"}, False, ["big", "known"], None),
    ],
)
async def test_rules_decide_when_evaluated(
    decision: str | None, value: dict[str, Any], passed: bool, failed: list[str], matched: str | None
) -> None:
    config = {"rules": RULES} if decision is None else {"rules": RULES, "decision": decision}
    output: Any = (await RulesEngineHandler().run(handler_call(config, value))).output
    assert output["passed"] is passed
    assert [rule["name"] for rule in output["failed_rules"]] == failed
    assert output["matched"] == matched
    if "big" in failed:
        assert output["failed_rules"][0]["reason"] == "too small"
    if "known" in failed:
        assert output["failed_rules"][-1]["reason"] == "rule 'known' does not hold"


async def test_rule_is_an_error_when_its_field_is_missing() -> None:
    with pytest.raises(MappingError) as caught:
        await RulesEngineHandler().run(handler_call({"rules": RULES}, {"kind": "a"}))
    assert caught.value.problems[0].pointer == "/input/amount"


async def test_processor_maps_its_input_when_asked() -> None:
    config = {"output": {"sum": "${input.a + input.b}", "text": "a=${input.a}", "all": "${input}"}}
    result = await DataProcessorHandler().run(handler_call(config, {"a": 1, "b": 2}))
    assert result.output == {"sum": 3, "text": "a=1", "all": {"a": 1, "b": 2}}


async def test_processor_passes_its_input_on_when_nothing_is_mapped() -> None:
    assert (await DataProcessorHandler().run(handler_call({}, {"a": 1}))).output == {"a": 1}


async def test_validator_refuses_when_the_schema_does_not_hold() -> None:
    config = {"schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}}
    fine = await DataValidatorHandler().run(handler_call(config, {"id": "x"}))
    assert fine.output == {"valid": True, "errors": []}
    with pytest.raises(ContractError) as caught:
        await DataValidatorHandler().run(handler_call(config, {"id": 7}))
    assert caught.value.problems[0].pointer == "/input/id"


SCRIPT = [
    {"error": {"kind": "rate_limited", "message": "slow down"}},
    {"output": {"score": 1}, "confidence": 0.5},
    {"output": {"score": 2}, "confidence": 0.9},
]


async def test_script_answers_attempt_by_attempt_when_retried() -> None:
    config: dict[str, Any] = {"provider": "scripted", "script": SCRIPT}
    with pytest.raises(StepFailedError) as caught:
        await ScriptedHandler().run(handler_call(config))
    assert (caught.value.error.kind, caught.value.error.message) == ("rate_limited", "slow down")
    outputs = [(await ScriptedHandler().run(handler_call(config, attempt=n))).output for n in (2, 3, 4)]
    assert outputs == [{"score": 1}, {"score": 2}, {"score": 2}]


@pytest.mark.parametrize("choice", ["human_review", None])
async def test_person_is_asked_when_confidence_is_low(choice: str | None) -> None:
    config = {"script": SCRIPT, "confidence_threshold": 0.75, "on_low_confidence": choice}
    low = await ScriptedHandler().run(handler_call(config, attempt=2))
    assert (low.needs_review, low.confidence, low.confidence_source) == (True, 0.5, "scripted")
    assert not (await ScriptedHandler().run(handler_call(config, attempt=3))).needs_review


async def test_author_decides_when_confidence_is_low() -> None:
    config = {"script": SCRIPT, "confidence_threshold": 0.75, "on_low_confidence": "accept"}
    assert not (await ScriptedHandler().run(handler_call(config, attempt=2))).needs_review
    with pytest.raises(StepFailedError) as caught:
        await ScriptedHandler().run(handler_call({**config, "on_low_confidence": "fail"}, attempt=2))
    assert (caught.value.error.kind, caught.value.error.code) == ("business_rule", "LOW_CONFIDENCE")


async def test_answer_counts_as_low_when_it_has_no_confidence() -> None:
    config = {"script": [{"output": 1}], "confidence_threshold": 0.1}
    assert (await ScriptedHandler().run(handler_call(config))).needs_review


@pytest.mark.parametrize(
    ("config", "value", "seconds"),
    [
        ({"duration_seconds": 30}, {}, 30),
        ({"duration_minutes": "${input.minutes}"}, {"minutes": 2}, 120),
        ({"duration_seconds": "${input.seconds}"}, {"seconds": "1.5"}, 1.5),
    ],
)
def test_timer_waits_a_duration_when_given_one(config: dict[str, Any], value: dict[str, Any], seconds: float) -> None:
    waits = timing.wait_until(handler_call(config, value), datetime.now(UTC)) - datetime.now(UTC)
    assert seconds - 1 < waits.total_seconds() <= seconds


def test_timer_waits_until_an_instant_when_given_one() -> None:
    due = datetime.now(UTC) + timedelta(days=1)
    assert timing.wait_until(handler_call({"until": "${input.at}"}, {"at": due.isoformat()}), datetime.now(UTC)) == due
    for past in ("2020-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2020-01-01"):
        waits = timing.wait_until(handler_call({"until": past}), datetime.now(UTC)) - datetime.now(UTC)
        assert abs(waits.total_seconds()) < 1


@pytest.mark.parametrize(
    "config",
    [
        {"until": "tomorrow"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"until": "${input.missing_not}"},
        {"duration_seconds": "${'soon'}"},
        {"duration_seconds": "${input.missing_not}"},
        {"duration_seconds": "nan"},
        {"duration_minutes": -1},
        {"duration_minutes": True},
        {"duration_minutes": 1e300},
        {},
    ],
)
def test_timer_is_refused_when_it_is_no_duration_or_instant(config: dict[str, Any]) -> None:
    with pytest.raises(StepFailedError) as caught:
        timing.wait_until(handler_call(config, {"missing_not": {}}), datetime.now(UTC))
    assert caught.value.error.kind == "validation"
