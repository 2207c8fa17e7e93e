"""J6: the list of runs and one run in detail, where an organization has very many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import playbooks
from benchmarks.jobs import Size, run_one
from benchmarks.place import Place, now
from benchmarks.report import Figure, percentile, side_of

_CALLS = 60

# Copies of one finished run's rows, with other ids, dates and statuses: what is stored is what the service stores.
_COPY_RUNS = """INSERT INTO universal_transactions
SELECT (jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(),
    'transaction_code', NULL,
    'transaction_date', now() - n * interval '13 seconds',
    'created_at', now() - n * interval '13 seconds',
    'updated_at', now() - n * interval '12 seconds',
    'transaction_status', (ARRAY['completed','completed','completed','failed','cancelled'])[1 + n % 5]))).*
FROM universal_transactions t, generate_series($2::int, $3::int) n WHERE t.id = $1"""


async def long_lists(place: Place, size: Size) -> list[Figure]:
    """p95 of each way to ask, in milliseconds."""
    version = await place.publish(playbooks.steps_in_a_row(playbooks.PURE, 5))
    other = await place.publish(playbooks.steps_in_a_row(playbooks.PURE, 3))
    await run_one(place, version)
    run = await place.execute(other)
    first = await place.database.fetchval(
        "SELECT id FROM universal_transactions WHERE target_entity_id = $1::uuid LIMIT 1", version
    )
    async with place.database.acquire() as connection:
        for begin in range(1, size.stored + 1, 50_000):
            end = min(begin + 49_999, size.stored)
            await connection.execute(_COPY_RUNS, first, begin, end, timeout=600)
        await connection.execute("VACUUM ANALYZE universal_transactions", timeout=600)
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "list": lambda: place.http.get("/playbooks/runs"),
        "list, completed": lambda: place.http.get("/playbooks/runs", params={"status": "completed"}),
        "list, one playbook": lambda: place.http.get("/playbooks/runs", params={"playbook_id": other}),
        "list, page 100": lambda: place.http.get("/playbooks/runs", params={"limit": 20, "offset": 2_000}),
        "detail": lambda: place.http.get(f"/playbooks/runs/{run}", params={"include": "steps,timeline"}),
    }
    figures: list[Figure] = []
    for name, ask in asked.items():
        taken: list[float] = []
        for _ in range(_CALLS):
            began = now()
            answer = await ask()
            taken.append((now() - began) * 1000)
            assert answer.status_code == 200, answer.text
        label = f"J6 {name}, p95 at {size.stored:,} runs"
        figures.append(Figure(job=label, unit="ms", ours=side_of([percentile(taken, 95)]), limit=50))
    return figures
