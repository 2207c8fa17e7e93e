"""Registers every activity of a worker under the name by which workflows call it.

Local activities return an outcome; regular ones also send heartbeats and turn a failed outcome into a failure.
Invariant: every exception that leaves an activity has a type by which Temporal or the workflow decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

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
from playbooks.engine.model.temporal_messages import (
    AcquireCall,
    AcquireResult,
    CancelCall,
    CheckCall,
    ChildCall,
    CollectCall,
    FlushCall,
    FlushResult,
    LoopCall,
    LoopOutcome,
    NotificationCall,
    NotifyNextCall,
    NotifyParentCall,
    OutcomeOfCheck,
    OutputCall,
    OutputResult,
    StepCall,
    StepOutcome,
    TaskCall,
)

__all__ = ["ActivityDependencies", "build_activities", "build_handlers"]

_ResultT = TypeVar("_ResultT")


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
    return [
        *_lane(deps, handlers),
        *_writers(deps),
        *_to_other_runs(deps),
        *(_effect(deps, handlers, name) for name in sorted({*effect_names, ActivityName.AI})),
    ]


def _lane(deps: ActivityDependencies, handlers: Mapping[str, Handler]) -> list[Callable[..., Any]]:
    """Local activities: pure work, whose repetition after a crash changes nothing."""

    pure = {name: handler for name, handler in handlers.items() if handler.description.is_pure}

    @activity.defn(name=ActivityName.PREPARE_STEP)
    async def prepare_step(call: StepCall) -> StepOutcome:
        return await _retryable(execution.prepare(deps, call))

    @activity.defn(name=ActivityName.EVALUATE_LOOP)
    async def evaluate_loop(call: LoopCall) -> LoopOutcome:
        return await _retryable(loops.evaluate_loop(deps, call))

    @activity.defn(name=ActivityName.COLLECT_ITEMS)
    async def collect_items(call: CollectCall) -> StepOutcome:
        return await _retryable(loops.collect_items(deps, call))

    @activity.defn(name=ActivityName.READ_CHILD)
    async def read_child(call: ChildCall) -> StepOutcome:
        return await _retryable(children.read_child(deps, call))

    @activity.defn(name=ActivityName.CHECK_MESSAGE)
    async def check_message(call: CheckCall) -> OutcomeOfCheck:
        return await _retryable(message_checks.check(deps, call))

    @activity.defn(name=ActivityName.MAKE_OUTPUT)
    async def make_output(call: OutputCall) -> OutputResult:
        return await _retryable(output.make_output(deps, call))

    rest = [prepare_step, evaluate_loop, collect_items, read_child, check_message, make_output]
    return [*(_pure(deps, pure, name) for name in sorted(pure)), *rest]


def _pure(deps: ActivityDependencies, pure: Mapping[str, Handler], name: str) -> Callable[..., Any]:
    """Make the local activity of one pure handler, under its name, which an operator sees in the history."""

    @activity.defn(name=name)
    async def run_pure(call: StepCall) -> StepOutcome:
        return await execution.execute(deps, call, pure)

    return run_pure


def _writers(deps: ActivityDependencies) -> list[Callable[..., Any]]:
    """Regular activities that write what the history has committed."""

    @activity.defn(name=ActivityName.ANNOUNCE_TASK)
    async def announce_task(call: TaskCall, rows: FlushCall | None = None) -> FlushResult | None:
        return await with_heartbeat(_retryable(projection.announce_task(deps, call, rows)))

    @activity.defn(name=ActivityName.FLUSH)
    async def flush(call: FlushCall) -> FlushResult:
        return await with_heartbeat(_retryable(projection.flush(deps, call)))

    @activity.defn(name=ActivityName.RECORD_NOTIFICATION)
    async def record_notification(call: NotificationCall) -> None:
        await with_heartbeat(_retryable(projection.record_notification(deps, call)))

    @activity.defn(name=ActivityName.REQUEST_CANCEL)
    async def request_cancel(call: CancelCall) -> None:
        await with_heartbeat(projection.request_cancel(deps.client, call))

    return [announce_task, flush, record_notification, request_cancel]


def _to_other_runs(deps: ActivityDependencies) -> list[Callable[..., Any]]:
    """Regular activities that concern other runs."""

    @activity.defn(name=ActivityName.CANCEL_CHILD)
    async def cancel_child(call: CancelCall) -> None:
        await with_heartbeat(_retryable(children.cancel_child(deps, call)))

    @activity.defn(name=ActivityName.NOTIFY_PARENT)
    async def notify_parent(call: NotifyParentCall) -> None:
        await with_heartbeat(children.notify_parent(deps, call))

    @activity.defn(name=ActivityName.ACQUIRE_CONCURRENCY)
    async def acquire_concurrency(call: AcquireCall) -> AcquireResult:
        return await with_heartbeat(_retryable(concurrency.acquire_concurrency(deps, call)))

    @activity.defn(name=ActivityName.NOTIFY_NEXT)
    async def notify_next(call: NotifyNextCall) -> None:
        await with_heartbeat(_retryable(concurrency.notify_next(deps, call)))

    return [cancel_child, notify_parent, acquire_concurrency, notify_next]


def _effect(deps: ActivityDependencies, handlers: Mapping[str, Handler], name: str) -> Callable[..., Any]:
    """Make the regular activity of one effect handler; all AI providers share one. It may write the run's rows."""

    @activity.defn(name=name)
    async def run_effect(call: StepCall, rows: FlushCall | None = None) -> StepOutcome:
        outcome = await with_heartbeat(write_rows_meanwhile(deps, rows, execution.execute(deps, call, handlers)))
        if outcome.status == "failed":
            raise as_application_error(outcome)
        return outcome

    return run_effect


async def _retryable(work: Awaitable[_ResultT]) -> _ResultT:
    """Let Temporal retry while the database is away: these activities are not attempts at a step."""
    try:
        return await work
    except UnavailableError as error:
        raise ApplicationError(error.detail, type=error.code) from error
