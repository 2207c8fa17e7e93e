"""Control flow of a step: joins, loops, returns, compensation and mutual exclusion, compiled and checked.

Every loop that compiles has a bound, and every jump has a target that exists.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, error
from playbooks.common.values import Json
from playbooks.compiler.order import LocatedStep, StepOrder, closest_step
from playbooks.document.model import MAX_ITEMS, ForEachDocument, OnErrorDocument
from playbooks.document.undo import undo_document
from playbooks.engine.model.plan import BackPlan, ChildPlan, ForEachPlan, JoinPlan, MutexPlan, OnError, SignalPlan
from playbooks.expressions import templates

DEFAULT_GOTO_MAX = 10

_MORE_THAN_CRITICAL = ("goto", "compensate", "incident")


def flow_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    """Yield the problems of a step's control flow."""
    yield from _join_problems(item, order)
    yield from _for_each_problems(item)
    yield from _repeat_problems(item, order)
    yield from _goto_problems(item, order)
    yield from _return_problems(item, order)
    yield from _mutex_problems(item, order)


def join_of(item: LocatedStep, order: StepOrder) -> JoinPlan | None:
    """Return the join of a step that does not need all of its dependencies; None where it needs all."""
    join = item.step.join
    if join is None or join.mode == "all":
        return None
    needed = 1 if join.mode == "any" else join.n or len(order.dependencies[item.key])
    return JoinPlan(needed=needed, cancels_others=join.others == "cancel")


def for_each_of(item: LocatedStep, sensitive_items: tuple[str, ...] = ()) -> ForEachPlan | None:
    given = item.step.for_each
    if given is None:
        return None
    enough = given.complete_when
    return ForEachPlan(
        max_concurrency=given.max_concurrency,
        enough=enough if isinstance(enough, int) else None,
        has_condition=isinstance(enough, str),
        cancels_others=given.others == "cancel",
        tolerated_failures=given.tolerated_failures,
        sensitive_items=sensitive_items,
    )


def repeat_of(item: LocatedStep) -> BackPlan | None:
    given = item.step.repeat
    if given is None:
        return None
    delay = float(given.delay_seconds or 0)
    return BackPlan(step=given.from_step or item.key, max=given.max, delay_seconds=delay)


def returns_of(item: LocatedStep) -> BackPlan | None:
    """Compile returns. The document's `max` counts returns, the plan's counts visits."""
    given = item.step.approval.return_to_step if item.step.approval else None
    return None if given is None else BackPlan(step=given.step, max=given.max + 1, on=tuple(given.on))


def on_error_of(item: LocatedStep) -> OnError | None:
    """Return the error policy where it says more than `critical` does; else None."""
    on_error = item.step.on_error
    return on_error.action if on_error is not None and on_error.action in _MORE_THAN_CRITICAL else None


def goto_of(item: LocatedStep, order: StepOrder) -> BackPlan | None:
    on_error = item.step.on_error
    target = _goto_target(on_error, order) if on_error is not None else None
    if on_error is None or target is None:
        return None
    return BackPlan(step=target, max=(on_error.max or DEFAULT_GOTO_MAX) + 1)


def mutex_of(item: LocatedStep) -> MutexPlan | None:
    given = item.step.mutex
    if given is None:
        return None
    if isinstance(given, str):
        return MutexPlan(name=given, region=item.key)
    return MutexPlan(name=given.name, region=given.region)


def signal_of(item: LocatedStep) -> SignalPlan | None:
    """Return the signal that a `signal_wait` waits for; its config was checked against the handler's schema."""
    if item.step.step_type != "system" or item.step.worker_type != "signal_wait":
        return None
    config = item.step.config or {}
    names = config.get("signals")
    return SignalPlan(
        names=tuple(str(name) for name in names) if isinstance(names, list) else (),
        keeps=config.get("persistent") is not False,
        on_timeout="fail" if config.get("on_timeout") == "fail" else "continue",
        has_contract=item.step.output_contract is not None,
    )


def child_of(item: LocatedStep) -> ChildPlan | None:
    """Return the playbook that a `sub_playbook` runs; its config was checked against the handler's schema."""
    step, config = item.step, item.step.config or {}
    if step.step_type != "system" or step.worker_type != "sub_playbook":
        return None
    seconds = step.timeout_seconds
    return ChildPlan(
        code=str(config.get("playbook")),
        waits=config.get("mode") != "detach",
        timeout_seconds=None if seconds is None else float(seconds),
    )


def located_undo(item: LocatedStep) -> LocatedStep | None:
    """Return the step that undoes this one, with its place in the document."""
    if item.step.compensation is None:
        return None
    return LocatedStep(undo_document(item.step, item.step.compensation), f"{item.pointer}/compensation")


def may_be_list(items: list[Json] | str) -> bool:
    """Return true if the form is right for items: a list, or one whole `${...}`."""
    try:
        return isinstance(items, list) or templates.whole(items) is not None
    except templates.TemplateError:
        return True  # reported where the mapping is checked


def _join_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    join, place = item.step.join, f"{item.pointer}/join"
    if join is None:
        return
    count = len(order.dependencies[item.key])
    if count < 2:
        yield error(place, "JOIN_NEEDS_DEPENDENCIES", "a join needs two or more steps before it")
    if join.mode == "n_of_m" and join.n is None:
        yield error(f"{place}/n", "REQUIRED", "n_of_m needs n")
    if join.mode != "n_of_m" and join.n is not None:
        yield error(f"{place}/n", "NOT_ALLOWED", f"'{join.mode}' has no n")
    if join.n is not None and join.n > count:
        yield error(f"{place}/n", "OUT_OF_RANGE", f"only {count} steps come before it, not {join.n}")
    if join.mode == "all" and join.others == "cancel":
        yield error(f"{place}/others", "NOT_ALLOWED", "'all' leaves no others to cancel")


def _for_each_problems(item: LocatedStep) -> Iterator[Problem]:
    given, place = item.step.for_each, f"{item.pointer}/for_each"
    if given is None:
        return
    yield from _items_problems(given, f"{place}/items")
    approval = item.step.approval
    if approval is not None and approval.return_to_step is not None:
        message = "an item cannot send the run back"
        yield error(f"{item.pointer}/approval/return_to_step", "NOT_ALLOWED", message)


def _items_problems(given: ForEachDocument, place: str) -> Iterator[Problem]:
    if isinstance(given.items, list) and len(given.items) > MAX_ITEMS:
        yield error(place, "TOO_LARGE", f"a for_each goes over at most {MAX_ITEMS} items")
    if not may_be_list(given.items):
        yield error(place, "INVALID_MAPPING", "items are a list, or one ${...} that gives a list")


def _repeat_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    repeat = item.step.repeat
    if repeat is not None and repeat.from_step is not None:
        yield from _upstream_problems(item, repeat.from_step, order, f"{item.pointer}/repeat/from")


def _return_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    returns = item.step.approval.return_to_step if item.step.approval else None
    if returns is None:
        return
    place = f"{item.pointer}/approval/return_to_step"
    yield from _upstream_problems(item, returns.step, order, f"{place}/step")
    if item.step.repeat is not None:
        yield error(place, "CONFLICT", "a step has either 'repeat' or 'return_to_step'")


def _upstream_problems(item: LocatedStep, key: str, order: StepOrder, place: str) -> Iterator[Problem]:
    if key not in order.steps:
        yield error(place, "UNKNOWN_REFERENCE", f"there is no step '{key}'", closest_step(key, order.steps))
    elif key != item.key and key not in order.upstream[item.key]:
        yield error(place, "REFERENCE_NOT_UPSTREAM", f"step '{key}' does not lead here, so there is no way back to it")


def _goto_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    on_error, place = item.step.on_error, f"{item.pointer}/on_error"
    if on_error is None:
        return
    if on_error.action != "goto":
        for name in ("step", "max"):
            if getattr(on_error, name) is not None:
                yield error(f"{place}/{name}", "NOT_ALLOWED", f"'{on_error.action}' goes to no step")
        return
    if on_error.step is None:
        yield error(f"{place}/step", "REQUIRED", "goto needs the step to go to")
        return
    target = _goto_target(on_error, order)
    if target is None:
        message = f"there is no step {on_error.step!r}"
        yield error(f"{place}/step", "UNKNOWN_REFERENCE", message, closest_step(str(on_error.step), order.steps))
    elif target != item.key and target not in order.upstream[item.key] and item.key not in order.upstream[target]:
        message = f"no path connects this step with '{target}'"
        yield error(f"{place}/step", "UNRELATED_STEP", message, "go to a step before or after it")


def _goto_target(on_error: OnErrorDocument, order: StepOrder) -> str | None:
    if isinstance(on_error.step, int):
        return next((each.key for each in order.located if each.step.step_number == on_error.step), None)
    return on_error.step if on_error.step in order.steps else None


def _mutex_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    """Yield regions that would deadlock: one of their steps waits for a step that may begin only after the region."""
    mine = mutex_of(item)
    if mine is None:
        return
    region = {each.key for each in order.located if mutex_of(each) == mine}
    for each in order.located:
        other = mutex_of(each)
        if other is None or other.name != mine.name or other.region == mine.region:
            continue
        leads_here = each.key in order.upstream[item.key]
        if leads_here and any(each.key not in order.upstream[key] for key in region):
            message = f"region '{mine.region}' needs step '{each.key}', which it excludes"
            yield error(f"{item.pointer}/mutex", "DEADLOCK", message, "let the region end before that step")
