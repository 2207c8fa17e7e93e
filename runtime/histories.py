"""Reads the flushes that a run's history has committed, in their order, whether or not the rows have them.

A flush is an activity of its own, or the second argument of another activity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from playbooks.engine.model.activity_names import ActivityName
from playbooks.engine.model.temporal_messages import FlushCall, RunInput
from playbooks.engine.projection import flush_of

_SCHEDULED: Final = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED


async def read_flushes(client: Client, workflow_id: str, run_id: str) -> tuple[FlushCall, ...]:
    """Read every flush of this execution and of those it continues, oldest first; the last one may not be done yet.

    For an earlier execution that Temporal has deleted there is its last state: a flush without events. Raises RPCError.
    """
    found: list[FlushCall] = []
    wanted: str | None = run_id
    while wanted is not None:
        events = await _events_of(client, workflow_id, wanted)
        if not events:
            break
        payloads = [payload for event in events if (payload := _payload_of_flush(event)) is not None]
        own = [flush for payload in payloads if (flush := await _decode(client, payload)) is not None]
        started = events[0].workflow_execution_started_event_attributes
        wanted = started.continued_execution_run_id or None
        carried = await _carried_over(client, events[0], wanted) if wanted else ()
        found = [*carried, *own, *found]
    return _each_event_once(found)


def _each_event_once(flushes: Sequence[FlushCall]) -> tuple[FlushCall, ...]:
    """Drop repeated events: a flush carries again those whose earlier flush is not known to be written."""
    seen: set[tuple[str, int]] = set()
    once: list[FlushCall] = []
    for flush in flushes:
        new = tuple(event for event in flush.events if (flush.temporal_run_id, event.number) not in seen)
        seen.update((flush.temporal_run_id, event.number) for event in new)
        once.append(replace(flush, events=new))
    return tuple(once)


async def _events_of(client: Client, workflow_id: str, run_id: str) -> list[HistoryEvent]:
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        return [event async for event in handle.fetch_history_events()]
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise


def _payload_of_flush(event: HistoryEvent) -> Payload | None:
    if event.event_type != _SCHEDULED:
        return None
    scheduled = event.activity_task_scheduled_event_attributes
    arguments = scheduled.input.payloads
    if scheduled.activity_type.name == ActivityName.FLUSH:
        return arguments[0]
    return arguments[1] if len(arguments) > 1 else None


async def _decode(client: Client, payload: Payload) -> FlushCall | None:
    """Decode a flush; None where an effect carries none."""
    kind: Any = FlushCall | None
    (call,) = await client.data_converter.decode([payload], [kind])
    return call


async def _carried_over(client: Client, first: HistoryEvent, run_id: str) -> tuple[FlushCall, ...]:
    """Return the state at continue-as-new as a flush."""
    payloads = first.workflow_execution_started_event_attributes.input.payloads
    (start,) = await client.data_converter.decode(payloads, [RunInput])
    if not isinstance(start, RunInput) or start.state is None:
        return ()
    whole = flush_of(start.plan, start.state, flushed_seq=0, temporal_run_id=run_id)
    return (whole,)
