"""One operation, cancelled at its n-th suspension: what happens to a request whose client hangs up, or at shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

When: TypeAlias = Literal["while it waits", "when its answer is there"]
"""While it waits: the request is out, nobody will read the answer. When its answer is there: nobody looks at it."""


@dataclass
class Cut:
    """Awaits `work`, and cancels it at suspension number `at`; `seen` counts all of them, those of cleaning up too."""

    work: Coroutine[Any, Any, Any]
    at: int
    when: When
    seen: int = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self.work.__await__()
        raised: BaseException | None = None
        while True:
            try:
                awaited = inner.send(None) if raised is None else inner.throw(raised)
            except StopIteration as end:
                return end.value
            raised = None
            self.seen += 1
            is_now = self.seen == self.at
            if is_now and self.when == "while it waits":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield awaited
            except BaseException as error:
                raised = error
            else:
                if is_now and self.when == "when its answer is there":
                    raised = asyncio.CancelledError()


async def cut(operation: Callable[[], Coroutine[Any, Any, Any]], at: int, when: When) -> bool:
    """True when the operation was cancelled; False where it was through before its `at`-th suspension."""

    async def await_cut() -> None:
        await Cut(operation(), at, when)

    task = asyncio.create_task(await_cut())
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done, f"cancelled at suspension {at}, the operation hangs"
    if task.cancelled():
        return True
    if (error := task.exception()) is not None:
        raise error
    return False
