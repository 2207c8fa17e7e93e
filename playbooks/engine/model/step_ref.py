"""Identity of one line of a run: a step, an item of its list, or what undoes either.

States, rows, messages and the REST contract carry its text form: `book`, `book[3]`, `book!undo`, `book!undo[3]`. Only
this module prints and parses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

_FORM = re.compile(r"(?P<key>[^\[\]!]+)(?P<undo>!undo)?(?:\[(?P<index>0|[1-9][0-9]*)\])?")


@dataclass(frozen=True, slots=True)
class StepRef:
    """`key` is the step's own; `index` is set for an item of a `for_each` step."""

    key: str
    index: int | None = None
    is_undo: bool = False

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(text: str) -> StepRef:
        """Read the text form; any other text is the key of a step that no playbook has."""
        match = _FORM.fullmatch(text)
        if match is None:
            return StepRef(text)
        index = match["index"]
        return StepRef(match["key"], None if index is None else int(index), match["undo"] is not None)

    def __str__(self) -> str:
        undo = "!undo" if self.is_undo else ""
        return f"{self.key}{undo}" if self.index is None else f"{self.key}{undo}[{self.index}]"

    def item(self, index: int | None) -> StepRef:
        """Return an item of the list; with None the owner of the list."""
        return replace(self, index=index)

    @property
    def undo(self) -> StepRef:
        """Return what undoes the step, or the item."""
        return replace(self, is_undo=True)
