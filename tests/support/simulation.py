"""A shell in memory: obeys the machine's commands with random but fair outcomes, and checks its laws at every event.

Owns no rule about runs. `random_plan` makes plans of every carrier, dependency and policy; equal seeds give equal
plans and equal runs, so a failing seed is a repeatable test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from playbooks.common.actors import asserted_actor
from playbooks.common.values import FINISHED_RUN, Json, JsonObject, StepError, Verdict
from playbooks.engine.activity_inputs import task_call
from playbooks.engine.machine import advance, new_run
from playbooks.engine.model import commands, events
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import AuditEvent, RunState, StepState
from playbooks.engine.model.temporal_messages import LoopOutcome, OutcomeOfCheck, OutputResult, RunInput, StepOutcome
from tests.support.messages import message_of
from tests.support.random_plans import START, random_end_of_child, random_message, random_outcome

STATE: TypeAdapter[RunState] = TypeAdapter(RunState)
_MAX_EVENTS = 3_000


def _visit_of(state: RunState, key: str, visit: int) -> StepState:
    """A visit that is on its way, or that ended with the last event."""
    visits = [*state.steps.values(), *state.past]
    return next(step for step in visits if (step.key, step.visit) == (key, visit))


@dataclass
class Simulation:
    """One run under a shell that obeys. `post` hands in an event; `run_to_the_end` plays until it is finished."""

    start: RunInput
    rng: Random
    messages: int = 12
    late: float = 0.1
    now: datetime = START
    history: list[tuple[events.Event, tuple[commands.Command, ...]]] = field(default_factory=list[Any])
    events: list[AuditEvent] = field(default_factory=list[AuditEvent])
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    retired: list[StepState] = field(default_factory=list[StepState])
    _work: list[commands.Command] = field(default_factory=list[commands.Command])
    _begun: dict[tuple[str, int], int] = field(default_factory=dict[Any, int])
    _asked: set[str] = field(default_factory=set[str])
    _cancelled_children: set[UUID] = field(default_factory=set[UUID])

    def __post_init__(self) -> None:
        self.plan = self.start.plan
        self.state = new_run(self.start)

    # --- playing

    def run_to_the_end(self) -> RunState:
        """Play until the run is finished and every message has its verdict; fail when that never happens."""
        self.post(events.RunStarted(at=self.now))
        while self.state.status not in FINISHED_RUN or self._work:
            assert len(self.history) < _MAX_EVENTS, "the run never ends"
            self.now += timedelta(milliseconds=self.rng.randint(0, 500))
            self._play_once()
        return self.state

    def _play_once(self) -> None:
        options: list[Callable[[], object]] = [
            lambda at=at: self._do(self._work.pop(at)) for at in range(len(self._work))
        ]
        options += [lambda name=name: self._fire(name) for name in sorted(self.state.timers)]
        if self.messages > 0:
            options.append(self._send_random)
            if self.rng.random() < 0.05:
                options.append(lambda: self.post(events.DrainRequested(at=self.now)))
        if not options:
            self._rescue()
            return
        self.rng.choice(options)()
        if self.history and self.rng.random() < self.late:
            self._repeat(self.rng.choice(self.history)[0])

    def _fire(self, name: str) -> None:
        self.now = max(self.now, self.state.timers[name])
        self.post(events.TimerFired(at=self.now, timer=name))

    def _do(self, command: commands.Command) -> None:
        match command:
            case commands.PrepareStep(step=key, visit=visit):
                self.post(
                    events.StepPrepared(at=self.now, step=key, visit=visit, outcome=self._prepared(self.plan.step(key)))
                )
            case commands.RunStep(step=key, visit=visit, attempt=attempt):
                if self.rng.random() < 0.1:
                    self.post(events.AttemptLost(at=self.now, step=key, visit=visit, attempt=attempt))
                    return
                outcome = random_outcome(self.rng, self.plan.step(key))
                self.post(events.StepReported(at=self.now, step=key, visit=visit, attempt=attempt, outcome=outcome))
            case commands.EvaluateLoop(step=key, visit=visit):
                outcome = LoopOutcome(holds=self.rng.random() < 0.4)
                self.post(events.LoopEvaluated(at=self.now, step=key, visit=visit, outcome=outcome))
            case commands.CollectItems(step=key, visit=visit):
                made = StepOutcome(status="succeeded", output={"results": []})
                self.post(events.ItemsCollected(at=self.now, step=key, visit=visit, outcome=made))
            case commands.ReadChild(step=key, visit=visit):
                self.post(events.ChildRead(at=self.now, step=key, visit=visit, outcome=random_end_of_child(self.rng)))
            case commands.AcquireConcurrency():
                self.post(events.ConcurrencyReported(at=self.now, is_acquired=self.rng.random() < 0.5))
            case commands.CheckMessage(request=request):
                self.post(events.MessageChecked(at=self.now, request=request, outcome=self._checked(request)))
            case _:
                error = StepError(kind="validation", code="X", message="the output is wrong")
                result = OutputResult(output={}, error=error if self.rng.random() < 0.05 else None)
                self.post(events.OutputMade(at=self.now, output=result.output, error=result.error))

    def _prepared(self, plan_step: PlanStep) -> StepOutcome:
        roll = self.rng.random()
        if plan_step.has_condition and roll < 0.2:
            return StepOutcome(status="skipped", reason="its condition is false")
        if roll > 0.95:
            error = StepError(kind="validation", code="VALIDATION_ERROR", message="no such path")
            return StepOutcome(status="failed", error=error)
        if plan_step.for_each is not None:
            items: list[Json] = list(range(self.rng.randint(0, 5)))
            return StepOutcome(status="ready", items=items, item_count=len(items))
        due = self.now + timedelta(minutes=self.rng.randint(-1, 9)) if plan_step.carrier == "timer" else None
        return StepOutcome(status="ready", input={"ready": True}, wait_until=due)

    def _checked(self, request: str) -> OutcomeOfCheck:
        message = self.state.requests[request].message
        roll = self.rng.random()
        if roll < 0.05:
            return OutcomeOfCheck(code="UNAUTHORIZED")
        actor = asserted_actor(self.state.organization_id, message.actor)
        return OutcomeOfCheck(actor=actor, code="CONTRACT_VALIDATION_FAILED" if roll < 0.1 else None)

    def _send_random(self) -> None:
        self.messages -= 1
        if self.rng.random() < 0.05:
            self.post(
                events.MessageRefused(at=self.now, verb="shout", code="INVALID_ACTION", reason="there is no such verb")
            )
            return
        self.send(*random_message(self.rng, self.plan))

    def _rescue(self) -> None:
        """Send the message that the run must be waiting for, when nothing else is left to do."""
        if self.state.pause is not None:
            self.send("resume", {})
            return
        if self.state.is_draining:
            self.post(events.Continued(at=self.now))
            return
        for key, now in self.state.steps.items():
            if now.incident_at is not None:
                verb = self.rng.choice(["retry_step", "skip_step", "complete_step", "fail_step"])
                self.send(verb, {"step": key, "actor": {"sub": "x", "roles": list(self.plan.step(key).required_roles)}})
                return
            if now.status == "waiting" and now.child is not None:
                self.send("child_ended", {"step": key, "visit": now.visit, "execution_id": str(now.child)})
                return
            waits_for = self.plan.step(key).signal
            if now.status == "waiting" and waits_for is not None:
                self.send("signal", {"name": waits_for.names[0]})
                return
        waiting = [key for key, now in self.state.steps.items() if now.status == "waiting" and now.task is not None]
        assert waiting, f"the run hangs: {self.state}"
        task = self.state.steps[waiting[0]].task
        assert task is not None
        actor = task.claimant if self.rng.random() < 0.5 else None
        name = actor.name if actor is not None else f"helper{len(self.history)}"
        choice = self.rng.choice(["approve", "approve", "abstain"])
        sender: JsonObject = {"sub": str(actor.id) if actor else name, "name": name, "roles": list(task.roles)}
        self.send("decide", {"step": waiting[0], "decision": choice, "actor": sender})

    def _repeat(self, event: events.Event) -> None:
        """Post an event again, late. Losses are counted by event, so they are not repeated."""
        if not isinstance(
            event, events.MessageReceived | events.AttemptLost | events.TimerFired | events.CancelRequested
        ):
            self.post(replace(event, at=self.now))

    def send(self, verb: str, body: JsonObject) -> str:
        """Send a control message as a Temporal client would; answers the request's id."""
        actor = body.get("actor")
        rest = {name: value for name, value in body.items() if name != "actor"}
        message = message_of(verb, actor if isinstance(actor, dict) else None, **rest)
        request = f"request-{len(self.history)}"
        self._asked.add(request)
        self.post(events.MessageReceived(at=self.now, message=message, request=request, wants_answer=True))
        return request

    # --- one event, and what must hold after each

    def post(self, event: events.Event) -> tuple[commands.Command, ...]:
        """Hand in an event, check every law, obey the commands."""
        before = self.state
        after, issued = advance(self.plan, before, event)
        assert (after, issued) == advance(self.plan, before, event), "equal arguments gave different results"
        self.history.append((event, issued))
        self._check_transition(before, after)
        for command in issued:
            self._check_command(before, after, event, command)
            self._obey(command)
        self.events += after.outbox
        self.retired += after.past
        self.state = replace(after, outbox=(), past=())
        if self.rng.random() < 0.1 or after.status in FINISHED_RUN:
            assert STATE.validate_json(STATE.dump_json(after)) == after
        if after.status in FINISHED_RUN and before.status not in FINISHED_RUN:
            self._check_end(issued)
        return issued

    def _obey(self, command: commands.Command) -> None:
        match command:
            case (
                commands.PrepareStep()
                | commands.RunStep()
                | commands.EvaluateLoop()
                | commands.CollectItems()
                | commands.CheckMessage()
                | commands.MakeOutput()
            ):
                self._work.append(command)
            case commands.ReadChild() | commands.AcquireConcurrency():
                self._work.append(command)
            case commands.CancelChild(child=child):
                self._cancelled_children.add(child)
            case commands.CancelStep(step=key, visit=visit):
                gone = [
                    work
                    for work in self._work
                    if isinstance(work, commands.RunStep) and (work.step, work.visit) == (key, visit)
                ]
                self._work = [work for work in self._work if work not in gone]
            case commands.Answer(request=request, verdict=verdict):
                assert request in self._asked, "an answer without a request"
                assert request not in self.verdicts, "two verdicts for one message"
                self.verdicts[request] = verdict
            case commands.FinishRun():
                self._work = [work for work in self._work if isinstance(work, commands.CheckMessage)]
            case _:
                pass

    def _check_transition(self, before: RunState, after: RunState) -> None:
        assert after.seq - before.seq in (0, 1), "seq rises by one at most"
        if after.seq == before.seq:
            assert (after.steps, after.outbox, after.status) == (before.steps, before.outbox, before.status)
            assert not after.past
        changed = [key for key, now in after.steps.items() if now != before.steps.get(key)]
        assert all(after.steps[key].seq == after.seq for key in changed), "a changed step carries the run's seq"
        numbers = [event.number for event in after.outbox]
        assert numbers == list(range(before.event_count + 1, after.event_count + 1)), "event numbers are gapless"
        if before.status in FINISHED_RUN:
            kept = replace(before, seq=after.seq, event_count=after.event_count, outbox=after.outbox)
            assert replace(after, requests={}) == replace(kept, requests={}), "a finished run absorbs everything"
        everything = [*after.steps.values(), *self.retired, *after.past]
        spent = sum((now.cost for now in everything if now.status == "completed"), Decimal(0))
        assert after.cost == spent, "the run's cost is the sum of its completed steps' cost"
        for now in before.steps.values():
            self._check_child(before, after, now)
        for now in after.steps.values():
            votes = Counter(vote.actor.id for vote in now.task.votes) if now.task else Counter[Any]()
            assert all(count == 1 for count in votes.values()), "one vote per person and task"

    def _check_child(self, before: RunState, after: RunState, now: StepState) -> None:
        """A child that a step waits for is read or cancelled before the step stops waiting for it."""
        waited = now.status == "waiting" and now.child is not None and now.incident_at is None
        child = after.steps.get(now.key)
        if not waited or (child is not None and (child.visit, child.status) == (now.visit, "waiting")):
            return
        last = self.history[-1]
        was_read = isinstance(last[0], events.ChildRead) and last[0].step == now.key
        cancelled = {command.child for command in last[1] if isinstance(command, commands.CancelChild)}
        assert was_read or now.child in cancelled, "no child is forgotten"

    def _check_command(self, before: RunState, after: RunState, event: events.Event, command: commands.Command) -> None:
        was_finished = before.status in FINISHED_RUN
        assert not was_finished or isinstance(command, commands.Answer), "a finished run begins nothing"
        is_paused = before.pause is not None and before.pause == after.pause
        match command:
            case commands.RunStep(step=key, visit=visit, attempt=attempt):
                planned = self.plan.step(key)
                assert planned.carrier in ("pure", "effect", "child"), "what waits for something makes no attempts"
                assert planned.for_each is None, "a loop makes no attempts, its items do"
                last = self._begun.get((key, visit), 0)
                sent = _visit_of(after, key, visit).attempts[-1]
                lost = sent.lost + sent.not_started
                assert attempt == last + 1 or (attempt == last and lost > 0), (
                    "an attempt goes out twice after a loss only"
                )
                assert not is_paused or isinstance(event, events.AttemptLost), "a paused run begins nothing"
                assert after.concurrency is None, "nothing begins before it is the run's turn"
                assert not (before.is_draining and after.is_draining), "a draining run begins nothing"
                self._begun[key, visit] = attempt
            case commands.PrepareStep(step=key, visit=visit):
                assert (key, visit) not in self._begun, "no step begins twice in one visit"
                assert not is_paused, "a paused run begins nothing"
                self._begun[key, visit] = 0
            case commands.OpenTask(step=key, visit=visit):
                call = task_call(self.plan, after, key, visit)
                assert call is not None
                task = call.step.task
                assert task is not None
                assert not is_paused or task.is_review, "a paused run opens no task"
            case commands.StartTimer(timer=timer, due=due):
                assert after.timers.get(timer, due) == due
            case commands.StopTimer(timer=timer):
                assert timer in before.timers or any(
                    isinstance(other, commands.StartTimer) and other.timer == timer for other in self.history[-1][1]
                )
            case _:
                pass

    def _check_end(self, issued: tuple[commands.Command, ...]) -> None:
        assert not self.state.loops
        assert self.state.ending is None
        visits = [(step.key, step.visit) for step in [*self.retired, *self.state.steps.values()]]
        assert len(visits) == len(set(visits)), "each visit is retired once"
        lines = [step.line for step in [*self.retired, *self.state.steps.values()] if step.line is not None]
        assert len(lines) == len(set(lines)), "each further visit has a line of its own"
        assert sum(isinstance(command, commands.FinishRun) for command in issued) == 1
        assert not self.state.timers
        assert not self.state.kept
        assert self.state.completed_at is not None
        for now in self.state.steps.values():
            assert now.status in ("completed", "failed", "skipped", "cancelled")
            assert all(attempt.ended_at is not None for attempt in now.attempts)
            assert now.task is None or now.task.closed_at is not None
