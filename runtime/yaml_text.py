"""JSON values as YAML text, and back: the same after a round trip.

Owns which YAML is read: one document of mappings, lists and scalars that JSON has. Plain scalars are what JSON writes
(`true`, `5`, `2.5e3`, `null`, also `~` and nothing at all); everything else is text, so that `on`, `yes`, `2026-01-31`,
`010` and `1_000` stay what they look like. Anchors and aliases, tags, NaN, infinity and a name that stands twice are
refused. Must not know what a text describes. Invariant: nothing is constructed but JSON, and the work is bounded by
the text's length (without aliases nothing multiplies).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import yaml
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from playbooks.common.errors import MalformedRequestError, Problem, ValidationError
from playbooks.common.json_pointer import from_parts
from playbooks.common.values import Json

MEDIA_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MAX_DEPTH = 100
MAX_DIGITS = 20

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WIDTH = 120
_OTHER_NUMBER = re.compile(r"0o[0-7]+")
"""What newer YAML takes for a number, and we for text."""

# The C parser and writer where the library has them: many times faster, with the same events.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(slots=True)
class _Open:
    """A list or an object that is being read; `name` is the field whose value comes next."""

    value: list[Json] | dict[str, Json]
    name: str | None = None
    is_name_due: bool = False


def from_yaml(text: str) -> Json:
    """The value of a YAML text.

    Raises MalformedRequestError for what cannot be read, with line and column, and for YAML that JSON cannot say;
    ValidationError (DUPLICATE, with its pointer) for a name that stands twice.
    """
    try:
        return _build(_events(text))
    except MarkedYAMLError as error:
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        raise MalformedRequestError(f"it is not YAML: {problem}{_place(error.problem_mark)}") from None
    except yaml.YAMLError as error:
        raise MalformedRequestError(f"it is not YAML: {' '.join(str(error).split())[:300]}") from None
    except UnicodeError:
        raise MalformedRequestError("it is not YAML: it holds half of a surrogate pair") from None


def to_yaml(value: Json) -> str:
    """The YAML text of a JSON value, in blocks, in the order of its names."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, default_flow_style=False, width=_WIDTH)


def _events(text: str) -> Iterable[Event]:
    return cast("Any", yaml).parse(text, Loader=_LOADER)


def _build(events: Iterable[Event]) -> Json:
    stack: list[_Open] = [_Open([])]
    documents = 0
    for event in events:
        match event:
            case DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _refused("more than one document", event)
            case AliasEvent():
                raise _refused("aliases are not supported: write it out", event)
            case ScalarEvent() | MappingStartEvent() | SequenceStartEvent():
                _refuse_extras(event)
                _take(stack, event)
                if len(stack) > MAX_DEPTH:
                    raise _refused("it is nested too deep", event)
            case MappingEndEvent() | SequenceEndEvent():
                stack.pop()
                _done(stack)
            case _:
                continue
    read = cast("list[Json]", stack[0].value)
    return read[0] if read else None


def _take(stack: list[_Open], event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
    current = stack[-1]
    if isinstance(event, ScalarEvent):
        if current.is_name_due:
            _name(stack, event)
            return
        _put(current, _scalar(event))
        _done(stack)
        return
    if current.is_name_due:
        raise _refused("the name of a field has to be text", event)
    inner = _Open({}, is_name_due=True) if isinstance(event, MappingStartEvent) else _Open([])
    _put(current, inner.value)
    stack.append(inner)


def _put(current: _Open, value: Json) -> None:
    if isinstance(current.value, list):
        current.value.append(value)
    else:
        current.value[cast("str", current.name)] = value


def _done(stack: list[_Open]) -> None:
    """A value is complete: in an object the next thing is a name."""
    stack[-1].is_name_due = isinstance(stack[-1].value, dict)


def _name(stack: list[_Open], event: ScalarEvent) -> None:
    """A name is taken as it is written: names of JSON are always text."""
    current, name = stack[-1], event.value
    if name == "<<" and event.implicit[0]:
        raise _refused("merge keys are not supported: write it out", event)
    if name in current.value:
        message = f"the name '{name[:100]}' stands twice{_place(event.start_mark)}"
        raise ValidationError(message, (Problem(pointer=_pointer(stack, name), code="DUPLICATE", message=message),))
    current.name, current.is_name_due = name, False


def _pointer(stack: list[_Open], name: str) -> str:
    segments: list[str] = []
    for outer in stack[1:-1]:
        segments.append(str(len(outer.value) - 1) if isinstance(outer.value, list) else str(outer.name))
    return from_parts([*segments, name])


def _scalar(event: ScalarEvent) -> Json:
    text: str = event.value
    # Quoted and block texts are text, whatever they look like.
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise _refused(f"{text} is not a number that JSON has", event)
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise _refused(f"a whole number has at most {MAX_DIGITS} digits: send larger ones as text", event)
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise _refused(f"{text[:40]} is too large", event)
        return number
    return text


def _refuse_extras(event: NodeEvent) -> None:
    if event.anchor is not None:
        raise _refused("anchors are not supported: write it out where it is needed", event)
    if getattr(event, "tag", None) is not None:
        raise _refused("tags are not supported: quote what has to be text", event)


def _refused(message: str, event: Event) -> MalformedRequestError:
    return MalformedRequestError(f"{message}{_place(event.start_mark)}")


def _place(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


class _Writer(_DUMPER):
    """Writes what `from_yaml` reads, and quotes what any other reader might take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(writer: Any, text: str) -> Any:
    """Texts of several lines as blocks; texts that look like something else in quotes."""
    style = "|" if "\n" in text else None
    if text in _WORDS or any(each.fullmatch(text) for each in (_NUMBER, _NOT_FINITE, _OTHER_NUMBER)):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)
