"""Runs our revisions with alembic, on the connection of `storage.database.migrate`, in one transaction.

The version table has a name of its own, since a HERA database may hold another application's alembic table too.
"""

from alembic import context
from sqlalchemy import Connection, text

from storage.database.tables import metadata

VERSION_TABLE = "playbook_alembic_version"
# Any constant: two upgrades of one database wait for each other instead of meeting half-way.
_LOCK = 0x706C6179626F6F6B


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        context.run_migrations()


_run(context.config.attributes["connection"])
