"""One run driven by hand: each method posts one event to the machine and returns the outcome."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from playbooks.common.values import Actor, Json, StepError, Verdict
from playbooks.engine.machine import advance, new_run
from playbooks.engine.model import events
from playbooks.engine.model.commands import Answer, CheckMessage, Command, RunStep
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import AuditEvent, RunState, StepState, TaskState
from playbooks.engine.model.temporal_messages import LoopOutcome, OutcomeOfCheck, StepOutcome
from tests.support.messages import message_of
from tests.support.plans import run_input
from tests.support.random_plans import START


class Drive:
    """A run driven by a test. `last` holds the commands of the last event, `commands` all of them."""

    def __init__(self, plan: Plan, **fields: Any) -> None:
        self.plan = plan
        self.state: RunState = new_run(run_input(plan, **fields))
        self.now: datetime = START
        self.last: tuple[Command, ...] = ()
        self.commands: list[Command] = []
        self._requests = 0

    def post(self, event: events.Event) -> tuple[Command, ...]:
        self.state, self.last = advance(self.plan, self.state, event)
        self.commands += self.last
        return self.last

    # --- events

    def begin(self) -> Drive:
        self.post(events.RunStarted(at=self.now))
        return self

    def prepare(self, key: str, **outcome: Any) -> tuple[Command, ...]:
        fields: dict[str, Any] = {"status": "ready", "input": {}, **outcome}
        visit = self.step(key).visit
        return self.post(events.StepPrepared(at=self.now, step=key, visit=visit, outcome=StepOutcome(**fields)))

    def open(self, key: str, *items: Json) -> tuple[Command, ...]:
        """The list of a `for_each` step is known."""
        return self.prepare(key, items=list(items), item_count=len(items))

    def test(self, key: str, *, holds: bool) -> tuple[Command, ...]:
        """The condition of a loop was evaluated."""
        outcome = LoopOutcome(holds=holds)
        return self.post(events.LoopEvaluated(at=self.now, step=key, visit=self.step(key).visit, outcome=outcome))

    def collect(self, key: str) -> tuple[Command, ...]:
        """The output of a `for_each` step was made."""
        made = StepOutcome(status="succeeded", output={"results": []})
        return self.post(events.ItemsCollected(at=self.now, step=key, visit=self.step(key).visit, outcome=made))

    def report(self, key: str, attempt: int | None = None, **outcome: Any) -> tuple[Command, ...]:
        number = attempt if attempt is not None else len(self.step(key).attempts)
        fields: dict[str, Any] = {"status": "succeeded", "output": {"step": key}, **outcome}
        done = StepOutcome(**fields)
        visit = self.step(key).visit
        return self.post(events.StepReported(at=self.now, step=key, visit=visit, attempt=number, outcome=done))

    def fail(self, key: str, kind: Any = "network", code: str = "HTTP_500", **error: Any) -> tuple[Command, ...]:
        return self.report(key, status="failed", error=StepError(kind=kind, code=code, message="it failed", **error))

    def lose(self, key: str) -> tuple[Command, ...]:
        return self.post(events.AttemptLost(at=self.now, step=key, visit=1, attempt=len(self.step(key).attempts)))

    def fire(self, timer: str) -> tuple[Command, ...]:
        """Let time pass until this timer is due, and let it fire. KeyError where it does not run."""
        self.now = max(self.now, self.state.timers[timer])
        return self.post(events.TimerFired(at=self.now, timer=timer))

    def make_output(self, output: Json = None) -> tuple[Command, ...]:
        return self.post(events.OutputMade(at=self.now, output=output))

    def wait(self, **duration: float) -> Drive:
        self.now += timedelta(**duration)
        return self

    # --- messages

    def send(self, verb: str, who: Actor | None = None, *, check: OutcomeOfCheck | None = None, **body: Any) -> Verdict:
        """Send a message whose identity is found to be `who`; answers the verdict. AssertionError without one."""
        self._requests += 1
        request = f"request-{self._requests}"
        asserted: Any = None if who is None else {"sub": who.name}
        message = message_of(verb, asserted, **body)
        self.post(events.MessageReceived(at=self.now, message=message, request=request, wants_answer=True))
        if CheckMessage(request=request) in self.last:
            self.post(events.MessageChecked(at=self.now, request=request, outcome=check or OutcomeOfCheck(actor=who)))
        verdicts = [command.verdict for command in self.last if isinstance(command, Answer)]
        assert len(verdicts) == 1
        return verdicts[0]

    def decide(self, key: str, who: Actor, decision: str = "approve", **body: Any) -> Verdict:
        return self.send("decide", who, step=key, decision=decision, **body)

    # --- results

    def step(self, key: str) -> StepState:
        return self.state.steps[key]

    def task(self, key: str) -> TaskState:
        """The step's task. AssertionError where it has none."""
        task = self.step(key).task
        assert task is not None
        return task

    @property
    def statuses(self) -> dict[str, str]:
        return {key: step.status for key, step in self.state.steps.items()}

    @property
    def events(self) -> list[AuditEvent]:
        return list(self.state.outbox)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.state.outbox]

    def started(self) -> list[tuple[str, int]]:
        """`(step, attempt)` of every attempt that the last event sent out."""
        return [(command.step, command.attempt) for command in self.last if isinstance(command, RunStep)]
