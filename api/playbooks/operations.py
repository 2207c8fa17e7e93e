"""Author playbooks: make a first version, change a draft, make the next draft.

Owns the order of checks. What a document means is the compiler's. Invariant: only a draft changes, and only from the
revision that its author read.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from pydantic import ValidationError as ModelError

from api.http.etags import check_if_match, etag_of
from api.http.security import Principal
from api.playbooks.schemas import ValidationReport
from api.playbooks.validation import report_on
from api.services import Services
from api.versions.operations import version_of
from api.versions.schemas import BaseRequest
from playbooks.common.errors import PlaybookImmutableError, ValidationError
from playbooks.common.errors import error as problem
from playbooks.common.values import JsonObject
from playbooks.document import model_errors
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.lifecycle.transitions import is_locked
from storage.database.sessions import WriteSession
from storage.playbooks import version_rows, versions
from storage.playbooks.version_rows import PlaybookRow


async def create_playbook(
    services: Services, principal: Principal, body: JsonObject
) -> tuple[PlaybookRow, ValidationReport]:
    """The first version of a playbook, as a draft, and what publishing it would say.

    Raises ValidationError, NotSupportedError, AlreadyExistsError when the organization has the code already.
    """
    document = read_document(body)
    playbook_id = uuid4()
    report = await report_on(services, document, playbook_id, version=1)
    async with services.writing(principal) as session:
        row = await versions.insert_version(
            session, playbook_id=playbook_id, document=document, version=1, actor=principal.actor
        )
    return row, report


async def change_playbook(
    services: Services, principal: Principal, playbook_id: UUID, body: JsonObject, if_match: str | None
) -> tuple[PlaybookRow, ValidationReport, bool]:
    """A draft with another document; the flag says whether it is a new version.

    `create_new_version: true` in the body makes the next draft where the version is locked. Raises NotFoundError,
    PlaybookImmutableError, PreconditionRequiredError, PreconditionFailedError, ValidationError, NotSupportedError.
    """
    makes_new = take_flag(body, "create_new_version")
    async with services.database.reading(principal.organization_id) as session:
        current = await version_rows.get_version(session, playbook_id)
    if is_locked(current.status):
        if not makes_new:
            raise locked(current)
        row, report = await create_version(services, principal, playbook_id, body)
        return row, report, True
    check_if_match(if_match, etag_of(current.revision))
    document = _same_playbook(read_document(body), current)
    report = await report_on(services, document, playbook_id, version=current.version)
    async with services.writing(principal) as session:
        row = await versions.replace_document(
            session, playbook_id, document=document, revision=current.revision, actor=principal.actor
        )
    return row, report, False


async def create_version(
    services: Services, principal: Principal, playbook_id: UUID, body: JsonObject
) -> tuple[PlaybookRow, ValidationReport]:
    """The next version as a draft: with the document in the body, or with that of another version, which the body
    names by `base_version` or `from_version_id`, or, where it is empty, with that of the version asked for.

    Raises NotFoundError, ValidationError, NotSupportedError, AlreadyExistsError where there is a draft.
    """
    async with services.writing(principal) as session:
        current = await version_rows.get_version(session, playbook_id)
        document = await _document_for(session, current, body)
        version = await versions.latest_version(session, current.code) + 1
        new_id = uuid4()
        report = await report_on(services, document, new_id, version=version)
        row = await versions.insert_version(
            session, playbook_id=new_id, document=document, version=version, actor=principal.actor
        )
    return row, report


def locked(row: PlaybookRow) -> PlaybookImmutableError:
    """The refusal to change a version that was published once, with what helps."""
    message = f"version {row.version} of '{row.code}' is {row.status} and does not change any more"
    hint = f"send create_new_version: true, or POST /playbooks/{row.id}/versions and change that draft"
    return PlaybookImmutableError(f"{message}; {hint}", (problem("", "PLAYBOOK_IMMUTABLE", message, hint),))


def take_flag(body: JsonObject, name: str) -> bool:
    """A flag that stands beside a document, taken out of it. Raises ValidationError."""
    value = body.pop(name, False)
    if not isinstance(value, bool):
        message = "it is true or false"
        raise ValidationError(message, (problem(f"/{name}", "WRONG_TYPE", message),))
    return value


async def _document_for(session: WriteSession, current: PlaybookRow, body: JsonObject) -> PlaybookDocument:
    if not body:
        return await version_rows.get_document(session, current.id)
    if body.keys() & BaseRequest.model_fields.keys():
        base = await version_of(session, current, _base_of(body))
        return read_document(base.document)
    return _same_playbook(read_document(body), current)


def _base_of(body: JsonObject) -> int | UUID:
    try:
        request = BaseRequest.model_validate(body)
    except ModelError as error:
        problems = model_errors.from_model(error, BaseRequest, body)
        raise ValidationError(f"{problems[0].message} ({problems[0].pointer or '/'})", problems) from None
    if (request.base_version is None) == (request.from_version_id is None):
        message = "name the base by base_version or by from_version_id"
        raise ValidationError(message, (problem("", "REQUIRED", message, "give exactly one of the two"),))
    return request.base_version or request.from_version_id or 0


def _same_playbook(document: PlaybookDocument, current: PlaybookRow) -> PlaybookDocument:
    if document.code == current.code:
        return document
    message = f"all versions share the code '{current.code}'"
    raise ValidationError(message, (problem("/code", "NOT_ALLOWED", message),))
