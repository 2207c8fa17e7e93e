"""References of expressions, checked against the steps and contracts of one document.

A plan's references name only steps that are finished before the reading step starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from playbooks.common.errors import Problem, error, warning
from playbooks.common.json_pointer import covers, find, parts
from playbooks.common.values import Json, JsonObject, Path
from playbooks.compiler.order import LocatedStep, StepOrder, closest_step
from playbooks.contracts import schema
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import PlaybookDocument
from playbooks.expressions import cel, templates
from playbooks.expressions.cel import LOOP_NAMES, NAMES, ExpressionCheck
from playbooks.expressions.references import shortest

ITEM_NAMES: tuple[str, ...] = ("item", "index")
"""Additional names in a step with `for_each`."""

LOOP_OUTPUT = frozenset(LOOP_NAMES)
"""Fields of a `for_each` step's output."""

RUN_NAMES: tuple[str, ...] = ("id", "priority", "initiated_by", "started_at", "cost")
"""Fields of `run` in expressions."""


@dataclass(slots=True)
class References:
    """Paths that a step (or the output) reads from the run's context, and their problems."""

    paths: list[Path] = field(default_factory=list[Path])
    items_paths: list[Path] = field(default_factory=list[Path])
    loop_paths: list[Path] = field(default_factory=list[Path])
    problems: list[Problem] = field(default_factory=list[Problem])

    def shortest(self) -> tuple[Path, ...]:
        return shortest(self.paths)

    def shortest_of_items(self) -> tuple[Path, ...]:
        """Return the paths that the list of items is made of: items do not carry them again."""
        return shortest(self.items_paths)

    def shortest_of_loop(self) -> tuple[Path, ...]:
        """Return the paths that the loop's condition reads."""
        return shortest(self.loop_paths)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Names that one expression may use. `input_names`: the fields of `input`, None where they are open."""

    document: PlaybookDocument
    order: StepOrder
    upstream: frozenset[str]
    input_schema: Json = None
    input_names: frozenset[str] | None = None


def step_references(document: PlaybookDocument, order: StepOrder, item: LocatedStep) -> References:
    """Return what a step's condition, dependencies and input mapping read, as paths of the run's context."""
    found = References()
    scope = _Scope(document, order, order.upstream[item.key], input_schema=document.input_contract)
    if item.step.condition is not None:
        _add(found, cel.check_condition(item.step.condition, f"{item.pointer}/condition"), scope)
        found.problems.extend(_never_true(item))
    for edge in order.edges.get(item.key, ()):
        if item.step.join is not None and edge.document.dependency_type == "data":
            found.paths.append(("steps", edge.target, "status"))
        if edge.document.condition is not None:
            _add(found, cel.check_condition(edge.document.condition, f"{edge.pointer}/condition"), scope)
        if edge.document.mapping is not None:
            _add(found, cel.check_mapping(edge.document.mapping, f"{edge.pointer}/mapping"), scope)
        elif edge.document.dependency_type == "data" and item.step.input is None:
            found.paths.append(("steps", edge.target, "output"))
    if item.step.input is None:
        found.paths.append(("input",))
    else:
        _add(found, cel.check_mapping(item.step.input, f"{item.pointer}/input", names_of(item)), scope)
        found.problems.extend(_input_problems(item))
    _add_loops(found, item, scope)
    # An item's own value is passed beside the context.
    found.paths[:] = [path for path in found.paths if path[0] not in ITEM_NAMES]
    return found


def names_of(item: LocatedStep) -> tuple[str, ...]:
    """Return the names that a step's `input` and `config` may use."""
    return NAMES if item.step.for_each is None else (*NAMES, *ITEM_NAMES)


def _add_loops(found: References, item: LocatedStep, scope: _Scope) -> None:
    for_each, repeat = item.step.for_each, item.step.repeat
    if for_each is not None:
        place = f"{item.pointer}/for_each"
        of_items = References()
        _add(of_items, cel.check_mapping(for_each.items, f"{place}/items"), scope)
        found.problems.extend(of_items.problems)
        found.items_paths.extend(of_items.paths)
        if isinstance(for_each.complete_when, str):
            checked = cel.check_condition(for_each.complete_when, f"{place}/complete_when", LOOP_NAMES)
            found.problems.extend(checked.problems)
    if repeat is not None:
        after = replace(scope, upstream=scope.upstream | {item.key})
        in_loop = References()
        _add(in_loop, cel.check_condition(repeat.while_, f"{item.pointer}/repeat/while"), after)
        found.problems.extend(in_loop.problems)
        found.loop_paths.extend(in_loop.paths)


def config_references(
    document: PlaybookDocument, order: StepOrder, item: LocatedStep, handler: HandlerDescription
) -> References:
    """Return what a step's `config` reads. There `input` is the step's own input, so only other names count."""
    found = References()
    config = item.step.config or {}
    scope = _Scope(document, order, order.upstream[item.key], None, input_names(document, order, item))
    place = f"{item.pointer}/config"
    names = names_of(item)
    for pointer, value in matching(config, place, handler.conditions):
        _add(found, cel.check_condition(value, pointer, names), scope)
    for pointer, value in matching(config, place, handler.templates):
        _add(found, cel.check_mapping(value, pointer, names), scope)
    for pointer, value in matching(config, place, handler.answers):
        _add(found, cel.check_mapping(value, pointer, (*names, "response")), scope)
    found.paths[:] = [path for path in found.paths if path[0] not in ("input", "response", *ITEM_NAMES)]
    found.problems.extend(_unread_templates(config, place, handler))
    return found


def output_references(document: PlaybookDocument, order: StepOrder) -> References:
    """Return what the playbook's `output` reads; every step is finished by then."""
    found = References()
    if document.output is not None:
        everything = frozenset(item.key for item in order.located)
        scope = _Scope(document, order, everything, input_schema=document.input_contract)
        _add(found, cel.check_mapping(document.output, "/output"), scope)
    return found


def concurrency_references(document: PlaybookDocument, order: StepOrder) -> References:
    """Return what `policies.concurrency.key` reads. Only `input` is defined: the run does not exist yet."""
    found = References()
    concurrency = document.policies.concurrency if document.policies else None
    if concurrency is not None:
        scope = _Scope(document, order, frozenset(), input_schema=document.input_contract)
        checked = cel.check_mapping(concurrency.key, "/policies/concurrency/key", ("input",))
        _add(found, checked, scope)
    return found


def input_names(document: PlaybookDocument, order: StepOrder, item: LocatedStep) -> frozenset[str] | None:
    """Return the names that a step's input can have, or None where that is unknown."""
    named: set[str] = set()
    edges = [edge for edge in order.edges.get(item.key, ()) if edge.document.dependency_type == "data"]
    if item.step.input is None:
        if any(edge.document.mapping is None for edge in edges):
            return None
        known = schema.properties_of(document.input_contract)
        if known is None:
            return None
        named |= known
    elif isinstance(item.step.input, dict):
        named |= set(item.step.input)
    else:
        return None
    return frozenset(named.union(*(edge.document.mapping or {} for edge in edges)))


def _add(found: References, checked: ExpressionCheck, scope: _Scope) -> None:
    found.problems.extend(checked.problems)
    for place, path in checked.reads:
        problem = _problem(path, scope, place)
        if problem is not None:
            found.problems.append(problem)
        elif path == ("steps",):
            # `steps[k]` with a computed key: all steps that may be named.
            found.paths.extend(("steps", key) for key in sorted(scope.upstream))
        else:
            found.paths.append(path)


def _problem(path: Path, scope: _Scope, place: str) -> Problem | None:
    match path:
        case ("steps", key, *rest):
            return _step_problem(key, rest, scope, place)
        case ("input", name, *_) if scope.input_names is not None and name not in scope.input_names:
            return _no_such("input", name, scope.input_names, place, "the step's input")
        case ("input", *rest) if rest and not schema.knows(scope.input_schema, rest):
            names = schema.properties_of(scope.input_schema) or frozenset()
            return _no_such("input", ".".join(rest), names, place, "the input contract")
        case ("run", name, *_) if name not in RUN_NAMES:
            return _no_such("run", name, frozenset(RUN_NAMES), place, "a run")
        case _:
            return None


def _step_problem(key: str, rest: list[str], scope: _Scope, place: str) -> Problem | None:
    step = scope.order.steps.get(key)
    if step is None:
        return error(place, "UNKNOWN_REFERENCE", f"there is no step '{key}'", closest_step(key, scope.order.steps))
    if key not in scope.upstream:
        message = f"step '{key}' need not be finished when this is read"
        return error(place, "REFERENCE_NOT_UPSTREAM", message, f"make this step depend on '{key}'")
    if rest and rest[0] not in ("output", "status"):
        message = f"'steps.{key}.{rest[0]}': a step has output and status"
        return error(place, "UNKNOWN_REFERENCE", message, f"did you mean 'steps.{key}.output.{rest[0]}'?")
    if step.for_each is not None:
        if rest[:1] == ["output"] and rest[1:] and rest[1] not in LOOP_OUTPUT:
            return _no_such(f"steps.{key}.output", ".".join(rest[1:]), LOOP_OUTPUT, place, "the output of a for_each")
        return None
    if step.step_type != "human" and rest[:1] == ["output"] and not schema.knows(step.output_contract, rest[1:]):
        names = schema.properties_of(step.output_contract) or frozenset()
        return _no_such(f"steps.{key}.output", ".".join(rest[1:]), names, place, "the step's output contract")
    return None


def _no_such(owner: str, name: str, names: Iterable[str], place: str, holder: str) -> Problem:
    close = get_close_matches(name, sorted(names), 1)
    suggestion = f"did you mean '{owner}.{close[0]}'?" if close else None
    return error(place, "UNKNOWN_REFERENCE", f"'{owner}.{name}' is not in {holder}", suggestion)


def _never_true(item: LocatedStep) -> Iterator[Problem]:
    if isinstance(item.step.condition, str) and item.step.condition.strip() == "false":
        yield error(f"{item.pointer}/condition", "UNREACHABLE_STEP", "the step can never run: its condition is false")


def _input_problems(item: LocatedStep) -> Iterator[Problem]:
    text = item.step.input
    if isinstance(text, str) and not _is_whole(text):
        message = "an input that is a text has to be one ${...} that gives an object"
        yield error(f"{item.pointer}/input", "INVALID_MAPPING", message)


def _is_whole(text: str) -> bool:
    try:
        return templates.whole(text) is not None
    except templates.TemplateError:
        return False


def _unread_templates(config: JsonObject, place: str, handler: HandlerDescription) -> Iterator[Problem]:
    read = [parts(place) + parts(pattern) for pattern in (*handler.templates, *handler.answers, *handler.conditions)]
    for pointer, text in templates.texts(config, place):
        if "${" in text and not any(covers(pattern, parts(pointer)) for pattern in read):
            yield warning(pointer, "NOT_EVALUATED", "${...} is not evaluated here: it stays as it is written")


def matching(config: Json, place: str, patterns: Iterable[str]) -> Iterator[tuple[str, Json]]:
    """Return the values in `config` at the patterns (segments, `*` for any), with pointers that begin with `place`."""
    for pattern in patterns:
        yield from ((place + pointer, value) for pointer, value in find(config, pattern))
