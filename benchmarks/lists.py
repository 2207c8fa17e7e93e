"""J6: the list of runs and one run in detail, where an organization has very many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from benchmarks import playbooks
from benchmarks.jobs import Size, run_one
from benchmarks.place import Place, now
from benchmarks.report import Figure, percentile, side_of

_CALLS = 100
_PLAYBOOKS = 20
_CHUNK = 50_000
_LIMIT_MS = 50

# Copies of one finished run's rows, with other ids, playbooks, people, dates, statuses and priorities: what is stored
# is what is served. The divisors have no factor in common, so that no filter implies another.
_COPY_RUNS = """INSERT INTO universal_transactions
SELECT copy.* FROM universal_transactions t
CROSS JOIN generate_series($2::int, $3::int) n
CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(),
    'transaction_code', NULL,
    'target_entity_id', ($4::uuid[])[1 + n % cardinality($4::uuid[])],
    'external_reference', 'order-' || n,
    'created_by', CASE WHEN n % 49 = 0 THEN t.created_by ELSE md5((n % 49)::text)::uuid END,
    'transaction_date', now() - n * interval '13 seconds',
    'created_at', now() - n * interval '13 seconds',
    'updated_at', now() - n * interval '13 seconds' + n % 997 * interval '1.001 seconds',
    'transaction_status', (ARRAY['completed','completed','failed','cancelled'])[1 + n % 13 % 4],
    'metadata', t.metadata || jsonb_build_object(
        'priority', (ARRAY['normal','low','high','critical'])[greatest(1, n % 11 - 6)],
        'success_rate', n % 13 / 12.0))) copy
WHERE t.id = $1"""

# One of its steps for each of them, so that what a detail reads lies among as many others, and their labels.
_COPY_LINES = """INSERT INTO universal_transaction_lines
SELECT copy.* FROM universal_transactions t
JOIN universal_transaction_lines l ON l.transaction_id = $1 AND l.line_number IN (1, 900001)
CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object(
    'id', gen_random_uuid(),
    'transaction_id', t.id,
    'description', CASE l.line_number WHEN 1 THEN l.description ELSE 'priority:' || (t.metadata ->> 'priority') END
)) copy
WHERE t.organization_id = l.organization_id AND t.transaction_type = 'PLAYBOOK_RUN' AND t.id <> ALL($2::uuid[])"""

# Every 17th has a tag.
_COPY_TAGS = """INSERT INTO universal_transaction_lines
SELECT copy.* FROM universal_transactions t
JOIN universal_transaction_lines l ON l.transaction_id = $1 AND l.line_number = 900001
CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object(
    'id', gen_random_uuid(), 'transaction_id', t.id, 'line_number', 900002, 'description', 'tag:urgent')) copy
WHERE t.organization_id = l.organization_id AND t.transaction_type = 'PLAYBOOK_RUN' AND t.id <> ALL($2::uuid[])
    AND substr(t.external_reference, 7)::int % 17 = 0"""


async def long_lists(place: Place, size: Size) -> list[Figure]:
    """p50, p95 and p99 of each way to ask, in milliseconds; p95 has a limit."""
    versions = [await place.publish(playbooks.steps_in_a_row(playbooks.PURE, 3 + n)) for n in range(_PLAYBOOKS)]
    run = await place.execute(versions[0])
    await run_one(place, versions[0])
    await _fill(place, UUID(run), versions, size.stored)
    asked = {
        **{f"list{name}": ("/playbooks/runs", params) for name, params in (await _lists(place, versions[7])).items()},
        "detail with steps and timeline": (f"/playbooks/runs/{run}", {"include": "steps,timeline"}),
    }
    figures: list[Figure] = []
    for name, (path, params) in asked.items():
        taken: list[float] = []
        for _ in range(_CALLS):
            began = now()
            answer = await place.http.get(path, params=params)
            taken.append((now() - began) * 1000)
            assert answer.status_code == 200, answer.text
        for share, limit in ((50, None), (95, _LIMIT_MS), (99, None)):
            label = f"J6 {name}, p{share} at {size.stored:,} runs"
            figures.append(Figure(job=label, unit="ms", ours=side_of([percentile(taken, share)]), limit=limit))
    return figures


async def _lists(place: Place, playbook: str) -> dict[str, dict[str, Any]]:
    """Queries of a list, by their description."""
    next_page = {by: await _cursor(place, sort_by=by, limit=100) for by in ("started_at", "completed_at", "duration")}
    (far,) = (await _ask(place, limit=1, offset=2_000))["data"]
    return {
        "": {},
        ", completed": {"status": "completed"},
        ", failed or cancelled": {"status": ["failed", "cancelled"]},
        ", paused (none)": {"status": "paused"},
        ", one playbook of 20": {"playbook_id": playbook},
        ", one playbook of 20, failed": {"playbook_id": playbook, "status": "failed"},
        ", one code of 20": {"code": "bench-row-data-processor-10"},
        ", one initiator of 49": {"initiated_by": "bench"},
        ", one priority of 4": {"priority": "high"},
        ", a tag of every 17th": {"tag": "urgent"},
        ", a tag of every 17th, failed": {"tag": "urgent", "status": "failed"},
        ", with an incident (none)": {"has_incident": True},
        ", without an incident": {"has_incident": False},
        ", since a date": {"date_from": far["started_at"]},
        ", until a date": {"date_to": far["started_at"]},
        ", correlation id": {"correlation_id": "order-777"},
        ", next page by cursor": {"limit": 100, "cursor": next_page["started_at"]},
        ", offset 2,000": {"limit": 20, "offset": 2_000},
        ", by end": {"sort_by": "completed_at"},
        ", by end, next page": {"sort_by": "completed_at", "limit": 100, "cursor": next_page["completed_at"]},
        ", by duration": {"sort_by": "duration"},
        ", by duration, shortest first": {"sort_by": "duration", "sort_direction": "asc"},
        ", by duration, next page": {"sort_by": "duration", "limit": 100, "cursor": next_page["duration"]},
        ", by duration, one playbook of 20": {"sort_by": "duration", "playbook_id": playbook},
        ", by status": {"sort_by": "status"},
        ", by priority": {"sort_by": "priority"},
        ", by success rate": {"sort_by": "success_rate"},
    }


async def _ask(place: Place, **params: Any) -> dict[str, Any]:
    answer = await place.http.get("/playbooks/runs", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _cursor(place: Place, **params: Any) -> str:
    return (await _ask(place, **params))["pagination"]["next_cursor"]


async def _fill(place: Place, model: UUID, versions: list[str], stored: int) -> None:
    targets = [UUID(version) for version in versions]
    async with place.database.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        real = [row["id"] for row in await connection.fetch("SELECT id FROM universal_transactions")]
        for begin in range(1, stored + 1, _CHUNK):
            end = min(begin + _CHUNK - 1, stored)
            await connection.execute(_COPY_RUNS, model, begin, end, targets, timeout=600)
        for copy in (_COPY_LINES, _COPY_TAGS):
            await connection.execute(copy, model, real, timeout=1200)
        for table in ("universal_transactions", "universal_transaction_lines"):
            await connection.execute(f"VACUUM ANALYZE {table}", timeout=600)
        await connection.execute("RESET session_replication_role")
