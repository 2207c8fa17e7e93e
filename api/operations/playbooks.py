"""Author playbooks: make a first version, change a draft, make the next draft.

Owns the order of checks. What a document means is the compiler's. Invariant: only a draft changes, and only from the
revision that its author read.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from api.etags import check_if_match, etag_of
from api.models.playbooks import ValidationReport
from api.operations.validation import report_on
from api.security import Principal
from api.services import Services
from playbooks.document import PlaybookDocument, read_document
from playbooks.errors import PlaybookImmutableError, Problem, ValidationError
from playbooks.lifecycle import is_locked
from playbooks.values import JsonObject
from storage import playbooks as rows
from storage.database import WriteSession
from storage.playbooks import PlaybookRow


async def create_playbook(
    services: Services, principal: Principal, body: JsonObject
) -> tuple[PlaybookRow, ValidationReport]:
    """The first version of a playbook, as a draft, and what publishing it would say.

    Raises ValidationError, NotSupportedError, AlreadyExistsError when the organization has the code already.
    """
    document = read_document(body)
    playbook_id = uuid4()
    report = report_on(services, document, playbook_id, version=1)
    async with services.writing(principal) as session:
        row = await rows.insert_version(
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
    makes_new = _taken(body, "create_new_version")
    async with services.database.reading(principal.organization_id) as session:
        current = await rows.get_version(session, playbook_id)
    if is_locked(current.status):
        if not makes_new:
            raise locked(current)
        row, report = await create_version(services, principal, playbook_id, body)
        return row, report, True
    check_if_match(if_match, etag_of(current.revision))
    document = _same_playbook(read_document(body), current)
    report = report_on(services, document, playbook_id, version=current.version)
    async with services.writing(principal) as session:
        row = await rows.replace_document(
            session, playbook_id, document=document, revision=current.revision, actor=principal.actor
        )
    return row, report, False


async def create_version(
    services: Services, principal: Principal, playbook_id: UUID, body: JsonObject
) -> tuple[PlaybookRow, ValidationReport]:
    """The next version as a draft, with the document in the body, or without one with that of the version named.

    Raises NotFoundError, ValidationError, NotSupportedError, AlreadyExistsError when two are made at once.
    """
    async with services.writing(principal) as session:
        current = await rows.get_version(session, playbook_id)
        document = await _document_for(session, current, body)
        version = await rows.latest_version(session, current.code) + 1
        new_id = uuid4()
        report = report_on(services, document, new_id, version=version)
        row = await rows.insert_version(
            session, playbook_id=new_id, document=document, version=version, actor=principal.actor
        )
    return row, report


def locked(row: PlaybookRow) -> PlaybookImmutableError:
    """The refusal to change a version that was published once."""
    return PlaybookImmutableError(
        f"version {row.version} of '{row.code}' is {row.status} and does not change any more; make a new version"
    )


async def _document_for(session: WriteSession, current: PlaybookRow, body: JsonObject) -> PlaybookDocument:
    if not body:
        return await rows.get_document(session, current.id)
    return _same_playbook(read_document(body), current)


def _same_playbook(document: PlaybookDocument, current: PlaybookRow) -> PlaybookDocument:
    if document.code == current.code:
        return document
    message = f"all versions share the code '{current.code}'"
    raise ValidationError(message, (Problem(pointer="/code", code="NOT_ALLOWED", message=message),))


def _taken(body: JsonObject, name: str) -> bool:
    value = body.pop(name, False)
    if not isinstance(value, bool):
        message = "it is true or false"
        raise ValidationError(message, (Problem(pointer=f"/{name}", code="WRONG_TYPE", message=message),))
    return value
