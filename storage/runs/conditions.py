"""SQL conditions on runs and their labels, and the statuses behind them.

Those written as text repeat the words of an index, without parameters: otherwise PostgreSQL does not see that the
index covers the query.
"""

from __future__ import annotations

from typing import get_args
from uuid import UUID

from sqlalchemy import BindParameter, Boolean, ColumnElement, literal_column
from sqlalchemy.sql.selectable import NamedFromClause

from playbooks.common.values import FINISHED_RUN, RunStatus
from storage.database.tables import lines, transactions

RUN_TYPE = "PLAYBOOK_RUN"
UNFINISHED_RUN = tuple(status for status in get_args(RunStatus) if status not in FINISHED_RUN)
_TABLE = transactions.c


def _in_words(text: str, table: str = transactions.name) -> ColumnElement[bool]:
    return literal_column(f"({text.replace('@', f'{table}.')})", Boolean())


# The members of `business_context` distinguish our runs from another application's like those of `metadata`, but
# change only at a run's end: an index that names `metadata` would end HOT updates, and every flush is one.
_IS_OURS = _in_words(
    "@transaction_type = 'PLAYBOOK_RUN' AND (@business_context -> 'request_hash') IS NOT NULL"
    " AND (@business_context -> 'playbook') IS NOT NULL AND (@business_context -> 'start' -> 'initiator') IS NOT NULL"
)
IS_FINISHED = _in_words("@transaction_status IN ('completed', 'failed', 'cancelled')")
IS_UNFINISHED = _in_words("@transaction_status IN ('queued', 'in_progress', 'paused')")


def is_run(organization_id: UUID | BindParameter[UUID]) -> ColumnElement[bool]:
    """The condition that a transaction is a run of the organization, and ours.

    Another application may have transactions of this type; ours keep their steps' statuses in `metadata`.
    """
    mine = (_TABLE.organization_id == organization_id) & (_TABLE.transaction_type == RUN_TYPE)
    return mine & _TABLE.metadata.has_key("step_statuses")


def is_listed_run(organization_id: UUID) -> ColumnElement[bool]:
    """`is_run` in the words of the indexes of runs."""
    return (_TABLE.organization_id == organization_id) & _IS_OURS


def is_live_run(organization_id: UUID) -> ColumnElement[bool]:
    """The condition that a transaction is an unfinished run of the organization, in the words of an index."""
    return is_listed_run(organization_id) & IS_UNFINISHED


def is_label(organization_id: UUID, labels: NamedFromClause = lines) -> ColumnElement[bool]:
    """The condition that a line is a label of a run of the organization, in the words of the index of labels."""
    return (labels.c.organization_id == organization_id) & _in_words("@line_type = 'run_label'", labels.name)
