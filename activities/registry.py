"""Registers every activity of a worker under the name by which workflows call it.

Local activities return an outcome; regular ones also send heartbeats and turn a failed outcome into a failure.
Invariant: every exception that leaves an activity has a type by which Temporal or the workflow decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeAlias, get_type_hints

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import children, concurrency, execution, loops, message_checks, output, projection
from activities.ai_scripted import ScriptedHandler
from activities.dependencies import ActivityDependencies
from activities.failures import as_application_error
from activities.handler import Handler
from activities.heartbeat import with_heartbeat
from activities.http_request import HttpRequestHandler, http_factory
from activities.notification_sender import NotificationSenderHandler
from activities.piggyback import write_rows_meanwhile
from activities.plugins import installed_handlers
from activities.pure import DataProcessorHandler, DataValidatorHandler, RulesEngineHandler
from activities.sub_playbook import SubPlaybookHandler
from playbooks.common.errors import UnavailableError
from playbooks.engine.model.activity_names import ActivityName
from playbooks.engine.model.temporal_messages import FlushCall, StepCall, StepOutcome

__all__ = ["ActivityDependencies", "build_activities", "build_handlers"]

_Work: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

_LOCAL: dict[ActivityName, _Work] = {
    ActivityName.PREPARE_STEP: execution.prepare,
    ActivityName.EVALUATE_LOOP: loops.evaluate_loop,
    ActivityName.COLLECT_ITEMS: loops.collect_items,
    ActivityName.READ_CHILD: children.read_child,
    ActivityName.CHECK_MESSAGE: message_checks.check,
    ActivityName.MAKE_OUTPUT: output.make_output,
}
"""Local activities: pure work, whose repetition after a crash changes nothing."""

_REGULAR: dict[ActivityName, _Work] = {
    ActivityName.ANNOUNCE_TASK: projection.announce_task,
    ActivityName.FLUSH: projection.flush,
    ActivityName.RECORD_NOTIFICATION: projection.record_notification,
    ActivityName.REQUEST_CANCEL: projection.request_cancel,
    ActivityName.CANCEL_CHILD: children.cancel_child,
    ActivityName.NOTIFY_PARENT: children.notify_parent,
    ActivityName.ACQUIRE_CONCURRENCY: concurrency.acquire_concurrency,
    ActivityName.NOTIFY_NEXT: concurrency.notify_next,
}
"""Regular activities: they write committed history to the tables, or concern other runs."""


def build_handlers(deps: ActivityDependencies, installed: Mapping[str, Handler] | None = None) -> dict[str, Handler]:
    """Return the built-in handlers and those of installed packages, by name. Raises WorkerPackageError."""
    built_in: tuple[Handler, ...] = (
        DataValidatorHandler(),
        DataProcessorHandler(),
        RulesEngineHandler(),
        NotificationSenderHandler(deps),
        SubPlaybookHandler(deps),
        ScriptedHandler(),
        HttpRequestHandler(deps.http or http_factory(deps.settings)),
    )
    extra = installed_handlers() if installed is None else installed
    return {**extra, **{handler.description.name: handler for handler in built_in}}


def build_activities(
    deps: ActivityDependencies, installed: Mapping[str, Handler] | None = None
) -> list[Callable[..., Any]]:
    """Return the activities to register in a worker. `installed` replaces the look-up of installed packages."""
    handlers = build_handlers(deps, installed)
    effect_names = {
        handler.description.name
        for handler in handlers.values()
        if not handler.description.is_pure and handler.description.step_type != "ai"
    }
    pure = {name: handler for name, handler in handlers.items() if handler.description.is_pure}
    return [
        *(_define(name, partial(work, deps), work) for name, work in _LOCAL.items()),
        *(_define(name, _with_heartbeat(work, deps), work) for name, work in _REGULAR.items()),
        *(_pure(deps, pure, name) for name in sorted(pure)),
        *(_effect(deps, handlers, name) for name in sorted({*effect_names, ActivityName.AI})),
    ]


def _define(name: str, run: Callable[..., Awaitable[Any]], work: _Work) -> Callable[..., Any]:
    """Make an activity of `run(call)`, with the types of `work(deps, call)`, by which Temporal decodes its arguments.

    Temporal retries it while the database is away: it is no attempt at a step.
    """

    async def run_activity(*calls: Any) -> Any:
        try:
            return await run(*calls)
        except UnavailableError as error:
            raise ApplicationError(error.detail, type=error.code) from error

    _, *parameters = inspect.signature(work).parameters.values()
    run_activity.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run_activity.__annotations__ = get_type_hints(work)
    return activity.defn(name=name)(run_activity)


def _with_heartbeat(work: _Work, deps: ActivityDependencies) -> Callable[..., Awaitable[Any]]:
    return lambda *calls: with_heartbeat(work(deps, *calls))


def _pure(deps: ActivityDependencies, pure: Mapping[str, Handler], name: str) -> Callable[..., Any]:
    """Make the local activity of one pure handler, under its name, which an operator sees in the history."""

    @activity.defn(name=name)
    async def run_pure(call: StepCall) -> StepOutcome:
        return await execution.execute(deps, call, pure)

    return run_pure


def _effect(deps: ActivityDependencies, handlers: Mapping[str, Handler], name: str) -> Callable[..., Any]:
    """Make the regular activity of one effect handler; all AI providers share one. It may write the run's rows."""

    @activity.defn(name=name)
    async def run_effect(call: StepCall, rows: FlushCall | None = None) -> StepOutcome:
        outcome = await with_heartbeat(write_rows_meanwhile(deps, rows, execution.execute(deps, call, handlers)))
        if outcome.status == "failed":
            raise as_application_error(outcome)
        return outcome

    return run_effect
