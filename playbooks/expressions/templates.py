"""Templates in a mapping's texts: expressions in `${...}`, with `$${` for a literal `${`.

A `}` inside a quoted string, or one that closes an inner `{`, does not end an expression.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from playbooks.common.json_pointer import join
from playbooks.common.values import Json, Path

MAX_TEMPLATE_DEPTH = 32

_PATH = re.compile(r"""[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[(?:'[^'\\]*'|"[^"\\]*")\])*""", re.ASCII)
_SEGMENT = re.compile(r"""\.?([A-Za-z_]\w*)|\['([^']*)'\]|\["([^"]*)"\]""", re.ASCII)


class TemplateError(ValueError):
    """A text with a `${` that is not closed."""


@dataclass(frozen=True, slots=True)
class Expression:
    """The text between `${` and `}`, stripped."""

    text: str


def split(text: str) -> tuple[str | Expression, ...]:
    """Split a text into literal texts and expressions, in order. TemplateError where a `${` is not closed."""
    parts: list[str | Expression] = []
    literal = ""
    at = 0
    while at < len(text):
        if text.startswith("$${", at):
            literal, at = literal + "${", at + 3
        elif text.startswith("${", at):
            end = _closing(text, at + 2)
            if literal:
                parts.append(literal)
                literal = ""
            parts.append(Expression(text[at + 2 : end].strip()))
            at = end + 1
        else:
            following = text.find("$", at + 1)
            following = len(text) if following < 0 else following
            literal, at = literal + text[at:following], following
    if literal or not parts:
        parts.append(literal)
    return tuple(parts)


def whole(text: str) -> str | None:
    """Return the expression of a text that is exactly one `${...}`, else None."""
    if not text.startswith("${"):
        return None
    parts = split(text)
    first = parts[0]
    return first.text if len(parts) == 1 and isinstance(first, Expression) else None


def bare_path(expression: str) -> Path | None:
    """Return the path of an expression that is only a path (`input.a`, `steps['a'].output`), else None."""
    expression = expression.strip()
    if not _PATH.fullmatch(expression):
        return None
    return tuple(next(group for group in match if group is not None) for match in _segments(expression))


def texts(mapping: Json, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in a mapping with its JSON Pointer."""
    if isinstance(mapping, str):
        yield pointer, mapping
    elif isinstance(mapping, list):
        for index, item in enumerate(mapping):
            yield from texts(item, join(pointer, str(index)))
    elif isinstance(mapping, dict):
        for name, item in mapping.items():
            yield from texts(item, join(pointer, name))


def _segments(expression: str) -> Iterator[tuple[str | None, ...]]:
    for match in _SEGMENT.finditer(expression):
        yield match.groups()


def _closing(text: str, at: int) -> int:
    depth = 0
    quote = ""
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    raise TemplateError("a '${' is not closed with '}'")


def as_text(value: Json) -> str:
    """Return a value that is not text as it appears within a text: compact JSON with sorted names."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def is_too_deep(mapping: Json) -> bool:
    """Return True where a mapping is nested deeper than allowed (iterative: no depth can exhaust the stack)."""
    level = [mapping]
    for _ in range(MAX_TEMPLATE_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
