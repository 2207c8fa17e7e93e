"""Expressions: checked when a playbook is published, evaluated when a step runs.

The only module that imports the CEL engine: conditions (CEL text, or `{field, operator, value}`) and `${...}` in
mappings. A context is the JSON object `{input, steps, run, vars, ...}`; results are JSON with sorted names. A missing
field is an error that names its path, never null. Not for workflow code: the engine's map order differs between
processes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache

from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs] - has stubs, but not the marker
from google.protobuf.message import DecodeError

from playbooks.common.errors import MappingError, Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import from_parts, join
from playbooks.common.values import Json, JsonObject, Path
from playbooks.expressions import comparisons, templates
from playbooks.expressions.json_results import NotJsonError, describe, is_excessive, to_json
from playbooks.expressions.references import Growth, Reference, growth_of, references_of, shortest
from playbooks.expressions.syntax_tree import Node, tree_of

MAX_EXPRESSION_BYTES = 4_096
MAX_VALUE_BYTES = 1_000
"""Of a longer value that a condition read, the timeline shows the length only."""

NAMES: tuple[str, ...] = ("input", "steps", "run", "vars")
"""Names that every expression may use; `response` only in the answer's mapping of an external step."""

LOOP_NAMES: tuple[str, ...] = ("count", "completed", "failed", "skipped", "results")
"""Names in `for_each.complete_when` (CEL reserves the word `loop`)."""

_ALL_NAMES = (*NAMES, "item", "index", "response", *LOOP_NAMES)
_SAFE_REASON = re.compile(
    r"[A-Z_]+: ((?:divide by zero|modulus by zero|integer overflow|Iteration budget exceeded"
    r"|cannot convert \w+ to \w+|No matching overloads found : [\w+*<>=!&|?%/\-\[\](), .@]+))(?: \[[A-Z_]+\])?"
)
"""Engine texts that cannot hold a value of the run (others may quote one, which could be a secret)."""

_DOUBLE_HINT = "whole numbers and decimals do not mix: write double(...) around the whole number"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionCheck:
    """Result of a check: problems, and each path that is read, with the pointer of the text that reads it."""

    problems: tuple[Problem, ...] = ()
    reads: tuple[tuple[str, Path], ...] = ()

    @property
    def references(self) -> tuple[Path, ...]:
        """The paths that are read, without those that another one covers."""
        return shortest(path for _, path in self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionResult:
    """Outcome of a condition, and the values it read by path (`{"input.amount": 5000}`)."""

    holds: bool
    values: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class _Compiled:
    expression: cel.Expression
    tree: Node
    references: tuple[Reference, ...]
    growth: Growth


class _SyntaxError(Exception):
    def __init__(self, problem: str, suggestion: str | None = None, code: str = "INVALID_EXPRESSION") -> None:
        super().__init__(problem)
        self.problem, self.suggestion, self.code = problem, suggestion, code


def check(
    text: str, pointer: str = "", names: tuple[str, ...] = NAMES, *, is_condition: bool = False
) -> ExpressionCheck:
    """Check CEL text: syntax, types of literals, and that it uses only `names`. Never raises."""
    try:
        compiled = _compile(text)
    except _SyntaxError as error:
        return ExpressionCheck(problems=(problem(pointer, error.code, error.problem, error.suggestion),))
    problems: list[Problem] = []
    for name in sorted({reference.path[0] for reference in compiled.references} - set(names)):
        problems.append(_unknown_name(name, pointer, names))
    if is_condition and compiled.expression.return_type().name() not in ("BOOL", "DYN"):
        kind = compiled.expression.return_type().name().lower()
        problems.append(problem(pointer, "CONDITION_NOT_BOOLEAN", f"a condition has to be true or false, not {kind}"))
    reads = {(pointer, item.path): None for item in compiled.references if item.path[0] in names}
    return ExpressionCheck(problems=tuple(problems), reads=tuple(reads))


def check_condition(condition: Json, pointer: str = "", names: tuple[str, ...] = NAMES) -> ExpressionCheck:
    """Check a condition in either form. Never raises."""
    if isinstance(condition, str):
        return check(condition, pointer, names, is_condition=True)
    parsed = comparisons.read(condition, pointer, names)
    if isinstance(parsed, Problem):
        return ExpressionCheck(problems=(parsed,))
    inner = check_mapping(parsed.value, f"{pointer}/value", names)
    return ExpressionCheck(problems=inner.problems, reads=((f"{pointer}/field", parsed.path), *inner.reads))


def check_mapping(mapping: Json, pointer: str = "", names: tuple[str, ...] = NAMES) -> ExpressionCheck:
    """Check every `${...}` in a mapping. Never raises."""
    problems: list[Problem] = []
    reads: list[tuple[str, Path]] = []
    if templates.is_too_deep(mapping):
        message = f"nested deeper than {templates.MAX_TEMPLATE_DEPTH} levels"
        return ExpressionCheck(problems=(problem(pointer, "TOO_DEEP", message),))
    for place, text in templates.texts(mapping, pointer):
        try:
            parts = templates.split(text)
        except templates.TemplateError as error:
            hint = "write $${ for a literal ${"
            problems.append(problem(place, "INVALID_EXPRESSION", str(error), hint))
            continue
        for part in parts:
            if isinstance(part, templates.Expression):
                checked = check(part.text, place, names)
                problems += checked.problems
                reads += checked.reads
    return ExpressionCheck(problems=tuple(problems), reads=tuple(reads))


def tree(text: str) -> Node | None:
    """Return the syntax tree of CEL text, or None where `check` reports a problem. Never raises."""
    try:
        return _compile(text).tree
    except _SyntaxError:
        return None


def evaluate(text: str, context: JsonObject) -> Json:
    """Return the value of CEL text in a context. MappingError (first problem's pointer: the path) where it has none."""
    path = templates.bare_path(text)
    if path is not None and path[0] in _ALL_NAMES:
        return _value_at(context, path)
    try:
        compiled = _compile(text)
    except _SyntaxError as error:
        raise MappingError(error.problem, (problem("", error.code, error.problem, error.suggestion),)) from None
    if is_excessive(compiled.growth, (_find(context, item.path)[1] for item in compiled.references)):
        message = f"'{_shortened(text)}' would join texts or lists that are too long"
        raise MappingError(message, (problem(_first(compiled), "TOO_LARGE", message),))
    try:
        result = compiled.expression.eval(data={name: context[name] for name in _ALL_NAMES if name in context})
        reason = str(result.value()) if result.type().name() in ("ERROR", "UNKNOWN") else None
        if reason is None:
            return to_json(result)
    except NotJsonError as error:
        message = f"'{_shortened(text)}' gives {error}"
        raise MappingError(message, (problem(_first(compiled), "RESULT_NOT_JSON", message),)) from None
    # The binding raises whatever its C++ side met: out of budget, text that is not Unicode, numbers out of range.
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        reason = str(error)
    raise _failure(text, compiled, context, reason)


def evaluate_condition(condition: Json, context: JsonObject) -> ConditionResult:
    """Evaluate a condition, and return the values it read. MappingError where it has no outcome.

    The values are not redacted: hide sensitive ones before they are shown.
    """
    if not isinstance(condition, str):
        return _evaluate_comparison(condition, context)
    holds = evaluate(condition, context)
    if not isinstance(holds, bool):
        message = f"the condition '{_shortened(condition)}' gives {describe(holds)}, not true or false"
        raise MappingError(message, (problem("", "CONDITION_NOT_BOOLEAN", message),))
    return ConditionResult(holds=holds, values=_values_read(_paths(condition), context))


def resolve(mapping: Json, context: JsonObject, pointer: str = "") -> Json:
    """Return a mapping with each `${...}` replaced; a text that is one whole `${...}` keeps the value's type.

    MappingError (first problem's pointer: the path that is missing) where an expression has no value.
    """
    if isinstance(mapping, str):
        return _resolve_text(mapping, context, pointer)
    if isinstance(mapping, list):
        return [resolve(item, context, join(pointer, str(index))) for index, item in enumerate(mapping)]
    if isinstance(mapping, dict):
        return {name: resolve(item, context, join(pointer, name)) for name, item in mapping.items()}
    return mapping


def _resolve_text(text: str, context: JsonObject, pointer: str) -> Json:
    if "${" not in text:
        return text
    try:
        parts = templates.split(text)
        values = [evaluate(part.text, context) if isinstance(part, templates.Expression) else part for part in parts]
    except templates.TemplateError as error:
        message = f"at '{pointer}': {error}"
        raise MappingError(message, (problem(pointer, "INVALID_EXPRESSION", message),)) from None
    except MappingError as error:
        detail = f"at '{pointer}': {error.detail}" if pointer else error.detail
        raise MappingError(detail, error.problems) from None
    if len(values) == 1:
        return values[0]
    return "".join(value if isinstance(value, str) else templates.as_text(value) for value in values)


def _evaluate_comparison(condition: Json, context: JsonObject) -> ConditionResult:
    parsed = comparisons.read(condition)
    if isinstance(parsed, Problem):
        raise MappingError(parsed.message, (parsed,))
    found, left = _find(context, parsed.path)
    if not found and not parsed.tests_presence:
        raise _missing_path(context, parsed.path)
    right = resolve(parsed.value, context, "/value")
    try:
        holds = comparisons.compare(parsed.operator, left if found else comparisons.ABSENT, right)
    except comparisons.IncomparableError as error:
        message = f"{'.'.join(parsed.path)}: {error}"
        raise MappingError(message, (problem(from_parts(parsed.path), "EXPRESSION_FAILED", message),)) from None
    return ConditionResult(holds=holds, values=_values_read((parsed.path,), context))


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables=dict.fromkeys(_ALL_NAMES, cel.Type.DYN))


@lru_cache(maxsize=4_096)
def _compile(text: str) -> _Compiled:
    """Compile CEL text. _SyntaxError with a message for the author."""
    if len(text.encode(errors="replace")) > MAX_EXPRESSION_BYTES:
        raise _SyntaxError(f"an expression has at most {MAX_EXPRESSION_BYTES} bytes", code="TOO_LONG")
    try:
        expression = _environment().compile(text)
        tree = tree_of(expression.serialize())
    except DecodeError:
        raise _SyntaxError("an expression has too many macros within each other", code="TOO_DEEP") from None
    except (RuntimeError, ValueError, TypeError) as error:
        raise _explain(text, str(error)) from None
    # `int`, `string` and the like are types, not references.
    references = tuple(item for item in references_of(tree) if item.path[0] in _ALL_NAMES)
    return _Compiled(expression, tree, references, growth_of(tree))


def _explain(text: str, reason: str) -> _SyntaxError:
    unknown = _unknown_roots(text)
    if unknown:
        found = _unknown_name(unknown[0], "", NAMES)
        return _SyntaxError(found.message, found.suggestion, found.code)
    first = reason.removeprefix("INVALID_ARGUMENT: ").split("\n", 1)[0].replace("ERROR: <input>:", "at ")
    hint = _DOUBLE_HINT if re.search(r"'\((?:int, double|double, int)\)'", reason) else None
    return _SyntaxError(f"'{_shortened(text)}' is not a valid expression: {_shortened(first, 300)}", hint)


def _unknown_roots(text: str) -> list[str]:
    """Return the undeclared names that paths in the text begin with; [] where it cannot be parsed."""
    try:
        parsed = references_of(tree_of(_environment().compile(text, disable_check=True).serialize()))
    except (RuntimeError, ValueError, TypeError, DecodeError):
        return []
    declared = {*_ALL_NAMES, "int", "uint", "double", "bool", "string", "bytes", "list", "map", "type", "null_type"}
    return sorted({item.path[0] for item in parsed} - declared - {"google"})


def _unknown_name(name: str, pointer: str, names: tuple[str, ...]) -> Problem:
    if name in ("item", "index"):
        return problem(pointer, "UNKNOWN_REFERENCE", f"'{name}' is known only in a step with for_each")
    close = get_close_matches(name, names, 1)
    suggestion = f"did you mean '{close[0]}'?" if close else f"write input.{name} for a field of the input"
    message = f"there is nothing named '{name}' here; an expression may name {', '.join(names)}"
    return problem(pointer, "UNKNOWN_REFERENCE", message, suggestion)


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(item.path for item in _compile(text).references))


def _first(compiled: _Compiled) -> str:
    return from_parts(compiled.references[0].path) if compiled.references else ""


def _failure(text: str, compiled: _Compiled, context: JsonObject, reason: str) -> MappingError:
    for reference in compiled.references:
        needed = reference.path[:-1] if reference.is_tested else reference.path
        if not _find(context, needed)[0]:
            return _missing_path(context, needed)
    read = [f"{'.'.join(item.path)} is {describe(_find(context, item.path)[1])}" for item in compiled.references[:5]]
    safe = _SAFE_REASON.fullmatch(reason)
    detail = "; ".join((safe[1] if safe else "an operation does not fit its values", *read))
    message = f"'{_shortened(text)}' cannot be evaluated: {detail}"
    hint = _DOUBLE_HINT if re.search(r"\((?:int64, double|double, int64)\)", reason) else None
    return MappingError(message, (problem(_first(compiled), "EXPRESSION_FAILED", message, hint),))


def _missing_path(context: JsonObject, path: Path) -> MappingError:
    """Return the error that names the first part of `path` that is absent."""
    present = 0
    while _find(context, path[: present + 1])[0]:
        present += 1
    missing = path[: present + 1]
    holder = _find(context, path[:present])[1]
    kind = "" if isinstance(holder, dict) else f" ({'.'.join(path[:present])} is {describe(holder)})"
    message = f"'{'.'.join(missing)}' is missing{kind}"
    return MappingError(message, (problem(from_parts(missing), "MISSING_PATH", message),))


def _value_at(context: JsonObject, path: Path) -> Json:
    found, value = _find(context, path)
    if not found:
        raise _missing_path(context, path)
    return value


def _find(context: JsonObject, path: Path) -> tuple[bool, Json]:
    value: Json = context
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False, None
        value = value[name]
    return True, value


def _values_read(paths: tuple[Path, ...], context: JsonObject) -> JsonObject:
    values: JsonObject = {}
    for path in paths:
        found, value = _find(context, path)
        if found:
            text = templates.as_text(value)
            values[".".join(path)] = value if len(text) <= MAX_VALUE_BYTES else f"({len(text)} characters)"
    return values


def _shortened(text: str, length: int = 120) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
