"""Read, create and change versions of playbooks.

Invariant: only a draft changes, and only from the revision that its author read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from api.context import RequestContext
from api.http.etags import check_if_match, check_if_none_match, etag_of
from api.playbooks.bodies import base_of
from playbooks.common.errors import InputError, NotFoundError, PlaybookImmutableError, ValidationError
from playbooks.common.errors import error as problem
from playbooks.common.values import JsonObject
from playbooks.compiler.compile import CompiledPlaybook
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.lifecycle.transitions import is_locked
from storage.database.pages import Page
from storage.database.sessions import ReadSession, WriteSession
from storage.playbooks import version_rows, versions
from storage.playbooks.version_rows import PlaybookFilter, PlaybookRow


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledVersion:
    """A version and the compilation of its document. `is_new`: the next draft instead of the locked version."""

    row: PlaybookRow
    compiled: CompiledPlaybook
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDetails:
    """A version, and where asked for all versions of its playbook."""

    row: PlaybookRow
    versions: Sequence[PlaybookRow] = ()


async def list_playbooks(context: RequestContext, filters: PlaybookFilter) -> Page[PlaybookRow]:
    """Return one page of the organization's versions."""
    async with context.reading() as session:
        return await version_rows.list_versions(session, filters)


async def read_playbook(
    context: RequestContext, playbook_id: UUID, *, if_none_match: str | None = None, with_versions: bool = False
) -> VersionDetails:
    """Return a version, and if asked for all versions with its code. Raises NotFoundError, NotModifiedError."""
    async with context.reading() as session:
        row = await version_rows.get_version(session, playbook_id)
        check_if_none_match(if_none_match, etag_of(row.revision))
        others = await version_rows.versions_of(session, row.code) if with_versions else ()
        return VersionDetails(row=row, versions=others)


async def compile_version(context: RequestContext, row: PlaybookRow) -> CompiledPlaybook:
    """Compile a version's document as publishing would."""
    return await context.services.compile(read_document(row.document), row.id, row.version)


async def compile_body(context: RequestContext, body: JsonObject) -> CompiledPlaybook:
    """Compile a document that is not stored. Its malformed fields are problems of the compilation, not an error."""
    try:
        document = read_document(body)
    except InputError as error:
        return CompiledPlaybook(plan=None, problems=tuple(error.problems))
    return await context.services.compile(document, uuid4(), version=1)


async def create_playbook(context: RequestContext, body: JsonObject) -> CompiledVersion:
    """Create the first version of a playbook, a draft.

    Raises ValidationError, NotSupportedError, AlreadyExistsError when the organization has the code already.
    """
    document = read_document(body)
    playbook_id = uuid4()
    compiled = await context.services.compile(document, playbook_id, version=1)
    async with context.writing() as session:
        row = await versions.insert_version(
            session, playbook_id=playbook_id, document=document, version=1, actor=context.principal.actor
        )
    return CompiledVersion(row=row, compiled=compiled, is_new=True)


async def change_playbook(
    context: RequestContext, playbook_id: UUID, body: JsonObject, if_match: str | None
) -> CompiledVersion:
    """Replace a draft's document.

    With `create_new_version: true` in the body a locked version gets a next draft. Raises NotFoundError,
    PlaybookImmutableError, PreconditionRequiredError, PreconditionFailedError, ValidationError, NotSupportedError.
    """
    creates_version = take_flag(body, "create_new_version")
    current = (await read_playbook(context, playbook_id)).row
    if is_locked(current.status):
        if not creates_version:
            raise immutable_error(current)
        return await create_version(context, playbook_id, body)
    check_if_match(if_match, etag_of(current.revision))
    document = _same_playbook(read_document(body), current)
    compiled = await context.services.compile(document, playbook_id, current.version)
    async with context.writing() as session:
        row = await versions.replace_document(
            session, playbook_id, document=document, revision=current.revision, actor=context.principal.actor
        )
    return CompiledVersion(row=row, compiled=compiled)


async def create_version(context: RequestContext, playbook_id: UUID, body: JsonObject) -> CompiledVersion:
    """Create the next version, a draft: with the document in the body, with that of the version that the body names
    (`BaseRequest`), or, where it is empty, with that of `playbook_id`.

    Raises NotFoundError, ValidationError, NotSupportedError, AlreadyExistsError where there is a draft.
    """
    async with context.writing() as session:
        current = await version_rows.get_version(session, playbook_id)
        base = base_of(body)
        if base is not None:
            document = read_document((await find_version(session, current, base)).document)
        elif body:
            document = _same_playbook(read_document(body), current)
        else:
            document = read_document(current.document)
        return await insert_next_version(context, session, current.code, document)


async def insert_next_version(
    context: RequestContext, session: WriteSession, code: str, document: PlaybookDocument
) -> CompiledVersion:
    """Compile a document and insert it as the playbook's next draft. Raises AlreadyExistsError where there is one."""
    version = await versions.latest_version(session, code) + 1
    new_id = uuid4()
    compiled = await context.services.compile(document, new_id, version)
    row = await versions.insert_version(
        session, playbook_id=new_id, document=document, version=version, actor=context.principal.actor
    )
    return CompiledVersion(row=row, compiled=compiled, is_new=True)


async def find_version(session: ReadSession, current: PlaybookRow, wanted: int | UUID) -> PlaybookRow:
    """Return a version of the same playbook by number or id, deleted ones too. Raises NotFoundError."""
    if isinstance(wanted, UUID):
        found = await version_rows.get_version(session, wanted)
        if found.code == current.code:
            return found
        raise NotFoundError(f"there is no such version of '{current.code}'")
    rows = await version_rows.versions_of(session, current.code)
    identity = next((row.id for row in rows if row.version == wanted), None)
    if identity is None:
        raise NotFoundError(f"there is no version {wanted} of '{current.code}'")
    return await version_rows.get_version(session, identity)


def immutable_error(row: PlaybookRow) -> PlaybookImmutableError:
    """Return the refusal to change a version that was published once, with the remedy."""
    message = f"version {row.version} of '{row.code}' is {row.status} and does not change any more"
    hint = f"send create_new_version: true, or POST /playbooks/{row.id}/versions and change that draft"
    return PlaybookImmutableError(f"{message}; {hint}", (problem("", "PLAYBOOK_IMMUTABLE", message, hint),))


def take_flag(body: JsonObject, name: str) -> bool:
    """Remove a flag that is sent beside a document's fields, and return it. Raises ValidationError."""
    value = body.pop(name, False)
    if not isinstance(value, bool):
        message = "it is true or false"
        raise ValidationError(message, (problem(f"/{name}", "WRONG_TYPE", message),))
    return value


def _same_playbook(document: PlaybookDocument, current: PlaybookRow) -> PlaybookDocument:
    if document.code == current.code:
        return document
    message = f"all versions share the code '{current.code}'"
    raise ValidationError(message, (problem("/code", "NOT_ALLOWED", message),))
