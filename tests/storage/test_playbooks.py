"""Playbook versions: drafts, life cycle, plans, lists."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from playbooks.common.errors import (
    AlreadyExistsError,
    InvalidTransitionError,
    NotFoundError,
    PlaybookImmutableError,
    PreconditionFailedError,
    ValidationError,
)
from storage.database.sessions import Database, ReadSession
from storage.database.tables import dynamic_data, entities, relationships, transactions
from storage.playbooks import plans, transitions, version_rows, versions
from storage.playbooks.cache import VersionCache
from storage.playbooks.transitions import TransitionRequest
from storage.playbooks.version_rows import PlaybookFilter
from tests.conftest import MakeOrganization
from tests.storage.samples import ANNA, BEN, Sample, document, plan_of, published


async def test_document_comes_back_as_it_was_given(sample: Sample) -> None:
    async with sample.database.reading(sample.organization_id) as session:
        row = await version_rows.get_version(session, sample.playbook_id)
        assert row.document == document().to_json()
        assert await version_rows.get_document(session, sample.playbook_id) == document()
        assert (row.code, row.version, row.status, row.revision, row.total_steps) == ("small", 1, "active", 2, 2)
        assert row.smart_code == "HERA.TESTING.PLAYBOOK.DEF.SMALL.V1"
        assert row.module == "TESTS"


async def test_plan_comes_back_equal_and_shows_its_order(sample: Sample) -> None:
    async with sample.database.reading(sample.organization_id) as session:
        assert await plans.get_plan(session, sample.playbook_id) == sample.plan
        kinds = select(relationships.c.relationship_type, func.count()).group_by(relationships.c.relationship_type)
        found = {row[0]: row[1] for row in await session.connection.execute(kinds)}
    assert found == {"playbook_has_step": 2, "step_depends_on": 1}


async def test_contracts_and_policies_are_fields_of_their_own(sample: Sample) -> None:
    async with sample.database.reading(sample.organization_id) as session:
        names = select(dynamic_data.c.field_name).where(dynamic_data.c.entity_id == sample.playbook_id)
        assert set((await session.connection.execute(names)).scalars()) == {
            "document",
            "input_contract",
            "policies",
            "plan",
        }


async def test_code_is_refused_when_it_exists(sample: Sample) -> None:
    with pytest.raises(AlreadyExistsError):
        async with sample.database.writing(sample.organization_id) as session:
            await versions.insert_version(session, playbook_id=uuid4(), document=document(), version=1, actor=ANNA)


async def test_next_version_is_related_to_the_first(sample: Sample) -> None:
    second = uuid4()
    async with sample.database.writing(sample.organization_id) as session:
        assert await versions.latest_version(session, "small") == 1
        row = await versions.insert_version(session, playbook_id=second, document=document(), version=2, actor=BEN)
        assert row.smart_code.endswith(".V2")
        related = select(relationships.c.to_entity_id).where(
            relationships.c.from_entity_id == second, relationships.c.relationship_type == "playbook_version_of"
        )
        assert (await session.connection.execute(related)).scalar_one() == sample.playbook_id
        assert await versions.latest_version(session, "small") == 2


async def test_draft_takes_another_document(database: Database, organization_id: UUID) -> None:
    draft = uuid4()
    async with database.writing(organization_id) as session:
        await versions.insert_version(session, playbook_id=draft, document=document(), version=1, actor=ANNA)
    changed = document(name="Renamed", steps=[document().to_json()["steps"][1]])  # type: ignore[index, call-overload]
    async with database.writing(organization_id) as session:
        row = await versions.replace_document(session, draft, document=changed, revision=1, actor=BEN)
        assert (row.name, row.revision, row.total_steps, row.document) == ("Renamed", 2, 1, changed.to_json())
        assert await _steps(session, draft) == ["check"]
    with pytest.raises(PreconditionFailedError):
        async with database.writing(organization_id) as session:
            await versions.replace_document(session, draft, document=changed, revision=1, actor=BEN)


async def test_published_version_does_not_change(sample: Sample) -> None:
    with pytest.raises(PlaybookImmutableError):
        async with sample.database.writing(sample.organization_id) as session:
            await versions.replace_document(session, sample.playbook_id, document=document(), revision=2, actor=ANNA)


async def test_transition_is_recorded_and_notifies_when_asked(sample: Sample) -> None:
    async with sample.database.writing(sample.organization_id) as session:
        active = await version_rows.get_version(session, sample.playbook_id)
        asked = TransitionRequest(action="deprecate", actor=BEN, reason="old", notification={"notify_users": True})
        row, _ = await transitions.transition(session, active, asked)
        assert (row.status, row.revision) == ("deprecated", 3)
        history = await transitions.list_transitions(session, sample.playbook_id)
        assert [(entry.action, entry.from_status, entry.to_status, entry.reason) for entry in history] == [
            ("publish", "draft", "active", "ready"),
            ("deprecate", "active", "deprecated", "old"),
        ]
        assert history[1].actor == BEN
        kinds = select(transactions.c.transaction_type, transactions.c.transaction_status)
        assert ("PLAYBOOK_NOTIFICATION", "undelivered") in {
            tuple(row) for row in await session.connection.execute(kinds)
        }


async def test_transition_is_refused_when_status_moved_meanwhile(sample: Sample) -> None:
    with pytest.raises(InvalidTransitionError):
        async with sample.database.writing(sample.organization_id) as session:
            seen = replace(await version_rows.get_version(session, sample.playbook_id), status="draft")
            await transitions.transition(session, seen, TransitionRequest(action="publish", actor=ANNA))


async def test_everything_is_not_found_when_organization_is_another(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    other, cache = await new_organization("other"), VersionCache()
    async with sample.database.reading(sample.organization_id) as session:
        await cache.get(session, sample.playbook_id)
    for look in (version_rows.get_version, version_rows.get_document, plans.get_plan, cache.get):
        with pytest.raises(NotFoundError):
            async with sample.database.reading(other) as session:
                await look(session, sample.playbook_id)
    async with sample.database.reading(other) as session:
        assert (await version_rows.list_versions(session, PlaybookFilter())).items == ()
        assert await transitions.list_transitions(session, sample.playbook_id) == ()
    with pytest.raises(NotFoundError):
        async with sample.database.writing(other) as session:
            await versions.replace_document(session, sample.playbook_id, document=document(), revision=2, actor=ANNA)


async def test_cache_keeps_published_versions_only(database: Database, organization_id: UUID) -> None:
    draft, cache = uuid4(), VersionCache()
    async with database.writing(organization_id) as session:
        row = await versions.insert_version(session, playbook_id=draft, document=document(), version=1, actor=ANNA)
        await plans.store_plan(session, draft, plan_of(draft))
        await cache.get(session, draft)
        assert cache.cached(organization_id, draft) is None
        await transitions.transition(session, row, TransitionRequest(action="publish", actor=ANNA))
        found, plan = await cache.get(session, draft)
        assert (found, plan) == (document(), plan_of(draft))
        assert cache.cached(organization_id, draft) is not None


async def test_list_pages_without_repeating_or_losing(database: Database, organization_id: UUID) -> None:
    for number in range(5):
        await published(database, organization_id, f"code-{number}")
    async with database.reading(organization_id) as session:
        seen: list[str] = []
        cursor = None
        while True:
            page = await version_rows.list_versions(session, PlaybookFilter(limit=2, cursor=cursor))
            assert page.total == 5
            seen += [row.code for row in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [f"code-{number}" for number in (4, 3, 2, 1, 0)]
        by_offset = await version_rows.list_versions(session, PlaybookFilter(limit=2, offset=2, with_documents=True))
        assert [row.code for row in by_offset.items] == ["code-2", "code-1"]
        assert by_offset.items[0].document["code"] == "code-2"


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (PlaybookFilter(code="small"), 1),
        (PlaybookFilter(code="nosuch"), 0),
        (PlaybookFilter(statuses=("draft",)), 0),
        (PlaybookFilter(statuses=("active", "draft")), 1),
        (PlaybookFilter(industry="TESTING", module="TESTS"), 1),
        (PlaybookFilter(industry="OTHER"), 0),
        (PlaybookFilter(search="MALL play"), 1),
        (PlaybookFilter(search="%"), 0),
    ],
)
async def test_list_filters(sample: Sample, filters: PlaybookFilter, count: int) -> None:
    async with sample.database.reading(sample.organization_id) as session:
        assert (await version_rows.list_versions(session, filters)).total == count


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "W10", "WyJhIiwiYiIsImMiXQ", "é"])
async def test_cursor_is_refused_when_it_is_none_of_ours(sample: Sample, cursor: str) -> None:
    async with sample.database.reading(sample.organization_id) as session:
        with pytest.raises(ValidationError):
            await version_rows.list_versions(session, PlaybookFilter(cursor=cursor))


async def _steps(session: ReadSession, playbook_id: UUID) -> list[str]:
    keys = select(entities.c.entity_code).where(entities.c.parent_entity_id == playbook_id)
    return list((await session.connection.execute(keys)).scalars())
