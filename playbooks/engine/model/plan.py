"""The compiled playbook version: all that the machine needs.

Order is resolved, references are checked, defaults are filled in. Contracts, prompts, configs and expression
texts are not here: activities read those from the immutable version. A plan travels in the workflow's input, so
a run is pinned to its version and a replay reads no database.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import UUID

from playbooks.common.values import Path, StepType
from playbooks.engine.model.step_ref import StepRef

Carrier: TypeAlias = Literal["pure", "effect", "task", "timer", "signal", "child"]
"""The carrier of a step's work: a pure handler in the lane, an effect in a regular activity, a person's task, a
durable timer, a message from outside, a run of another playbook."""

DependencyKind: TypeAlias = Literal["sequential", "conditional", "data"]
OnError: TypeAlias = Literal["fail", "continue", "goto", "compensate", "incident"]
TimeoutAction: TypeAlias = Literal["timed_out", "escalate", "approve", "reject", "fail"]

DEFAULT_TIMEOUT_SECONDS = 300.0
"""Time of one attempt of a step that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`max_retries: 3` means four attempts. Delays are milliseconds; the n-th is initial * factor^(n-1), capped."""

    max_retries: int = 3
    initial_delay_ms: int = 1_000
    backoff_factor: float = 2.0
    max_delay_ms: int = 30_000
    retry_on_errors: tuple[str, ...] = ("timeout", "network", "temporary_failure", "rate_limited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """`step` must be finished before; `data` needs it completed, else the dependent is skipped."""

    step: str
    kind: DependencyKind = "sequential"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPlan:
    """`needed` of a step's dependencies have to be completed; `cancels_others`: what is not done by then never is."""

    needed: int
    cancels_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEachPlan:
    """One execution an item, `max_concurrency` at once.

    The loop is over when every item is, when `enough` are completed, or when its condition (`has_condition`) holds.
    `sensitive_items` are JSON Pointers into the list.
    """

    max_concurrency: int = 10
    enough: int | None = None
    has_condition: bool = False
    cancels_others: bool = True
    tolerated_failures: int = 0
    sensitive_items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackPlan:
    """A way back to `step` (the step itself, or one upstream), taken while no step of the loop was visited `max`
    times. `on` are decisions of people; `delay_seconds` lies between the visits."""

    step: str
    max: int
    on: tuple[str, ...] = ()
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPlan:
    """The messages of which the first ends a `signal_wait`. `keeps`: one that came before counts, too.

    `has_contract`: a message has to satisfy the step's output contract before it counts.
    """

    names: tuple[str, ...]
    keeps: bool = True
    on_timeout: Literal["continue", "fail"] = "continue"
    has_contract: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MutexPlan:
    """Steps of one `region` exclude those of other regions of the same `name`."""

    name: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPlan:
    """A step that runs the playbook `code`. `waits`: until that run has ended, at most `timeout_seconds` (None: as long
    as it takes); else the step is done once that run is accepted."""

    code: str
    waits: bool = True
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPlan:
    """The rules by which people decide a step. Minutes are minutes; `consensus` is a share from 0 to 1."""

    threshold: int = 1
    max_voters: int = 1
    consensus: float = 0.0
    self_approval: bool = True
    different_from: tuple[str, ...] = ()
    window_minutes: float | None = None
    reminder_minutes: tuple[float, ...] = ()
    on_timeout: TimeoutAction = "timed_out"
    escalate_to_roles: tuple[str, ...] = ()
    on_reject: Literal["continue", "fail"] = "continue"
    returns: BackPlan | None = None


_REVIEW_RULES = ApprovalPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One step as the machine sees it.

    `has_condition` is true where the step or one of its `conditional` dependencies carries an expression.
    `references` are the paths that its condition, input mapping and (for pure handlers) default input read.
    `sensitive_input` and `sensitive_output` are JSON Pointers (with `*` for any item) into its input and output.
    `on_error` is set where it is more than `critical` says. `loop_references` are what `repeat.while` reads,
    `items_references` what `for_each.items` does.
    """

    key: str
    name: str
    number: int
    step_type: StepType
    worker_type: str
    carrier: Carrier
    step_id: UUID
    smart_code: str
    dependencies: tuple[Dependency, ...] = ()
    has_condition: bool = False
    references: tuple[Path, ...] = ()
    loop_references: tuple[Path, ...] = ()
    items_references: tuple[Path, ...] = ()
    required_roles: tuple[str, ...] = ()
    approval: ApprovalPlan | None = None
    review_on_low_confidence: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    own_retry: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    critical: bool = True
    on_error: OnError | None = None
    goto: BackPlan | None = None
    join: JoinPlan | None = None
    for_each: ForEachPlan | None = None
    repeat: BackPlan | None = None
    signal: SignalPlan | None = None
    mutex: MutexPlan | None = None
    child: ChildPlan | None = None
    cost: Decimal = Decimal(0)
    estimated_minutes: float | None = None
    sensitive_input: tuple[str, ...] = ()
    sensitive_output: tuple[str, ...] = ()

    @property
    def decision_rules(self) -> ApprovalPlan:
        """The rules by which people decide the step; a review of an AI's answer needs one person."""
        return self.approval or _REVIEW_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlan:
    """Checked before a step starts: spent plus in flight plus this step may not exceed `max_cost`."""

    max_cost: Decimal
    currency: str
    on_exceed: Literal["pause", "fail", "warn"] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A playbook version, compiled. `steps` are in step_number order; every dependency names an earlier step's key.

    `sensitive_input` and `sensitive_output` are JSON Pointers into the run's input and output; `final_steps` are
    the keys whose outputs make the run's output where no `output` mapping is given.
    """

    playbook_id: UUID
    code: str
    name: str
    industry: str
    version: int
    currency: str
    run_smart_code: str
    steps: tuple[PlanStep, ...]
    output_references: tuple[Path, ...] = ()
    final_steps: tuple[str, ...] = ()
    timeout_minutes: float | None = None
    budget: BudgetPlan | None = None
    compensations: tuple[PlanStep, ...] = ()
    sensitive_input: tuple[str, ...] = ()
    sensitive_output: tuple[str, ...] = ()

    def step(self, key: str) -> PlanStep:
        """Return the step of a `StepRef`'s text form. KeyError where there is none (a bug: references were checked)."""
        ref = StepRef.parse(key)
        name = key if ref.index is None else str(ref.item(None))
        for step in self.compensations if ref.is_undo else self.steps:
            if step.key == name:
                return step if ref.index is None else _item_of(step, key)
        raise KeyError(key)

    def compensation(self, key: str) -> PlanStep | None:
        """Return what undoes the step, or None where nothing does."""
        name = str(StepRef.parse(key).item(None).undo)
        return next((step for step in self.compensations if step.key == name), None)


def _item_of(step: PlanStep, key: str) -> PlanStep:
    """One item of a `for_each` step, as a step: its loop decides what its failure means."""
    place = "/results/*"
    return replace(
        step,
        key=key,
        for_each=None,
        repeat=None,
        join=None,
        goto=None,
        has_condition=False,
        critical=False,
        on_error="incident" if step.on_error == "incident" else None,
        sensitive_output=tuple(pointer.removeprefix(place) for pointer in step.sensitive_output),
    )
