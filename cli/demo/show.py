"""Output of the demo: the result, the steps, the rows of the tables, and links."""

from __future__ import annotations

import json
from urllib.parse import quote
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from cli.rest import Data, objects
from storage.database.sessions import Database

_RUN_SQL = text(
    "SELECT transaction_type, transaction_status, total_amount, version, smart_code"
    " FROM universal_transactions WHERE id = :run"
)
_LINES_SQL = text(
    "SELECT line_number, coalesce(description, '') AS step, line_amount, ai_confidence, smart_code"
    " FROM universal_transaction_lines WHERE transaction_id = :run AND line_type = 'step_execution'"
    " ORDER BY line_number"
)
_EVENTS_SQL = text(
    "SELECT count(*) AS events, max(line_number) - min(line_number) + 1 AS span"
    " FROM universal_transaction_lines WHERE transaction_id = :run AND line_type = 'run_event'"
)


def show_result(console: Console, run: Data) -> None:
    """Print the run's output and its steps, from the API."""
    summary: Data = run.get("execution_summary") or {}
    console.print()
    console.print(f"[bold]{run['playbook_name']}[/] {run['status']}, grade {summary.get('performance_grade', '-')}")
    console.print_json(json.dumps(run["output_data"]))
    table = Table("step", "name", "type", "status", "ms", "cost", "output", title="Steps (REST)")
    for step in objects(run, "steps"):
        output = json.dumps(step.get("output_data"))
        cells = [step["step_number"], step["step_name"], step["step_type"], step["status"], step.get("duration_ms")]
        table.add_row(*[_text(cell) for cell in cells], _text(step.get("cost")), _short(output))
    console.print(table)


async def show_rows(console: Console, database_url: str, organization_id: UUID, execution_id: UUID) -> None:
    """Print the same run by SQL, read as the service's role under row-level security."""
    database = Database.connect(database_url, pool_size=1)
    try:
        async with database.reading(organization_id) as session:
            answers = [
                (title, await session.connection.execute(statement, {"run": execution_id}))
                for title, statement in (
                    ("universal_transactions", _RUN_SQL),
                    ("universal_transaction_lines: steps", _LINES_SQL),
                    ("universal_transaction_lines: events", _EVENTS_SQL),
                )
            ]
            tables = [(title, list(answer.keys()), answer.all()) for title, answer in answers]
    finally:
        await database.close()
    for title, columns, rows in tables:
        table = Table(*columns, title=f"{title} (SQL)")
        for row in rows:
            table.add_row(*[_short(_text(cell)) for cell in tuple(row)])
        console.print(table)


def show_links(console: Console, description: Data, organization_id: UUID, execution_id: UUID) -> None:
    """Print links that work while the stack runs."""
    workflow = quote(f"playbook-run/{organization_id}/{execution_id}", safe="")
    console.print(
        f"Temporal UI  {description['temporal_ui_url']}/namespaces/default/workflows/{workflow}", soft_wrap=True
    )
    console.print(f"REST         {description['api_url']}/api/v1/playbooks/runs/{execution_id}", soft_wrap=True)
    console.print(f"Reference    {description['api_url']}/docs", soft_wrap=True)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _short(value: str, limit: int = 60) -> str:
    return value if len(value) <= limit else f"{value[: limit - 1]}…"
