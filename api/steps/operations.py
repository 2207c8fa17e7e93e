"""The steps of a version: read with their flow, added, replaced, removed.

Owns the order of checks and the one transaction in which a change happens. What a change does to the document is
`playbooks.document.editing`'s. Invariant: a locked version does not change; with `create_new_version` its next draft
has the change instead. The version is held while its document is changed, so two who add steps at once both
succeed; who sends an ETag changes only what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from pydantic import ValidationError as ModelError

from api.http.etags import check_if_match, etag_of
from api.http.security import Principal
from api.playbooks.operations import locked, take_flag
from api.playbooks.schemas import ValidationReport
from api.playbooks.validation import compiled, report_of
from api.services import Services
from api.steps.schemas import AddStepsRequest, StepDefinitionView
from api.steps.views import StepParts, step_views
from playbooks.common.errors import ValidationError
from playbooks.common.values import JsonObject
from playbooks.compiler.compile import CompiledPlaybook
from playbooks.compiler.order import resolve_order
from playbooks.compiler.stages import Flow, flow_of
from playbooks.document import editing, model_errors
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.lifecycle.transitions import is_locked
from storage.database.sessions import WriteSession
from storage.playbooks import version_rows, versions
from storage.playbooks.version_rows import PlaybookRow

_Edit = Callable[[JsonObject], PlaybookDocument]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsRead:
    """The steps of a version, and what its document's order and compilation say."""

    row: PlaybookRow
    steps: list[StepDefinitionView]
    flow: Flow
    report: ValidationReport


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsChange:
    """The version after a change."""

    row: PlaybookRow
    report: ValidationReport
    flow: Flow
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """Under which a change is made: the `If-Match` header, whether it must be there, and what a lock means."""

    if_match: str | None
    needs_match: bool
    makes_new: bool


async def read_steps(services: Services, principal: Principal, playbook_id: UUID, wanted: StepParts) -> StepsRead:
    """The version's steps in order. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await version_rows.get_version(session, playbook_id)
    document = read_document(row.document)
    result = await compiled(services, document, playbook_id, row.version)
    order = resolve_order(document)
    return StepsRead(
        row=row,
        steps=step_views(playbook_id, document, order, result.problems, wanted),
        flow=flow_of(order, result.problems),
        report=report_of(result).model_copy(update={"steps": []}),
    )


async def add_steps(
    services: Services, principal: Principal, playbook_id: UUID, body: JsonObject | None, if_match: str | None
) -> StepsChange:
    """The version with the steps of the body (`AddStepsRequest`).

    Raises NotFoundError, PlaybookImmutableError, PreconditionFailedError, AlreadyExistsError where the next draft
    exists, ValidationError, NotSupportedError.
    """
    sent = body or {}

    def edit(document: JsonObject) -> PlaybookDocument:
        request = _request(sent)
        return editing.add_steps(document, request.steps, mode=request.insert_mode, after=request.insert_after_step)

    makes_new = sent.get("create_new_version") is True
    condition = _Condition(if_match=if_match, needs_match=False, makes_new=makes_new)
    return await _change(services, principal, playbook_id, edit, condition)


async def replace_step(
    *,
    services: Services,
    principal: Principal,
    playbook_id: UUID,
    number: int,
    body: JsonObject | None,
    if_match: str | None,
) -> StepsChange:
    """The version with another step under this number; a draft needs `If-Match`.

    Raises as `add_steps` does, and PreconditionRequiredError, InvalidStepStateError.
    """
    step = None if body is None else dict(body)
    makes_new = step is not None and take_flag(step, "create_new_version")
    condition = _Condition(if_match=if_match, needs_match=True, makes_new=makes_new)
    return await _change(
        services, principal, playbook_id, lambda document: editing.replace_step(document, number, step), condition
    )


async def remove_step(
    *,
    services: Services,
    principal: Principal,
    playbook_id: UUID,
    number: int,
    renumber: bool,
    makes_new: bool,
    if_match: str | None,
) -> StepsChange:
    """The version without this step; a draft needs `If-Match`, because numbers may have moved since it was read.

    Raises as `replace_step` does.
    """

    def edit(document: JsonObject) -> PlaybookDocument:
        return editing.remove_step(document, number, renumber=renumber)

    condition = _Condition(if_match=if_match, needs_match=True, makes_new=makes_new)
    return await _change(services, principal, playbook_id, edit, condition)


async def _change(
    services: Services, principal: Principal, playbook_id: UUID, edit: _Edit, condition: _Condition
) -> StepsChange:
    async with services.writing(principal) as session:
        current = await version_rows.hold_version(session, playbook_id)
        is_new = is_locked(current.status)
        if is_new and not condition.makes_new:
            raise locked(current)
        if condition.if_match is not None or (condition.needs_match and not is_new):
            check_if_match(condition.if_match, etag_of(current.revision))
        document = edit(current.document)
        if is_new:
            row, result = await _next_draft(services, session, principal, current, document)
        else:
            result = await compiled(services, document, playbook_id, current.version)
            row = await versions.replace_document(
                session, playbook_id, document=document, revision=current.revision, actor=principal.actor
            )
    flow = flow_of(resolve_order(document), result.problems)
    return StepsChange(row=row, report=report_of(result), flow=flow, is_new=is_new)


async def _next_draft(
    services: Services, session: WriteSession, principal: Principal, base: PlaybookRow, document: PlaybookDocument
) -> tuple[PlaybookRow, CompiledPlaybook]:
    version = await versions.latest_version(session, base.code) + 1
    new_id = uuid4()
    result = await compiled(services, document, new_id, version)
    row = await versions.insert_version(
        session, playbook_id=new_id, document=document, version=version, actor=principal.actor
    )
    return row, result


def _request(body: JsonObject) -> AddStepsRequest:
    try:
        return AddStepsRequest.model_validate(body)
    except ModelError as error:
        problems = model_errors.from_model(error, AddStepsRequest, body)
        raise ValidationError(f"{problems[0].message} ({problems[0].pointer or '/'})", problems) from None
