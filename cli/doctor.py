"""`playbook doctor`: prints the differences between histories and rows."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from temporalio.service import RPCError

from cli.settings import client_settings
from playbooks.common.errors import NotFoundError, PlaybooksError
from recovery.doctor.examine import AT_ONCE, examine
from recovery.doctor.facts import Diagnosis, Difference
from runtime.keys import KeyRingError
from runtime.settings import MissingSettingError, Settings
from runtime.temporal_client import connect
from storage.database.sessions import Database, asyncpg_url
from storage.database.tables import organizations
from storage.identity.organizations import find_organization

CLEAN, DIFFERENT, NOT_EXAMINED = 0, 1, 2


def run_doctor(data_dir: Path | None, *, org: str | None, run: str | None, as_json: bool, older_than: float) -> int:
    """Examine, print the differences, and return 0 (clean), 1 (differences) or 2 (failed)."""
    try:
        execution_id = None if run is None else UUID(run)
        diagnosis = asyncio.run(_examine(client_settings(data_dir), org, execution_id, older_than))
    except PlaybooksError as error:
        return _failed(error.detail)
    except ValidationError:
        return _failed("the settings are not valid")
    except RPCError as error:
        return _failed(f"Temporal does not answer: {error.status.name}")
    except (MissingSettingError, KeyRingError, OSError, RuntimeError, ValueError) as error:
        return _failed(str(error))
    sys.stdout.write(_json(diagnosis) if as_json else _text(diagnosis))
    return DIFFERENT if diagnosis.differences else CLEAN


async def _examine(settings: Settings, org: str | None, run: UUID | None, older_than: float) -> Diagnosis:
    wanted = await _organizations(settings, org)
    async with AsyncExitStack() as cleanup:
        database = Database.connect(settings.needed("database_url"), pool_size=AT_ONCE)
        cleanup.push_async_callback(database.close)
        # Before Temporal: a process that exits while the SDK's threads connect may abort.
        await database.ping()
        client = await connect(settings, is_lazy=False)
        found = await examine(database, client, organizations=wanted, execution_id=run, older_than=older_than)
    if run is not None and found.runs == 0:
        raise NotFoundError("neither the rows nor Temporal have this run")
    return found


async def _organizations(settings: Settings, org: str | None) -> list[UUID] | None:
    """Return the named one; else all that the administrator's URL sees; None without that URL."""
    if org is not None:
        row = await find_organization(settings.needed("admin_database_url"), org)
        if row is None:
            raise NotFoundError(f"there is no organization with the code '{org}'")
        return [row.id]
    if settings.admin_database_url is None:
        return None
    engine = create_async_engine(asyncpg_url(settings.admin_database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return list((await connection.execute(select(organizations.c.id))).scalars())
    finally:
        await engine.dispose()


def _json(found: Diagnosis) -> str:
    whole = {
        "organizations": found.organizations,
        "runs": found.runs,
        "fresh": found.fresh,
        "expired": found.expired,
        "differences": [_fields(each) for each in found.differences],
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _fields(each: Difference) -> dict[str, str | None]:
    return {
        "code": each.code,
        "organization_id": str(each.organization_id),
        "execution_id": None if each.execution_id is None else str(each.execution_id),
        "subject": each.subject,
        "history": each.history,
        "rows": each.rows,
    }


def _text(found: Diagnosis) -> str:
    lines = [
        f"{each.code} organization {each.organization_id} run {each.execution_id or '-'} {each.subject}:"
        f" expected {each.history}; rows: {each.rows}\n"
        for each in found.differences
    ]
    counts = f"{found.runs} runs in {found.organizations} organizations, {len(found.differences)} differences"
    return "".join(lines) + f"{counts}, {found.fresh} too fresh to examine, {found.expired} no longer in Temporal\n"


def _failed(reason: str) -> int:
    sys.stderr.write(f"playbook: {reason}\n")
    return NOT_EXAMINED
