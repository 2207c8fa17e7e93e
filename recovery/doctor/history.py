"""Reads the facts of a run from its Temporal history, event by event.

Must share nothing with the projection but the types of Temporal's messages; hence its own list of activity names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from playbooks.engine.model.state import StepState
from playbooks.engine.model.temporal_messages import FlushCall, RunInput, RunResult, StepCall, StepOutcome
from recovery.doctor.facts import Closed, EffectFact, FlushFact, HistoryFacts, ResultFact, StepFact, StepName

_OF_THE_SERVICE = frozenset(
    {
        *("announce_task", "record_notification", "request_cancel"),
        *("cancel_child", "notify_parent", "acquire_concurrency", "notify_next"),
    }
)
_DECIDE = "decide"
_CLOSED: dict[int, Closed] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "completed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "failed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "cancelled",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "terminated",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "timed_out",
}


@dataclass(slots=True)
class _Read:
    """Facts of one execution so far, by the number of the event that scheduled the activity.

    An effect, or the announcement of a task, may carry a flush; `done` are those that were written.
    """

    flushes: dict[int, FlushCall] = field(default_factory=dict[int, FlushCall])
    effects: dict[int, StepCall] = field(default_factory=dict[int, StepCall])
    done: set[int] = field(default_factory=set[int])
    succeeded: set[int] = field(default_factory=set[int])
    decides: int = 0


async def read_history(client: Client, workflow_id: str) -> HistoryFacts | None:
    """Read the newest execution under this id and those it continues; None where there is none. Raises RPCError."""
    newest = await _events(client, workflow_id, None)
    if not newest:
        return None
    start = await _start_of(client, newest[0])
    reads = [await _read(client, newest)]
    wanted, is_whole = newest[0], True
    while wanted.workflow_execution_started_event_attributes.continued_execution_run_id:
        before = wanted.workflow_execution_started_event_attributes.continued_execution_run_id
        events = await _events(client, workflow_id, before)
        if not events:
            is_whole = False
            break
        reads.insert(0, await _read(client, events))
        wanted = events[0]
    flushes = tuple(_flush(call, number in read.done) for read in reads for number, call in read.flushes.items())
    return HistoryFacts(
        closed=_CLOSED.get(newest[-1].event_type, "running"),
        last_event_at=newest[-1].event_time.ToDatetime(tzinfo=UTC),
        step_keys=tuple(step.key for step in start.plan.steps),
        flushes=flushes,
        effects=tuple(
            EffectFact(
                step=(call.step, call.visit),
                attempt=call.attempt,
                key=call.effect_key,
                succeeded=number in read.succeeded,
            )
            for read in reads
            for number, call in read.effects.items()
        ),
        decides=sum(read.decides for read in reads),
        result=await _result(client, newest[-1]),
        is_whole=is_whole and not any(_is_reset(event) for event in newest),
    )


async def _events(client: Client, workflow_id: str, run_id: str | None) -> list[HistoryEvent]:
    try:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        return [event async for event in handle.fetch_history_events(page_size=1000)]
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise


async def _read(client: Client, events: Iterable[HistoryEvent]) -> _Read:
    read = _Read()
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                await _scheduled(client, event, read)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                await _completed(client, event, read)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                read.decides += event.workflow_execution_signaled_event_attributes.signal_name == _DECIDE
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                request = event.workflow_execution_update_accepted_event_attributes.accepted_request
                read.decides += request.input.name == _DECIDE
            case _:
                pass
    return read


async def _scheduled(client: Client, event: HistoryEvent, read: _Read) -> None:
    scheduled = event.activity_task_scheduled_event_attributes
    name = scheduled.activity_type.name
    if name == "flush":
        read.flushes[event.event_id] = await _decode(client, scheduled.input.payloads, FlushCall)
        return
    if name not in _OF_THE_SERVICE:
        read.effects[event.event_id] = await _decode(client, scheduled.input.payloads[:1], StepCall)
    if len(scheduled.input.payloads) > 1:
        carried = await _decode(client, scheduled.input.payloads[1:2], FlushCall | None)
        if carried is not None:
            read.flushes[event.event_id] = carried


async def _completed(client: Client, event: HistoryEvent, read: _Read) -> None:
    completed = event.activity_task_completed_event_attributes
    number = completed.scheduled_event_id
    if number not in read.effects:
        read.done.add(number)
        return
    outcome = await _decode(client, completed.result.payloads, StepOutcome)
    if outcome.rows_seq is not None:
        read.done.add(number)
    if outcome.status == "succeeded":
        read.succeeded.add(number)


async def _start_of(client: Client, event: HistoryEvent) -> RunInput:
    return await _decode(client, event.workflow_execution_started_event_attributes.input.payloads, RunInput)


async def _result(client: Client, event: HistoryEvent) -> ResultFact | None:
    """Return a completed run's result, or the one in the details of a failed run's failure."""
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        payloads = event.workflow_execution_completed_event_attributes.result.payloads
        result = await _decode(client, payloads, RunResult)
        return ResultFact(status=result.status, seq=result.seq, digest=result.digest)
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        failure = event.workflow_execution_failed_event_attributes.failure
        error = await client.data_converter.decode_failure(failure)
        details: Any = error.details[0] if isinstance(error, ApplicationError) and error.details else None
        if isinstance(details, dict):
            found = cast("dict[str, Any]", details)
            return ResultFact(status=str(found["status"]), seq=int(found["seq"]), digest=str(found["digest"]))
    return None


async def _decode(client: Client, payloads: Any, kind: Any) -> Any:
    (value,) = await client.data_converter.decode(payloads, [kind])
    return value


def _is_reset(event: HistoryEvent) -> bool:
    """Return whether the event is a reset: only that fails a workflow task with a new run id."""
    return bool(event.workflow_task_failed_event_attributes.new_run_id)


def _flush(call: FlushCall, is_done: bool) -> FlushFact:
    steps: dict[StepName, StepFact] = {(step.key, step.visit): _step(step) for step in call.steps}
    return FlushFact(
        seq=call.seq,
        status=call.run.status,
        cost=call.run.cost,
        steps=steps,
        events={event.number: (event.kind, event.step) for event in call.events},
        is_done=is_done,
    )


def _step(step: StepState) -> StepFact:
    return StepFact(
        status=step.status,
        seq=step.seq,
        cost=step.cost,
        attempts={item.number: 1 + item.lost + item.not_started for item in step.attempts},
        votes=tuple((str(vote.actor.id), vote.choice) for vote in step.task.votes) if step.task else (),
    )


def age_seconds(at: datetime) -> float:
    """Return the seconds since an instant."""
    return (datetime.now(UTC) - at).total_seconds()
