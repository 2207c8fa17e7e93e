"""One attempt from context to outcome: conditions, inputs, contracts, large values, a database that is away."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest

from activities import execution, payloads
from activities.handler import Handler, HandlerCall, HandlerResult, failed
from activities.pure import DataProcessorHandler
from activities.registry import build_handlers
from playbooks.common.values import Json, JsonObject, PayloadRef, StepType
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.engine.model.temporal_messages import StepCall, StepOutcome
from storage.database.sessions import Database
from tests.activities.world import World, make_world, step

AWAY = "postgresql://playbook_service:none@127.0.0.1:1/none"
SECRET_INPUT = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ssn": {"type": "string", "x-sensitive": True}},
}


class Custom:
    """A handler of a package, as a test needs it."""

    def __init__(self, answer: Any, step_type: StepType = "system") -> None:
        self.answer = answer
        self.calls: list[HandlerCall] = []
        self.description = HandlerDescription(
            name="custom", step_type=step_type, is_pure=False, config_schema={}, summary="custom"
        )

    async def run(self, call: HandlerCall) -> HandlerResult:
        self.calls.append(call)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return HandlerResult(output=self.answer)


async def run(world: World, call: StepCall, **handlers: Handler) -> StepOutcome:
    return await execution.execute(world.deps, call, {**build_handlers(world.deps, {}), **handlers})


def error_of(outcome: StepOutcome) -> tuple[str, str, str | None]:
    assert outcome.status == "failed"
    assert outcome.error is not None
    return outcome.error.kind, outcome.error.code, outcome.error.pointer


async def test_step_gets_its_mapping_when_it_has_one(database: Database, organization_id: UUID) -> None:
    mapping = {"total": "${steps.a.output.x + input.y}", "status": "${steps.a.status}"}
    world = await make_world(
        database, organization_id, [step("A", 1, "data_processor"), step("B", 2, "data_processor", input=mapping)]
    )
    context: JsonObject = {"input": {"y": 2}, "steps": {"a": {"status": "completed", "output": {"x": 1}}}}
    outcome = await run(world, world.call("b", context))
    assert outcome.status == "succeeded"
    assert outcome.output == outcome.input == {"total": 3, "status": "completed"}


async def test_step_gets_input_and_data_when_nothing_is_mapped(database: Database, organization_id: UUID) -> None:
    data = {"depends_on": "a", "dependency_type": "data"}
    mapped = {**data, "mapping": {"z": "${steps.a.output.x}"}}
    world = await make_world(
        database,
        organization_id,
        [
            step("A", 1, "data_processor"),
            step("B", 2, "data_processor", dependencies=[data]),
            step("C", 3, "data_processor", dependencies=[mapped]),
            step("D", 4, "data_processor", dependencies=[mapped], input={"own": 1}),
            step("E", 5, "data_processor", dependencies=[data], input={"own": 1}),
            step("F", 6, "data_processor", dependencies=[mapped], input={"z": "mine"}),
        ],
    )
    context: JsonObject = {
        "input": {"x": "old", "y": 2},
        "steps": {"a": {"status": "completed", "output": {"x": 1}}},
    }
    outputs = {key: (await run(world, world.call(key, context))).output for key in "bcdef"}
    assert outputs == {
        "b": {"x": 1, "y": 2},
        "c": {"x": "old", "y": 2, "z": 1},
        "d": {"own": 1, "z": 1},
        "e": {"own": 1},
        "f": {"z": "mine"},
    }


async def test_data_is_refused_when_it_cannot_be_merged(database: Database, organization_id: UUID) -> None:
    data = {"depends_on": "a", "dependency_type": "data"}
    world = await make_world(
        database,
        organization_id,
        [step("A", 1, "data_processor"), step("B", 2, "data_processor", dependencies=[data])],
    )
    context: JsonObject = {"input": {"y": 2}, "steps": {"a": {"status": "completed", "output": [1]}}}
    assert error_of(await run(world, world.call("b", context))) == ("validation", "VALIDATION_ERROR", "/steps/a/output")


async def test_outside_step_gets_no_secret_when_it_names_none(database: Database, organization_id: UUID) -> None:
    script = {"provider": "scripted", "script": [{"output": {}}]}
    first = step("A", 1, "data_processor", output_contract={"properties": {"key": {"x-sensitive": True}}})
    data = [{"depends_on": "a", "dependency_type": "data"}]
    url = {"url": "http://127.0.0.1:1/"}
    world = await make_world(
        database,
        organization_id,
        [
            first,
            {**step("Ask", 2, "scorer", dependencies=data, config=script), "step_type": "ai"},
            {**step("Call", 3, "http_request", config=url), "step_type": "external"},
            {**step("Named", 4, "scorer", input={"ssn": "${input.ssn}"}, config=script), "step_type": "ai"},
            step("Inside", 5, "data_processor"),
        ],
        input_contract=SECRET_INPUT,
    )
    context: JsonObject = {
        "input": {"name": "Ann", "ssn": "123"},
        "steps": {"a": {"status": "completed", "output": {"key": "k", "open": 1}}},
    }
    assert (await run(world, world.call("ask", context))).input == {"name": "Ann", "open": 1}
    assert (await run(world, world.call("call", context))).input == {"name": "Ann"}
    assert (await run(world, world.call("named", context))).input == {"ssn": "123"}
    assert (await run(world, world.call("inside", context))).input == {"name": "Ann", "ssn": "123"}


async def test_step_is_skipped_when_a_condition_is_false(database: Database, organization_id: UUID) -> None:
    conditional = {"depends_on": "a", "dependency_type": "conditional", "condition": "steps.a.output.ok == true"}
    world = await make_world(
        database,
        organization_id,
        [
            step("A", 1, "data_processor"),
            step("B", 2, "data_processor", condition="input.amount > 10"),
            step("C", 3, "data_processor", dependencies=[conditional]),
            step("D", 4, "data_processor", condition={"field": "input.amount", "operator": ">", "value": 10}),
        ],
    )
    context: JsonObject = {"input": {"amount": 5}, "steps": {"a": {"status": "completed", "output": {"ok": False}}}}
    for perform in (run, _prepare):
        b, c, d = [await perform(world, world.call(key, context)) for key in "bcd"]
        assert [b.status, c.status, d.status] == ["skipped"] * 3
        assert b.reason == "its condition is false: input.amount > 10"
        assert b.values == {"input.amount": 5}
        assert c.reason == "its condition on step 'a' is false: steps.a.output.ok == true"
        assert c.values == {"steps.a.output.ok": False}
        assert d.reason == "its condition is false: input.amount > 10"
    holds = await run(world, world.call("b", {"input": {"amount": 11}}))
    assert (holds.status, holds.values) == ("succeeded", {"input.amount": 11})


async def _prepare(world: World, call: StepCall) -> StepOutcome:
    return await execution.prepare(world.deps, call)


async def test_condition_is_an_error_when_its_path_is_missing(database: Database, organization_id: UUID) -> None:
    world = await make_world(database, organization_id, [step("B", 1, "data_processor", condition="input.amount > 10")])
    for perform in (run, _prepare):
        outcome = await perform(world, world.call("b", {"input": {}}))
        assert error_of(outcome) == ("validation", "VALIDATION_ERROR", "/input/amount")


async def test_contract_is_enforced_when_the_input_or_output_breaks_it(
    database: Database, organization_id: UUID
) -> None:
    contract = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "maximum": 9}}}
    world = await make_world(
        database,
        organization_id,
        [
            step("In", 1, "data_processor", key="takes", input_contract=contract),
            step("Out", 2, "data_processor", key="gives", output_contract=contract),
        ],
    )
    assert error_of(await run(world, world.call("takes", {"input": {"n": 10}}))) == (
        "validation",
        "CONTRACT_VALIDATION_FAILED",
        "/input/n",
    )
    outcome = await run(world, world.call("gives", {"input": {"n": "secret text"}}))
    assert error_of(outcome) == ("validation", "CONTRACT_VALIDATION_FAILED", "/output/n")
    assert outcome.input == {"n": "secret text"}
    assert outcome.error is not None and "secret" not in outcome.error.message
    assert (await run(world, world.call("gives", {"input": {"n": 9}}))).status == "succeeded"


@pytest.mark.parametrize("poison", ["a\x00b", "\ud800", float("nan"), float("inf")])
@pytest.mark.parametrize("worker", ["data_processor", "sub_playbook"])
async def test_input_is_refused_when_it_cannot_be_stored(
    database: Database, organization_id: UUID, poison: Any, worker: str
) -> None:
    config = {"playbook": "other"} if worker == "sub_playbook" else {}
    world = await make_world(database, organization_id, [step("A", 1, worker, config=config)])
    outcome = await run(world, world.call("a", {"input": {"a": {"b": poison}}}))
    assert error_of(outcome) == ("validation", "CONTRACT_VALIDATION_FAILED", "/input/a/b")


@pytest.mark.parametrize("poison", ["a\x00b", "\ud800", float("nan")])
async def test_output_is_refused_when_it_cannot_be_stored(
    database: Database, organization_id: UUID, poison: Any
) -> None:
    world = await make_world(database, organization_id, [step("A", 1, "data_processor")])
    custom = Custom({"value": poison})
    outcome = await run(world, world.call("a", {"input": {}}), data_processor=custom)
    assert error_of(outcome) == ("validation", "CONTRACT_VALIDATION_FAILED", "/output/value")


async def test_large_values_are_stored_and_loaded_again_when_they_are_referred_to(
    database: Database, organization_id: UUID
) -> None:
    contract = {"properties": {"secret": {"type": "string", "x-sensitive": True}}}
    world = await make_world(
        database,
        organization_id,
        [step("A", 1, "data_processor", output_contract=contract), step("B", 2, "data_processor")],
        input_contract=contract,
    )
    big: JsonObject = {"text": "x" * 70_000, "secret": "hush"}
    outcome = await run(world, world.call("a", {"input": big}))
    assert isinstance(outcome.output, PayloadRef) and isinstance(outcome.input, PayloadRef)
    assert (outcome.output.line_number, outcome.input.line_number) == (500_001, 700_001)
    async with database.reading(organization_id) as session:
        stored = await payloads.payloads.load_payload(session, world.execution_id, outcome.output)
    assert "hush" not in repr(stored)

    again = await run(world, world.call("a", {"input": big}, attempt=2))
    assert again.output == outcome.output or isinstance(again.output, PayloadRef)
    prepared = await run(world, world.call("b", is_prepared=True, prepared_input=outcome.output))
    assert prepared.input == outcome.output
    assert isinstance(prepared.output, PayloadRef)
    call = world.call("b", {"steps": {"a": {"status": "completed"}}}, stored={"a": outcome.output})
    context: Any = await payloads.load_context(world.deps, call)
    assert context == {"steps": {"a": {"status": "completed", "output": big}}}


async def test_attempt_has_not_begun_when_the_database_is_away(database: Database, organization_id: UUID) -> None:
    world = await make_world(database, organization_id, [step("A", 1, "data_processor")], is_cached=False)
    away = Database.connect(AWAY)
    try:
        broken = World(**{**vars(world), "deps": _with_database(world, away)})
        custom = Custom({})
        outcome = await run(broken, broken.call("a", {"input": {}}), data_processor=custom)
        assert error_of(outcome) == ("temporary_failure", "NOT_STARTED", None)
        assert custom.calls == []
        with pytest.raises(execution.UnavailableError):
            await execution.prepare(broken.deps, broken.call("a", {"input": {}}))
    finally:
        await away.close()


async def test_attempt_failed_when_its_result_cannot_be_kept(
    database: Database, organization_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "_PAUSES", payloads._PAUSES[:1])
    world = await make_world(database, organization_id, [step("A", 1, "data_processor")])
    away = Database.connect(AWAY)
    try:
        broken = World(**{**vars(world), "deps": _with_database(world, away)})
        custom = Custom({"text": "x" * 70_000})
        outcome = await run(broken, broken.call("a", {"input": {}}), data_processor=custom)
        assert error_of(outcome) == ("temporary_failure", "SERVICE_UNAVAILABLE", None)
        assert len(custom.calls) == 1
    finally:
        await away.close()


def _with_database(world: World, database: Database) -> Any:
    from dataclasses import replace

    return replace(world.deps, database=database)


async def test_attempt_times_out_when_the_handler_does_not_end(database: Database, organization_id: UUID) -> None:
    world = await make_world(database, organization_id, [step("A", 1, "data_processor", timeout_seconds=0.05)])

    class Endless(Custom):
        async def run(self, call: HandlerCall) -> HandlerResult:
            await asyncio.sleep(60)
            return HandlerResult(output={})

    outcome = await run(world, world.call("a", {"input": {}}), data_processor=Endless({}))
    assert error_of(outcome) == ("timeout", "STEP_TIMEOUT", None)


async def test_handlers_exception_does_not_reveal_its_data(database: Database, organization_id: UUID) -> None:
    world = await make_world(database, organization_id, [step("A", 1, "data_processor")])
    for defect in (ValueError("secret"), KeyError("secret"), RecursionError("secret")):
        outcome = await run(world, world.call("a", {"input": {}}), data_processor=Custom(defect))
        assert error_of(outcome) == ("system", "INTERNAL_ERROR", None)
        assert outcome.error is not None and "secret" not in outcome.error.message
    failure = failed("rate_limited", "SLOW", "slow down", retry_after_ms=5)
    outcome = await run(world, world.call("a", {"input": {}}), data_processor=Custom(failure))
    assert outcome.error == failure.error


async def test_cancellation_passes_when_the_handler_is_cancelled(database: Database, organization_id: UUID) -> None:
    world = await make_world(database, organization_id, [step("A", 1, "data_processor")])
    with pytest.raises(asyncio.CancelledError):
        await run(world, world.call("a", {"input": {}}), data_processor=Custom(asyncio.CancelledError()))


async def test_handler_receives_its_config_and_key(database: Database, organization_id: UUID) -> None:
    config = {"output": {"a": "${input.n}", "b": "${steps.a.output.k}"}}
    mapped = step("B", 2, "data_processor", config=config, input={"n": "${input.m}"})
    world = await make_world(database, organization_id, [step("A", 1, "data_processor"), mapped])
    context: JsonObject = {"input": {"m": 1}, "steps": {"a": {"status": "completed", "output": {"k": "v"}}}}
    outcome = await run(world, world.call("b", context))
    assert outcome.output == {"a": 1, "b": "v"}
    custom = Custom({})
    await run(world, world.call("b", context, attempt=3), data_processor=custom)
    call = custom.calls[0]
    assert (call.attempt, call.effect_key) == (3, f"{world.execution_id}:b:1")
    assert cast("Json", call.resolve("${input.n}")) == 1


async def test_handler_is_missing_when_the_worker_does_not_have_it(database: Database, organization_id: UUID) -> None:
    world = await make_world(database, organization_id, [step("A", 1, "data_processor")])
    outcome = await execution.execute(world.deps, world.call("a", {"input": {}}), {})
    assert error_of(outcome)[:2] == ("system", "UNKNOWN_HANDLER")
    wrong = {"data_processor": Custom({}, step_type="external")}
    outcome = await execution.execute(world.deps, world.call("a", {"input": {}}), wrong)
    assert error_of(outcome)[:2] == ("system", "UNKNOWN_HANDLER")
    assert isinstance(DataProcessorHandler(), Handler)


async def test_timer_is_prepared_when_its_duration_is_an_expression(database: Database, organization_id: UUID) -> None:
    config = {"duration_minutes": "${input.minutes}"}
    world = await make_world(database, organization_id, [step("Wait", 1, "timer", config=config)])
    outcome = await execution.prepare(world.deps, world.call("wait", {"input": {"minutes": 5}}))
    assert (outcome.status, outcome.input) == ("ready", {"minutes": 5})
    assert outcome.wait_until is not None
    wrong = await execution.prepare(world.deps, world.call("wait", {"input": {"minutes": "soon"}}))
    assert error_of(wrong)[0] == "validation"


async def test_answer_waits_for_a_person_when_the_script_is_unsure(database: Database, organization_id: UUID) -> None:
    config = {
        "provider": "scripted",
        "confidence_threshold": 0.8,
        "on_low_confidence": "human_review",
        "script": [{"output": {"score": 1}, "confidence": 0.5}],
    }
    ask = {**step("Ask", 1, "scorer", config=config, required_roles=["reviewer"]), "step_type": "ai"}
    world = await make_world(database, organization_id, [{**ask, "cost": {"unit_amount": 8}}])
    outcome = await run(world, world.call("ask", {"input": {}}))
    assert (outcome.needs_review, outcome.confidence, outcome.confidence_source) == (True, 0.5, "scripted")
    assert outcome.output == {"score": 1}
    assert outcome.cost is None
    assert world.plan.step("ask").cost == Decimal(8)
