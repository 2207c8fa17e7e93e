"""Registry of the essential checks of each pattern, by number, and helpers to query plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tests.support.pattern_plays import Play, Span

Plays: TypeAlias = Mapping[str, Play]
Essence: TypeAlias = Callable[[Plays], None]

ESSENCES: dict[int, Essence] = {}


def of(number: int) -> Callable[[Essence], Essence]:
    def keep(essence: Essence) -> Essence:
        ESSENCES[number] = essence
        return essence

    return keep


def begun(span: Span) -> float:
    assert span.begun is not None
    return span.begun


def ended(span: Span) -> float:
    assert span.ended is not None
    return span.ended


def last_end(play: Play, *keys: str) -> float:
    return max(ended(span) for key in keys for span in play.spans(key))


def who_ran(play: Play, *keys: str) -> list[str]:
    return [key for key in keys if play.ran(key)]


def statuses(play: Play, *keys: str) -> list[str]:
    return [span.status for key in keys for span in play.spans(key)]
