"""Views of playbook versions and of their compilation."""

from __future__ import annotations

from api.http.schemas import problem_view
from api.playbooks.operations import CompiledVersion
from api.playbooks.schemas import PlaybookView, StepSummary, ValidationReport
from playbooks.compiler.compile import CompiledPlaybook
from playbooks.engine.model.plan import PlanStep
from storage.playbooks.version_rows import PlaybookRow


def playbook_view(row: PlaybookRow, *, shows_document: bool = True) -> PlaybookView:
    """Return a version. Its own id is what runs and paths call `playbook_id`."""
    return PlaybookView(
        id=row.id,
        playbook_id=row.id,
        code=row.code,
        name=row.name,
        description=row.description,
        industry=row.industry,
        module=row.module,
        version=row.version,
        status=row.status,
        revision=row.revision,
        smart_code=row.smart_code,
        total_steps=row.total_steps,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        document=row.document if shows_document else None,
    )


def compiled_view(version: CompiledVersion) -> PlaybookView:
    """Return a version with what publishing it would report."""
    view = playbook_view(version.row)
    view.validation = report_view(version.compiled)
    return view


def report_view(compiled: CompiledPlaybook) -> ValidationReport:
    """Return what publishing would report."""
    plan = compiled.plan
    return ValidationReport(
        is_valid=not compiled.errors and plan is not None,
        errors=[problem_view(problem) for problem in compiled.errors],
        warnings=[problem_view(problem) for problem in compiled.warnings],
        steps=[] if plan is None else [_step_summary(step) for step in plan.steps],
    )


def _step_summary(step: PlanStep) -> StepSummary:
    return StepSummary(
        step_id=step.step_id,
        key=step.key,
        name=step.name,
        step_number=step.number,
        step_type=step.step_type,
        worker_type=step.worker_type,
        depends_on=[dependency.step for dependency in step.dependencies],
    )
