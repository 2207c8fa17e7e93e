"""events.Event loop of a simulation: turns commands into events on a virtual clock, in place of activities and timers.

`machine.advance` decides, as in a run. A simulation always ends: at `max_events` or when `is_over` returns true, it
stops and reports that.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from playbooks.common.errors import Problem
from playbooks.common.errors import error as problem
from playbooks.common.values import FINISHED_RUN, PayloadRef, Verdict
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.engine import activity_inputs
from playbooks.engine.machine import advance, new_run
from playbooks.engine.model import commands, events
from playbooks.engine.model.control_messages import ControlMessage, MalformedMessage, Signal
from playbooks.engine.model.state import AuditEvent, RunState, StepState
from playbooks.engine.model.temporal_messages import RunInput, StepOutcome
from playbooks.evaluation.steps import Version, collected_output
from playbooks.simulation import interventions
from playbooks.simulation.given import Given, GivenMessage, unused
from playbooks.simulation.interventions import SentMessage
from playbooks.simulation.outcome import Ending, Simulated, Visit, VisitKey
from playbooks.simulation.people import Decision, People, message_of
from playbooks.simulation.waiting import waiting_for
from playbooks.simulation.workers import Workers

MAX_EVENTS = 10_000
LIMIT = "SIMULATION_LIMIT"

_LAST_YEAR = 9_900
"""Upper bound of the virtual clock, far enough from the calendar's end (year 9999) for any single wait."""

_DEADLINE = "deadline"
# Order of events at one instant: immediate ones, then finished work, then people, then timers.
_AT_ONCE, _WORK, _PEOPLE, _TIMERS = range(4)

_Tag: TypeAlias = VisitKey | str
"""Subject of a planned event: a visit, or a timer by name. The event is dropped with it."""


@dataclass(order=True, slots=True)
class _Planned:
    """A planned event. `event` is called when it is due; None means that it no longer applies."""

    due: datetime
    rank: int
    number: int
    tag: _Tag | None = field(compare=False)
    event: Callable[[], events.Event | None] = field(compare=False)


def simulate(
    version: Version,
    start: RunInput,
    given: Given,
    *,
    at: datetime,
    handlers: Mapping[str, HandlerDescription] | None = None,
    max_events: int = MAX_EVENTS,
    is_over: Callable[[], bool] = lambda: False,
) -> Simulated:
    """Simulate a run from `at` (aware UTC) until it ends, waits for something that is not given, or reaches a bound.

    `handlers` are those of installed packages; `is_over` is called before each event. Never raises: failures are in
    the result. Equal arguments give equal simulations.
    """
    return _Driver(version, start, given, at, handlers or {}).run(max_events, is_over)


class _Driver:
    """State of one simulation."""

    def __init__(
        self, version: Version, start: RunInput, given: Given, at: datetime, handlers: Mapping[str, HandlerDescription]
    ) -> None:
        self._plan = start.plan
        self._state = new_run(start)
        self._workers = Workers(version, given, handlers)
        self._people = People(start.organization_id, given, self._workers)
        self._began = self._now = at
        self._queue: list[_Planned] = []
        self._planned = self._received = 0
        self._visits: dict[VisitKey, Visit] = {}
        self._events: list[AuditEvent] = []
        self._decisions: dict[str, Decision] = {}
        self._children: dict[VisitKey, StepOutcome] = {}
        self._sent: dict[str, SentMessage] = {}

    def run(self, max_events: int, is_over: Callable[[], bool]) -> Simulated:
        problems: list[Problem] = []
        self._plan_event(self._now, _AT_ONCE, None, lambda: events.RunStarted(at=self._now))
        for message in self._workers.given.messages if self._now.year <= _LAST_YEAR else ():
            self._plan_event(self._now + message.after, _PEOPLE, None, lambda message=message: self._send(message))
        while self._state.status not in FINISHED_RUN and self._has_next():
            if (limit := self._limit(max_events, is_over)) is not None:
                message = f"the simulation was stopped at its limit, {limit}: does a loop of the playbook end?"
                problems.append(problem("", LIMIT, message))
                break
            planned = heapq.heappop(self._queue)
            self._now = max(self._now, planned.due)
            event = planned.event()
            if event is not None:
                self._apply(event)
        return self._result(tuple(problems))

    def _limit(self, max_events: int, is_over: Callable[[], bool]) -> str | None:
        """Describe the bound that was reached."""
        if self._received >= max_events:
            return f"{max_events} events"
        if self._now.year > _LAST_YEAR:
            return f"the year {_LAST_YEAR} of its clock"
        return "the time that one may take" if is_over() else None

    def _has_next(self) -> bool:
        """Return true if an event is planned that nobody has to cause. A deadline alone does not count."""
        return any(planned.tag != _DEADLINE for planned in self._queue)

    def _apply(self, event: events.Event) -> None:
        self._received += 1
        before = self._state
        after, issued = advance(self._plan, before, event)
        self._events += after.outbox
        self._state = replace(after, outbox=(), past=())
        self._note_visits(before, after.past)
        for command in issued:
            self._obey(command)
        self._send_signals(before)

    def _obey(self, command: commands.Command) -> None:  # noqa: C901, PLR0912  (a table of commands, nothing else)
        match command:
            case commands.PrepareStep(step=key, visit=visit):
                self._prepare(key, visit)
            case commands.RunStep(step=key, visit=visit, attempt=attempt):
                self._attempt(key, visit, attempt)
            case commands.EvaluateLoop(step=key, visit=visit):
                self._evaluate_loop(key, visit)
            case commands.CollectItems(step=key, visit=visit):
                self._gather(key, visit)
            case commands.ReadChild(step=key, visit=visit):
                self._end_child(key, visit)
            case commands.OpenTask(step=key):
                self._let_decide(key)
            case commands.CancelStep(step=key, visit=visit):
                self._drop((key, visit))
            case commands.StartTimer(timer=timer, due=due):
                self._drop(timer)
                self._plan_event(due, _TIMERS, timer, lambda: events.TimerFired(at=self._now, timer=timer))
            case commands.StopTimer(timer=timer):
                self._drop(timer)
            case commands.CheckMessage(request=request):
                self._check(request)
            case commands.MakeOutput():
                self._make_output()
            case commands.Answer(request=request, verdict=verdict):
                self._record_verdict(request, verdict)
            case commands.Notify() | commands.FinishRun() | commands.CancelChild() | commands.AcquireConcurrency():
                pass
            case _:
                assert_never(command)

    # --- steps

    def _prepare(self, key: str, visit: int) -> None:
        if self._is_gone(key, visit):
            return
        call = activity_inputs.step_call(self._plan, self._state, self._plan.step(key), 0)
        outcome = self._workers.prepare(call, self._now)
        self._note((key, call.visit), values=outcome.values)
        self._answer(events.StepPrepared, key, call.visit, outcome)

    def _attempt(self, key: str, visit: int, attempt: int) -> None:
        if self._is_gone(key, visit):
            return
        call = activity_inputs.step_call(self._plan, self._state, self._plan.step(key), attempt)
        made = self._workers.attempt(call)
        about = (key, call.visit)
        self._children[about] = made.outcome
        self._note(about, source=made.source)
        if not call.is_prepared:
            self._note(about, values=made.outcome.values)
        self._plan_event(
            self._now + made.took,
            _WORK,
            about,
            lambda: events.StepReported(
                at=self._now, step=key, visit=call.visit, attempt=attempt, outcome=made.outcome
            ),
        )

    def _evaluate_loop(self, key: str, visit: int) -> None:
        if self._is_gone(key, visit):
            return
        outcome = self._workers.evaluate_loop(activity_inputs.loop_call(self._plan, self._state, key))
        self._answer(events.LoopEvaluated, key, visit, outcome)

    def _gather(self, key: str, visit: int) -> None:
        if self._is_gone(key, visit) or key not in self._state.loops:
            return
        call = activity_inputs.collect_call(self._plan, self._state, key)
        # A simulation stores nothing, so results are never references.
        results = {index: value for index, value in call.results.items() if not isinstance(value, PayloadRef)}
        outcome = StepOutcome(status="succeeded", output=collected_output(call, results))
        self._answer(events.ItemsCollected, key, visit, outcome)

    def _end_child(self, key: str, visit: int) -> None:
        """End the child run at once: the step's result is the child's result."""
        self._answer(events.ChildRead, key, visit, self._children[key, visit])

    def _answer(self, event: Callable[..., events.Event], key: str, visit: int, outcome: object) -> None:
        """Report the outcome of an activity that takes no time."""
        self._plan_event(
            self._now,
            _AT_ONCE,
            (key, visit),
            lambda: event(at=self._now, step=key, visit=visit, outcome=outcome),
        )

    def _is_gone(self, key: str, visit: int) -> bool:
        """Return true if the visit has ended already."""
        return key not in self._state.steps or self._state.steps[key].visit != visit

    def _send_signals(self, before: RunState) -> None:
        """Send the given message to each `signal_wait` that begins to wait."""
        for key, now in self._state.steps.items():
            step = self._plan.step(key)
            if now is before.steps.get(key) or step.signal is None or now.status != "waiting":
                continue
            given = None if now.incident_at is not None else self._workers.take(key)
            if given is None:
                continue
            values = given.output if isinstance(given.output, dict) else {}
            name = str(values.get("signal") or step.signal.names[0])
            signal = Signal(name=name, payload=values.get("payload"))
            due = self._now + (given.duration or timedelta(0))
            self._plan_event(due, _WORK, (key, now.visit), lambda signal=signal: self._signal(signal))

    def _signal(self, signal: Signal) -> events.Event:
        message = ControlMessage(action=signal)
        # A unique id: a message is identified by it until its check is done.
        request = f"signal-{self._received}"
        return events.MessageReceived(at=self._now, message=message, request=request, wants_answer=False)

    def _make_output(self) -> None:
        made = self._workers.make_output(activity_inputs.output_call(self._plan, self._state))
        self._plan_event(
            self._now, _AT_ONCE, None, lambda: events.OutputMade(at=self._now, output=made.output, error=made.error)
        )

    # --- people

    def _let_decide(self, key: str) -> None:
        """Plan the next decision on a step's open task: one at a time, so that each sees the previous one."""
        step = self._state.steps.get(key)
        if step is None:
            return
        is_open = step.task is not None and step.task.closed_at is None and step.status == "waiting"
        # Nobody resumes a paused simulation, so a kept decision would never take effect.
        if step.task is None or not is_open or self._state.pause is not None:
            return
        decision = self._people.next_decision(key, self._plan.step(key), step.task, self._now)
        if decision is not None:
            self._plan_event(decision.at, _PEOPLE, (key, step.visit), lambda: self._decide(decision))

    def _record_verdict(self, request: str, verdict: Verdict) -> None:
        if request in self._sent:
            self._sent[request] = replace(self._sent[request], verdict=verdict)
            return
        decision = self._decisions[request] = replace(self._decisions[request], verdict=verdict)
        # An automatic approval that was refused would be refused again.
        if decision.is_given or verdict.outcome != "refused":
            self._let_decide(decision.step)

    def _decide(self, decision: Decision) -> events.Event:
        request = f"decision-{len(self._decisions) + 1}"
        self._decisions[request] = replace(decision, at=self._now)
        return events.MessageReceived(at=self._now, message=message_of(decision), request=request, wants_answer=True)

    def _send(self, given: GivenMessage) -> events.Event | None:
        if isinstance(given.message, MalformedMessage):
            return None
        request = f"message-{len(self._sent) + 1}"
        actor = interventions.actor_of(given, self._state.organization_id)
        sent = self._sent[request] = SentMessage(action=given.message.action, at=self._now, actor=actor)
        message = interventions.message_of(sent)
        return events.MessageReceived(at=self._now, message=message, request=request, wants_answer=True)

    def _check(self, request: str) -> None:
        call = activity_inputs.check_call(self._plan, self._state, self._state.requests[request])
        sent = self._sent.get(request) or self._decisions.get(request)
        outcome = interventions.check(self._workers.version, call, sent.actor if sent else None, self._now)
        self._plan_event(
            self._now, _AT_ONCE, None, lambda: events.MessageChecked(at=self._now, request=request, outcome=outcome)
        )

    # --- the queue

    def _plan_event(self, due: datetime, rank: int, tag: _Tag | None, event: Callable[[], events.Event | None]) -> None:
        self._planned += 1
        heapq.heappush(self._queue, _Planned(due, rank, self._planned, tag, event))

    def _drop(self, tag: _Tag) -> None:
        if any(planned.tag == tag for planned in self._queue):
            self._queue = [planned for planned in self._queue if planned.tag != tag]
            heapq.heapify(self._queue)

    # --- the result

    def _note_visits(self, before: RunState, past: tuple[StepState, ...]) -> None:
        """Keep each visit's last state: the run's state only holds the latest visit."""
        for step in past:
            self._note((step.key, step.visit), step=step)
        if self._state.steps is before.steps:
            return
        for key, now in self._state.steps.items():
            if now is not before.steps.get(key) and now.status != "pending":
                self._note((key, now.visit), step=now)

    def _note(self, about: VisitKey, **changes: object) -> None:
        known = self._visits.get(about)
        if known is None:
            current = changes.get("step") or self._state.steps.get(about[0])
            if not isinstance(current, StepState):
                return
            known = Visit(step=current, values={})
        self._visits[about] = replace(known, **changes)

    def _result(self, stopped: tuple[Problem, ...]) -> Simulated:
        state, ending = self._state, self._ending(is_stopped=bool(stopped))
        used = unused(self._workers.given, self._workers.used, self._people.used, len(self._sent))
        return Simulated(
            plan=self._plan,
            ending=ending,
            state=state,
            visits=self._visits,
            events=tuple(self._events),
            decisions=tuple(self._decisions.values()),
            messages=tuple(self._sent.values()),
            waiting=waiting_for(self._plan, state) if ending in ("waiting", "paused") else (),
            problems=(*stopped, *self._workers.problems, *used),
            started_at=self._began,
            ended_at=state.completed_at or self._now,
            events_received=self._received,
        )

    def _ending(self, *, is_stopped: bool) -> Ending:
        match self._state.status:
            case "completed" | "failed" | "cancelled" as ended:
                return ended
            case _ if is_stopped:
                return "stopped"
            case _:
                return "waiting" if self._state.pause is None else "paused"
