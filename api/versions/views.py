"""View of the comparison of two versions."""

from __future__ import annotations

from collections.abc import Mapping

from api.versions.operations import ComparedVersions
from api.versions.schemas import ComparisonSummary, ComparisonView, StepsComparison, VersionRef
from playbooks.contracts.compatibility import ContractComparison, Direction
from storage.playbooks.version_rows import PlaybookRow


def comparison_view(compared: ComparedVersions) -> ComparisonView:
    """Return the comparison with its summary."""
    found = compared.comparison
    return ComparisonView(
        from_version=_ref(compared.before),
        to_version=_ref(compared.after),
        is_equal=found.is_equal,
        summary=ComparisonSummary(
            steps_added=len(found.added),
            steps_removed=len(found.removed),
            steps_changed=len(found.changed),
            steps_reordered=len(found.reordered),
            policies_changed=len(found.policies),
            input_contract=_direction(found.contracts, "input_contract"),
            output_contract=_direction(found.contracts, "output_contract"),
        ),
        fields=list(found.fields),
        policies=list(found.policies),
        contracts=dict(found.contracts),
        steps=StepsComparison(
            added=list(found.added),
            removed=list(found.removed),
            changed=list(found.changed),
            reordered=list(found.reordered),
        ),
    )


def _direction(contracts: Mapping[str, ContractComparison], name: str) -> Direction:
    return contracts[name].direction if name in contracts else "equal"


def _ref(row: PlaybookRow) -> VersionRef:
    return VersionRef(id=row.id, version=row.version, status=row.status, smart_code=row.smart_code)
