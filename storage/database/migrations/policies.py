"""Row-level security of revision 0001: who sees which rows, on created tables and on tables that existed before.

Invariant: whatever permissive policies another application has, `playbook_service` sees the rows of `app.current_org`
and no others, because a restrictive policy repeats the condition; every other role sees what it saw before.
"""

from storage.database.roles import OWNER, RECOVERY, SERVICE

# An unset or empty setting is null, and a comparison with null shows nothing; a bare cast of '' would raise.
CURRENT_ORGANIZATION = "nullif(current_setting('app.current_org', true), '')::uuid"

# What the recovery role may read of a run or a transition; it changes nothing, and learns no content.
RECOVERY_COLUMNS = (
    "id, organization_id, transaction_type, transaction_status, transaction_date, version, created_at, updated_at"
)

# Unfinished runs and transitions, exactly. Without an OR: for that PostgreSQL would read and sort two indexes where
# the sweeper reads one in its order.
_UNFINISHED = """transaction_status = ANY (CASE transaction_type
    WHEN 'PLAYBOOK_RUN' THEN ARRAY['queued', 'in_progress', 'paused']
    WHEN 'PLAYBOOK_TRANSITION' THEN ARRAY['scheduled', 'in_progress'] END)"""

_SERVICE_GRANTS = {
    "core_organizations": "SELECT, UPDATE (settings, updated_at, updated_by)",
    "core_entities": "SELECT, INSERT, UPDATE, DELETE",
    "core_dynamic_data": "SELECT, INSERT, UPDATE, DELETE",
    "core_relationships": "SELECT, INSERT, UPDATE, DELETE",
    "universal_transactions": "SELECT, INSERT, UPDATE",
    "universal_transaction_lines": "SELECT, INSERT, UPDATE, DELETE",
}


def grants(table: str) -> list[str]:
    """The statements that grant our roles access to the table; policies then restrict the rows."""
    statements = [f"GRANT {_SERVICE_GRANTS[table]} ON {table} TO {SERVICE}"]
    if table == "universal_transactions":
        statements.append(f"GRANT SELECT ({RECOVERY_COLUMNS}) ON {table} TO {RECOVERY}")
    return statements


def _policy(name: str, table: str, *, kind: str, role: str, rule: str, command: str = "ALL") -> list[str]:
    check = f" WITH CHECK ({rule})" if command == "ALL" else ""
    return [
        f"DROP POLICY IF EXISTS {name} ON {table}",
        f"CREATE POLICY {name} ON {table} AS {kind} FOR {command} TO {role} USING ({rule}){check}",
    ]


def policies(table: str, *, created: bool, secured_before: bool) -> list[str]:
    """The statements that put the table under row-level security.

    `created`: the revision created the table, so security is forced and the owner is a role without login.
    `secured_before`: security was on already; then no pass-through is added, since it would break the isolation of the
    application that turned it on.
    """
    key = "id" if table == "core_organizations" else "organization_id"
    own = f"{key} = {CURRENT_ORGANIZATION}"
    recovers = _UNFINISHED if table == "universal_transactions" else "false"
    statements = [
        *_policy("playbook_own_rows", table, kind="PERMISSIVE", role=SERVICE, rule=own),
        *_policy("playbook_only_own_rows", table, kind="RESTRICTIVE", role=SERVICE, rule=own),
        *_policy("playbook_only_unfinished", table, kind="RESTRICTIVE", role=RECOVERY, rule=recovers),
    ]
    if table == "universal_transactions":
        statements += _policy(
            "playbook_unfinished", table, kind="PERMISSIVE", role=RECOVERY, rule=recovers, command="SELECT"
        )
    if table == "universal_transaction_lines":
        for command in ("UPDATE", "DELETE"):
            name = f"playbook_events_stay_{command.lower()}"
            rule = "line_type <> 'run_event'"
            statements += _policy(name, table, kind="RESTRICTIVE", role=SERVICE, rule=rule, command=command)
    if created and table == "core_organizations":
        # Security is forced, and an admin who makes organizations need not be a superuser, only a member of the owner.
        statements += _policy("playbook_admin", table, kind="PERMISSIVE", role=OWNER, rule="true")
    if created:
        statements += [
            f"ALTER TABLE {table} OWNER TO {OWNER}",
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        ]
    elif not secured_before:
        statements += [
            *_policy("playbook_others_as_before", table, kind="PERMISSIVE", role="PUBLIC", rule="true"),
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        ]
    return statements
