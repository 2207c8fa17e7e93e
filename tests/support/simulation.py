"""A shell in memory: obeys the machine's commands with random but fair outcomes, and checks its laws at every event.

Owns no rule about runs. `random_plan` makes plans of every carrier, dependency and policy; equal seeds give equal
plans and equal runs, so a failing seed is a repeatable test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from pydantic import TypeAdapter

from playbooks.actors import asserted_actor
from playbooks.commands import (
    Answer,
    CancelStep,
    CheckMessage,
    Command,
    FinishRun,
    MakeOutput,
    OpenTask,
    PrepareStep,
    RunStep,
    StartTimer,
    StopTimer,
)
from playbooks.envelopes import Envelope
from playbooks.events import (
    AttemptLost,
    CancelRequested,
    Event,
    MessageChecked,
    MessageReceived,
    MessageRefused,
    OutputMade,
    RunStarted,
    StepPrepared,
    StepReported,
    TimerFired,
)
from playbooks.machine import advance, new_run
from playbooks.messages import OutcomeOfCheck, OutputResult, RunInput, StepOutcome
from playbooks.plan import ApprovalPlan, BudgetPlan, Dependency, Plan, PlanStep, RetryPolicy
from playbooks.state import AuditEvent, RunState
from playbooks.values import FINISHED_RUN, ErrorKind, JsonObject, StepError, Verdict
from tests.support.plans import effect, human, plan_of, step

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
STATE: TypeAdapter[RunState] = TypeAdapter(RunState)
PEOPLE = ("anna", "ben", "cora", "dan", "ines")
_ROLES: dict[str, tuple[str, ...]] = {
    "anna": ("approver",),
    "ben": ("approver", "chief"),
    "cora": ("approver",),
    "dan": ("clerk",),
    "ines": ("approver",),
}
_KINDS: tuple[ErrorKind, ...] = ("network", "timeout", "system", "business_rule", "rate_limited")
_MAX_EVENTS = 3_000


def random_plan(rng: Random, *, max_steps: int = 6, has_clocks: bool = True) -> Plan:
    """A plan of one to `max_steps` steps; without clocks, nothing in it waits longer than milliseconds."""
    steps: list[PlanStep] = []
    for number in range(1, rng.randint(1, max_steps) + 1):
        steps.append(_random_step(rng, number, steps, has_clocks=has_clocks))
    budget = None
    if rng.random() < 0.3:
        on_exceed: Any = rng.choice(["pause", "fail", "warn"])
        budget = BudgetPlan(max_cost=Decimal(rng.randint(0, 6)), currency="USD", on_exceed=on_exceed)
    minutes = rng.choice([None, None, 30.0]) if has_clocks else None
    return plan_of(*steps, budget=budget, timeout_minutes=minutes)


def _random_step(rng: Random, number: int, earlier: list[PlanStep], *, has_clocks: bool) -> PlanStep:
    keys = [other.key for other in earlier]
    after = rng.sample(keys, rng.randint(0, min(2, len(keys))))
    kinds: list[Any] = ["sequential", "sequential", "conditional", "data"]
    fields: dict[str, Any] = {
        "dependencies": tuple(Dependency(step=key, kind=rng.choice(kinds)) for key in after),
        "has_condition": rng.random() < 0.3,
        "critical": rng.random() < 0.7,
        "cost": Decimal(rng.randint(0, 3)),
        "retry": RetryPolicy(max_retries=rng.randint(0, 2), initial_delay_ms=5, max_delay_ms=40),
        "references": (("input",), *((("steps", key),) if (key := rng.choice([*keys, ""])) else ())),
    }
    make: Callable[..., PlanStep] = rng.choice([step, step, effect, effect, human, _timer if has_clocks else human])
    if make is effect and rng.random() < 0.3:
        fields |= {"step_type": "ai", "worker_type": "scripted", "required_roles": ("approver",)}
    if make is human:
        people = [other.key for other in earlier if other.carrier == "task"]
        fields["approval"] = _random_approval(rng, people, has_clocks=has_clocks)
    return make(f"s{number}", number, **fields)


def _timer(key: str, number: int, **fields: Any) -> PlanStep:
    return step(key, number, worker_type="timer", carrier="timer", **fields)


def _random_approval(rng: Random, people: list[str], *, has_clocks: bool) -> ApprovalPlan | None:
    if rng.random() < 0.3:
        return None
    threshold = rng.randint(1, 3)
    action: Any = rng.choice(["timed_out", "escalate", "approve", "reject", "fail"])
    on_reject: Any = rng.choice(["continue", "continue", "fail"])
    return ApprovalPlan(
        threshold=threshold,
        max_voters=threshold + rng.randint(0, 1),
        consensus=rng.choice([0.0, 0.5, 0.67, 1.0]),
        self_approval=rng.random() < 0.5,
        different_from=tuple(rng.sample(people, min(1, len(people)))) if rng.random() < 0.3 else (),
        window_minutes=rng.choice([None, 5.0]) if has_clocks else None,
        reminder_minutes=(1.0, 2.0) if rng.random() < 0.5 else (),
        on_timeout=action,
        escalate_to_roles=("chief",),
        on_reject=on_reject,
    )


def random_outcome(rng: Random, plan_step: PlanStep) -> StepOutcome:
    """What an attempt comes to: mostly success, sometimes each kind of failure."""
    roll = rng.random()
    if plan_step.has_condition and roll < 0.15 and plan_step.carrier == "pure":
        return StepOutcome(status="skipped", reason="its condition is false", values={"input.x": 1})
    if roll < 0.3:
        code = rng.choice(["HTTP_500", "HTTP_500", "NOT_STARTED"])
        delay = rng.choice([None, 7])
        error = StepError(kind=rng.choice(_KINDS), code=code, message="it failed", retry_after_ms=delay)
        return StepOutcome(status="failed", error=error)
    is_ai = plan_step.step_type == "ai"
    return StepOutcome(
        status="succeeded",
        input={"n": 1},
        output={"step": plan_step.key, "n": rng.randint(0, 9)},
        confidence=0.5 if is_ai else None,
        needs_review=is_ai and roll > 0.7,
        elapsed_ms=rng.choice([0, 1, 300]),
    )


def random_message(rng: Random, plan: Plan) -> tuple[str, JsonObject]:
    """A control message for a run of this plan: any verb, any person, any step, sometimes before its time."""
    verb = rng.choice(["decide"] * 8 + ["claim", "release", "pause", "resume", "resume", "resume"])
    if verb == "pause" and rng.random() < 0.5:
        return verb, {"until": (START + timedelta(minutes=rng.randint(0, 20))).isoformat()}
    if verb in ("pause", "resume"):
        return verb, {"reason": "because"}
    name = rng.choice(PEOPLE)
    body: JsonObject = {"step": rng.choice(plan.steps).key, "actor": {"sub": name, "roles": list(_ROLES[name])}}
    if verb == "decide":
        choices = ["approve"] * 6 + ["reject", "abstain", "request_changes"]
        body |= {"decision": rng.choice(choices), "data": {"score": rng.randint(1, 9)}}
    return verb, body


@dataclass
class Simulation:
    """One run under a shell that obeys. `post` hands in an event; `run_to_the_end` plays until it is finished."""

    start: RunInput
    rng: Random
    messages: int = 12
    late: float = 0.1
    now: datetime = START
    history: list[tuple[Event, tuple[Command, ...]]] = field(default_factory=list[Any])
    events: list[AuditEvent] = field(default_factory=list[AuditEvent])
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    _work: list[Command] = field(default_factory=list[Command])
    _begun: dict[tuple[str, int], int] = field(default_factory=dict[Any, int])
    _asked: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.plan = self.start.plan
        self.state = new_run(self.start)

    # --- playing

    def run_to_the_end(self) -> RunState:
        """Until the run is finished and every message has its verdict; fails where that never comes."""
        self.post(RunStarted(at=self.now))
        while self.state.status not in FINISHED_RUN or self._work:
            assert len(self.history) < _MAX_EVENTS, "the run never ends"
            self.now += timedelta(milliseconds=self.rng.randint(0, 500))
            self._play_once()
        return self.state

    def _play_once(self) -> None:
        options: list[Callable[[], None]] = [
            lambda at=at: self._do(self._work.pop(at)) for at in range(len(self._work))
        ]
        options += [lambda name=name: self._fire(name) for name in sorted(self.state.timers)]
        if self.messages > 0:
            options.append(self._say)
        if not options:
            self._rescue()
            return
        self.rng.choice(options)()
        if self.history and self.rng.random() < self.late:
            self._repeat(self.rng.choice(self.history)[0])

    def _fire(self, name: str) -> None:
        self.now = max(self.now, self.state.timers[name])
        self.post(TimerFired(at=self.now, timer=name))

    def _do(self, command: Command) -> None:
        match command:
            case PrepareStep(step=key, visit=visit):
                self.post(StepPrepared(at=self.now, step=key, visit=visit, outcome=self._prepared(self.plan.step(key))))
            case RunStep(step=key, visit=visit, attempt=attempt):
                if self.rng.random() < 0.1:
                    self.post(AttemptLost(at=self.now, step=key, visit=visit, attempt=attempt))
                    return
                outcome = random_outcome(self.rng, self.plan.step(key))
                self.post(StepReported(at=self.now, step=key, visit=visit, attempt=attempt, outcome=outcome))
            case CheckMessage(request=request):
                self.post(MessageChecked(at=self.now, request=request, outcome=self._checked(request)))
            case _:
                error = StepError(kind="validation", code="X", message="the output is wrong")
                result = OutputResult(output={}, error=error if self.rng.random() < 0.05 else None)
                self.post(OutputMade(at=self.now, output=result.output, error=result.error))

    def _prepared(self, plan_step: PlanStep) -> StepOutcome:
        roll = self.rng.random()
        if plan_step.has_condition and roll < 0.2:
            return StepOutcome(status="skipped", reason="its condition is false")
        if roll > 0.95:
            error = StepError(kind="validation", code="VALIDATION_ERROR", message="no such path")
            return StepOutcome(status="failed", error=error)
        due = self.now + timedelta(minutes=self.rng.randint(-1, 9)) if plan_step.carrier == "timer" else None
        return StepOutcome(status="ready", input={"ready": True}, wait_until=due)

    def _checked(self, request: str) -> OutcomeOfCheck:
        envelope = self.state.requests[request].envelope
        roll = self.rng.random()
        if roll < 0.05:
            return OutcomeOfCheck(code="UNAUTHORIZED")
        actor = asserted_actor(self.state.organization_id, envelope.actor)
        return OutcomeOfCheck(actor=actor, code="CONTRACT_VALIDATION_FAILED" if roll < 0.1 else None)

    def _say(self) -> None:
        self.messages -= 1
        if self.rng.random() < 0.05:
            self.post(MessageRefused(at=self.now, verb="shout", code="INVALID_ACTION", reason="there is no such verb"))
            return
        self.send(*random_message(self.rng, self.plan))

    def _rescue(self) -> None:
        """Nothing is left that happens by itself: the run must be waiting for somebody, so somebody comes."""
        if self.state.pause is not None:
            self.send("resume", {})
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

    def _repeat(self, event: Event) -> None:
        """Something arrives late, a second time. Losses are counted by what is heard, so they are not repeated."""
        if not isinstance(event, MessageReceived | AttemptLost | TimerFired | CancelRequested):
            self.post(replace(event, at=self.now))

    def send(self, verb: str, body: JsonObject) -> str:
        """Send a control message as a Temporal client would; answers the request's id."""
        actor = body.get("actor")
        rest = {name: value for name, value in body.items() if name != "actor"}
        envelope = Envelope(verb=verb, body=rest, actor=actor if isinstance(actor, dict) else None)
        request = f"request-{len(self.history)}"
        self._asked.add(request)
        self.post(MessageReceived(at=self.now, envelope=envelope, request=request, wants_answer=True))
        return request

    # --- one event, and what must hold after each

    def post(self, event: Event) -> tuple[Command, ...]:
        """Hand in an event, check every law, obey the commands."""
        before = self.state
        after, commands = advance(self.plan, before, event)
        assert (after, commands) == advance(self.plan, before, event), "equal arguments gave different results"
        self.history.append((event, commands))
        self._check_transition(before, after)
        for command in commands:
            self._check_command(before, after, event, command)
            self._obey(command)
        self.events += after.outbox
        self.state = replace(after, outbox=())
        if self.rng.random() < 0.1 or after.status in FINISHED_RUN:
            assert STATE.validate_json(STATE.dump_json(after)) == after
        if after.status in FINISHED_RUN and before.status not in FINISHED_RUN:
            self._check_end(commands)
        return commands

    def _obey(self, command: Command) -> None:
        match command:
            case PrepareStep() | RunStep() | CheckMessage() | MakeOutput():
                self._work.append(command)
            case CancelStep(step=key):
                self._work = [work for work in self._work if not (isinstance(work, RunStep) and work.step == key)]
            case Answer(request=request, verdict=verdict):
                assert request in self._asked, "an answer that nobody asked for"
                assert request not in self.verdicts, "two verdicts for one message"
                self.verdicts[request] = verdict
            case FinishRun():
                self._work = [work for work in self._work if isinstance(work, CheckMessage)]
            case _:
                pass

    def _check_transition(self, before: RunState, after: RunState) -> None:
        assert after.seq - before.seq in (0, 1), "seq rises by one at most"
        if after.seq == before.seq:
            assert (after.steps, after.outbox, after.status) == (before.steps, before.outbox, before.status)
        changed = [key for key, now in after.steps.items() if now != before.steps[key]]
        assert all(after.steps[key].seq == after.seq for key in changed), "a changed step carries the run's seq"
        numbers = [event.number for event in after.outbox]
        assert numbers == list(range(before.event_count + 1, after.event_count + 1)), "event numbers are gapless"
        if before.status in FINISHED_RUN:
            kept = replace(before, seq=after.seq, event_count=after.event_count, outbox=after.outbox)
            assert replace(after, requests={}) == replace(kept, requests={}), "a finished run absorbs everything"
        spent = sum((now.cost for now in after.steps.values() if now.status == "completed"), Decimal(0))
        assert after.cost == spent, "the run's cost is the sum of its completed steps' cost"
        for now in after.steps.values():
            votes = Counter(vote.actor.id for vote in now.task.votes) if now.task else Counter[Any]()
            assert all(count == 1 for count in votes.values()), "one vote per person and task"

    def _check_command(self, before: RunState, after: RunState, event: Event, command: Command) -> None:
        was_finished = before.status in FINISHED_RUN
        assert not was_finished or isinstance(command, Answer), "a finished run begins nothing"
        is_paused = before.pause is not None and before.pause == after.pause
        match command:
            case RunStep(step=key, visit=visit, attempt=attempt):
                last = self._begun.get((key, visit), 0)
                lost = after.steps[key].attempts[-1].lost + after.steps[key].attempts[-1].not_started
                assert attempt == last + 1 or (attempt == last and lost > 0), (
                    "an attempt goes out twice after a loss only"
                )
                assert not is_paused or isinstance(event, AttemptLost), "a paused run begins nothing"
                self._begun[key, visit] = attempt
            case PrepareStep(step=key, visit=visit):
                assert (key, visit) not in self._begun, "no step begins twice in one visit"
                assert not is_paused, "a paused run begins nothing"
                self._begun[key, visit] = 0
            case OpenTask(step=key):
                task = after.steps[key].task
                assert task is not None
                assert not is_paused or task.is_review, "a paused run opens no task"
            case StartTimer(timer=timer, due=due):
                assert after.timers.get(timer, due) == due
            case StopTimer(timer=timer):
                assert timer in before.timers or any(
                    isinstance(other, StartTimer) and other.timer == timer for other in self.history[-1][1]
                )
            case _:
                pass

    def _check_end(self, commands: tuple[Command, ...]) -> None:
        assert sum(isinstance(command, FinishRun) for command in commands) == 1
        assert not self.state.timers
        assert not self.state.kept
        assert self.state.completed_at is not None
        for now in self.state.steps.values():
            assert now.status in ("completed", "failed", "skipped", "cancelled")
            assert all(attempt.ended_at is not None for attempt in now.attempts)
            assert now.task is None or now.task.closed_at is not None
