"""The life cycle over REST: transitions, permissions, overrides, schedules, live runs, and notifications."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from storage.database.sessions import Database
from storage.database.tables import transactions
from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem
from tests.storage.raw import connected
from tests.support.waiting import eventually

FUTURE = "2999-01-01T00:00:00Z"


def doubtful(**changes: Any) -> dict[str, Any]:
    """A playbook with one warning, `NO_EFFECT`, at its second step."""
    written = document(**changes)
    written["steps"][1]["timeout_seconds"] = 60
    return written


def path_of(playbook_id: str) -> str:
    return f"/playbooks/{playbook_id}/publish"


async def moved(caller: Caller, playbook_id: str, action: str, status: int = 200, **fields: Any) -> dict[str, Any]:
    answer = await caller.put(path_of(playbook_id), {"action": action, **fields})
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


async def seen(caller: Caller, playbook_id: str) -> dict[str, Any]:
    return (await caller.get(path_of(playbook_id))).json()["data"]


async def make_strict(admin_database_url: str, organization: Organization) -> None:
    async with connected(admin_database_url) as admin:
        settings = json.dumps({"strict_publication": True})
        await admin.execute("UPDATE core_organizations SET settings = $1 WHERE id = $2", settings, organization.id)


def kinds(data: dict[str, Any]) -> list[str]:
    return [effect["kind"] for effect in data["side_effects"]]


# -- now -------------------------------------------------------------------------------------------------------------


async def test_side_effects_are_reported_when_a_second_version_is_published(author: Caller) -> None:
    written = document()
    first = await author.published(written)
    draft = (await author.put(f"/playbooks/{first}", {**written, "create_new_version": True})).json()["data"]["id"]
    data = await moved(author, draft, "publish", reason="better")
    assert data["playbook"]["status"] == "active"
    assert (data["transition"]["status"], data["transition"]["reason"]) == ("completed", "better")
    stays = next(effect for effect in data["side_effects"] if effect["kind"] == "version_stays_active")
    assert (stays["version"], stays["playbook_id"]) == (1, first)
    run = await author.started(first, amount=1)
    assert (await author.get(f"/playbooks/runs/{run}")).json()["data"]["playbook_version"] == 1
    history = (await seen(author, draft))["history"]
    assert [effect["kind"] for effect in history[0]["side_effects"]] == kinds(data)
    assert history[0]["actor"]["name"] == "anna"


async def test_live_runs_go_on_and_no_new_one_starts_when_a_version_is_deprecated(author: Caller) -> None:
    playbook_id = await author.published(document())
    run = await author.started(playbook_id, amount=1)
    data = await moved(author, playbook_id, "deprecate")
    assert kinds(data) == ["new_runs_refused", "no_active_version", "live_runs_finish"]
    assert data["side_effects"][2]["count"] == 1
    assert (await seen(author, playbook_id))["live_runs"] == 1
    refused = await author.post(f"/playbooks/{playbook_id}/execute", {"input_data": {"amount": 1}})
    assert_problem(refused, 409, "INVALID_PLAYBOOK_STATUS")
    assert (await author.get(f"/playbooks/runs/{run}")).json()["data"]["status"] in ("queued", "in_progress")
    await moved(author, playbook_id, "reactivate")
    await author.started(playbook_id, amount=1)


async def test_actions_name_their_permission_when_the_caller_lacks_it(
    organization: Organization, author: Caller
) -> None:
    playbook_id = await author.draft(document())
    reader = organization.caller("rita", permissions=("playbooks:read",))
    data = await seen(reader, playbook_id)
    assert data["allowed_actions"] == []
    assert data["forbidden_actions"] == [
        {"action": "publish", "permission": "playbooks:publish"},
        {"action": "delete", "permission": "playbooks:manage"},
        {"action": "archive", "permission": "playbooks:admin"},
    ]
    assert (await seen(author, playbook_id))["allowed_actions"] == ["publish", "delete", "archive"]
    for action in ("publish", "deprecate", "reactivate", "archive", "delete"):
        assert_problem(await reader.put(path_of(playbook_id), {"action": action}), 403, "FORBIDDEN")
    assert_problem(await reader.put(path_of(playbook_id), {"action": "explode"}), 422, "INVALID_ACTION")


async def test_a_draft_that_was_changed_is_not_published_when_if_match_names_the_old_one(author: Caller) -> None:
    written = document()
    playbook_id = await author.draft(written)
    changed = {**written, "name": "Changed"}
    assert (await author.put(f"/playbooks/{playbook_id}", changed, headers={"If-Match": '"1"'})).status_code == 200
    old = await author.put(path_of(playbook_id), {"action": "publish"}, headers={"If-Match": '"1"'})
    assert_problem(old, 412, "PRECONDITION_FAILED")
    new = await author.put(path_of(playbook_id), {"action": "publish"}, headers={"If-Match": '"2"'})
    assert (new.status_code, new.headers["etag"]) == (200, '"3"')


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "publish", "on_live_runs": "cancel"}, "/on_live_runs"),
        ({"action": "delete", "on_live_runs": "refuse"}, "/on_live_runs"),
        ({"action": "archive", "on_live_runs": "explode"}, "/on_live_runs"),
        ({"action": "archive", "validation_overrides": ["NO_EFFECT"]}, "/validation_overrides"),
        ({"action": "publish", "validation_overrides": [7]}, "/validation_overrides/0"),
        ({"action": "publish", "validation_overrides": [{"pointer": "/steps/1"}]}, "/validation_overrides/0/code"),
        ({"action": "publish", "validation_overrides": [{"code": "X", "who": "me"}]}, "/validation_overrides/0/who"),
        ({"action": "publish", "effective_date": "soon"}, "/effective_date"),
        ({"action": "publish", "reason": "a\u0000b"}, "/reason"),
        ({"action": "publish", "color": "red"}, "/color"),
    ],
)
async def test_a_field_is_refused_with_its_pointer_when_it_does_not_belong_there(
    author: Caller, body: dict[str, Any], pointer: str
) -> None:
    playbook_id = await author.draft(document())
    problem = assert_problem(await author.put(path_of(playbook_id), body), 422, "VALIDATION_ERROR")
    assert pointer in [item["pointer"] for item in problem["errors"]]
    assert (await seen(author, playbook_id))["playbook"]["status"] == "draft"


# -- overrides -------------------------------------------------------------------------------------------------------


async def test_warnings_refuse_until_they_are_overridden_when_publication_is_strict(
    author: Caller, organization: Organization, admin_database_url: str
) -> None:
    await make_strict(admin_database_url, organization)
    playbook_id = await author.draft(doubtful())
    view = await seen(author, playbook_id)
    assert (view["strict_publication"], [each["code"] for each in view["validation"]["warnings"]]) == (
        True,
        ["NO_EFFECT"],
    )
    pointer = view["validation"]["warnings"][0]["pointer"]
    refused = assert_problem(await author.put(path_of(playbook_id), {"action": "publish"}), 422, "VALIDATION_FAILED")
    assert [(item["code"], item["pointer"]) for item in refused["errors"]] == [("NO_EFFECT", pointer)]
    assert refused["errors"][0]["suggestion"]
    override = {"code": "NO_EFFECT", "pointer": pointer, "reason": "everybody may"}
    data = await moved(author, playbook_id, "publish", validation_overrides=[override])
    assert [each["code"] for each in data["warnings"]] == ["NO_EFFECT"]
    assert "warnings_overridden" in kinds(data)
    (recorded,) = (await seen(author, playbook_id))["history"]
    assert recorded["actor"]["name"] == "anna"
    assert recorded["validation_overrides"] == [override]
    (taken_on,) = recorded["overridden"]
    assert (taken_on["code"], taken_on["pointer"], taken_on["reason"]) == ("NO_EFFECT", pointer, "everybody may")


async def test_a_code_alone_overrides_when_it_names_a_warning(
    author: Caller, organization: Organization, admin_database_url: str
) -> None:
    await make_strict(admin_database_url, organization)
    playbook_id = await author.draft(doubtful())
    data = await moved(author, playbook_id, "publish", validation_overrides=["NO_EFFECT"], reason="as agreed")
    assert data["transition"]["overridden"][0]["code"] == "NO_EFFECT"


async def test_an_override_is_refused_with_its_pointer_when_it_names_an_error_or_nothing(author: Caller) -> None:
    written = doubtful()
    written["steps"][0]["worker_type"] = "nosuch"
    playbook_id = await author.draft(written)
    errors = (await seen(author, playbook_id))["validation"]["errors"]
    body = {"action": "publish", "validation_overrides": ["NO_EFFECT", errors[0]["code"]]}
    problem = assert_problem(await author.put(path_of(playbook_id), body), 422, "VALIDATION_ERROR")
    assert [(item["pointer"], item["code"]) for item in problem["errors"]] == [
        ("/validation_overrides/1", "NOT_ALLOWED")
    ]
    assert_problem(await author.put(path_of(playbook_id), {"action": "publish"}), 422, "VALIDATION_FAILED")
    fine = await author.draft(doubtful())
    body = {"action": "publish", "validation_overrides": ["NO_EFFECT", {"code": "NO_EFFECT", "pointer": "/steps/0"}]}
    problem = assert_problem(await author.put(path_of(fine), body), 422, "VALIDATION_ERROR")
    assert [(item["pointer"], item["code"]) for item in problem["errors"]] == [("/validation_overrides/1", "NOT_FOUND")]
    assert (await seen(author, fine))["playbook"]["status"] == "draft"


# -- later -----------------------------------------------------------------------------------------------------------


async def test_a_transition_waits_when_its_effective_date_is_in_the_future(author: Caller) -> None:
    playbook_id = await author.draft(document())
    data = await moved(author, playbook_id, "publish", 202, effective_date=FUTURE, reason="new law")
    assert (data["playbook"]["status"], data["transition"]["status"]) == ("draft", "scheduled")
    view = await seen(author, playbook_id)
    (waiting,) = view["scheduled"]
    assert waiting["transition_id"] == data["transition"]["transition_id"]
    assert (waiting["action"], waiting["from_status"], waiting["to_status"]) == ("publish", "draft", "active")
    assert datetime.fromisoformat(waiting["at"]) == datetime.fromisoformat(FUTURE)
    assert (waiting["reason"], waiting["actor"]["name"], waiting["is_current"]) == ("new law", "anna", True)
    assert view["history"] == []
    assert_problem(await author.post(f"/playbooks/{playbook_id}/execute", {}), 409, "INVALID_PLAYBOOK_STATUS")


async def test_a_past_date_means_now_when_it_is_given(author: Caller) -> None:
    playbook_id = await author.draft(document())
    data = await moved(author, playbook_id, "publish", effective_date="2020-01-01T00:00:00Z")
    assert data["playbook"]["status"] == "active"
    assert datetime.fromisoformat(data["transition"]["effective_date"]).year == 2020


async def test_a_second_schedule_is_refused_when_it_contradicts_the_first(author: Caller) -> None:
    playbook_id = await author.draft(document())
    await moved(author, playbook_id, "publish", 202, effective_date="2999-01-01T00:00:00Z")
    await moved(author, playbook_id, "deprecate", 202, effective_date="2999-06-01T00:00:00Z")
    for action, at in (
        ("publish", "2999-02-01T00:00:00Z"),
        ("deprecate", "2998-01-01T00:00:00Z"),
        ("archive", "2999-03-01T00:00:00Z"),
        ("archive", "2999-06-01T00:00:00Z"),
    ):
        refused = await author.put(path_of(playbook_id), {"action": action, "effective_date": at})
        assert_problem(refused, 409, "INVALID_STATE_TRANSITION")
    assert_problem(await author.put(path_of(playbook_id), {"action": "publish"}), 409, "INVALID_STATE_TRANSITION")
    assert [each["action"] for each in (await seen(author, playbook_id))["scheduled"]] == ["publish", "deprecate"]


async def test_a_broken_playbook_is_not_scheduled_when_its_problems_are_known_today(author: Caller) -> None:
    written = document()
    written["steps"][0]["worker_type"] = "nosuch"
    playbook_id = await author.draft(written)
    body = {"action": "publish", "effective_date": FUTURE}
    assert_problem(await author.put(path_of(playbook_id), body), 422, "VALIDATION_FAILED")
    fine = await author.draft(document())
    wrong = {**body, "validation_overrides": ["NOSUCH"]}
    assert_problem(await author.put(path_of(fine), wrong), 422, "VALIDATION_ERROR")
    assert [(await seen(author, each))["scheduled"] for each in (playbook_id, fine)] == [[], []]


async def test_a_schedule_tells_that_it_is_stale_when_the_draft_was_changed(author: Caller) -> None:
    written = document()
    playbook_id = await author.draft(written)
    await moved(author, playbook_id, "publish", 202, effective_date=FUTURE)
    await author.put(f"/playbooks/{playbook_id}", {**written, "name": "Changed"}, headers={"If-Match": "*"})
    assert (await seen(author, playbook_id))["scheduled"][0]["is_current"] is False


async def test_schedules_are_bounded_when_somebody_makes_them_without_end(author: Caller) -> None:
    playbook_id = await author.published(document())
    for number in range(20):
        action = "reactivate" if number % 2 else "deprecate"
        await moved(author, playbook_id, action, 202, effective_date=f"29{number:02}-01-01T00:00:00Z")
    body = {"action": "deprecate", "effective_date": "2990-01-01T00:00:00Z"}
    assert_problem(await author.put(path_of(playbook_id), body), 422, "RESOURCE_LIMIT_EXCEEDED")


async def test_a_scheduled_transition_is_cancelled_once_when_it_is_asked(
    author: Caller, organization: Organization, stranger: Caller
) -> None:
    playbook_id = await author.draft(document())
    data = await moved(author, playbook_id, "publish", 202, effective_date=FUTURE)
    path = f"{path_of(playbook_id)}/{data['transition']['transition_id']}"
    manager = organization.caller("mara", permissions=("playbooks:read", "playbooks:manage"))
    assert_problem(await manager.delete(path), 403, "FORBIDDEN")
    assert_problem(await stranger.delete(path), 404, "NOT_FOUND")
    assert_problem(await author.delete(f"{path_of(playbook_id)}/{uuid4()}"), 404, "NOT_FOUND")
    other = await author.draft(document())
    assert_problem(await author.delete(f"{path_of(other)}/{path.rsplit('/', 1)[1]}"), 404, "NOT_FOUND")
    answer = await author.delete(path, json={"reason": "postponed"})
    assert (answer.status_code, answer.json()["data"]["transition"]["status"]) == (200, "cancelled")
    assert_problem(await author.delete(path), 409, "ALREADY_CANCELLED")
    view = await seen(author, playbook_id)
    assert view["scheduled"] == []
    (recorded,) = view["history"]
    assert (recorded["status"], recorded["cancelled"]["reason"]) == ("cancelled", "postponed")
    assert recorded["cancelled"]["actor"]["name"] == "anna"
    done = (await moved(author, playbook_id, "publish"))["transition"]["transition_id"]
    assert_problem(await author.delete(f"{path_of(playbook_id)}/{done}"), 409, "INVALID_STATE_TRANSITION")


async def test_a_schedule_is_kept_when_another_relies_on_it(author: Caller) -> None:
    playbook_id = await author.draft(document())
    first = await moved(author, playbook_id, "publish", 202, effective_date="2999-01-01T00:00:00Z")
    await moved(author, playbook_id, "deprecate", 202, effective_date="2999-06-01T00:00:00Z")
    path = f"{path_of(playbook_id)}/{first['transition']['transition_id']}"
    assert_problem(await author.delete(path), 409, "INVALID_STATE_TRANSITION")


async def test_schedules_are_withdrawn_when_the_version_is_deleted(author: Caller) -> None:
    playbook_id = await author.draft(document())
    scheduled = await moved(author, playbook_id, "publish", 202, effective_date=FUTURE)
    data = await moved(author, playbook_id, "delete")
    withdrawn = next(effect for effect in data["side_effects"] if effect["kind"] == "schedule_withdrawn")
    assert withdrawn["transition_id"] == scheduled["transition"]["transition_id"]
    view = await seen(author, playbook_id)
    assert (view["scheduled"], view["allowed_actions"]) == ([], [])
    assert sorted((each["action"], each["status"]) for each in view["history"]) == [
        ("delete", "completed"),
        ("publish", "cancelled"),
    ]


# -- live runs -------------------------------------------------------------------------------------------------------


async def test_archiving_is_refused_when_runs_are_live_and_nobody_said_to_cancel_them(author: Caller) -> None:
    playbook_id = await author.published(document())
    await author.started(playbook_id, amount=1)
    for body in ({"action": "archive"}, {"action": "archive", "on_live_runs": "refuse"}):
        refused = assert_problem(await author.put(path_of(playbook_id), body), 409, "INVALID_STATE_TRANSITION")
        assert (refused["errors"][0]["pointer"], refused["errors"][0]["code"]) == ("/on_live_runs", "LIVE_RUNS")


@pytest.mark.usefixtures("worker")
async def test_live_runs_are_cancelled_when_their_version_is_archived(author: Caller) -> None:
    playbook_id, other = await author.published(document()), await author.published(document())
    runs = [await author.started(playbook_id, amount=1) for _ in range(3)]
    kept = await author.started(other, amount=1)
    await author.open_task(runs[0])
    data = await moved(author, playbook_id, "archive", on_live_runs="cancel", reason="withdrawn by law")
    assert data["playbook"]["status"] == "deleted"
    counts = data["cancelled_runs"]
    assert counts["count"] == 3
    assert counts["cancelled"] + counts["asked"] + counts["pending"] == 3
    for run in runs:
        shown = (await author.get(f"/playbooks/runs/{run}", params={"wait": 20, "include": "timeline"})).json()["data"]
        assert shown["status"] == "cancelled"
        (entry,) = [each for each in shown["timeline"] if each["kind"] == "run_cancelled"]
        assert (entry["actor"]["name"], entry["data"]["reason"]) == ("anna", "withdrawn by law")
    assert (await author.get(f"/playbooks/runs/{kept}")).json()["data"]["status"] != "cancelled"
    await _ended(author, playbook_id)


async def _ended(author: Caller, playbook_id: str) -> None:
    """The worker's scheduler completes the transition once no run is live."""

    async def is_completed() -> bool:
        return (await seen(author, playbook_id))["history"][-1]["status"] == "completed"

    await eventually(is_completed)
    assert (await seen(author, playbook_id))["live_runs"] == 0


async def test_every_accepted_run_is_seen_when_its_version_is_archived_in_the_same_moment(author: Caller) -> None:
    playbook_id = await author.published(document())
    body = {"input_data": {"amount": 1}}
    starts = [asyncio.create_task(author.post(f"/playbooks/{playbook_id}/execute", body)) for _ in range(8)]
    await asyncio.sleep(0.02)
    data = await moved(author, playbook_id, "archive", on_live_runs="cancel")
    statuses = [(await start).status_code for start in starts]
    assert set(statuses) <= {201, 202, 409}
    counts = data["cancelled_runs"] or {"count": 0}
    assert sum(status != 409 for status in statuses) == counts["count"]


# -- notifications ---------------------------------------------------------------------------------------------------


async def test_a_notification_is_recorded_when_it_is_asked_for(
    author: Caller, organization: Organization, database: Database
) -> None:
    playbook_id = await author.draft(document())
    settings = {"notify_users": True, "notification_message": "New version"}
    data = await moved(author, playbook_id, "publish", notification_settings=settings)
    assert "notification_recorded" in kinds(data)
    await moved(author, playbook_id, "deprecate")
    (recorded,) = await notifications_of(database, organization.id, playbook_id)
    assert recorded["kind"] == "playbook_transition"
    assert recorded["data"]["settings"] == settings
    assert recorded["data"]["transition_id"] == data["transition"]["transition_id"]


async def notifications_of(database: Database, organization_id: UUID, playbook_id: str) -> list[dict[str, Any]]:
    async with database.reading(organization_id) as session:
        statement = select(transactions.c.metadata).where(
            transactions.c.transaction_type == "PLAYBOOK_NOTIFICATION",
            transactions.c.target_entity_id == UUID(playbook_id),
        )
        return list((await session.connection.execute(statement)).scalars())
