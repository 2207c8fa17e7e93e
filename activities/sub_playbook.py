"""The handler `sub_playbook`: starts a run of another playbook, once per visit of its step.

Invariant: the child's id is made of the step's effect key, so repeated attempts start one child; it is stored, with a
reference to its parent, before its workflow is started.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from activities.dependencies import ActivityDependencies
from activities.handler import HandlerCall, HandlerResult, failed
from playbooks.common import ids
from playbooks.common.errors import DuplicateExecutionError, NotFoundError, ServiceUnavailableError
from playbooks.common.values import FINISHED_RUN, JsonObject, Priority
from playbooks.document.handler_catalog import BUILT_IN
from playbooks.document.model import PlaybookDocument
from playbooks.engine.model.temporal_messages import ParentRun, RunInput
from runtime.start_run import start_run
from storage.database.sessions import ReadSession, WriteSession
from storage.playbooks import version_rows
from storage.playbooks.cache import CachedVersion
from storage.runs import run_rows
from storage.runs.admission import AcceptRun, accept_run
from storage.runs.run_rows import RunRow

DEFAULT_MAX_DEPTH = 5
MAX_DEPTH = "MAX_DEPTH"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The step's config."""

    code: str
    version: int | None
    waits: bool
    max_depth: int
    priority: Priority | None


class SubPlaybookHandler:
    """The step is done, or begins to wait, once the child is accepted, also while Temporal is away."""

    description = BUILT_IN["sub_playbook"]

    def __init__(self, deps: ActivityDependencies) -> None:
        self._deps = deps

    async def run(self, call: HandlerCall) -> HandlerResult:
        """`{execution_id, status: "started"}`.

        Raises StepFailedError (kinds `not_found`, `business_rule`), InputError (kind `validation`),
        ServiceUnavailableError while the database is away.
        """
        child = ids.child_execution_id(call.organization_id, call.effect_key)
        wanted = _read(call.config)
        async with self._deps.database.writing(call.organization_id) as session:
            parent = await run_rows.get_run(session, call.execution_id)
            start = await self._known(session, child) or await self._insert(session, call, wanted, parent, child)
        with contextlib.suppress(ServiceUnavailableError):  # it is accepted: the sweeper starts it
            await start_run(self._deps.client, self._deps.settings, start)
        return HandlerResult(output={"execution_id": str(child), "status": "started"})

    async def _known(self, session: ReadSession, child: UUID) -> RunInput | None:
        """Return the input of a child that an earlier attempt stored."""
        try:
            return await run_rows.get_run_input(session, child, self._deps.sealer)
        except NotFoundError:
            return None

    async def _insert(
        self, session: WriteSession, call: HandlerCall, wanted: _Wanted, parent: RunRow, child: UUID
    ) -> RunInput:
        depth = parent.parent.depth + 1 if parent.parent is not None else 1
        if depth > wanted.max_depth:
            message = f"this would be {depth} runs below the first one, of {wanted.max_depth}"
            raise failed("business_rule", MAX_DEPTH, message, pointer="/config/max_depth")
        if parent.status in FINISHED_RUN:
            raise failed("business_rule", "INVALID_STATUS", "the run of this step is over")
        version, value = await self._version(session, wanted), _object(call)
        start = RunInput(
            organization_id=call.organization_id,
            execution_id=child,
            plan=version.plan,
            # Who started the first run stays its initiator all the way down: separation of duties rests on it.
            initiator=parent.initiator,
            input=value,
            priority=wanted.priority or parent.priority,
            debug=parent.debug,
            parent=ParentRun(
                execution_id=call.execution_id, step=call.step, visit=call.visit, depth=depth, waits=wanted.waits
            ),
        )
        run = AcceptRun(
            input=start,
            document=version.document,
            request={"effect_key": call.effect_key},
            pointer="/input",
            correlation_id=parent.correlation_id,
            sensitive_input=await self._sensitive(session, call),
            limits_above=await _limits_above(session, version.document, parent) if wanted.waits else frozenset(),
        )
        try:
            return (await accept_run(session, run, self._deps.sealer)).input
        except DuplicateExecutionError as error:
            raise failed("business_rule", error.code, error.detail) from error

    async def _version(self, session: ReadSession, wanted: _Wanted) -> CachedVersion:
        """Return the version that the config names, else the newest that may run."""
        found = await version_rows.versions_of(session, wanted.code)
        if wanted.version is not None:
            found = tuple(row for row in found if row.version == wanted.version)
        active = next((row for row in found if row.status == "active"), None)
        if active is not None:
            return await self._deps.versions.get(session, active.id)
        name = f"playbook '{wanted.code}'" if wanted.version is None else f"version {wanted.version} of '{wanted.code}'"
        pointer = "/config/playbook" if wanted.version is None else "/config/version"
        if not found:
            raise failed("not_found", "NOT_FOUND", f"there is no {name}", pointer=pointer)
        message = f"no version of {name} is active" if wanted.version is None else f"{name} is {found[0].status}"
        raise failed("business_rule", "INVALID_PLAYBOOK_STATUS", message, pointer=pointer)

    async def _sensitive(self, session: ReadSession, call: HandlerCall) -> tuple[str, ...]:
        """Return the sensitive pointers of the step's input: they hold in the child's row too."""
        return (await self._deps.versions.get(session, call.playbook_id)).plan.step(call.step).sensitive_input


async def _limits_above(session: ReadSession, document: PlaybookDocument, parent: RunRow) -> frozenset[str]:
    """The concurrency limits of the runs that wait for the child, which has none of these: it would wait for them."""
    labels: set[str | None] = set()
    above = parent if document.policies is not None and document.policies.concurrency is not None else None
    while above is not None:
        labels.add(above.slot_label)
        further = above.parent
        above = None if further is None or not further.waits else await run_rows.get_run(session, further.execution_id)
    return frozenset(label for label in labels if label is not None)


def _read(config: JsonObject) -> _Wanted:
    version, depth = config.get("version"), config.get("max_depth")
    return _Wanted(
        code=str(config.get("playbook")),
        version=version if isinstance(version, int) else None,
        waits=config.get("mode") != "detach",
        max_depth=depth if isinstance(depth, int) else DEFAULT_MAX_DEPTH,
        priority=cast("Priority | None", config.get("priority")),
    )


def _object(call: HandlerCall) -> JsonObject:
    if isinstance(call.input, dict):
        return call.input
    raise failed("validation", "INPUT_VALIDATION_ERROR", "the input of a run is an object", pointer="/input")
