"""Control messages of every shape: recorded or rejected, answered, never lost, never the end of a run."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from playbooks.common.values import JsonObject
from tests.support.plans import effect, human, plan_of, step
from tests.support.waiting import eventually
from tests.workflows.playing import Stage, events_of, state_of, update, vote

PLAN = plan_of(human("h", 1), step("b", 2, after=("h",)))
TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


def payload(data: bytes, encoding: bytes | None = b"json/plain", **metadata: bytes) -> Payload:
    return Payload(metadata={**({} if encoding is None else {"encoding": encoding}), **metadata}, data=data)


def as_json(value: Any) -> Payload:
    return payload(json.dumps(value).encode())


DEEP = b'{"step":"h","decision":"approve","data":' + b'{"x":' * 5_000 + b"1" + b"}" * 5_001
SIGNALS: list[tuple[str, list[Payload]]] = [
    ("decide", []),
    ("decide", [payload(b"", b"binary/null")]),
    ("decide", [as_json("approve")]),
    ("decide", [as_json(["approve"])]),
    ("decide", [as_json(7)]),
    ("decide", [as_json(vote("h", "anna")), as_json({})]),
    ("decide", [as_json({**vote("h", "anna"), "decission": "approve"})]),
    ("decide", [as_json({"step": "h", "decision": "yes"})]),
    ("decide", [as_json({"step": "h", "decision": "approve", "actor": "anna"})]),
    ("decide", [as_json({"task_id": "h", "decision": "approve"})]),
    ("decide", [payload(DEEP)]),
    ("decide", [payload(b'{"step": "h", ')]),
    ("decide", [payload(b"")]),
    ("decide", [payload(b"\xff\xfe")]),
    ("decide", [payload(b'{"step":"h","decision":"approve","comment":"\\ud800","actor":{"sub":"\\ud800"}}')]),
    ("decide", [payload(b"{}", b"binary/unheard-of")]),
    ("decide", [payload(b"{}", None)]),
    ("decide", [payload(b"\x00\x01", b"binary/plain")]),
    ("decide", [payload(b"{}", b"json/protobuf", messageType=b"no.such.Message")]),
    ("decide", [payload(b"\x01", b"binary/protobuf", messageType=b"temporal.api.common.v1.Payload")]),
    ("decide", [payload(b"not encrypted at all", b"binary/encrypted")]),
    ("pause", [as_json({"reason": {"deep": True}})]),
    ("reassign", [as_json({"step": "h"})]),
    ("frobnicate", [as_json({})]),
    ("x" * 900, []),
]


async def test_records_each_as_refused_and_goes_on_when_signals_are_malformed(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        for name, payloads in SIGNALS:
            await stage.signal_raw(handle, name, *payloads)
        assert (await update(handle, "decide", vote("h", "anna"))).outcome == "accepted"
        assert (await handle.result()).status == "completed"
    refused = [event.data for call in stage.world.flushes for event in call.events if event.kind == "message_refused"]
    codes = [data["code"] for data in refused]
    assert codes == ["VALIDATION_ERROR"] * (len(SIGNALS) - 3) + ["NOT_SUPPORTED", "INVALID_ACTION", "INVALID_ACTION"]
    assert all(len(str(data["verb"])) <= 64 and len(str(data["reason"])) < 200 for data in refused)
    assert await events_of(handle, TASK_FAILED) == []


async def test_rejects_without_a_trace_when_an_update_is_malformed(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        before = await state_of(handle)
        bodies: list[list[Any]] = [[], ["approve"], [{"step": "h"}], [{**vote("h", "anna"), "x": 1}], [{}, {}], [None]]
        for arguments in bodies:
            with pytest.raises(WorkflowUpdateFailedError) as failure:
                await update(handle, "decide", *arguments)
            assert isinstance(failure.value.cause, ApplicationError)
            assert failure.value.cause.type == "VALIDATION_ERROR"
        with pytest.raises(WorkflowUpdateFailedError) as unknown:
            await update(handle, "frobnicate")
        assert isinstance(unknown.value.cause, ApplicationError)
        assert unknown.value.cause.type == "INVALID_ACTION"
        assert await state_of(handle) == before
        assert await events_of(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) == []
        await update(handle, "decide", vote("h", "anna"))
        await handle.result()


async def test_answers_a_refusal_and_records_it_when_a_vote_is_not_admissible(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        stranger: JsonObject = {"step": "h", "decision": "approve", "actor": {"sub": "dan", "roles": ["clerk"]}}
        nobody: JsonObject = {"step": "h", "decision": "approve"}
        assert (await update(handle, "decide", stranger)).code == "NOT_ELIGIBLE"
        assert (await update(handle, "decide", nobody)).code == "NOT_ELIGIBLE"
        await handle.signal("decide", vote("h", "anna"))
        assert (await handle.result()).status == "completed"
    assert stage.world.event_kinds.count("decision_refused") == 2
    assert stage.world.event_kinds.count("decision_made") == 1


async def test_counts_one_vote_when_a_person_speaks_on_all_paths_at_once(stage: Stage) -> None:
    plan = plan_of(human("h", 1, approval=None), step("b", 2, after=("h",)))
    async with stage.worker():
        handle = await stage.start(plan)
        await eventually(lambda: stage.world.tasks)
        await asyncio.gather(
            handle.signal("decide", vote("h", "anna")),
            *(update(handle, "decide", vote("h", "anna")) for _ in range(4)),
            handle.signal("decide", vote("h", "anna")),
        )
        await handle.result()
        state = await state_of(handle)
    assert state.steps["h"].task is not None
    assert [item.actor.name for item in state.steps["h"].task.votes] == ["anna"]
    assert stage.world.event_kinds.count("decision_refused") == 5


async def test_records_the_signal_when_it_comes_in_the_last_workflow_task(stage: Stage) -> None:
    last_flush = stage.world.gate("flush:completed")
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1), human("h", 2, after=("a",))))
        await eventually(lambda: stage.world.tasks)
        await update(handle, "decide", vote("h", "anna"))
        await eventually(lambda: stage.world.flushes[-1].run.status == "completed")
        seen = len(stage.world.flushes)
        await handle.signal("decide", vote("h", "ben", "reject"))
        await handle.signal("pause", "nonsense")
        verdict = await update(handle, "pause")
        last_flush.set()
        result = await handle.result()
    assert verdict.code == "INVALID_STATUS"
    assert len(stage.world.flushes) > seen, "what came late is flushed too"
    late = [(event.kind, event.data["code"]) for call in stage.world.flushes[seen:] for event in call.events]
    assert late == [
        ("decision_refused", "TASK_CLOSED"),
        ("message_refused", "VALIDATION_ERROR"),
        ("message_refused", "INVALID_STATUS"),
    ]
    assert (result.status, result.seq) == ("completed", stage.world.flushes[-1].seq)
    assert {call.run.digest for call in stage.world.flushes[seen - 1 :]} == {result.digest}


async def test_loses_no_acknowledged_signal_when_the_run_ends_under_a_hail_of_them(stage: Stage) -> None:
    accepted, rng = 0, Random(1)
    # Gaps around the time that a flush takes: some signals meet the last workflow task, and the run still ends.
    async with stage.worker():
        handle = await stage.start(plan_of(*(step(f"s{n}", n) for n in range(1, 8))))
        with pytest.raises(RPCError, match="already completed"):
            while True:
                await handle.signal("frobnicate")
                accepted += 1
                await asyncio.sleep(rng.random() * 0.04)
        assert (await handle.result()).status == "completed"
        signals = await events_of(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    assert len(signals) >= accepted > 0
    assert stage.world.event_kinds.count("message_refused") == len(signals)


async def test_keeps_the_vote_when_the_run_is_paused_and_counts_it_at_resume(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        await handle.signal("pause", {"reason": "lunch"})
        assert (await update(handle, "decide", vote("h", "anna"))).outcome == "kept"
        assert (await state_of(handle)).status == "paused"
        assert (await update(handle, "resume")).outcome == "accepted"
        assert (await handle.result()).status == "completed"
    assert stage.world.event_kinds.count("decision_made") == 1


async def test_keeps_an_early_decision_when_its_step_comes_later(stage: Stage) -> None:
    gate = stage.world.gate("a")
    async with stage.worker():
        handle = await stage.start(plan_of(effect("a", 1), human("h", 2, after=("a",))))
        assert (await update(handle, "decide", vote("h", "anna"))).outcome == "kept"
        gate.set()
        assert (await handle.result()).status == "completed"


@pytest.mark.parametrize("until_text", ["9999-12-31T23:59:59+00:00", "2027-01-01T00:00:00+14:00"])
async def test_goes_on_when_a_pause_has_an_absurd_end(stage: Stage, until_text: str) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        await handle.signal("pause", {"until": until_text})
        await eventually(lambda: stage.world.flushes[-1].run.status == "paused")
        await update(handle, "resume")
        await update(handle, "decide", vote("h", "anna"))
        assert (await handle.result()).status == "completed"
        assert await events_of(handle, TASK_FAILED) == []


async def test_takes_any_number_when_a_form_holds_it(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        body = json.dumps(vote("h", "anna")).encode()[:-1] + b', "data": {"n": ' + b"9" * 400 + b', "m": 1e999}}'
        await stage.signal_raw(handle, "decide", payload(body))
        assert (await handle.result()).status == "completed"
        assert await events_of(handle, TASK_FAILED) == []
