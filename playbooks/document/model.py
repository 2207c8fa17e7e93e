"""The playbook document, as its author writes it, field by field.

The compiler checks what the fields mean together (order, references, handlers, business rules). An unknown field is
refused with its JSON Pointer, one that is not built with NOT_SUPPORTED. A document is returned exactly as it was read.
Keys and numbers of its steps are unique.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as ModelError

from playbooks.common.errors import NotSupportedError, Problem, ValidationError
from playbooks.common.errors import error as problem
from playbooks.common.json_values import canonical, check_value
from playbooks.common.smart_codes import INDUSTRY_PATTERN
from playbooks.common.values import ErrorKind, Json, JsonObject, StepType
from playbooks.document import model_errors

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_STEPS = 500
MAX_STEP_NUMBER = 99_999
MAX_ITEMS = 10_000
"""Maximum number of items of one `for_each`."""

MAX_VISITS = 1_000
MAX_MINUTES = 60 * 24 * 366 * 10

RESERVED_KEYS: frozenset[str] = frozenset({"in", "true", "false", "null"})
"""Reserved words of the expression language, which cannot follow `steps.`."""

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]
Role = Annotated[str, Field(min_length=1, max_length=100)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Amount = Annotated[int | float, Field(ge=0, le=1_000_000_000)]
Minutes = Annotated[int | float, Field(gt=0, le=MAX_MINUTES)]
Decision = Literal["approved", "rejected", "changes_requested", "timed_out", "no_quorum"]
Visits = Annotated[int, Field(ge=1, le=MAX_VISITS)]
NotBuilt = Json


class Part(BaseModel):
    """Base of all parts of a document: strict, closed, and dumped as it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class CostDocument(Part):
    unit_amount: Amount
    currency: Currency | None = None


class RetryDocument(Part):
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = None
    initial_delay_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    backoff_factor: Annotated[int | float, Field(ge=1, le=100)] | None = None
    max_delay_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    retry_on_errors: list[ErrorKind] | None = None


class BudgetDocument(Part):
    max_cost: Amount
    currency: Currency = "USD"
    on_exceed: Literal["pause", "fail", "warn"] = "pause"


class ConcurrencyDocument(Part):
    """Concurrency limit: how many runs with one `key` (a text, or `${...}` over the run's input) may run at once."""

    key: Annotated[str, Field(min_length=1, max_length=500)] = "*"
    max_runs: Annotated[int, Field(ge=1, le=1_000)] = 1
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"


class PoliciesDocument(Part):
    timeout_minutes: Minutes | None = None
    retry: RetryDocument | None = None
    budget: BudgetDocument | None = None
    concurrency: ConcurrencyDocument | None = None
    sla: NotBuilt = None
    retention_days: NotBuilt = None


class DependencyDocument(Part):
    """`depends_on` is a step's key; exactly one of the two names is given (the compiler says so)."""

    depends_on_step_number: int | None = None
    depends_on: str | None = None
    dependency_type: Literal["sequential", "conditional", "data"] = "sequential"
    condition: str | JsonObject | None = None
    mapping: JsonObject | None = None


class OnTimeoutDocument(Part):
    action: Literal["escalate", "approve", "reject", "fail", "timed_out"]
    escalate_to_roles: list[Role] | None = None


class ReturnDocument(Part):
    """After one of the decisions `on` the run returns to `step` and continues from there; at most `max` times."""

    step: str
    on: Annotated[
        list[Literal["approved", "rejected", "changes_requested", "timed_out", "no_quorum"]], Field(min_length=1)
    ] = ["changes_requested"]
    max: Visits = 5


class ApprovalDocument(Part):
    """Rules of an approval; the threshold is the step's `approval_threshold`."""

    max_voters: Annotated[int, Field(ge=1, le=1_000)] | None = None
    consensus: Annotated[int | float, Field(ge=0, le=1)] | None = None
    self_approval: bool | None = None
    different_from: list[str] | None = None
    window_minutes: Minutes | None = None
    reminder_minutes: list[Minutes] | None = None
    on_timeout: OnTimeoutDocument | None = None
    on_reject: Literal["continue", "fail"] | None = None
    return_to_step: ReturnDocument | None = None


class OnErrorDocument(Part):
    """Error policy after the last attempt. `step` (key or number) is the target of `goto`, which jumps at most `max`
    times."""

    action: Literal["fail", "continue", "goto", "compensate", "incident"]
    step: str | int | None = None
    max: Visits | None = None


class JoinDocument(Part):
    """Join: how many of a step's dependencies have to be completed; `others`: what happens to the rest."""

    mode: Literal["all", "any", "n_of_m"]
    n: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    others: Literal["continue", "cancel"] = "continue"


class ForEachDocument(Part):
    """The step is executed once for each item.

    `complete_when`: a number of completed items, or CEL over `completed`, `failed`, `skipped`, `count` and `results`;
    `others`: what happens to the unfinished items then. More than `tolerated_failures` failed items fail the step.
    """

    items: list[Json] | str
    max_concurrency: Annotated[int, Field(ge=1, le=1_000)] = 10
    complete_when: Annotated[int, Field(ge=1)] | str | None = None
    others: Literal["continue", "cancel"] = "cancel"
    tolerated_failures: Annotated[int, Field(ge=0, le=MAX_ITEMS)] = 0


class RepeatDocument(Part):
    """The step, or everything from the step `from_step` on, is repeated while `while_` holds; at most `max` times."""

    model_config = ConfigDict(validate_by_alias=True, serialize_by_alias=True)

    while_: Annotated[str | JsonObject, Field(alias="while")]
    max: Visits
    from_step: Annotated[str | None, Field(alias="from")] = None
    delay_seconds: Annotated[int | float, Field(ge=0, le=366 * 86_400)] | None = None


class CompensationDocument(Part):
    """Compensation: undoes a completed step. Its `input` may name the step's own output (of a `for_each` step: an
    item's); without one it gets that output as `{output}`."""

    step_type: Literal["system", "external"]
    worker_type: Annotated[str, Field(min_length=1, max_length=100)]
    config: JsonObject | None = None
    input: JsonObject | str | None = None
    retry: RetryDocument | None = None
    timeout_seconds: Annotated[int | float, Field(gt=0, le=7 * 86_400)] | None = None


class MutexDocument(Part):
    """The steps of one `region` exclude those of other regions of the same `name`."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    region: Annotated[str, Field(min_length=1, max_length=100)]


class StepDocument(Part):
    """One step. Where `key` is absent, `step_key` derives it from the name."""

    name: Name
    key: Key | None = None
    step_number: Annotated[int, Field(ge=1, le=MAX_STEP_NUMBER)]
    step_type: StepType
    worker_type: Annotated[str, Field(min_length=1, max_length=100)]
    description: Text | None = None
    estimated_duration_minutes: Annotated[int | float, Field(ge=0, le=MAX_MINUTES)] | None = None
    required_roles: list[Role] | None = None
    config: JsonObject | None = None
    input: JsonObject | str | None = None
    input_contract: JsonObject | None = None
    output_contract: JsonObject | None = None
    dependencies: list[DependencyDocument] | None = None
    condition: str | JsonObject | None = None
    parallel_group: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    retry: RetryDocument | None = None
    timeout_seconds: Annotated[int | float, Field(gt=0, le=7 * 86_400)] | None = None
    critical: bool | None = None
    on_error: OnErrorDocument | None = None
    approval_threshold: Annotated[int, Field(ge=1, le=1_000)] | None = None
    approval: ApprovalDocument | None = None
    side_effects: Literal["none", "idempotent", "compensatable", "irreversible"] | None = None
    cost: CostDocument | None = None
    metadata: JsonObject | None = None
    join: JoinDocument | None = None
    for_each: ForEachDocument | None = None
    repeat: RepeatDocument | None = None
    compensation: CompensationDocument | None = None
    mutex: MutexDocument | Annotated[str, Field(min_length=1, max_length=100)] | None = None

    @property
    def step_key(self) -> str:
        """Return the step's key: its own, or the snake case of its name."""
        return self.key or default_key(self.name, self.step_number)


class PlaybookDocument(Part):
    """A playbook version as its author wrote it. `steps` are in the order written; `ordered_steps` by number."""

    name: Name
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,62}$")]
    industry: Annotated[str, Field(pattern=INDUSTRY_PATTERN)]
    module: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    description: Text | None = None
    input_contract: JsonObject | None = None
    output_contract: JsonObject | None = None
    output: JsonObject | str | None = None
    policies: PoliciesDocument | None = None
    steps: Annotated[list[StepDocument], Field(max_length=MAX_STEPS)] = []

    @property
    def ordered_steps(self) -> tuple[StepDocument, ...]:
        """Return the steps in the order of their numbers."""
        return tuple(sorted(self.steps, key=lambda step: step.step_number))

    def to_json(self) -> JsonObject:
        """Return the document as it was read, without defaults."""
        return cast("JsonObject", self.model_dump(mode="json", exclude_unset=True))


def read_document(value: Json) -> PlaybookDocument:
    """Read a document from a JSON value.

    Raises ValidationError with all problems (UNKNOWN_FIELD with a suggestion, REQUIRED, WRONG_TYPE, ...),
    NotSupportedError where the only problems are features that are not built.
    """
    poison = check_value(value)
    if poison:
        raise ValidationError("the playbook holds something that cannot be stored", poison)
    if len(canonical(value)) > MAX_DOCUMENT_BYTES:
        large = problem("", "TOO_LARGE", f"a playbook has at most {MAX_DOCUMENT_BYTES} bytes")
        raise ValidationError("the playbook is too large", (large,))
    value = numbered(value)
    unbuilt = tuple(model_errors.not_supported(value))
    try:
        document = PlaybookDocument.model_validate(value)
    except ModelError as error:
        problems = (*model_errors.from_model(error, PlaybookDocument, value), *unbuilt)
        _refuse(problems)
        raise
    _refuse((*unbuilt, *_ambiguous_steps(document)))
    return document


def numbered(value: Json) -> Json:
    """Fill in missing `step_number`s: one more than the step before."""
    steps = value.get("steps") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(steps, list):
        return value
    numbered: list[Json] = []
    last = 0
    for step in steps:
        if isinstance(step, dict) and "step_number" not in step:
            step = {**step, "step_number": last + 1}  # noqa: PLW2901
        given = step.get("step_number") if isinstance(step, dict) else None
        last = given if isinstance(given, int) and not isinstance(given, bool) else last + 1
        numbered.append(step)
    return {**value, "steps": numbered}


def default_key(name: str, number: int) -> str:
    """Return the key of a step without one: its name in snake case, or its number where no letter is left."""
    return snake_case(name) or f"step_{number}"


@lru_cache(maxsize=4_096)
def snake_case(name: str) -> str:
    """Derive a key from a name: ASCII, words joined by `_`, a letter first; may be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:56].rstrip("_")
    return f"step_{key}" if key and (key[0].isdigit() or key in RESERVED_KEYS) else key


def _refuse(problems: tuple[Problem, ...]) -> None:
    if not problems:
        return
    first = f"{problems[0].message} ({problems[0].pointer or '/'})"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    if all(item.code == "NOT_SUPPORTED" for item in problems):
        raise NotSupportedError(f"{first}{more}", problems)
    raise ValidationError(f"{first}{more}", problems)


def _ambiguous_steps(document: PlaybookDocument) -> Iterator[Problem]:
    """Yield steps that share a number or key: references to them would be ambiguous."""
    numbers: set[int] = set()
    keys: set[str] = set()
    for index, step in enumerate(document.steps):
        place = f"/steps/{index}"
        if step.step_number in numbers:
            yield problem(f"{place}/step_number", "DUPLICATE", f"step number {step.step_number} is used twice")
        if step.step_key in keys:
            field = "key" if step.key else "name"
            hint = "give one of the steps another key"
            yield problem(f"{place}/{field}", "DUPLICATE", f"the key '{step.step_key}' is used twice", hint)
        if step.key in RESERVED_KEYS:
            yield problem(f"{place}/key", "RESERVED_NAME", f"'{step.key}' is a word of the expression language")
        numbers.add(step.step_number)
        keys.add(step.step_key)
