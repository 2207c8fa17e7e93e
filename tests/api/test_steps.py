"""Steps of a version: read, added, replaced, removed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.callers import Caller, document
from tests.api.test_request_guard import assert_problem

EXAMPLES = Path(__file__).parents[2] / "examples"


def plain(number: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "step_number": number, "step_type": "system", "worker_type": "data_processor", **fields}


def grants() -> dict[str, Any]:
    return json.loads((EXAMPLES / "grants-intake.playbook.json").read_text())


async def steps_of(author: Caller, playbook_id: str, **params: Any) -> dict[str, Any]:
    answer = await author.get(f"/playbooks/{playbook_id}/steps", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_steps_of_the_users_example_are_added_when_they_are_sent_as_they_stand(author: Caller) -> None:
    contract = {"type": "object", "required": ["amount", "customer_id"], "properties": {"customer_id": {}}}
    playbook_id = await author.draft({**document(), "input_contract": contract})
    body = json.loads((EXAMPLES / "requests.json").read_text())["add_steps"]
    answer = await author.post(f"/playbooks/{playbook_id}/steps", body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == '"2"'
    assert answer.headers["location"] == f"/api/v1/playbooks/{playbook_id}/steps"
    data = answer.json()["data"]
    assert data["document"]["steps"][2] == {**body["steps"][0], "step_number": 3}
    assert (data["id"], data["total_steps"], answer.json()["metadata"]["is_new_version"]) == (playbook_id, 3, False)
    assert data["validation"]["is_valid"] is True
    again = assert_problem(await author.post(f"/playbooks/{playbook_id}/steps", body), 422, "VALIDATION_ERROR")
    assert (again["errors"][0]["pointer"], again["errors"][0]["code"]) == ("/steps/0/name", "DUPLICATE")


async def test_later_steps_and_what_names_them_move_when_steps_are_inserted(author: Caller) -> None:
    playbook_id = await author.draft(grants())
    before = await steps_of(author, playbook_id)
    sent = {"steps": [plain(1, "Log")], "insert_mode": "insert", "insert_after_step": 3}
    answer = await author.post(f"/playbooks/{playbook_id}/steps", sent, headers={"If-Match": '"1"'})
    assert answer.json()["data"]["validation"]["is_valid"] is True, answer.text
    after = await steps_of(author, playbook_id)
    names = [(step["key"], step["step_number"]) for step in after["data"]]
    assert names[2:] == [("score_proposal", 3), ("log", 4), ("committee_review", 5), ("award_decision", 6)]
    waits = {step["key"]: step["depends_on"] for step in after["data"]}
    assert waits == {**{step["key"]: step["depends_on"] for step in before["data"]}, "log": ["score_proposal"]}
    stale = await author.post(f"/playbooks/{playbook_id}/steps", sent, headers={"If-Match": '"1"'})
    assert_problem(stale, 412, "PRECONDITION_FAILED")
    replaced = {"steps": [plain(4, "Only")], "insert_mode": "replace"}
    answer = await author.post(f"/playbooks/{playbook_id}/steps", replaced)
    assert [step["name"] for step in answer.json()["data"]["document"]["steps"]] == ["Only"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (None, ("/steps", "REQUIRED")),
        ({"steps": []}, ("/steps", "LENGTH")),
        ({"steps": {}}, ("/steps", "WRONG_TYPE")),
        ({"steps": [3]}, ("/steps/0", "WRONG_TYPE")),
        ({"steps": [], "mode": 1}, ("/mode", "UNKNOWN_FIELD")),
        ({"steps": [], "insert_mode": "prepend"}, ("/insert_mode", "NOT_ALLOWED")),
        ({"steps": [], "insert_mode": "insert"}, ("/insert_after_step", "REQUIRED")),
        ({"steps": [], "insert_mode": "insert", "insert_after_step": "1"}, ("/insert_after_step", "WRONG_TYPE")),
        ({"steps": [], "insert_mode": "insert", "insert_after_step": 9}, ("/insert_after_step", "UNKNOWN_STEP")),
        ({"steps": [], "create_new_version": "yes"}, ("/create_new_version", "WRONG_TYPE")),
        ({"steps": [plain(1, "A", colour=1)]}, ("/steps/0/colour", "UNKNOWN_FIELD")),
        (
            {"steps": [plain(1, "A", dependencies=[{"depends_on_step_number": 2}]), plain(2, "B")]},
            (
                "/steps/0/dependencies/0/depends_on_step_number",
                "AMBIGUOUS_REFERENCE",
            ),
        ),
    ],
)
async def test_adding_is_refused_with_a_pointer_when_the_body_is_wrong(
    author: Caller, body: Any, found: tuple[str, str]
) -> None:
    playbook_id = await author.draft(document())
    refused = assert_problem(await author.post(f"/playbooks/{playbook_id}/steps", body), 422, "VALIDATION_ERROR")
    assert found in [(item["pointer"], item["code"]) for item in refused["errors"]]
    assert (await author.get(f"/playbooks/{playbook_id}")).headers["etag"] == '"1"'


async def test_the_next_draft_has_the_change_when_a_locked_version_may_get_one(author: Caller) -> None:
    playbook_id = await author.published(document())
    path = f"/playbooks/{playbook_id}/steps"
    sent = {"steps": [plain(1, "Log")]}
    refused = assert_problem(await author.post(path, sent), 423, "PLAYBOOK_IMMUTABLE")
    assert "create_new_version" in refused["errors"][0]["suggestion"]
    answer = await author.post(path, {**sent, "create_new_version": True})
    data = answer.json()["data"]
    assert (answer.status_code, data["version"], data["status"], data["total_steps"]) == (201, 2, "draft", 3)
    assert data["smart_code"].endswith(".V2")
    assert answer.headers["location"] == f"/api/v1/playbooks/{data['id']}"
    assert answer.json()["metadata"]["is_new_version"] is True
    assert len((await steps_of(author, playbook_id))["data"]) == 2
    second = assert_problem(await author.post(path, {**sent, "create_new_version": True}), 409, "ALREADY_EXISTS")
    assert data["id"] in second["detail"]
    # The draft itself changes, whatever the flag says.
    answer = await author.delete(f"/playbooks/{data['id']}/steps/3?create_new_version=true", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["data"]["id"]) == (200, data["id"])


async def test_one_step_changes_a_locked_version_only_as_a_new_one(author: Caller) -> None:
    playbook_id = await author.published(document())
    step = {**document()["steps"][0], "description": "Other"}
    path = f"/playbooks/{playbook_id}/steps/1"
    assert_problem(await author.put(path, step), 423, "PLAYBOOK_IMMUTABLE")
    stale = await author.put(path, {**step, "create_new_version": True}, headers={"If-Match": '"1"'})
    assert_problem(stale, 412, "PRECONDITION_FAILED")
    answer = await author.put(path, {**step, "create_new_version": True})
    draft = answer.json()["data"]
    assert (answer.status_code, draft["document"]["steps"][0]) == (201, step)
    await author.put(f"/playbooks/{draft['id']}/publish", {"action": "delete"})
    answer = await author.delete(f"/playbooks/{playbook_id}/steps/2", params={"create_new_version": True})
    assert (answer.status_code, answer.json()["data"]["version"], answer.json()["data"]["total_steps"]) == (201, 3, 1)


async def test_a_step_is_replaced_when_the_revision_is_the_one_that_was_read(author: Caller) -> None:
    playbook_id = await author.draft(grants())
    path = f"/playbooks/{playbook_id}/steps/2"
    step = {**grants()["steps"][1], "description": "Other"}
    assert_problem(await author.put(path, step), 428, "PRECONDITION_REQUIRED")
    assert_problem(await author.put(path, step, headers={"If-Match": '"2"'}), 412, "PRECONDITION_FAILED")
    answer = await author.put(path, step, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert answer.json()["data"]["document"]["steps"][1] == step
    renamed = assert_problem(
        await author.put(path, {**step, "name": "Screen"}, headers={"If-Match": "*"}), 409, "INVALID_STEP_STATE"
    )
    assert {item["code"] for item in renamed["errors"]} == {"STEP_IN_USE"}
    wrong = await author.put(path, {**step, "colour": 1}, headers={"If-Match": "*"})
    assert assert_problem(wrong, 422, "VALIDATION_ERROR")["errors"][0]["pointer"] == "/colour"
    assert_problem(await author.put(f"{path}000", step, headers={"If-Match": "*"}), 404, "NOT_FOUND")
    assert_problem(await author.put(path, headers={"If-Match": "*"}), 422, "VALIDATION_ERROR")


async def test_a_step_is_removed_only_when_nothing_names_it(author: Caller) -> None:
    playbook_id = await author.draft(grants())
    path = f"/playbooks/{playbook_id}/steps"
    assert_problem(await author.delete(f"{path}/3"), 428, "PRECONDITION_REQUIRED")
    refused = assert_problem(await author.delete(f"{path}/3", headers={"If-Match": '"1"'}), 409, "INVALID_STEP_STATE")
    assert "/steps/3/dependencies/0/depends_on_step_number" in [item["pointer"] for item in refused["errors"]]
    sent = {"steps": [plain(1, "Log")], "insert_mode": "insert", "insert_after_step": 0}
    await author.post(path, sent)
    answer = await author.delete(f"{path}/1", params={"renumber": True}, headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')
    assert answer.json()["data"]["document"] == grants()
    assert_problem(await author.delete(f"{path}/9", headers={"If-Match": "*"}), 404, "NOT_FOUND")


async def test_both_are_there_when_two_add_steps_at_once(author: Caller) -> None:
    playbook_id = await author.draft(document())
    sent = [{"steps": [plain(1, f"Step {name}")]} for name in "abcd"]
    answers = await asyncio.gather(*(author.post(f"/playbooks/{playbook_id}/steps", body) for body in sent))
    assert [answer.status_code for answer in answers] == [201] * 4
    found = (await steps_of(author, playbook_id))["data"]
    assert [step["step_number"] for step in found] == [1, 2, 3, 4, 5, 6]


async def test_steps_come_with_what_was_asked_for_when_they_are_read(author: Caller) -> None:
    playbook_id = await author.draft(grants())
    bare = await steps_of(author, playbook_id)
    assert [step["key"] for step in bare["data"]] == [stage["steps"][0] for stage in bare["metadata"]["flow"]["stages"]]
    assert bare["metadata"]["flow"]["critical_path"]["minutes"] == 159.0
    assert {bare["data"][0][name] for name in ("contracts", "relationships", "validation")} == {None}
    params = {"include_contracts": True, "include_relationships": True, "include_validation": True}
    full = await steps_of(author, playbook_id, **params)
    score = full["data"][2]
    assert score["contracts"]["output_contract"] == grants()["steps"][2]["output_contract"]
    assert score["relationships"]["waits_for"] == [
        {"key": "eligibility_screen", "step_number": 2, "dependency_type": "conditional", "is_default": False}
    ]
    assert score["relationships"]["followed_by"] == ["committee_review"]
    assert {each["way"] for each in score["relationships"]["named_by"]} == {"number", "expression"}
    assert full["metadata"]["validation"]["is_valid"] is True
    answer = await author.get(f"/playbooks/{playbook_id}/steps", headers={"If-None-Match": '"1"'})
    assert (answer.status_code, answer.content) == (304, b"")


async def test_problems_are_listed_when_a_draft_cannot_be_published(author: Caller) -> None:
    written = document()
    written["steps"][1]["dependencies"] = [{"depends_on_step_number": 7}]
    playbook_id = await author.draft(written)
    found = await steps_of(author, playbook_id, include_validation=True)
    assert [each["step"] for each in found["metadata"]["flow"]["unreachable"]] == ["approve_refund"]
    assert found["data"][1]["validation"]["errors"][0]["code"] == "UNKNOWN_DEPENDENCY"
    assert found["data"][0]["validation"]["errors"] == []


async def test_steps_stay_when_another_organization_or_a_reader_asks(
    author: Caller, stranger: Caller, organization: Any
) -> None:
    playbook_id = await author.draft(document())
    reader = organization.caller("rita", permissions=("playbooks:read",))
    for method, end in (("POST", ""), ("PUT", "/1"), ("DELETE", "/1")):
        path = f"/playbooks/{playbook_id}/steps{end}"
        assert_problem(await stranger.ask(method, path, json={}, headers={"If-Match": "*"}), 404, "NOT_FOUND")
        assert_problem(await reader.ask(method, path, json={}, headers={"If-Match": "*"}), 403, "FORBIDDEN")
    assert len((await steps_of(author, playbook_id))["data"]) == 2
