"""Changes to the steps of a stored document: add, replace, remove. Numbers are adjusted, keys stay.

References by number keep naming the same step. Functions work on the JSON as stored, so unknown fields survive.
Renumbering alone changes no meaning: the compiled plan's dependencies, by key, stay equal. Adding and removing change
the order of steps without `dependencies`, which follow the step before them.

Results are validated as documents. Where validation fails, the problems' pointers lead into what the caller sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias, cast

from playbooks.common import json_pointer
from playbooks.common.errors import (
    InputError,
    InvalidStepStateError,
    NotFoundError,
    NotSupportedError,
    Problem,
    ValidationError,
)
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join
from playbooks.common.values import Json, JsonObject
from playbooks.document import step_references
from playbooks.document.model import MAX_STEP_NUMBER, PlaybookDocument, numbered, read_document, snake_case
from playbooks.document.step_references import Referrer, is_number, key_of, numbers_in

InsertMode: TypeAlias = Literal["append", "insert", "replace"]

_Follow: TypeAlias = Callable[[Json], Json]


def add_steps(
    document: JsonObject, sent: Sequence[Json], *, mode: InsertMode, after: int | None = None
) -> PlaybookDocument:
    """Add the sent steps behind the last one, behind number `after` (0: before the first), or in place of all.

    The sent steps are sorted by their own `step_number`s (default: one more than the step before) and get the
    numbers that follow; later steps move up. A number that a sent step refers to is that of another sent step or of
    an existing one; an ambiguous one is refused. Raises ValidationError, NotSupportedError; their pointers are into
    `{"steps": sent, "insert_after_step": after}`.
    """
    if mode == "replace":
        return read_document({**document, "steps": list(sent)})
    steps = _steps(document)
    numbers = frozenset(_numbers(steps))
    place = _place(numbers, mode, after)
    if not sent:
        raise _refused("/steps", "LENGTH", "there has to be at least one step to add")
    if max([place, *numbers]) + len(sent) > MAX_STEP_NUMBER:
        hint = "number the steps anew with insert_mode replace"
        raise _refused("/steps", "OUT_OF_RANGE", f"step numbers end at {MAX_STEP_NUMBER}", hint)
    staying = _moved(steps, behind=place, by=len(sent))
    added = _with_free_keys(staying, _placed(sent, numbers, place))
    written = _read(document, staying, added, [f"/steps/{index}" for index in range(len(sent))])
    return written.model_copy(update={"steps": list(written.ordered_steps)})


def replace_step(document: JsonObject, number: int, sent: Json) -> PlaybookDocument:
    """Replace the step under this number.

    Raises NotFoundError, ValidationError, NotSupportedError (pointers into the sent step), and
    InvalidStepStateError where the step would lose the key by which others refer to it.
    """
    index, key = _step_at(document, number)
    if isinstance(sent, dict):
        if sent.get("step_number", number) != number:
            hint = "steps move with PUT of the whole playbook"
            raise _refused("/step_number", "NOT_ALLOWED", f"the path says number {number}", hint)
        sent = {**sent, "step_number": number}
    steps = _steps(document)
    written = _read(document, [*steps[:index], *steps[index + 1 :]], [sent], [""])
    *others, new = written.steps
    if new.step_key != key:
        hint = f"give the step the key '{key}', or change the whole playbook"
        _refuse_referrers(key, step_references.referrers_of(document, key, None), "lose its key", hint)
    return written.model_copy(update={"steps": [*others[:index], new, *others[index:]]})


def remove_step(document: JsonObject, number: int, *, renumber: bool = False) -> PlaybookDocument:
    """Remove a step; with `renumber` the later steps move down by one.

    Raises NotFoundError, and InvalidStepStateError with a problem for each place that refers to the step.
    """
    index, key = _step_at(document, number)
    hint = "change what names it first, or change the whole playbook"
    _refuse_referrers(key, step_references.referrers_of(document, key, number), "be removed", hint)
    left = _steps(document)
    del left[index]
    return read_document({**document, "steps": _moved(left, behind=number, by=-1) if renumber else left})


def renumbered(document: JsonObject, *, behind: int, by: int) -> JsonObject:
    """Shift the numbers of the steps behind `behind` by `by` (may be negative), without changing the meaning.

    The caller ensures that the new numbers are free and in range.
    """
    return {**document, "steps": _moved(_steps(document), behind=behind, by=by)}


def _moved(steps: Sequence[Json], *, behind: int, by: int) -> list[Json]:
    """Shift every number by one rule, also one that refers to no step, so that it still refers to none."""
    return [_renumbered(step, lambda number: _shifted(number, behind, by)) for step in steps]


def _shifted(number: Json, behind: int, by: int) -> Json:
    return number + by if is_number(number) and number > behind else number


def _renumbered(step: Json, follow: _Follow) -> Json:
    if not isinstance(step, dict):
        return step
    changed = cast("JsonObject", json_pointer.transform_at(step, step_references.NUMBERS, follow))
    number = follow(step.get("step_number"))
    if number == step.get("step_number"):
        return changed
    if _is_keyed_by_number(step):
        # The key was derived from a number that changes, and keys stay.
        changed["key"] = key_of(step)
    return {**changed, "step_number": number}


def _is_keyed_by_number(step: JsonObject) -> bool:
    name = step.get("name")
    return not step.get("key") and isinstance(name, str) and not snake_case(name)


def _place(numbers: frozenset[int], mode: InsertMode, after: int | None) -> int:
    """Return the number behind which steps are added."""
    if mode == "append":
        if after is not None:
            raise _refused("/insert_after_step", "NOT_ALLOWED", "only insert_mode insert has a place")
        return max(numbers, default=0)
    if after is None:
        hint = "0 is before the first step"
        raise _refused("/insert_after_step", "REQUIRED", "it says behind which step number to insert", hint)
    if after != 0 and after not in numbers:
        known = ", ".join(str(number) for number in sorted(numbers)[:20])
        raise _refused("/insert_after_step", "UNKNOWN_STEP", f"there is no step number {after}", f"there are {known}")
    return after


def _placed(sent: Sequence[Json], numbers: frozenset[int], place: int) -> list[Json]:
    """Return the sent steps under their numbers in the document. Raises ValidationError for an ambiguous number."""
    given = _given_numbers(sent)
    filled = cast("list[Json]", cast("JsonObject", numbered({"steps": list(sent)}))["steps"])
    order = sorted(range(len(sent)), key=lambda index: (_number_of(filled[index]) or 0, index))
    new = {index: place + 1 + rank for rank, index in enumerate(order)}
    unclear: list[Problem] = []
    placed: list[Json] = []
    for index, step in enumerate(sent):
        unclear += _unclear(step, index, given, numbers)
        placed.append(_renumbered_sent(step, new[index], _resolver(index, given, new, (numbers, place))))
    if unclear:
        raise ValidationError(unclear[0].message, unclear)
    return placed


def _renumbered_sent(step: Json, number: int, follow: _Follow) -> Json:
    if not isinstance(step, dict):
        return step
    changed = cast("JsonObject", json_pointer.transform_at(step, step_references.NUMBERS, follow))
    given = step.get("step_number", 1)
    if not is_number(given) or not 1 <= given <= MAX_STEP_NUMBER:
        return changed  # refused when the document is read, with its pointer
    return {**changed, "step_number": number}


def _given_numbers(sent: Sequence[Json]) -> dict[int, int]:
    """Return the index of each sent step by the number that it was given."""
    given: dict[int, int] = {}
    for index, step in enumerate(sent):
        number = _number_of(step)
        if number is not None and given.setdefault(number, index) != index:
            message = f"step number {number} is used twice"
            raise _refused(f"/steps/{index}/step_number", "DUPLICATE", message)
    return given


def _unclear(step: Json, index: int, given: dict[int, int], numbers: frozenset[int]) -> Iterator[Problem]:
    for pointer, number in numbers_in(step):
        if number in numbers and given.get(number, index) != index:
            message = f"{number} is the number of a step that is there and of one that is added"
            hint = "name the step by its key"
            yield problem(f"/steps/{index}{pointer}", "AMBIGUOUS_REFERENCE", message, hint)


def _resolver(index: int, given: dict[int, int], new: dict[int, int], before: tuple[frozenset[int], int]) -> _Follow:
    """Return the mapping of numbers in the sent step `index`. A number means the step itself only if no other fits."""
    numbers, place = before

    def follow(number: Json) -> Json:
        if is_number(number) and number in given and (given[number] != index or number not in numbers):
            return new[given[number]]
        return _shifted(number, place, len(new))

    return follow


def _with_free_keys(staying: Sequence[Json], added: Sequence[Json]) -> list[Json]:
    """Return the added steps. One whose key would derive from its number gets another where that key is taken."""
    taken = {key_of(step) for step in (*staying, *(step for step in added if not _lacks_key(step)))}
    keyed: list[Json] = []
    for step in added:
        if isinstance(step, dict) and _lacks_key(step):
            own = str(key_of(step))
            free = next(key for key in (own, *(f"{own}_{n}" for n in range(2, len(taken) + 3))) if key not in taken)
            taken.add(free)
            step = step if free == own else {**step, "key": free}  # noqa: PLW2901
        keyed.append(step)
    return keyed


def _lacks_key(step: Json) -> bool:
    return isinstance(step, dict) and _is_keyed_by_number(step) and key_of(step) is not None


def _read(
    document: JsonObject, staying: Sequence[Json], sent: Sequence[Json], places: Sequence[str]
) -> PlaybookDocument:
    """Read the document with the sent steps last; problems are reported at their `places`."""
    try:
        return read_document({**document, "steps": [*staying, *sent]})
    except InputError as error:
        problems = [_told_at(item, len(staying), places) for item in error.problems]
        kind = NotSupportedError if isinstance(error, NotSupportedError) else ValidationError
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise kind(f"{problems[0].message} ({problems[0].pointer or '/'}){more}", problems) from None


def _told_at(item: Problem, first: int, places: Sequence[str]) -> Problem:
    match json_pointer.parts(item.pointer):
        case ("steps", index, *rest) if int(index) >= first:
            pointer = join(places[int(index) - first], *rest)
            return problem(pointer, item.code, item.message, item.suggestion)
        case _:
            return item


def _refuse_referrers(key: str, found: Sequence[Referrer], what: str, hint: str) -> None:
    if not found:
        return
    holders = dict.fromkeys(f"'{each.step}'" if each.step else "the playbook's output" for each in found)
    verb = "names" if len(holders) == 1 else "name"
    message = f"step '{key}' cannot {what}: {', '.join(holders)} {verb} it"
    problems = [problem(each.pointer, "STEP_IN_USE", f"it names the step '{key}'", hint) for each in found]
    raise InvalidStepStateError(message, problems)


def _step_at(document: JsonObject, number: int) -> tuple[int, str]:
    """Return index and key of the step with a number."""
    for index, step in enumerate(_steps(document)):
        if _number_of(step) == number:
            return index, str(key_of(step))
    raise NotFoundError(f"there is no step number {number}")


def _steps(document: JsonObject) -> list[Json]:
    steps = document.get("steps")
    return list(steps) if isinstance(steps, list) else []


def _numbers(steps: Sequence[Json]) -> Iterator[int]:
    return (number for step in steps if (number := _number_of(step)) is not None)


def _number_of(step: Json) -> int | None:
    number = step.get("step_number") if isinstance(step, dict) else None
    return number if is_number(number) else None


def _refused(pointer: str, code: str, message: str, suggestion: str | None = None) -> ValidationError:
    return ValidationError(f"{message} ({pointer})", (problem(pointer, code, message, suggestion),))
