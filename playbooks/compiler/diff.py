"""Differences between two versions of a playbook.

Steps are matched by key. A reference to a step by number counts as its key, so that renumbering alone is no
difference. Accepts any two documents that can be read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from playbooks.common import json_pointer
from playbooks.common.json_pointer import join
from playbooks.common.json_values import canonical
from playbooks.common.values import Json, JsonObject
from playbooks.compiler.order import StepOrder, resolve_order
from playbooks.contracts.compatibility import ContractComparison, compare_contracts
from playbooks.document import step_references
from playbooks.document.model import PlaybookDocument
from playbooks.document.step_references import is_number, key_of

CONTRACTS = ("input_contract", "output_contract")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A field with its two values; None is an absent field. `pointer` points into the step or playbook."""

    pointer: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRef:
    """A step that exists in one version only."""

    key: str
    name: str
    step_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMove:
    """A step whose position among the common steps has changed."""

    key: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChange:
    """A common step that differs in its fields, its contracts, or its dependencies.

    `waits_for` holds keys, before and after, where they differ, even if only other steps were added or removed.
    """

    key: str
    fields: tuple[FieldChange, ...]
    contracts: Mapping[str, ContractComparison]
    waits_for: tuple[tuple[str, ...], tuple[str, ...]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionComparison:
    """Lists are in the order of the newer document's step numbers (of the older one's for removed steps)."""

    fields: tuple[FieldChange, ...]
    policies: tuple[FieldChange, ...]
    contracts: Mapping[str, ContractComparison]
    added: tuple[StepRef, ...]
    removed: tuple[StepRef, ...]
    changed: tuple[StepChange, ...]
    reordered: tuple[StepMove, ...]

    @property
    def is_equal(self) -> bool:
        """Return true if the two versions behave the same."""
        parts = (self.fields, self.policies, self.added, self.removed, self.changed, self.reordered)
        return not any(parts) and all(each.is_equal for each in self.contracts.values())


def compare_versions(before: PlaybookDocument, after: PlaybookDocument) -> VersionComparison:
    """Compare `before` with `after`."""
    old, new = before.to_json(), after.to_json()
    orders = resolve_order(before), resolve_order(after)
    steps = _steps_by_key(old), _steps_by_key(new)
    common = [key for key in steps[1] if key in steps[0]]
    return VersionComparison(
        fields=tuple(_fields(old, new, but=("steps", "policies", *CONTRACTS))),
        policies=tuple(_leaves(old.get("policies"), new.get("policies"), "/policies")),
        contracts=_contracts(old, new),
        added=tuple(_ref(key, step) for key, step in steps[1].items() if key not in steps[0]),
        removed=tuple(_ref(key, step) for key, step in steps[0].items() if key not in steps[1]),
        changed=tuple(
            change for key in common if (change := _step_change(key, steps[0][key], steps[1][key], orders)) is not None
        ),
        reordered=tuple(_moves(common, steps[0], steps[1])),
    )


def _steps_by_key(document: JsonObject) -> dict[str, JsonObject]:
    """Return the steps by key in the order of their numbers, with references by number replaced by keys."""
    steps = cast("list[JsonObject]", document.get("steps", []))
    by_number = sorted((cast("int", step["step_number"]), step) for step in steps)
    keys = {number: str(key_of(step)) for number, step in by_number}

    def as_key(number: Json) -> Json:
        return keys.get(number, number) if is_number(number) else number

    return {keys[number]: _named_by_key(step, as_key) for number, step in by_number}


def _named_by_key(step: JsonObject, as_key: Callable[[Json], Json]) -> JsonObject:
    step = cast("JsonObject", json_pointer.transform_at(step, step_references.NUMBERS, as_key))
    dependencies = step.get("dependencies")
    if isinstance(dependencies, list):
        step["dependencies"] = [_dependency_by_key(item) for item in dependencies]
    return step


def _dependency_by_key(dependency: Json) -> Json:
    if not isinstance(dependency, dict) or not isinstance(dependency.get("depends_on_step_number"), str):
        return dependency
    rest = {name: value for name, value in dependency.items() if name != "depends_on_step_number"}
    return {"depends_on": dependency["depends_on_step_number"], **rest}


def _ref(key: str, step: JsonObject) -> StepRef:
    return StepRef(key=key, name=str(step["name"]), step_number=cast("int", step["step_number"]))


def _step_change(key: str, old: JsonObject, new: JsonObject, orders: tuple[StepOrder, StepOrder]) -> StepChange | None:
    fields = tuple(_fields(old, new, but=("key", "step_number", *CONTRACTS)))
    contracts = _contracts(old, new)
    before, after = (tuple(item.step for item in order.dependencies[key]) for order in orders)
    waits_for = None if before == after else (before, after)
    if not fields and waits_for is None and all(each.is_equal for each in contracts.values()):
        return None
    return StepChange(key=key, fields=fields, contracts=contracts, waits_for=waits_for)


def _contracts(old: JsonObject, new: JsonObject) -> dict[str, ContractComparison]:
    """Return the contracts that differ, by field."""
    compared = {name: compare_contracts(old.get(name), new.get(name)) for name in CONTRACTS}
    return {name: each for name, each in compared.items() if not each.is_equal}


def _fields(old: JsonObject, new: JsonObject, *, but: Sequence[str]) -> Iterator[FieldChange]:
    for name in dict.fromkeys((*old, *new)):
        if name not in but and canonical(old.get(name)) != canonical(new.get(name)):
            yield FieldChange(pointer=join("", name), before=old.get(name), after=new.get(name))


def _leaves(old: Json, new: Json, pointer: str) -> Iterator[FieldChange]:
    """Yield each value that differs, descending while both sides are objects."""
    if canonical(old) == canonical(new):
        return
    if isinstance(old, dict) or isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        for name in dict.fromkeys((*before, *after)):
            yield from _leaves(before.get(name), after.get(name), join(pointer, name))
    else:
        yield FieldChange(pointer=pointer, before=old, after=new)


def _moves(common: Sequence[str], old: Mapping[str, JsonObject], new: Mapping[str, JsonObject]) -> Iterator[StepMove]:
    """Return the fewest moves that explain the new order: the steps outside one longest increasing subsequence."""
    place = {key: index for index, key in enumerate(old)}
    kept = _longest_rising([place[key] for key in common])
    for index, key in enumerate(common):
        if index not in kept:
            before, after = (cast("int", steps[key]["step_number"]) for steps in (old, new))
            yield StepMove(key=key, before=before, after=after)


def _longest_rising(values: Sequence[int]) -> frozenset[int]:
    """Return the indexes of one longest increasing subsequence of distinct values (patience sorting)."""
    ends: list[int] = []
    lasts: list[int] = []
    previous: list[int | None] = []
    for index, value in enumerate(values):
        at = bisect_left(ends, value)
        previous.append(lasts[at - 1] if at else None)
        ends[at:] = [value, *ends[at + 1 :]]
        lasts[at:] = [index, *lasts[at + 1 :]]
    found: set[int] = set()
    step = lasts[-1] if lasts else None
    while step is not None:
        found.add(step)
        step = previous[step]
    return frozenset(found)
