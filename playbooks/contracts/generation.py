"""Generates a minimal value that a contract allows, for results that a simulation was not given. Deterministic.

Values that the contract itself names (const, enum, default, examples) are preferred; only required parts are made. The
result is validated by `playbooks.contracts.validation` before it is returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from playbooks.common.errors import InputError, Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join, parts, pick
from playbooks.common.json_values import canonical
from playbooks.common.values import Json, JsonObject
from playbooks.contracts import schema as contract_schema
from playbooks.contracts import validation
from playbooks.contracts.merging import merged
from playbooks.contracts.pattern_examples import UnreadablePatternError, matching

CODE = "CANNOT_GENERATE"
MAX_PARTS = 1_000
MAX_DEPTH = 40
MAX_CHECKED_BYTES = 2 * 1024 * 1024
_GROWTHS = (0, 1, 2, 4, 8, 16, 32, 64)
_ALTERNATIVES = ("oneOf", "anyOf")
_UNSURE = frozenset(
    {"const", "enum", "default", "examples", "oneOf", "anyOf", "not", "if", "pattern", "contains", "dependentSchemas"}
)
"""Keywords with which a candidate has to be checked; without them a generated value fits."""

_SAMPLES = {
    "date": ("2026-01-{:02d}", 28),
    "date-time": ("2026-01-01T00:00:{:02d}Z", 60),
    "uuid": ("00000000-0000-4000-8000-0000000000{:02d}", 100),
    "email": ("person{}@example.com", 10_000),
    "uri": ("https://example.com/{}", 10_000),
}
_HINTS: dict[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "contains", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


class NotGeneratedError(InputError):
    """No value could be generated; the problem points at the part of the contract that prevents it."""


class _TooMuchError(Exception):
    """A bound was reached: unlike a mismatch, it also ends the search for other candidates."""


def generate(contract: JsonObject, pointer: str = "") -> Json:
    """Generate a value for `contract`, whose place in its document is `pointer`. Raises NotGeneratedError."""
    try:
        value = _Maker(contract).make(contract, pointer, 0)
    except NotGeneratedError as error:
        found = error.problems[0]
        raise NotGeneratedError(
            error.detail, (replace(found, pointer=_existing(contract, pointer, found.pointer)),)
        ) from None
    except (RecursionError, OverflowError, _TooMuchError):
        raise _refused(pointer, "the contract is nested too deeply, or asks for too much") from None
    wrong = validation.validate(contract, value)
    if wrong:
        below = (segment for name in parts(wrong[0].pointer) for segment in ("properties", name))
        raise _refused(_existing(contract, pointer, join(pointer, *below)), f"what was made {wrong[0].message}")
    return value


def _existing(contract: JsonObject, pointer: str, place: str) -> str:
    """Return the place, or its nearest ancestor that exists in the contract: merged parts have none of their own."""
    at, node = pointer, contract
    for segment in parts(place[len(pointer) :]):
        child = pick(node, join("", segment), default=_NOTHING)
        if child == _NOTHING:
            break
        at, node = join(at, segment), child
    return at


@dataclass(slots=True)
class _Maker:
    """State of one generation; references are resolved in `root`, `parts` and `checked` (bytes) bound the work."""

    root: JsonObject
    parts: int = 0
    checked: int = 0

    def make(self, schema: Json, place: str, variant: int, depth: int = 0) -> Json:
        """Generate a value for this part; another `variant` gives another value, where there is one."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise _TooMuchError
        if depth > MAX_DEPTH:
            raise _refused(place, "the contract refers to itself without end")
        if schema is False:
            raise _refused(place, "nothing is allowed here")
        node: JsonObject = self._resolved(schema, place) if isinstance(schema, dict) else {}
        return self._choose(node, place, variant, depth)

    def _resolved(self, node: JsonObject, place: str) -> JsonObject:
        """Merge the part's references and `allOf` into it."""
        for _ in range(MAX_DEPTH):
            reference = node.get("$ref", node.get("$dynamicRef"))
            every = node.get("allOf")
            if not isinstance(reference, str) and not isinstance(every, list):
                return node
            rest = {name: value for name, value in node.items() if name not in ("$ref", "$dynamicRef", "allOf")}
            if isinstance(reference, str):
                rest = merged(rest, contract_schema.target_of(self.root, reference))
            for part in _list(every):
                rest = merged(rest, part)
            node = rest
        raise _refused(place, "the contract refers to itself without end")

    def _choose(self, node: JsonObject, place: str, variant: int, depth: int) -> Json:
        """Return the first candidate that this part allows."""
        refusal: NotGeneratedError | None = None
        for candidate in self._candidates(node, place, variant, depth):
            try:
                value = candidate()
            except NotGeneratedError as error:
                refusal = refusal or error
                continue
            if node.keys().isdisjoint(_UNSURE) or self._allows(node, value):
                return value
        raise refusal or _refused(place, "no value was found that satisfies this part")

    def _candidates(self, node: JsonObject, place: str, variant: int, depth: int) -> Iterator[Callable[[], Json]]:
        written = [node["const"]] if "const" in node else _list(node.get("enum"))
        if not written and "const" not in node and "enum" not in node:
            written = [*([node["default"]] if "default" in node else ()), *_list(node.get("examples"))]
        turn = variant % len(written) if written else 0
        for value in (*written[turn:], *written[:turn]):
            yield lambda value=value: value
        if "const" in node or "enum" in node:
            return
        for other in _alternatives(node):
            yield lambda other=other: self.make(other, place, variant, depth + 1)
        for grow in _GROWTHS if "pattern" in node else (0,):
            yield lambda grow=grow: self._make_up(node, place, variant, depth, grow)

    def _allows(self, node: JsonObject, value: Json) -> bool:
        """Return true if the value fits this part, by the part alone; the whole is validated later."""
        text = canonical(node)
        self.checked += len(text)
        if self.checked > MAX_CHECKED_BYTES:
            raise _TooMuchError
        schema = {"$defs": self.root.get("$defs", {}), **node} if '"$ref"' in text else node
        return all(item.code in ("INVALID_SCHEMA", "CANNOT_CHECK") for item in validation.validate(schema, value))

    def _make_up(self, node: JsonObject, place: str, variant: int, depth: int, grow: int) -> Json:
        match _type_of(node, depth):
            case "object":
                return self._object(node, place, depth)
            case "array":
                return self._array(node, place, depth)
            case "integer":
                return round(_number(node, variant, is_whole=True))
            case "number":
                return float(_number(node, variant, is_whole=False))
            case "boolean":
                return variant % 2 == 0
            case "null":
                return None
            case _:
                return _text(node, place, variant, grow)

    def _object(self, node: JsonObject, place: str, depth: int) -> Json:
        named = node.get("properties")
        properties = named if isinstance(named, dict) else {}
        names = [name for name in _list(node.get("required")) if isinstance(name, str)]
        for name in names:
            dependents = node.get("dependentRequired")
            more = dependents.get(name) if isinstance(dependents, dict) else None
            names += [other for other in _list(more) if isinstance(other, str) and other not in names]
        least = node.get("minProperties")
        wanted = min(int(least), MAX_PARTS + 1) if isinstance(least, int | float) else 0
        spare = [name for name in properties if name not in names] + [f"field_{n}" for n in range(1, wanted + 1)]
        names += spare[: max(0, wanted - len(names))]
        rest = node.get("additionalProperties", True)
        made: JsonObject = {}
        for name in names:
            inner = join(place, "properties", name) if name in properties else join(place, "additionalProperties")
            made[name] = self.make(properties.get(name, rest), inner, 0, depth + 1)
        return made

    def _array(self, node: JsonObject, place: str, depth: int) -> Json:
        first = _list(node.get("prefixItems"))
        least, contained = node.get("minItems"), node.get("minContains", 1)
        count = int(least) if isinstance(least, int | float) else 0
        made: list[Json] = []
        if "contains" in node and isinstance(contained, int | float):
            spots = range(int(contained))
            made = [self.make(node["contains"], join(place, "contains"), spot, depth + 1) for spot in spots]
        for index in range(len(made), count):
            if index < len(first):
                made.append(self.make(first[index], join(place, "prefixItems", str(index)), 0, depth + 1))
            else:
                variant = index if node.get("uniqueItems") is True else 0
                made.append(self.make(node.get("items", True), join(place, "items"), variant, depth + 1))
        return made


def _alternatives(node: JsonObject) -> Iterator[JsonObject]:
    """Yield the part with one branch of its `oneOf`, `anyOf` or `if` chosen, in the order written."""
    for keyword in _ALTERNATIVES:
        branches = _list(node.get(keyword))
        rest = {name: value for name, value in node.items() if name != keyword}
        for branch in branches:
            yield merged(rest, branch)
        if branches:
            return
    if "if" in node:
        rest = {name: value for name, value in node.items() if name not in ("if", "then", "else")}
        yield merged(merged(rest, node["if"]), node.get("then", True))
        yield merged(rest, node.get("else", True))


def _type_of(node: JsonObject, depth: int) -> str:
    given = node.get("type")
    if isinstance(given, list):
        given = next((item for item in given if item != "null"), "null")
    if isinstance(given, str):
        return given
    hinted = next((name for name, words in _HINTS.items() if any(word in node for word in words)), None)
    is_text = any(word in node for word in ("pattern", "format", "minLength", "maxLength"))
    return hinted or ("object" if depth == 0 and not is_text else "string")


def _number(node: JsonObject, variant: int, *, is_whole: bool) -> float:
    """Return the lower bound, or 0, or the upper bound, adjusted to `multipleOf`."""
    low, above = _limit(node, "minimum", "exclusiveMinimum", max)
    high, below = _limit(node, "maximum", "exclusiveMaximum", min)
    step = node.get("multipleOf")
    size = float(step) if isinstance(step, int | float) and step > 0 else 1.0
    if low is None:
        low = min(0.0, high - (size if below else 0.0)) if high is not None else 0.0
        above = False
    value = math.ceil(low / size) * size if is_whole or step is not None else low
    if above and value <= low:
        is_tight = not is_whole and step is None and high is not None and value + size >= high
        value = (low + high) / 2 if is_tight and high is not None else value + size
    return value + variant * size


def _limit(
    node: JsonObject, inclusive: str, exclusive: str, pick: Callable[[float, float], float]
) -> tuple[float | None, bool]:
    """Return the stricter of two limits, and whether it is exclusive."""
    plain, strict = node.get(inclusive), node.get(exclusive)
    first = float(plain) if isinstance(plain, int | float) else None
    second = float(strict) if isinstance(strict, int | float) else None
    if first is None or second is None:
        return (second, True) if first is None and second is not None else (first, False)
    return (second, True) if pick(first, second) == second else (first, False)


def _text(node: JsonObject, place: str, variant: int, grow: int) -> str:
    pattern, sample = node.get("pattern"), _SAMPLES.get(str(node.get("format")))
    if isinstance(pattern, str):
        try:
            return matching(pattern, grow=grow, variant=variant)
        except UnreadablePatternError:
            raise _refused(join(place, "pattern"), "no text is known that matches this pattern") from None
    if sample is not None:
        return sample[0].format(variant % sample[1] + (1 if node.get("format") == "date" else 0))
    least, most = node.get("minLength"), node.get("maxLength")
    text = "text" if variant == 0 else f"text{variant}"
    if isinstance(most, int | float) and len(text) > most:
        text = str(variant)[: int(most)] if variant else text[: int(most)]
    if isinstance(least, int | float) and len(text) < least <= validation.MAX_SCHEMA_BYTES:
        text += "x" * (int(least) - len(text))
    return text


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _refused(pointer: str, reason: str) -> NotGeneratedError:
    found: Problem = problem(pointer, CODE, f"no value can be made from this contract: {reason}", _HINT)
    return NotGeneratedError(found.message, (found,))


_NOTHING = "\N{NULL}"
"""No schema holds this text."""

_HINT = "give the value in the request, or write an example into the contract"
