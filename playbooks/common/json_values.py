"""Limits of JSON values: no NUL, no lone surrogates, finite numbers, bounded depth and size.

Other values would break PostgreSQL's jsonb, a history, or the expression engine later (one whole number of more than
64 bits makes every expression over its neighbours fail), so they are refused at the border.
"""

from __future__ import annotations

import json
import math
import re

from playbooks.common.errors import Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join
from playbooks.common.values import Json

MAX_DEPTH = 64
MAX_TEXT_BYTES = 1024 * 1024
MAX_ITEMS = 200_000
MAX_POISON_PROBLEMS = 20

_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def check_value(value: Json, pointer: str = "") -> tuple[Problem, ...]:
    """Return why a value cannot be stored: codes INVALID_TEXT, INVALID_NUMBER, TOO_DEEP, TOO_LARGE; () if it can.

    Accepts anything that a JSON parser can return, of any depth; stops at the first few problems.
    """
    problems: list[Problem] = []
    stack: list[tuple[str, Json, int]] = [(pointer, value, 1)]
    items = 0
    while stack and len(problems) < MAX_POISON_PROBLEMS:
        place, item, depth = stack.pop()
        items += 1
        if items > MAX_ITEMS:
            return (problem(pointer, "TOO_LARGE", f"more than {MAX_ITEMS} values"),)
        if depth > MAX_DEPTH:
            return (problem(pointer, "TOO_DEEP", f"nested deeper than {MAX_DEPTH} levels"),)
        if isinstance(item, dict):
            for name, child in reversed(item.items()):
                if _BAD_TEXT.search(name):
                    problems.append(_bad_text(place, "a field's name"))
                stack.append((join(place, name), child, depth + 1))
        elif isinstance(item, list):
            for index in range(len(item) - 1, -1, -1):
                stack.append((f"{place}/{index}", item[index], depth + 1))
        else:
            found = _scalar_problem(item, place)
            if found is not None:
                problems.append(found)
    return tuple(problems)


def canonical(value: Json) -> str:
    """Serialize with sorted names and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _scalar_problem(value: str | float | bool | None, place: str) -> Problem | None:
    if isinstance(value, str):
        if _BAD_TEXT.search(value):
            return _bad_text(place, "the text")
        # A character takes four bytes at most, so most texts need no encoding here.
        if len(value) * 4 > MAX_TEXT_BYTES and len(value.encode()) > MAX_TEXT_BYTES:
            return problem(place, "TOO_LARGE", f"a text has at most {MAX_TEXT_BYTES} bytes")
    elif isinstance(value, float):
        if not math.isfinite(value):
            return problem(place, "INVALID_NUMBER", "a number has to be finite")
    elif isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return problem(place, "INVALID_NUMBER", "a whole number has at most 64 bits")
    return None


def _bad_text(place: str, what: str) -> Problem:
    clean = _BAD_TEXT.sub("\N{REPLACEMENT CHARACTER}", place)
    return problem(clean, "INVALID_TEXT", f"{what} has a NUL character or half of a surrogate pair")
