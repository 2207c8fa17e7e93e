"""Sensitive values of a run: those that contracts mark, and those that bare mappings copy.

A mark propagates from the run's input through mappings into inputs and outputs: a mapping text that contains a bare
`${path}` to something sensitive is sensitive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from playbooks.common.json_pointer import ANY, from_parts, parts
from playbooks.common.values import Json, Path
from playbooks.compiler.order import Edge, LocatedStep
from playbooks.contracts.validation import sensitive_pointers
from playbooks.expressions import templates

Marks: TypeAlias = frozenset[tuple[str, ...]]
"""Places (segments, `*` for any) within one value; `()` is the whole value."""

ITEM_PLACE = ("results", ANY)
"""Place of an item's output in its step's output."""

_OUTSIDE = ("ai", "external")
_NOTHING: Marks = frozenset()


@dataclass(slots=True)
class Sensitivity:
    """Marks of a run: of its input, and of each marked step's input and output."""

    run_input: Marks
    inputs: dict[str, Marks] = field(default_factory=dict[str, Marks])
    outputs: dict[str, Marks] = field(default_factory=dict[str, Marks])

    def mark_step(self, item: LocatedStep, edges: tuple[Edge, ...], *, has_votes: bool) -> None:
        """Add a step's marks. The steps before it must have been added."""
        own_item = self._item_marks(item)
        arriving = self._input_marks(item, edges, own_item) | marks_of(item.step.input_contract)
        self.inputs[item.key] = arriving
        leaving = marks_of(item.step.output_contract)
        if has_votes:
            leaving |= _form_marks(leaving)
        if item.step.worker_type == "data_processor" and item.step.step_type == "system":
            mapping = (item.step.config or {}).get("output")
            made = arriving if mapping is None else self.inherited(mapping, arriving, own_item)
            leaving |= made
        if item.step.for_each is not None:
            leaving = frozenset((*ITEM_PLACE, *mark) for mark in leaving)
        self.outputs[item.key] = leaving

    def mark_undoing(self, undo: LocatedStep, undone: LocatedStep) -> None:
        """Add the marks of a compensation: it reads one visit's output, or one item's of a `for_each` step."""
        size = 0 if undone.step.for_each is None else len(ITEM_PLACE)
        one = frozenset(mark[size:] for mark in self.outputs[undone.key])
        seen = replace(self, outputs={**self.outputs, undone.key: one})
        seen.mark_step(undo, (), has_votes=False)
        self.outputs[undo.key] = seen.outputs[undo.key]

    def items(self, item: LocatedStep) -> Marks:
        """Return the marks of the list that a `for_each` step iterates over."""
        return frozenset() if item.step.for_each is None else self.inherited(item.step.for_each.items)

    def inherited(self, mapping: Json, own_input: Marks | None = None, own_item: Marks = _NOTHING) -> Marks:
        """Return the marks of a mapping's value. `own_input`: in a `config`, where `input` is the step's own;
        `own_item`: where `item` is one of a list."""
        names = {"input": self.run_input if own_input is None else own_input, "item": own_item}
        return frozenset(self._inherit(mapping, names))

    def _item_marks(self, item: LocatedStep) -> Marks:
        return frozenset(mark[1:] for mark in self.items(item))

    def _inherit(self, mapping: Json, names: Mapping[str, Marks]) -> Iterator[tuple[str, ...]]:
        for pointer, text in templates.texts(mapping):
            place = parts(pointer)
            for path, is_whole in _bare_paths(text):
                for below in self._below(path, names):
                    # A longer text has no parts: all of it is sensitive.
                    yield place + below if is_whole else place

    def _below(self, path: Path, names: Mapping[str, Marks]) -> Iterator[tuple[str, ...]]:
        """Return the marks of the value at a path of the context, relative to it."""
        match path:
            case (("input" | "item") as name, *rest):
                yield from _relative(names[name], tuple(rest))
            case ("steps", key):
                yield from (("output", *mark) for mark in self.outputs.get(key, ()))
            case ("steps", key, "output", *rest):
                yield from _relative(self.outputs.get(key, frozenset()), tuple(rest))
            case ("steps",):
                yield from ((key, "output", *mark) for key, marks in self.outputs.items() for mark in marks)
            case _:
                return

    def _input_marks(self, item: LocatedStep, edges: tuple[Edge, ...], own_item: Marks) -> Marks:
        mapped = [edge for edge in edges if edge.document.mapping is not None]
        marks = frozenset[tuple[str, ...]]().union(*(self.inherited(edge.document.mapping) for edge in mapped))
        if item.step.input is not None:
            return marks | self.inherited(item.step.input, own_item=own_item)
        # AI and external steps get the rest without its sensitive parts.
        if item.step.step_type in _OUTSIDE:
            return marks
        whole = [edge for edge in edges if edge.document.dependency_type == "data" and edge.document.mapping is None]
        return marks | self.run_input.union(*(self.outputs.get(edge.target, frozenset()) for edge in whole))


def marks_of(contract: Json) -> Marks:
    """Return the marks that a contract itself makes."""
    return frozenset(parts(pointer) for pointer in sensitive_pointers(contract))


def as_pointers(marks: Marks) -> tuple[str, ...]:
    """Return marks as sorted JSON Pointers, without those below another one."""
    return tuple(sorted(from_parts(mark) for mark in marks if not any(mark[:n] in marks for n in range(len(mark)))))


def run_output(marks: Sensitivity, output: Json, contract: Json, finals: tuple[str, ...]) -> Marks:
    """Return the marks of the run's output: by its mapping, or of the final steps' outputs by key."""
    if output is not None:
        return marks.inherited(output) | marks_of(contract)
    kept: Mapping[str, Marks] = {key: marks.outputs[key] for key in finals}
    return frozenset((key, *mark) for key, found in kept.items() for mark in found) | marks_of(contract)


def _form_marks(form: Marks) -> Marks:
    """Return the marks of a form, whose fields also appear under `data`, in each vote, and as means."""
    places = (("data",), ("approvals", ANY, "data"), ("mean",))
    return frozenset((*place, *mark) for mark in form for place in places)


def _relative(marks: Marks, rest: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for mark in marks:
        shared = min(len(mark), len(rest))
        if all(ANY in (want, have) or want == have for want, have in zip(mark[:shared], rest[:shared], strict=True)):
            yield mark[shared:]


def _bare_paths(text: str) -> Iterator[tuple[Path, bool]]:
    """Yield each bare `${path}` in a text, and whether it is the whole text."""
    try:
        pieces = templates.split(text)
    except templates.TemplateError:
        return
    for piece in pieces:
        path = templates.bare_path(piece.text) if isinstance(piece, templates.Expression) else None
        if path is not None:
            yield path, len(pieces) == 1
