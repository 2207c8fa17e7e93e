"""Values that are too large for a message: stored in lines of the run, loaded where a call refers to them.

Storing the same value again (a repeated attempt) writes the same line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

from activities.dependencies import ActivityDependencies
from playbooks.common.errors import UnavailableError
from playbooks.common.values import Json, JsonObject, PayloadRef
from playbooks.engine.model.temporal_messages import ChildCall, CollectCall, LoopCall, OutputCall, StepCall
from storage.runs import payloads

AnyCall: TypeAlias = StepCall | LoopCall | CollectCall | ChildCall | OutputCall

OUTPUT_LINES = 500_000
INPUT_LINES = 700_000
RUN_OUTPUT_LINE = OUTPUT_LINES
_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (0.5, 1, 2, 4, 5, 5, 5, 5))


async def load_context(deps: ActivityDependencies, call: StepCall | LoopCall | OutputCall) -> JsonObject:
    """Return the call's context with the stored values put back: `input` is the run's, other names are steps' outputs.

    Raises ServiceUnavailableError, NotFoundError.
    """
    values = {name: await load(deps, call, reference) for name, reference in sorted(call.stored.items())}
    if not values:
        return call.context
    filled = dict(call.context)
    if "input" in values:
        filled["input"] = values.pop("input")
    given = filled.get("steps")
    steps = dict(given) if isinstance(given, dict) else {}
    for key, value in values.items():
        facts = steps.get(key)
        steps[key] = {**(facts if isinstance(facts, dict) else {}), "output": value}
    return {**filled, "steps": steps} if steps else filled


async def load(deps: ActivityDependencies, call: AnyCall, value: Json | PayloadRef) -> Json:
    """Return the value; a reference is read from the run's lines and opened."""
    if not isinstance(value, PayloadRef):
        return value
    async with deps.database.reading(call.organization_id) as session:
        sealed = await payloads.load_payload(session, call.execution_id, value)
    return deps.sealer.open(sealed)


async def store_if_large(
    deps: ActivityDependencies,
    call: AnyCall,
    line_number: int,
    value: Json,
    sensitive: Sequence[str],
    *,
    waits: bool = False,
) -> Json | PayloadRef:
    """Return `value`, or, where it is over 64 KB, a reference to the line that now holds it (sealed at `sensitive`).

    `waits`: an effect is done already, so an outage of the database is waited out for half a minute. Raises
    ServiceUnavailableError after that, or at once.
    """
    if size_bytes(value) <= payloads.STORE_OVER_BYTES:
        return value
    sealed = deps.sealer.seal(value, sensitive)
    pauses = list(_PAUSES) if waits else []
    while True:
        try:
            async with deps.database.writing(call.organization_id) as session:
                return await payloads.store_payload(session, call.execution_id, line_number, sealed)
        except UnavailableError:
            if not pauses:
                raise
        await asyncio.sleep(pauses.pop(0).total_seconds())


def size_bytes(value: Json) -> int:
    """Return the size of the value as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
