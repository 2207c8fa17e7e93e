"""Generates a text that a regular expression of a contract matches, from the syntax tree of Python's own parser.

RE2 syntax that Python reads otherwise is translated first. The caller validates the text, so a construct that is not
known only means that no text could be generated.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from importlib import import_module
from typing import Any

MAX_TEXT = 10_000
_MAX_RANGE = 200
_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_PREFERRED = _LOWER + _DIGITS + _UPPER + "_-. ,:;/@#+*!?()[]{}&%$'\"~|<>=^`\\"
_CATEGORIES = {"DIGIT": _DIGITS, "WORD": _LOWER + _DIGITS + "_" + _UPPER, "SPACE": " \t"}
_NAMED = {
    **{"alpha": _LOWER, "lower": _LOWER, "upper": _UPPER, "digit": _DIGITS, "alnum": _LOWER + _DIGITS},
    **{"xdigit": string.hexdigits, "L": _LOWER, "Ll": _LOWER, "Lu": _UPPER, "N": _DIGITS, "Nd": _DIGITS},
}
_SPELLINGS = {"{,": r"\{,", r"\z": r"\Z"}
_ESCAPE = r"\\(?:(?P<not>[pP])(?:\{(?P<name>\w+)\}|(?P<letter>\w))|.)"
_RE2_SYNTAX = re.compile(
    _ESCAPE
    + r"|(?P<set>\[\^?\]?(?:\\.|\[:\w+:\]|[^]\\])*\])|\{,"
    + r"|(?P<group>\((?:\?P?<\w+>|\?[imsU-]*:))|(?P<flags>\(\?[imsU-]+\))",
    re.DOTALL,
)
_IN_SET = re.compile(_ESCAPE + r"|\[:(?P<posix>\w+):\]|(?<=-)-|[\[&~|]", re.DOTALL)


class UnreadablePatternError(ValueError):
    """No text is known for a construct of the pattern."""


def matching(pattern: str, *, grow: int = 0, variant: int = 0) -> str:
    """Generate a short text for `pattern`: the first alternative, minimal counts, the first character of a class.

    `grow` is added to every repetition that allows it; `variant` selects another character of each class.
    Raises UnreadablePatternError.
    """
    try:
        tree = import_module("re._parser").parse(_RE2_SYNTAX.sub(_in_python, pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise UnreadablePatternError(str(error)) from None
    return _text(tree, grow, variant)


def _in_python(found: re.Match[str]) -> str:
    """Translate one construct of RE2. Flags are dropped: validation shows whether the text matches under them."""
    if found["set"]:
        return "[" + _IN_SET.sub(_in_python_set, found["set"][1:])
    if found["not"]:
        return f"[{_in_python_set(found)}]"
    if found["group"]:
        return "("
    return "" if found["flags"] else _SPELLINGS.get(found[0], found[0])


def _in_python_set(found: re.Match[str]) -> str:
    named = found.groupdict()
    name = named.get("posix") or named["name"] or named["letter"]
    if name is None:
        return found[0] if found[0].startswith("\\") else f"\\{found[0]}"
    if name not in _NAMED:
        raise UnreadablePatternError(found[0])
    return re.escape(_without(_NAMED[name]) if named["not"] == "P" else _NAMED[name])


def _text(tree: Iterable[tuple[Any, Any]], grow: int, variant: int) -> str:
    made = ""
    for operation, value in tree:
        match str(operation):
            case "AT":
                continue
            case "SUBPATTERN":
                part, count = _text(value[3], grow, variant), 1
            case "BRANCH":
                part, count = _text(value[1][0], grow, variant), 1
            case "MAX_REPEAT" | "MIN_REPEAT":
                part, count = _text(value[2], grow, variant), min(value[0] + grow, int(value[1]))
            case "IN":
                part, count = _one_of(_characters(value), variant), 1
            case _:
                part, count = _one_of(_characters([(operation, value)]), variant), 1
        if len(made) + count * len(part) > MAX_TEXT:
            raise UnreadablePatternError("the text would be too long")
        made += part * count
    return made


def _characters(members: list[tuple[Any, Any]]) -> str:
    """Return characters that a set allows, the simplest first."""
    chars = ""
    for operation, value in members:
        match str(operation).split("_") + str(value).split("_")[1:]:
            case ["LITERAL"]:
                chars += chr(value)
            case ["RANGE"]:
                chars += "".join(map(chr, range(value[0], min(value[1], value[0] + _MAX_RANGE) + 1)))
            case ["CATEGORY", name]:
                chars += _CATEGORIES[name]
            case ["CATEGORY", "NOT", name]:
                chars += _without(_CATEGORIES[name])
            case ["NOT", "LITERAL"]:
                chars += _without(chr(value))
            case ["ANY"]:
                chars += _PREFERRED
            case ["NEGATE"]:
                return _without(_characters(members[1:]))
            case _:
                raise UnreadablePatternError(str(operation))
    return chars


def _one_of(chars: str, variant: int) -> str:
    if not chars:
        raise UnreadablePatternError("[]")
    return chars[variant % len(chars)]


def _without(chars: str) -> str:
    return "".join(char for char in _PREFERRED if char not in chars)
