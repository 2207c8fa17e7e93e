"""Playbook files: their names and formats (JSON, YAML).

A file is read as exactly one value; duplicate names and numbers that JSON does not have are refused in both formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from cli.failures import UsageError
from playbooks.common.errors import InputError, MalformedRequestError, Problem, ValidationError
from playbooks.common.values import Json
from runtime.yaml_text import from_yaml

Format = Literal["json", "yaml"]
MAX_FILE_BYTES = 2_000_000
_FORMATS: dict[str, Format] = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
_ENDINGS = tuple(f".playbook{suffix}" for suffix in _FORMATS)


def format_of(path: Path) -> Format:
    """Return the format by the file's name. Raises UsageError."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path}: a playbook is a .json, .yaml or .yml file")
    return found


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the named files, and the playbook files in and below the named folders, each once. Raises UsageError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.name.lower().endswith(_ENDINGS) and each.is_file())
            if not inside:
                raise UsageError(f"{path}: no file here ends in {', '.join(_ENDINGS)}")
            found += inside
        else:
            format_of(path)
            found.append(path)
    if not found:
        raise UsageError("name a file or a folder")
    return list(dict.fromkeys(found))


def read_file(path: Path) -> Json:
    """Read the value in a file. Raises UsageError where it cannot be opened, InputError where it cannot be read."""
    format_ = format_of(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise MalformedRequestError(f"a file has at most {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedRequestError("the file is not UTF-8") from None
    return from_yaml(text) if format_ == "yaml" else _from_json(text)


def problems_of(error: InputError) -> tuple[Problem, ...]:
    """Return the problems of an error; one at the document's root where it has none."""
    return error.problems or (Problem(pointer="", code=error.code, message=error.detail),)


def _from_json(text: str) -> Json:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequestError(f"it is not JSON: {error.msg} ({place})") from None
    except (RecursionError, ValueError):
        raise MalformedRequestError("it is nested too deep, or holds a number that is too large") from None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        message = f"the name '{twice[:100]}' occurs twice in one object"
        raise ValidationError(message, (Problem(pointer="", code="DUPLICATE", message=message),))
    return made


def _refuse_constant(name: str) -> Json:
    raise MalformedRequestError(f"it is not JSON: {name} is not a number")
