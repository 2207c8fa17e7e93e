"""What publishing a document would say, without saving anything."""

from __future__ import annotations

from uuid import UUID, uuid4

from api.http.schemas import ProblemView
from api.playbooks.schemas import StepSummary, ValidationReport
from api.services import Services
from playbooks.common.errors import InputError, Problem
from playbooks.common.values import JsonObject
from playbooks.compiler.compile import CompiledPlaybook, compile_playbook
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.engine.model.plan import Plan


async def compiled(services: Services, document: PlaybookDocument, playbook_id: UUID, version: int) -> CompiledPlaybook:
    """The plan, if the document can be published, and everything that is wrong or doubtful."""
    return await services.calculate(
        lambda: compile_playbook(document, playbook_id=playbook_id, version=version, handlers=services.handlers)
    )


async def report_on(
    services: Services, document: PlaybookDocument, playbook_id: UUID, version: int
) -> ValidationReport:
    """The same as a view."""
    return report_of(await compiled(services, document, playbook_id, version))


def report_of(result: CompiledPlaybook) -> ValidationReport:
    """A compilation as the API shows it."""
    problems = result.errors
    return ValidationReport(
        is_valid=not problems and result.plan is not None,
        errors=[problem_view(problem) for problem in problems],
        warnings=[problem_view(problem) for problem in result.warnings],
        steps=[] if result.plan is None else step_summaries(result.plan),
    )


def problem_view(problem: Problem) -> ProblemView:
    """One finding as the API shows it."""
    return ProblemView(
        pointer=problem.pointer, code=problem.code, message=problem.message, suggestion=problem.suggestion
    )


def step_summaries(plan: Plan) -> list[StepSummary]:
    """The flow of a plan: its steps in order, with what each waits for."""
    return [
        StepSummary(
            step_id=step.step_id,
            key=step.key,
            name=step.name,
            step_number=step.number,
            step_type=step.step_type,
            worker_type=step.worker_type,
            depends_on=[dependency.step for dependency in step.dependencies],
        )
        for step in plan.steps
    ]


async def validate_document(services: Services, body: JsonObject) -> ValidationReport:
    """What publishing this document would say. What is wrong with its shape is part of the report, not an error."""
    try:
        document = read_document(body)
    except InputError as error:
        return ValidationReport(is_valid=False, errors=[problem_view(item) for item in error.problems], warnings=[])
    return await report_on(services, document, uuid4(), version=1)
