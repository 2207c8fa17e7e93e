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

# Copies of one finished run's rows, with other ids, playbooks, dates and statuses: what is stored is what is served.
_COPY_RUNS = """INSERT INTO universal_transactions
SELECT copy.* FROM universal_transactions t
CROSS JOIN generate_series($2::int, $3::int) n
CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(),
    'transaction_code', NULL,
    'target_entity_id', ($4::uuid[])[1 + n % cardinality($4::uuid[])],
    'transaction_date', now() - n * interval '13 seconds',
    'created_at', now() - n * interval '13 seconds',
    'updated_at', now() - n * interval '12 seconds',
    'transaction_status', (ARRAY['completed','completed','completed','failed','cancelled'])[1 + n % 5])) copy
WHERE t.id = $1"""

# One of its steps for each of them, so that what a detail reads lies among as many others.
_COPY_LINES = """INSERT INTO universal_transaction_lines
SELECT copy.* FROM universal_transactions t
JOIN universal_transaction_lines l ON l.transaction_id = $1 AND l.line_number = 1
CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object(
    'id', gen_random_uuid(), 'transaction_id', t.id)) copy
WHERE t.organization_id = l.organization_id AND t.transaction_type = 'PLAYBOOK_RUN' AND t.id <> ALL($2::uuid[])"""


async def long_lists(place: Place, size: Size) -> list[Figure]:
    """p95 of each way to ask, in milliseconds."""
    versions = [await place.publish(playbooks.steps_in_a_row(playbooks.PURE, 3 + n)) for n in range(_PLAYBOOKS)]
    run = await place.execute(versions[0])
    await run_one(place, versions[0])
    await _fill(place, UUID(run), versions, size.stored)
    page = (await place.http.get("/playbooks/runs", params={"limit": 100})).json()
    cursor = page["pagination"]["next_cursor"]
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "list": ("/playbooks/runs", {}),
        "list, completed": ("/playbooks/runs", {"status": "completed"}),
        "list, one playbook of 20": ("/playbooks/runs", {"playbook_id": versions[7]}),
        "list, by duration": ("/playbooks/runs", {"sort_by": "duration"}),
        "list, next page by cursor": ("/playbooks/runs", {"limit": 100, "cursor": cursor}),
        "list, offset 2,000": ("/playbooks/runs", {"limit": 20, "offset": 2_000}),
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
        for share, limit in ((50, None), (95, 50), (99, None)):
            label = f"J6 {name}, p{share} at {size.stored:,} runs"
            figures.append(Figure(job=label, unit="ms", ours=side_of([percentile(taken, share)]), limit=limit))
    return figures


async def _fill(place: Place, model: UUID, versions: list[str], stored: int) -> None:
    targets = [UUID(version) for version in versions]
    async with place.database.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        real = await connection.fetch("SELECT id FROM universal_transactions")
        for begin in range(1, stored + 1, _CHUNK):
            end = min(begin + _CHUNK - 1, stored)
            await connection.execute(_COPY_RUNS, model, begin, end, targets, timeout=600)
        await connection.execute(_COPY_LINES, model, [row["id"] for row in real], timeout=1200)
        for table in ("universal_transactions", "universal_transaction_lines"):
            await connection.execute(f"VACUUM ANALYZE {table}", timeout=600)
        await connection.execute("RESET session_replication_role")
