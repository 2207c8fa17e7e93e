"""The six universal tables, made or found, under row-level security.

Creates the tables that are missing with all that a HERA database enforces. An existing table keeps its owner, its
rows and its policies; it gets our policies and indexes, and a unique key that our upserts need if it has none.
"""

import logging

from alembic import op
from sqlalchemy import Connection, text

from playbooks.common.errors import PlaybooksError
from storage.database.migrations.ddl import INDEXES, TABLES, TRIGGERS, UNIQUE_KEYS
from storage.database.migrations.policies import grants, policies
from storage.database.roles import OWNER, SERVICE
from storage.database.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_log = logging.getLogger(__name__)


class UnfitTableError(PlaybooksError):
    """A table of this name exists and is not that of a HERA database; nothing was changed."""


def upgrade() -> None:
    connection = op.get_bind()
    found = {table: _secured(connection, table) for table in TABLES}
    for table, secured in found.items():
        if secured is None:
            op.execute(TABLES[table])
        else:
            _check_columns(connection, table)
    for table, columns in UNIQUE_KEYS:
        _ensure_unique(connection, table, columns)
    for statement in INDEXES:
        op.execute(statement)
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {SERVICE}")
    if None in found.values():
        # PostgreSQL asks this of the new owner of a table, unless a superuser hands it over.
        op.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {OWNER}")
    for table, secured in found.items():
        if secured is None:
            for statement in TRIGGERS.get(table, []):
                op.execute(statement)
        for statement in [*grants(table), *policies(table, created=secured is None, secured_before=secured is True)]:
            op.execute(statement)
        _report_narrowing_policies(connection, table)
    op.execute(f"GRANT SELECT ON playbook_alembic_version TO {SERVICE}")


def downgrade() -> None:
    raise NotImplementedError("the universal tables hold other applications' rows too; restore a backup instead")


def _secured(connection: Connection, table: str) -> bool | None:
    """Whether row-level security is on already; None when there is no such table."""
    query = text("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(:table)")
    return connection.execute(query, {"table": table}).scalar_one_or_none()


def _check_columns(connection: Connection, table: str) -> None:
    query = text("""SELECT attname FROM pg_attribute
        WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped""")
    there = set(connection.execute(query, {"table": table}).scalars())
    missing = sorted({column.name for column in metadata.tables[table].columns} - there)
    if missing:
        raise UnfitTableError(f"table {table} has no column {', '.join(missing)}")


def _ensure_unique(connection: Connection, table: str, columns: tuple[str, ...]) -> None:
    query = text("""SELECT 1 FROM pg_index i
        WHERE i.indrelid = to_regclass(:table) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
        AND i.indexprs IS NULL AND i.indimmediate AND (
            SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
            WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
        ) = CAST(:columns AS text[])""")
    if connection.execute(query, {"table": table, "columns": sorted(columns)}).first() is None:
        op.execute(f"CREATE UNIQUE INDEX playbook_{table}_key ON {table} ({', '.join(columns)})")


def _report_narrowing_policies(connection: Connection, table: str) -> None:
    """Report restrictive policies of other applications for all roles: they apply to ours too."""
    query = text("""SELECT polname FROM pg_policy WHERE polrelid = to_regclass(:table)
        AND NOT polpermissive AND 0 = ANY (polroles)""")
    for name in connection.execute(query, {"table": table}).scalars():
        _log.warning("policy %s on %s restricts every role, ours too: our rows must satisfy it", name, table)
