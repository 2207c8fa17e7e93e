"""Read, add, replace and remove the steps of a version.

A change locks the version's row, so that concurrent additions both succeed; a request with an ETag changes only the
revision that was read. Invariant: a locked version does not change; with `create_new_version` its next draft does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from api.context import RequestContext
from api.http.etags import check_if_match, etag_of
from api.playbooks.bodies import read_body
from api.playbooks.operations import (
    CompiledVersion,
    immutable_error,
    insert_next_version,
    read_playbook,
    take_flag,
)
from api.steps.bodies import AddStepsRequest
from playbooks.common.values import JsonObject
from playbooks.compiler.compile import CompiledPlaybook
from playbooks.compiler.order import StepOrder, resolve_order
from playbooks.compiler.stages import Flow, flow_of
from playbooks.document import editing
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.lifecycle.transitions import is_locked
from storage.playbooks import version_rows, versions
from storage.playbooks.version_rows import PlaybookRow

Edit = Callable[[JsonObject], PlaybookDocument]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSteps:
    """A version with the order of its steps and the compilation of its document."""

    row: PlaybookRow
    document: PlaybookDocument
    order: StepOrder
    compiled: CompiledPlaybook

    @property
    def flow(self) -> Flow:
        return flow_of(self.order, self.compiled.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSteps:
    """The version after a change, and the flow of its steps."""

    version: CompiledVersion
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Precondition:
    """The `If-Match` header, whether a draft requires it, and whether a locked version gets a next draft."""

    if_match: str | None
    is_required: bool
    creates_version: bool


async def read_steps(context: RequestContext, playbook_id: UUID, if_none_match: str | None) -> VersionSteps:
    """Return the version's steps. Raises NotFoundError, and NotModifiedError before the document is compiled."""
    row = (await read_playbook(context, playbook_id, if_none_match=if_none_match)).row
    document = read_document(row.document)
    compiled = await context.services.compile(document, row.id, row.version)
    return VersionSteps(row=row, document=document, order=resolve_order(document), compiled=compiled)


async def add_steps(
    context: RequestContext, playbook_id: UUID, body: JsonObject | None, if_match: str | None
) -> ChangedSteps:
    """Add the steps of the body (`AddStepsRequest`).

    Raises NotFoundError, PlaybookImmutableError, PreconditionFailedError, AlreadyExistsError where the next draft
    exists, ValidationError, NotSupportedError.
    """
    sent = body or {}

    def edit(document: JsonObject) -> PlaybookDocument:
        request = read_body(AddStepsRequest, sent)
        return editing.add_steps(document, request.steps, mode=request.insert_mode, after=request.insert_after_step)

    creates_version = sent.get("create_new_version") is True
    condition = Precondition(if_match=if_match, is_required=False, creates_version=creates_version)
    return await _change(context, playbook_id, edit, condition)


async def replace_step(
    context: RequestContext, playbook_id: UUID, number: int, body: JsonObject | None, if_match: str | None
) -> ChangedSteps:
    """Replace the step with this number; a draft needs `If-Match`.

    Raises as `add_steps` does, and PreconditionRequiredError, InvalidStepStateError.
    """
    step = None if body is None else dict(body)
    creates_version = step is not None and take_flag(step, "create_new_version")
    condition = Precondition(if_match=if_match, is_required=True, creates_version=creates_version)
    return await _change(context, playbook_id, lambda document: editing.replace_step(document, number, step), condition)


async def remove_step(
    context: RequestContext, playbook_id: UUID, number: int, condition: Precondition, *, renumber: bool
) -> ChangedSteps:
    """Remove the step with this number; a draft needs `If-Match`, because numbers may have moved since it was read.

    Raises as `replace_step` does.
    """
    return await _change(
        context, playbook_id, lambda document: editing.remove_step(document, number, renumber=renumber), condition
    )


async def _change(context: RequestContext, playbook_id: UUID, edit: Edit, condition: Precondition) -> ChangedSteps:
    async with context.writing() as session:
        current = await version_rows.hold_version(session, playbook_id)
        is_new = is_locked(current.status)
        if is_new and not condition.creates_version:
            raise immutable_error(current)
        if condition.if_match is not None or (condition.is_required and not is_new):
            check_if_match(condition.if_match, etag_of(current.revision))
        document = edit(current.document)
        if is_new:
            version = await insert_next_version(context, session, current.code, document)
        else:
            compiled = await context.services.compile(document, playbook_id, current.version)
            row = await versions.replace_document(
                session, playbook_id, document=document, revision=current.revision, actor=context.principal.actor
            )
            version = CompiledVersion(row=row, compiled=compiled)
    return ChangedSteps(version=version, flow=flow_of(resolve_order(document), version.compiled.problems))
