"""Validation of contracts at publication and of values at run time: JSON Schema 2020-12.

Users write contracts, so nothing in them is trusted: nothing is fetched, no pattern can hang, the work for one value is
bounded, and no message repeats a value (it may be secret). The only module that imports the pattern engine and, beside
`metaschema`, the schema library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Protocol, cast

import re2  # pyright: ignore[reportMissingTypeStubs] - has none
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError as SchemaMismatch
from jsonschema.protocols import Validator
from jsonschema.validators import extend  # pyright: ignore[reportUnknownVariableType] - untyped upstream
from referencing import Registry
from referencing.exceptions import Unresolvable

from playbooks.common.errors import Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join
from playbooks.common.json_values import canonical, check_value
from playbooks.common.values import Json
from playbooks.contracts import formats, metaschema
from playbooks.contracts import schema as contract_schema

__all__ = ["check_schema", "check_value", "sensitive_pointers", "validate", "violations"]

MAX_SCHEMA_BYTES = 256 * 1024
MAX_PATTERN_CHARACTERS = 1_000
MAX_PROBLEMS = 50
MAX_REFERENCES = 10_000
"""Maximum number of `$ref`s that one validation follows; it stops schemas whose references multiply."""

_DIALECTS = ("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#")
_references_left: ContextVar[int] = ContextVar("references_left", default=MAX_REFERENCES)
MAX_NESTED_REFERENCES = 64
"""Maximum depth of `$ref`s: a recursive schema must not exhaust the stack, because the library's native part then
panics with something that is no Exception."""
_nested: ContextVar[int] = ContextVar("nested", default=0)

_CODES: dict[str, str] = {
    "type": "WRONG_TYPE",
    "required": "REQUIRED",
    "dependentRequired": "REQUIRED",
    "additionalProperties": "UNKNOWN_FIELD",
    "unevaluatedProperties": "UNKNOWN_FIELD",
    "enum": "NOT_ALLOWED",
    "const": "NOT_ALLOWED",
    "pattern": "PATTERN",
    "format": "FORMAT",
    "minimum": "OUT_OF_RANGE",
    "maximum": "OUT_OF_RANGE",
    "exclusiveMinimum": "OUT_OF_RANGE",
    "exclusiveMaximum": "OUT_OF_RANGE",
    "multipleOf": "OUT_OF_RANGE",
    "minLength": "LENGTH",
    "maxLength": "LENGTH",
    "minItems": "LENGTH",
    "maxItems": "LENGTH",
    "minProperties": "LENGTH",
    "maxProperties": "LENGTH",
    "uniqueItems": "NOT_UNIQUE",
}

_MESSAGES: dict[str, str] = {
    "type": "has to be of type {}",
    "enum": "has to be one of {}",
    "const": "has to be {}",
    "pattern": "does not match the pattern {}",
    "format": "is not a valid {}",
    "minimum": "has to be at least {}",
    "maximum": "has to be at most {}",
    "exclusiveMinimum": "has to be more than {}",
    "exclusiveMaximum": "has to be less than {}",
    "multipleOf": "has to be a multiple of {}",
    "minLength": "has to have at least {} characters",
    "maxLength": "has to have at most {} characters",
    "minItems": "has to have at least {} items",
    "maxItems": "has to have at most {} items",
    "minProperties": "has to have at least {} fields",
    "maxProperties": "has to have at most {} fields",
    "dependentRequired": "needs other fields beside it: {}",
    "uniqueItems": "has the same item more than once",
}


class _TooManyReferencesError(Exception):
    pass


class _PatternError(Exception):
    """RE2 does not support the pattern."""


class _Pattern(Protocol):
    def search(self, text: str) -> object: ...


def check_schema(schema: Json, pointer: str = "") -> tuple[Problem, ...]:
    """Return the problems of a contract: not JSON Schema 2020-12, remote or dangling references, unsupported patterns,
    `x-sensitive` that is not a boolean, too large. Never raises."""
    if not isinstance(schema, dict):
        return (problem(pointer, "INVALID_SCHEMA", "a contract is a JSON Schema object"),)
    poison = check_value(schema, pointer)
    if poison:
        return poison
    if len(canonical(schema)) > MAX_SCHEMA_BYTES:
        return (problem(pointer, "TOO_LARGE", f"a contract has at most {MAX_SCHEMA_BYTES} bytes"),)
    if schema.get("$schema", _DIALECTS[0]) not in _DIALECTS:
        return (problem(join(pointer, "$schema"), "NOT_SUPPORTED", "only JSON Schema draft 2020-12 is supported"),)
    try:
        fault = metaschema.mismatch(schema)
    except (RecursionError, OverflowError, ValueError):
        return (problem(pointer, "INVALID_SCHEMA", "the contract cannot be read"),)
    if fault is not None:
        place = join(pointer, *(str(part) for part in fault.absolute_path))
        return (problem(place, "INVALID_SCHEMA", f"not valid JSON Schema: {fault.message[:200]}"),)
    return tuple(contract_schema.problems(schema, pointer, _pattern_problem))


def validate(schema: Json, value: Json, *, pointer: str = "") -> tuple[Problem, ...]:
    """Return the problems of a value under a contract; () where it fits. Pointers begin with `pointer`. Never raises.

    At most `MAX_PROBLEMS` are returned. The pointer of a missing field is where it should be. Messages name limits
    and patterns of the contract, never the value.
    """
    return check_value(value, pointer) or violations(schema, value, pointer=pointer)


def violations(schema: Json, value: Json, *, pointer: str = "") -> tuple[Problem, ...]:
    """`validate` for a value that has passed `check_value` already."""
    token = _references_left.set(MAX_REFERENCES)
    nested = _nested.set(0)
    try:
        found: dict[tuple[str, str], Problem] = {}
        for mismatch in _validator(canonical(schema)).iter_errors(value):
            for item in _problems(mismatch, pointer):
                found.setdefault((item.pointer, item.code), item)
            if len(found) >= MAX_PROBLEMS:
                break
        return tuple(found.values())
    except Unresolvable:
        return (problem(pointer, "INVALID_SCHEMA", "the contract refers to something that is not in it"),)
    # A schema may recurse without end or overflow a division. A value that cannot be validated is invalid.
    except (_TooManyReferencesError, _PatternError, RecursionError, OverflowError, ValueError, TypeError):
        return (problem(pointer, "CANNOT_CHECK", "the contract cannot be applied to this value"),)
    finally:
        _references_left.reset(token)
        _nested.reset(nested)


def sensitive_pointers(schema: Json) -> tuple[str, ...]:
    """Return the sorted JSON Pointers (`*` for any item or member) that a contract marks with `x-sensitive: true`."""
    return contract_schema.sensitive_pointers(schema)


def _problems(mismatch: SchemaMismatch, pointer: str) -> Iterator[Problem]:
    keyword = str(mismatch.validator)
    if keyword in ("allOf", "anyOf", "oneOf") and mismatch.context:
        yield from _from_branches(mismatch, pointer)
        return
    place = join(pointer, *(str(part) for part in mismatch.absolute_path))
    expected = cast("Json", mismatch.validator_value)
    instance = cast("Json", mismatch.instance)
    if keyword == "required" and isinstance(instance, dict) and isinstance(expected, list):
        for name in expected:
            if isinstance(name, str) and name not in instance:
                yield problem(join(place, name), "REQUIRED", f"the field '{name}' is missing")
    elif keyword == "additionalProperties" and isinstance(instance, dict):
        yield from _unknown_fields(mismatch, instance, place)
    else:
        template = _MESSAGES.get(keyword)
        text = template.format(_limit(expected)) if template else f"does not satisfy '{keyword}' of the contract"
        yield problem(place, _CODES.get(keyword, "INVALID_VALUE"), text)


def _from_branches(mismatch: SchemaMismatch, pointer: str) -> Iterator[Problem]:
    """Report the problems of the best branch, where only one can be meant; else that no branch fits."""
    branches = mismatch.context or []
    deeper = [item for item in branches if len(item.absolute_path) > len(mismatch.absolute_path)]
    indexes = {item.schema_path[0] for item in deeper}
    if len(indexes) == 1:
        for item in deeper:
            yield from _problems(item, pointer)
        return
    place = join(pointer, *(str(part) for part in mismatch.absolute_path))
    yield problem(place, "INVALID_VALUE", f"does not fit the contract's '{mismatch.validator}'")


def _unknown_fields(mismatch: SchemaMismatch, instance: Mapping[str, Json], place: str) -> Iterator[Problem]:
    schema = cast("Mapping[str, Any]", mismatch.schema)
    known = list(cast("Mapping[str, Json]", schema.get("properties", {})))
    for name in _extra_names(instance, schema):
        close = get_close_matches(name, known, 1)
        suggestion = f"did you mean '{close[0]}'?" if close else None
        yield problem(join(place, name), "UNKNOWN_FIELD", f"there is no field '{name[:100]}'", suggestion)


def _limit(value: Json) -> str:
    if isinstance(value, list):
        text = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 300 else f"{text[:300]}..."


@lru_cache(maxsize=512)
def _validator(schema_text: str) -> Validator:
    # An empty registry: references out of the schema cannot be resolved.
    return _validator_class()(json.loads(schema_text), registry=Registry(), format_checker=_format_checker())


@cache
def _validator_class() -> type[Validator]:
    overrides = {
        "$ref": _ref,
        "$dynamicRef": _ref,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": metaschema.unique_items,
    }
    return cast("type[Validator]", extend(Draft202012Validator, overrides))


@cache
def _format_checker() -> FormatChecker:
    """Build a checker of exactly our formats (the library's own depend on installed packages)."""
    found = FormatChecker(formats=())
    for name, test in formats.CHECKS.items():
        found.checks(name, raises=ValueError)(test)
    return found


@lru_cache(maxsize=2_048)
def _compiled(pattern: str) -> _Pattern:
    library = cast("Any", re2)
    options = library.Options()
    options.log_errors = False
    try:
        return cast("_Pattern", library.compile(pattern, options))
    except library.error:
        raise _PatternError from None


def _pattern_problem(pattern: str) -> str | None:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return f"a pattern has at most {MAX_PATTERN_CHARACTERS} characters"
    try:
        _compiled(pattern)
    except _PatternError:
        return "the pattern is not supported (RE2 syntax: no look-around, no back-references)"
    return None


def _ref(validator: Any, reference: str, instance: Any, _schema: Any) -> Iterator[SchemaMismatch]:
    left = _references_left.get() - 1
    _references_left.set(left)
    depth = _nested.get()
    if left < 0 or depth >= MAX_NESTED_REFERENCES:
        raise _TooManyReferencesError
    _nested.set(depth + 1)
    try:
        yield from validator._validate_reference(ref=reference, instance=instance)
    finally:
        _nested.set(depth)


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[SchemaMismatch]:
    if validator.is_type(instance, "string") and not _compiled(pattern).search(instance):
        yield SchemaMismatch("does not match")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[SchemaMismatch]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        for name, item in instance.items():
            if _compiled(pattern).search(name):
                yield from validator.descend(item, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, additional: Any, instance: Any, schema: Any) -> Iterator[SchemaMismatch]:
    if not validator.is_type(instance, "object"):
        return
    extra = _extra_names(instance, schema)
    if additional is False and extra:
        yield SchemaMismatch("unknown fields")
    elif isinstance(additional, dict):
        for name in extra:
            yield from validator.descend(instance[name], additional, path=name)


def _extra_names(instance: Mapping[str, Json], schema: Mapping[str, Any]) -> list[str]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    patterns = [_compiled(pattern) for pattern in schema.get("patternProperties", {})]
    names = (name for name in instance if name not in properties)
    return [name for name in names if not any(pattern.search(name) for pattern in patterns)]
