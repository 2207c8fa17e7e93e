"""Compatibility of two contracts: a conservative comparison of JSON Schema 2020-12.

If all findings are `loosened`, every value of the old contract fits the new one; if all are `tightened`, the reverse
holds. Where neither can be shown, a finding is `unknown`, or `mixed` (some values more, others less).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal, TypeAlias, cast

from playbooks.common.json_pointer import join
from playbooks.common.json_values import canonical
from playbooks.common.values import Json, JsonObject
from playbooks.contracts import formats, validation
from playbooks.contracts import schema as contract_schema

Effect: TypeAlias = Literal["loosened", "tightened", "mixed", "unknown"]
Direction: TypeAlias = Literal["equal", "loosened", "tightened", "mixed", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: its place in the contract, keyword, direction, and description."""

    pointer: str
    effect: Effect
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractComparison:
    """`direction` summarizes the findings. `now_sensitive` and `no_longer_sensitive` are pointers into values."""

    direction: Direction
    findings: tuple[Finding, ...] = ()
    now_sensitive: tuple[str, ...] = ()
    no_longer_sensitive: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Return true if no difference is observable."""
        return not (self.findings or self.now_sensitive or self.no_longer_sensitive)


# Annotations: they do not restrict values. A `format` that is not checked is one of them.
_SILENT = frozenset(
    {
        "$schema",
        "$comment",
        "$anchor",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "$defs",
        contract_schema.SENSITIVE,
    }
)
# Each stands for itself, beside the others: to add one refuses more, to remove one refuses less. What a change within
# does is not looked into. Keywords of one line are read together.
_OPAQUE: tuple[tuple[str, ...], ...] = (
    ("$ref",),
    ("$dynamicRef",),
    ("allOf",),
    ("anyOf",),
    ("oneOf",),
    ("not",),
    ("if", "then", "else"),
    ("contains", "minContains", "maxContains"),
    ("dependentRequired",),
    ("dependentSchemas",),
    ("propertyNames",),
    ("pattern",),
)
_LEAST = ("minLength", "minItems", "minProperties")
_MOST = ("maxLength", "maxItems", "maxProperties")
_KINDS = ("null", "boolean", "object", "array", "string", "integer", "fraction")
_COMPARED = frozenset(
    {
        "type",
        "enum",
        "const",
        "format",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "uniqueItems",
        *_LEAST,
        *_MOST,
        *(name for group in _OPAQUE for name in group),
    }
)


def compare_contracts(old: Json, new: Json) -> ContractComparison:
    """Compare two contracts; None is no contract, which accepts everything.

    Accepts any two JSON values: the result for an invalid contract is `unknown`.
    """
    old, new = _given(old), _given(new)
    if canonical(old) == canonical(new):
        return ContractComparison(direction="equal")
    for schema, which in ((old, "old"), (new, "new")):
        if schema not in (True, False) and validation.check_schema(schema):
            finding = Finding("", "unknown", f"the {which} contract is not valid JSON Schema")
            return ContractComparison(direction="unknown", findings=(finding,))
    findings = list(_compare(old, new, ""))
    if not _references_are_stable(old, new, differ=bool(findings)):
        findings.append(Finding("", "unknown", "what a $ref in it means may have changed"))
    before, after = (frozenset(validation.sensitive_pointers(schema)) for schema in (old, new))
    return ContractComparison(
        direction=direction_of(findings),
        findings=tuple(dict.fromkeys(findings)),
        now_sensitive=tuple(sorted(after - before)),
        no_longer_sensitive=tuple(sorted(before - after)),
    )


def direction_of(findings: Iterable[Finding]) -> Direction:
    """Return the common direction of the findings."""
    effects = {finding.effect for finding in findings}
    if not effects:
        return "equal"
    if "unknown" in effects:
        return "unknown"
    return "mixed" if len(effects) > 1 else cast("Direction", effects.pop())


def _given(schema: Json) -> Json:
    return True if schema is None else schema


def _references_are_stable(old: Json, new: Json, *, differ: bool) -> bool:
    """Return true if each reference means the same in both: its target is in `$defs`, or in parts that are equal."""
    references = [target for schema in (old, new) for target in _texts_at(schema, "$ref", "$dynamicRef")]
    if not references:
        return True
    definitions = [canonical(schema.get("$defs") if isinstance(schema, dict) else None) for schema in (old, new)]
    if definitions[0] != definitions[1]:
        return False
    names = [name for schema in (old, new) for name in _texts_at(schema, "$id")]
    return not differ or (not names and all(target.startswith("#/$defs/") for target in references))


def _texts_at(schema: Json, *names: str) -> Iterator[str]:
    """Yield the texts under these names, at any depth."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in names and isinstance(value, str):
                yield value
            yield from _texts_at(value, *names)
    elif isinstance(schema, list):
        for item in schema:
            yield from _texts_at(item, *names)


def _compare(old: Json, new: Json, pointer: str) -> Iterator[Finding]:
    if canonical(_plain(old)) == canonical(_plain(new)):
        return
    if old is False:
        yield Finding(pointer, "loosened", "nothing was accepted here")
    elif new is False:
        yield Finding(pointer, "tightened", "nothing is accepted here any more")
    else:
        before = cast("JsonObject", _plain(old) if isinstance(old, dict) else {})
        after = cast("JsonObject", _plain(new) if isinstance(new, dict) else {})
        unclear = _unclear_keyword(before, after)
        if unclear is not None:
            yield Finding(join(pointer, unclear), "unknown", f"'{unclear}' and what stands beside it differ")
            return
        for compare in _COMPARISONS:
            yield from compare(before, after, pointer)


def _plain(schema: Json) -> Json:
    """Return a schema without annotations; `true` is the empty schema."""
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        return schema
    return {
        name: value
        for name, value in schema.items()
        if name not in _SILENT and not (name == "format" and value not in formats.CHECKS)
    }


def _unclear_keyword(old: JsonObject, new: JsonObject) -> str | None:
    """Return a keyword whose meaning depends on its neighbours, or that is unknown."""
    for name in ("unevaluatedProperties", "unevaluatedItems"):
        if name in old or name in new:
            return name
    for name in ("patternProperties", "prefixItems"):
        if canonical(old.get(name)) != canonical(new.get(name)):
            return name
    if "patternProperties" in old and _names(old) != _names(new):
        return "patternProperties"
    known = _COMPARED | {"patternProperties", "prefixItems"}
    others = (name for name in (*old, *new) if name not in known)
    return next((name for name in others if canonical(old.get(name)) != canonical(new.get(name))), None)


def _names(schema: JsonObject) -> frozenset[str]:
    return frozenset(_properties(schema))


def _properties(schema: JsonObject) -> JsonObject:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _types(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    yield from _sets(_kinds(old), _kinds(new), f"{pointer}/type", "the type")


def _kinds(schema: JsonObject) -> frozenset[str]:
    given = schema.get("type", list[Json](_KINDS))
    names = {str(name) for name in (given if isinstance(given, list) else [given])}
    return frozenset(names - {"number"} | ({"integer", "fraction"} if "number" in names else set()))


def _values(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    before, after = _allowed(old), _allowed(new)
    place = join(pointer, "enum" if "enum" in {*old, *new} else "const")
    if before is None and after is not None:
        yield Finding(place, "tightened", "only the values listed are accepted")
    elif before is not None and after is None:
        yield Finding(place, "loosened", "other values than those listed are accepted")
    elif before is not None and after is not None:
        yield from _sets(before, after, place, "the list of values")


def _allowed(schema: JsonObject) -> frozenset[str] | None:
    """Return the values of `enum` and `const`, as text; None where any is accepted."""
    lists: list[frozenset[str]] = []
    if isinstance(listed := schema.get("enum"), list):
        lists.append(frozenset(canonical(formats.numbers_alike(value)) for value in listed))
    if "const" in schema:
        lists.append(frozenset({canonical(formats.numbers_alike(schema["const"]))}))
    return reduce(lambda one, other: one & other, lists) if lists else None


def _sets(old: frozenset[str], new: frozenset[str], pointer: str, what: str) -> Iterator[Finding]:
    if old == new:
        return
    effect: Effect = "loosened" if old < new else "tightened" if new < old else "mixed"
    words = [f"accepts {_listed(new - old)}" if new - old else "", f"refuses {_listed(old - new)}" if old - new else ""]
    yield Finding(pointer, effect, f"{what} now {' and '.join(word for word in words if word)}")


def _listed(values: frozenset[str]) -> str:
    names = [name.strip('"').replace("fraction", "decimals") for name in sorted(values)]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _required(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    before, after = (frozenset(cast("list[str]", schema.get("required", []))) for schema in (old, new))
    for name in sorted(after - before):
        yield Finding(f"{pointer}/required", "tightened", f"'{name}' is required now")
    for name in sorted(before - after):
        yield Finding(f"{pointer}/required", "loosened", f"'{name}' is not required any more")


def _members(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    before, after = _properties(old), _properties(new)
    rest_before, rest_after = (schema.get("additionalProperties", True) for schema in (old, new))
    for name in dict.fromkeys((*before, *after)):
        # A name that only one contract lists is an additional property of the other.
        place = join(pointer, "properties", name)
        changes = _compare(before.get(name, rest_before), after.get(name, rest_after), place)
        if name in before and name in after:
            yield from changes
        else:
            word = "added" if name in after else "removed"
            for finding in changes:
                yield Finding(finding.pointer, finding.effect, f"property '{name}' is {word}: {finding.message}")
    yield from _compare(rest_before, rest_after, f"{pointer}/additionalProperties")


def _items(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    yield from _compare(old.get("items", True), new.get("items", True), f"{pointer}/items")


def _numbers(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    yield from _limit(_lowest(old), _lowest(new), f"{pointer}/minimum", "the smallest number")
    yield from _limit(_highest(old), _highest(new), f"{pointer}/maximum", "the largest number")


def _lowest(schema: JsonObject) -> tuple[float, float]:
    """Return the lower bound (higher is stricter), and whether it is exclusive."""
    bounds = [(cast("float", schema[name]), part) for name, part in _LOWER.items() if name in schema]
    return max(bounds, default=_NO_LIMIT)


def _highest(schema: JsonObject) -> tuple[float, float]:
    """Return the upper bound, negated so that higher is stricter, and whether it is exclusive."""
    bounds = [(-cast("float", schema[name]), part) for name, part in _UPPER.items() if name in schema]
    return max(bounds, default=_NO_LIMIT)


_LOWER = {"minimum": 0, "exclusiveMinimum": 1}
_UPPER = {"maximum": 0, "exclusiveMaximum": 1}
_NO_LIMIT = (float("-inf"), 0)


def _sizes(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    for name in _LEAST:
        before, after = (cast("float", schema.get(name, 0)) for schema in (old, new))
        yield from _limit((before, 0), (after, 0), join(pointer, name), f"'{name}'")
    for name in _MOST:
        before, after = (-cast("float", schema.get(name, float("inf"))) for schema in (old, new))
        yield from _limit((before, 0), (after, 0), join(pointer, name), f"'{name}'")


def _limit(old: tuple[float, float], new: tuple[float, float], pointer: str, what: str) -> Iterator[Finding]:
    if new > old:
        yield Finding(pointer, "tightened", f"{what} is limited more")
    elif new < old:
        yield Finding(pointer, "loosened", f"{what} is limited less")


def _unique(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    before, after = (schema.get("uniqueItems") is True for schema in (old, new))
    yield from _limit((before, 0), (after, 0), f"{pointer}/uniqueItems", "how often an item may be there")


def _multiple(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    before, after = old.get("multipleOf"), new.get("multipleOf")
    effect = _added_or_removed(before, after)
    if effect == "unknown" and isinstance(before, int) and isinstance(after, int):
        effect = "tightened" if after % before == 0 else "loosened" if before % after == 0 else "mixed"
    if effect is not None:
        yield Finding(f"{pointer}/multipleOf", effect, "the step between numbers is another")


def _formats(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    effect = _added_or_removed(old.get("format"), new.get("format"))
    if effect is not None:
        yield Finding(f"{pointer}/format", effect, "the format is another")


def _opaque(old: JsonObject, new: JsonObject, pointer: str) -> Iterator[Finding]:
    for group in _OPAQUE:
        before, after = ({name: schema[name] for name in group if name in schema} or None for schema in (old, new))
        effect = _added_or_removed(before, after)
        if effect is not None:
            name = next(iter(before or after or {}))
            yield Finding(join(pointer, name), effect, f"'{name}' is {_VERBS[effect]}")


_VERBS: Mapping[Effect, str] = {"tightened": "added", "loosened": "removed", "unknown": "another", "mixed": "another"}


def _added_or_removed(old: Json, new: Json) -> Effect | None:
    """Return the direction of adding, removing or changing one restriction; None where it is unchanged."""
    if canonical(old) == canonical(new):
        return None
    if old is None:
        return "tightened"
    return "loosened" if new is None else "unknown"


_COMPARISONS: tuple[Callable[[JsonObject, JsonObject, str], Iterator[Finding]], ...] = (
    _types,
    _values,
    _required,
    _members,
    _items,
    _numbers,
    _sizes,
    _unique,
    _multiple,
    _formats,
    _opaque,
)
