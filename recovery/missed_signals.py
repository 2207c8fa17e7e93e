"""What runs wait for and were not told: a message was lost, or nobody was left who could have sent it.

Owns how often somebody is told the same. Must not decide anything: what is told is worth a look for the run that hears
it. Invariants: a run whose child has ended hears of it, one whose turn has come hears of it, and a child whose parent
ended without passing its cancel down is cancelled, whatever died in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

import structlog
from temporalio.service import RPCError

from playbooks.common.errors import UnavailableError
from playbooks.common.values import Json, JsonObject
from recovery.closing_runs import Tools
from runtime.run_signals import tell
from storage.runs.children import EndedChild, ended_children, left_children
from storage.runs.concurrency import waiting_with_room
from storage.runs.repairs import UnfinishedRun

GRACE = timedelta(seconds=3)
"""So long the run that ended has to tell it itself."""

REST_SECONDS = 60.0

_log = structlog.get_logger("recovery.missed_signals")


_Key: TypeAlias = tuple[UUID, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """One message for one run."""

    to: UUID
    verb: str
    body: JsonObject = field(default_factory=dict[str, Json])

    @property
    def key(self) -> _Key:
        return self.to, self.verb, str(self.body.get("execution_id"))


@dataclass(slots=True, kw_only=True)
class Told:
    """What this process has told lately, with the instant until which it is not told again."""

    until: dict[_Key, float] = field(default_factory=dict["_Key", float])

    def forget_old(self) -> None:
        now = time.monotonic()
        for old in [key for key, until in self.until.items() if until < now]:
            del self.until[old]

    def note(self, news: _News) -> None:
        self.until[news.key] = time.monotonic() + REST_SECONDS


async def tell_waiting(tools: Tools, found: Sequence[UnfinishedRun], told: Told, grace: timedelta = GRACE) -> int:
    """Tell these runs what they seem to have missed; the number of messages.

    Raises UnavailableError or RPCError when the database or Temporal is away.
    """
    told.forget_old()
    sent = 0
    for organization_id, runs in groupby(sorted(found, key=_organization), key=_organization):
        try:
            missed = await _missed(tools, organization_id, [run.execution_id for run in runs], grace)
            for news in missed:
                if news.key not in told.until:
                    sent += await _tell(tools, organization_id, news, told)
        except (UnavailableError, RPCError):
            raise
        except Exception:
            # One organization's rows must not keep the others waiting.
            _log.exception("runs_cannot_be_told", organization_id=str(organization_id))
    return sent


async def _tell(tools: Tools, organization_id: UUID, news: _News, told: Told) -> bool:
    is_heard = await tell(
        tools.client,
        tools.signing_key,
        organization_id=organization_id,
        execution_id=news.to,
        verb=news.verb,
        body=news.body,
    )
    if is_heard:
        _log.warning("run_was_told", execution_id=str(news.to), verb=news.verb)
        told.note(news)
    return is_heard


async def _missed(tools: Tools, organization_id: UUID, runs: Sequence[UUID], grace: timedelta) -> list[_News]:
    async with tools.database.reading(organization_id) as session:
        ended = await ended_children(session, runs, grace)
        left = await left_children(session, runs, grace)
        free = await waiting_with_room(session, runs)
    reason = "the run that started it and waited for it is over"
    return [
        *_of_children(ended),
        *(_News(to=run, verb="cancel_run", body={"reason": reason}) for run in left),
        *(_News(to=run, verb="slot_free") for run in free),
    ]


def _of_children(ended: Sequence[EndedChild]) -> Iterator[_News]:
    for child in ended:
        parent = child.parent
        body: JsonObject = {"step": parent.step, "visit": parent.visit, "execution_id": str(child.execution_id)}
        yield _News(to=parent.execution_id, verb="child_ended", body=body)


def _organization(run: UnfinishedRun) -> UUID:
    return run.organization_id
