"""JSON Pointers (RFC 6901), with `*` for any item of a list or any member of an object. Values are not mutated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from playbooks.common.values import Json

ANY = "*"


def escape(segment: str) -> str:
    """Escape one segment."""
    return segment.replace("~", "~0").replace("/", "~1")


def join(pointer: str, *segments: str) -> str:
    """Append these (unescaped) segments to `pointer`."""
    return pointer + "".join(f"/{escape(segment)}" for segment in segments)


def parts(pointer: str) -> tuple[str, ...]:
    """Return the unescaped segments of a pointer; () for the whole document."""
    if not pointer:
        return ()
    return tuple(segment.replace("~1", "/").replace("~0", "~") for segment in pointer.removeprefix("/").split("/"))


def from_parts(segments: Iterable[str]) -> str:
    """Build the pointer with these unescaped segments."""
    return join("", *segments)


def covers(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Return true if `path` is at or below a place that `pattern` (segments, `*` for any) names."""
    return len(pattern) <= len(path) and all(
        want in (ANY, have) for want, have in zip(pattern, path[: len(pattern)], strict=True)
    )


def transform_at(value: Json, pointers: Iterable[str], function: Callable[[Json], Json]) -> Json:
    """Return `value` with `function` applied once at each of the pointers; missing places are skipped.

    Where one pointer lies below another, only the upper one is applied.
    """
    return _apply(value, [parts(pointer) for pointer in pointers], function)


def pick(value: Json, pointer: str, default: Json = None) -> Json:
    """Return the value at a pointer without `*`, or `default`."""
    for segment in parts(pointer):
        if isinstance(value, dict) and segment in value:
            value = value[segment]
        elif isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
            value = value[int(segment)]
        else:
            return default
    return value


def find(value: Json, pattern: str) -> Iterator[tuple[str, Json]]:
    """Return each value that matches a pattern (a pointer, `*` for any), with its own pointer."""
    return _find(value, "", parts(pattern))


def without(value: Json, pointers: Iterable[str]) -> Json:
    """Return `value` without the members and items at the pointers; None where nothing is left."""
    return _remove(value, [parts(pointer) for pointer in pointers])


def _apply(value: Json, paths: list[tuple[str, ...]], function: Callable[[Json], Json]) -> Json:
    if not paths:
        return value
    if any(not path for path in paths):
        return function(value)
    if isinstance(value, dict):
        return {name: _apply(item, _below(paths, name), function) for name, item in value.items()}
    if isinstance(value, list):
        return [_apply(item, _below(paths, str(index)), function) for index, item in enumerate(value)]
    return value


def _find(value: Json, place: str, rest: tuple[str, ...]) -> Iterator[tuple[str, Json]]:
    if not rest:
        yield place, value
    elif isinstance(value, dict):
        for name in value if rest[0] == ANY else [rest[0]]:
            if name in value:
                yield from _find(value[name], join(place, name), rest[1:])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if rest[0] in (ANY, str(index)):
                yield from _find(item, join(place, str(index)), rest[1:])


def _remove(value: Json, paths: list[tuple[str, ...]]) -> Json:
    if not paths:
        return value
    if any(not path for path in paths):
        return None
    if isinstance(value, dict):
        below = {name: _below(paths, name) for name in value}
        return {name: _remove(item, below[name]) for name, item in value.items() if () not in below[name]}
    if isinstance(value, list):
        inner = [(item, _below(paths, str(index))) for index, item in enumerate(value)]
        return [_remove(item, rest) for item, rest in inner if () not in rest]
    return value


def _below(paths: list[tuple[str, ...]], name: str) -> list[tuple[str, ...]]:
    return [path[1:] for path in paths if path[0] in (name, ANY)]
