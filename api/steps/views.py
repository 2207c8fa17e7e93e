"""Views of the steps of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.http.schemas import problem_view
from api.steps.operations import VersionSteps
from api.steps.schemas import (
    ContractsView,
    DependencyView,
    ReferrerView,
    RelationshipsView,
    StepDefinitionView,
    StepProblems,
)
from playbooks.common.errors import Problem
from playbooks.common.ids import step_entity_id
from playbooks.common.json_pointer import covers, parts
from playbooks.compiler.order import LocatedStep, StepOrder
from playbooks.document.model import PlaybookDocument
from playbooks.document.step_references import Referrer, referrers_in


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParts:
    """Optional parts of each step."""

    contracts: bool = False
    relationships: bool = False
    validation: bool = False


def step_views(found: VersionSteps, wanted: StepParts) -> list[StepDefinitionView]:
    """Return the steps in order. `depends_on` follows the order, also where the document cannot be published yet."""
    order, problems = found.order, found.compiled.problems
    named: Mapping[str, Sequence[Referrer]] = _named(found.document, order) if wanted.relationships else {}
    followers = _followers(order)
    views: list[StepDefinitionView] = []
    for item in order.located:
        step = item.step
        estimate = step.estimated_duration_minutes
        view = StepDefinitionView(
            step_id=step_entity_id(found.row.id, item.key),
            key=item.key,
            name=step.name,
            step_number=step.step_number,
            step_type=step.step_type,
            worker_type=step.worker_type,
            depends_on=[dependency.step for dependency in order.dependencies[item.key]],
            description=step.description,
            estimated_duration_minutes=None if estimate is None else float(estimate),
            required_roles=step.required_roles or [],
            parallel_group=step.parallel_group,
        )
        if wanted.contracts:
            view.contracts = ContractsView(input_contract=step.input_contract, output_contract=step.output_contract)
        if wanted.relationships:
            view.relationships = _relationships(item.key, order, followers.get(item.key, []), named.get(item.key, ()))
        if wanted.validation:
            view.validation = _problems(item, problems)
        views.append(view)
    return views


def _named(document: PlaybookDocument, order: StepOrder) -> Mapping[str, Sequence[Referrer]]:
    """Return the places that refer to each step, by its key."""
    keys: dict[str | int, str] = {item.key: item.key for item in order.located}
    keys |= {item.step.step_number: item.key for item in order.located}
    found: dict[str, list[Referrer]] = {}
    for referrer in referrers_in(document.to_json()):
        if referrer.target in keys:
            found.setdefault(keys[referrer.target], []).append(referrer)
    return found


def _followers(order: StepOrder) -> Mapping[str, list[str]]:
    """Return the keys of the steps that wait for each step."""
    found: dict[str, list[str]] = {}
    for key, dependencies in order.dependencies.items():
        for dependency in dict.fromkeys(each.step for each in dependencies):
            found.setdefault(dependency, []).append(key)
    return found


def _relationships(key: str, order: StepOrder, followers: list[str], named: Sequence[Referrer]) -> RelationshipsView:
    return RelationshipsView(
        waits_for=[
            DependencyView(
                key=dependency.step,
                step_number=order.steps[dependency.step].step_number,
                dependency_type=dependency.kind,
                is_default=key not in order.edges,
            )
            for dependency in order.dependencies[key]
        ],
        followed_by=followers,
        named_by=[ReferrerView(step=each.step, pointer=each.pointer, way=each.way) for each in named],
    )


def _problems(item: LocatedStep, problems: Sequence[Problem]) -> StepProblems:
    mine = [each for each in problems if covers(parts(item.pointer), parts(each.pointer))]
    return StepProblems(
        errors=[problem_view(each) for each in mine if each.severity == "error"],
        warnings=[problem_view(each) for each in mine if each.severity == "warning"],
    )
