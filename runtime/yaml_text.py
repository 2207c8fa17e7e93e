"""JSON values as YAML text, and back: the same after a round trip.

Reads one document of mappings, lists and scalars that JSON has. Plain scalars are what JSON writes (`true`, `5`,
`2.5e3`, `null`, also `~` and nothing at all); everything else is text, so that `on`, `yes`, `2026-01-31`, `010` and
`1_000` stay text. Refuses anchors and aliases, tags, NaN, infinity and duplicate names. Invariant: nothing is
constructed but JSON, and the work is bounded by the text's length (without aliases nothing multiplies).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, cast

import yaml
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from playbooks.common.errors import MalformedRequestError, Problem, ValidationError
from playbooks.common.json_pointer import from_parts
from playbooks.common.values import Json, JsonObject

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
"""A number in YAML 1.2, and text here."""

# The C parser and writer where the library has them: many times faster, with the same events.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def from_yaml(text: str) -> Json:
    """Return the value of a YAML text.

    Raises MalformedRequestError for what cannot be read, with line and column, and for YAML that JSON cannot say;
    ValidationError (DUPLICATE, with its pointer) for a duplicate name.
    """
    try:
        return _read_document(cast("Any", yaml).parse(text, Loader=_LOADER))
    except MarkedYAMLError as error:
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        raise MalformedRequestError(f"it is not YAML: {problem}{_place(error.problem_mark)}") from None
    except yaml.YAMLError as error:
        raise MalformedRequestError(f"it is not YAML: {' '.join(str(error).split())[:300]}") from None
    except UnicodeError:
        raise MalformedRequestError("it is not YAML: it holds half of a surrogate pair") from None


def to_yaml(value: Json) -> str:
    """Return the YAML text of a JSON value, in blocks, in the order of its names."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, default_flow_style=False, width=_WIDTH)


def _read_document(events: Iterator[Event]) -> Json:
    next(events)  # the stream's start
    if not isinstance(next(events), DocumentStartEvent):
        return None
    value = _read(events, next(events), ())
    next(events)  # the document's end
    following = next(events)
    if isinstance(following, DocumentStartEvent):
        raise _refused("more than one document", following)
    return value


def _read(events: Iterator[Event], event: Event, path: tuple[str, ...]) -> Json:
    """Read the node that begins with `event`, down to its end. Recursion is bounded by MAX_DEPTH."""
    _refuse_extras(event)
    if isinstance(event, ScalarEvent):
        return _scalar(event)
    if len(path) + 1 >= MAX_DEPTH:
        raise _refused("it is nested too deep", event)
    if isinstance(event, SequenceStartEvent):
        items: list[Json] = []
        while not isinstance(inner := next(events), SequenceEndEvent):
            items.append(_read(events, inner, (*path, str(len(items)))))
        return items
    fields: JsonObject = {}
    while not isinstance(inner := next(events), MappingEndEvent):
        name = _name(inner, fields, path)
        fields[name] = _read(events, next(events), (*path, name))
    return fields


def _name(event: Event, fields: JsonObject, path: tuple[str, ...]) -> str:
    """Take a name as it is written: names of JSON are always text."""
    _refuse_extras(event)
    if not isinstance(event, ScalarEvent):
        raise _refused("the name of a field has to be text", event)
    name: str = event.value
    if name == "<<" and event.implicit[0]:
        raise _refused("merge keys are not supported: write it out", event)
    if name in fields:
        message = f"the name '{name[:100]}' occurs twice{_place(event.start_mark)}"
        pointer = from_parts([*path, name])
        raise ValidationError(message, (Problem(pointer=pointer, code="DUPLICATE", message=message),))
    return name


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


def _refuse_extras(event: Event) -> None:
    if isinstance(event, AliasEvent):
        raise _refused("aliases are not supported: write it out", event)
    if getattr(event, "anchor", None) is not None:
        raise _refused("anchors are not supported: write it out where it is needed", event)
    if getattr(event, "tag", None) is not None:
        raise _refused("tags are not supported: quote what has to be text", event)


def _refused(message: str, event: Event) -> MalformedRequestError:
    return MalformedRequestError(f"{message}{_place(event.start_mark)}")


def _place(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


class _Writer(_DUMPER):
    """Writes what `from_yaml` reads, and quotes texts that another reader might not take for text."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(writer: Any, text: str) -> Any:
    """Write texts of several lines as blocks, and quote texts that look like another type."""
    style = "|" if "\n" in text else None
    if text in _WORDS or any(each.fullmatch(text) for each in (_NUMBER, _NOT_FINITE, _OTHER_NUMBER)):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)
