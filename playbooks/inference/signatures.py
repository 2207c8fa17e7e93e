"""Signatures of the operators and functions of the expression language, by kinds of values.

Source: the standard definitions of the CEL specification, as the engine has them. A function that is not in the table
may take and give anything.
"""

from __future__ import annotations

from playbooks.inference.value_types import ALL_KINDS, NUMBERS, Kind, kinds

SYMBOLS: dict[str, str] = {
    "_+_": "+",
    "_-_": "-",
    "_*_": "*",
    "_/_": "/",
    "_%_": "%",
    "_<_": "<",
    "_<=_": "<=",
    "_>_": ">",
    "_>=_": ">=",
    "_==_": "==",
    "_!=_": "!=",
    "_&&_": "&&",
    "_||_": "||",
    "!_": "!",
    "-_": "-",
    "@in": "in",
    "_?_:_": "?",
}
"""Operators as their author writes them."""

_SAME: tuple[Kind, ...] = ("int", "uint", "double")


def _alike(*kinds: Kind) -> tuple[tuple[Kind, Kind, Kind], ...]:
    return tuple((kind, kind, kind) for kind in kinds)


ARITHMETIC: dict[str, tuple[tuple[Kind, Kind, Kind], ...]] = {
    "_+_": (
        *_alike(*_SAME, "string", "bytes", "list", "duration"),
        ("timestamp", "duration", "timestamp"),
        ("duration", "timestamp", "timestamp"),
    ),
    "_-_": (
        *_alike(*_SAME, "duration"),
        ("timestamp", "timestamp", "duration"),
        ("timestamp", "duration", "timestamp"),
    ),
    "_*_": _alike(*_SAME),
    "_/_": _alike(*_SAME),
    "_%_": _alike("int", "uint"),
}
"""Operator -> (left, right, result)."""

ORDERED: frozenset[Kind] = kinds("bool", "string", "bytes", "timestamp", "duration")
"""Kinds with an order among themselves; numbers have one among each other."""

COMPARISONS = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in")

_TEXT: frozenset[Kind] = kinds("string")
_INSTANT: frozenset[Kind] = kinds("timestamp", "duration")
_SCALARS: frozenset[Kind] = kinds("bool", "string", "bytes", "timestamp", "duration") | NUMBERS

FUNCTIONS: dict[str, tuple[tuple[frozenset[Kind], ...], Kind]] = {
    "size": ((kinds("string", "bytes", "list", "map"),), "int"),
    "contains": ((_TEXT, _TEXT), "bool"),
    "startsWith": ((_TEXT, _TEXT), "bool"),
    "endsWith": ((_TEXT, _TEXT), "bool"),
    "matches": ((_TEXT, _TEXT), "bool"),
    "int": ((NUMBERS | _TEXT | kinds("timestamp"),), "int"),
    "uint": ((NUMBERS | _TEXT,), "uint"),
    "double": ((NUMBERS | _TEXT,), "double"),
    "string": ((_SCALARS,), "string"),
    "bool": ((_TEXT | kinds("bool"),), "bool"),
    "bytes": ((_TEXT | kinds("bytes"),), "bytes"),
    "timestamp": ((_TEXT | kinds("timestamp", "int"),), "timestamp"),
    "duration": ((_TEXT | kinds("duration", "int"),), "duration"),
    "type": ((ALL_KINDS,), "type"),
    "-_": ((kinds("int", "double", "duration"),), _SAME[0]),
    **dict.fromkeys(("getHours", "getMinutes", "getSeconds", "getMilliseconds"), ((_INSTANT,), "int")),
    **{
        name: ((kinds("timestamp"),), "int")
        for name in ("getFullYear", "getMonth", "getDayOfMonth", "getDate", "getDayOfWeek", "getDayOfYear")
    },
}
"""Function or method -> (kinds of each argument, kind of the result). A method's first argument is its target."""
