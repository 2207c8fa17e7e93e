"""`playbook doctor`: compares Temporal's histories with the rows, and names every difference.

Must share nothing with the code that writes the rows: `invariants` compares, `history` and `rows` read the two sides.
Invariants: it writes nothing, and it reports no run that changes meanwhile: a difference counts when a second read
finds it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from playbooks.common.ids import parse_workflow_id, workflow_id
from recovery.doctor.facts import FINISHED, Diagnosis, Difference, HistoryFacts, Pair, RowFacts
from recovery.doctor.history import age_seconds, read_history
from recovery.doctor.invariants import differences_of
from recovery.doctor.rows import find_foreign_rows, list_runs, read_rows
from runtime.temporal_client import RPC_TIMEOUT
from storage.database.sessions import Database
from storage.database.tables import transactions

AT_ONCE = 8
"""Runs that are examined at once: a live service has to keep its connections."""

_BATCH = 500
_EVERY_RUN = "WorkflowType = 'PlaybookRun'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Connections and limits of one examination. A run that changed in the last `older_than` seconds is left out."""

    database: Database
    client: Client
    older_than: float
    retention: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examined:
    """The result of one run."""

    differences: tuple[Difference, ...] = ()
    is_fresh: bool = False
    is_expired: bool = False


async def examine(
    database: Database,
    client: Client,
    *,
    organizations: Sequence[UUID] | None,
    execution_id: UUID | None = None,
    older_than: float = 5.0,
) -> Diagnosis:
    """Examine every run of these organizations, or one run.

    Without `organizations`, those that have an unfinished run or a workflow. Raises UnavailableError or RPCError
    when the database or Temporal is away.
    """
    doctor = Doctor(database=database, client=client, older_than=older_than, retention=await _retention(client))
    listed = await _listed(client)
    wanted = await _known(database, listed) if organizations is None else list(organizations)
    results: list[_Examined] = []
    foreign: list[Difference] = []
    for organization in wanted:
        async with database.reading(organization) as session:
            runs = set(await list_runs(session)) | listed.get(organization, set())
            if execution_id is None:
                foreign.extend(await find_foreign_rows(session))
        if execution_id is not None:
            runs &= {execution_id}
        results.extend(await _examine_all(doctor, organization, sorted(runs)))
    return Diagnosis(
        organizations=len(wanted),
        runs=len(results),
        fresh=sum(result.is_fresh for result in results),
        expired=sum(result.is_expired for result in results),
        differences=(*(found for result in results for found in result.differences), *foreign),
    )


async def _examine_all(doctor: Doctor, organization: UUID, runs: Sequence[UUID]) -> list[_Examined]:
    free = asyncio.Semaphore(AT_ONCE)

    async def examine_run(run: UUID) -> _Examined:
        async with free:
            return await _examine(doctor, organization, run)

    results: list[_Examined] = []
    for first in range(0, len(runs), _BATCH):
        results.extend(await asyncio.gather(*(examine_run(run) for run in runs[first : first + _BATCH])))
    return results


async def _examine(doctor: Doctor, organization: UUID, run: UUID) -> _Examined:
    """Examine a run; a difference counts only where a second read finds it too and nothing changed in between."""
    pair = await _read(doctor, organization, run)
    if _is_fresh(doctor, pair):
        return _Examined(is_fresh=True)
    is_expired = _is_expired(doctor, pair)
    found = differences_of(pair, is_expired=is_expired)
    if found:
        pair = await _read(doctor, organization, run)
        if _is_fresh(doctor, pair):
            return _Examined(is_fresh=True)
        again = differences_of(pair, is_expired=is_expired)
        found = tuple(difference for difference in found if difference in again)
    return _Examined(differences=found, is_expired=is_expired)


async def _read(doctor: Doctor, organization: UUID, run: UUID) -> Pair:
    history: HistoryFacts | None = await read_history(doctor.client, workflow_id(organization, run))
    async with doctor.database.reading(organization) as session:
        rows: RowFacts | None = await read_rows(session, run)
    return Pair(organization_id=organization, execution_id=run, history=history, rows=rows)


def _is_fresh(doctor: Doctor, pair: Pair) -> bool:
    changed = [pair.history.last_event_at] if pair.history is not None else []
    changed += [pair.rows.changed_at] if pair.rows is not None else []
    return any(age_seconds(at) < doctor.older_than for at in changed)


def _is_expired(doctor: Doctor, pair: Pair) -> bool:
    """Return whether Temporal may have deleted the history: it does so a while after the workflow closed."""
    rows = pair.rows
    if pair.history is not None or rows is None or rows.status not in FINISHED:
        return False
    return age_seconds(rows.changed_at) > doctor.retention.total_seconds()


async def _listed(client: Client) -> dict[UUID, set[UUID]]:
    """List the runs that Temporal knows, by organization."""
    found: dict[UUID, set[UUID]] = {}
    async for item in client.list_workflows(_EVERY_RUN, page_size=1000, rpc_timeout=RPC_TIMEOUT):
        parsed = parse_workflow_id(item.id)
        if parsed is not None:
            found.setdefault(parsed[0], set()).add(parsed[1])
    return found


async def _known(database: Database, listed: dict[UUID, set[UUID]]) -> list[UUID]:
    async with database.recovering() as session:
        statement = select(transactions.c.organization_id).distinct()
        unfinished = (await session.connection.execute(statement)).scalars()
        return sorted({*listed, *unfinished})


async def _retention(client: Client) -> timedelta:
    request = DescribeNamespaceRequest(namespace=client.namespace)
    answer = await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()
