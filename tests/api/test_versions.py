"""Versions of a playbook: what the next begins with, one draft at most, two compared, runs that stay on theirs."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem


async def published_twice(author: Caller) -> tuple[str, str]:
    """Two published versions; the second has another name and a step more."""
    written = document()
    first = await author.published(written)
    step = {"name": "Log", "step_number": 3, "step_type": "system", "worker_type": "data_processor"}
    body = {**written, "name": "Refund 2", "steps": [*written["steps"], step]}
    made = await author.post(f"/playbooks/{first}/versions", body)
    assert made.status_code == 201, made.text
    second = made.json()["data"]["id"]
    answer = await author.put(f"/playbooks/{second}/publish", {"action": "publish"})
    assert answer.status_code == 200, answer.text
    return first, second


async def test_any_version_is_the_base_when_it_is_named(author: Caller) -> None:
    first, second = await published_twice(author)
    drafts: list[tuple[str, int, str]] = []
    for body in ({"base_version": 1}, {"from_version_id": second}, {}, None):
        answer = await author.post(f"/playbooks/{first}/versions", body)
        data = answer.json()["data"]
        assert answer.status_code == 201, answer.text
        drafts.append((data["name"], data["version"], data["smart_code"].rsplit(".", 1)[1]))
        await author.put(f"/playbooks/{data['id']}/publish", {"action": "delete"})
    assert drafts == [("Refund", 3, "V3"), ("Refund 2", 4, "V4"), ("Refund", 5, "V5"), ("Refund", 6, "V6")]
    # A deleted draft can be taken up again.
    answer = await author.post(f"/playbooks/{second}/versions", {"base_version": 4})
    assert answer.json()["data"]["name"] == "Refund 2"


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"base_version": 9}, 404, "NOT_FOUND", None),
        ({"from_version_id": str(uuid4())}, 404, "NOT_FOUND", None),
        ({"base_version": "1"}, 422, "VALIDATION_ERROR", "/base_version"),
        ({"base_version": 0}, 422, "VALIDATION_ERROR", "/base_version"),
        ({"from_version_id": "x"}, 422, "VALIDATION_ERROR", "/from_version_id"),
        ({"base_version": 1, "name": "x"}, 422, "VALIDATION_ERROR", "/name"),
        ({"base_version": None}, 422, "VALIDATION_ERROR", ""),
    ],
)
async def test_a_base_is_refused_when_it_is_none(
    author: Caller, body: Any, status: int, code: str, pointer: str | None
) -> None:
    playbook_id = await author.published(document())
    refused = assert_problem(await author.post(f"/playbooks/{playbook_id}/versions", body), status, code)
    assert [item["pointer"] for item in refused["errors"]] == ([] if pointer is None else [pointer])


async def test_another_playbook_is_no_base_when_its_id_is_named(author: Caller) -> None:
    playbook_id, other = await author.published(document()), await author.published(document())
    answer = await author.post(f"/playbooks/{playbook_id}/versions", {"from_version_id": other})
    assert_problem(answer, 404, "NOT_FOUND")


async def test_a_second_draft_is_refused_and_the_first_named_when_there_is_one(author: Caller) -> None:
    playbook_id = await author.published(document())
    answers = await asyncio.gather(*(author.post(f"/playbooks/{playbook_id}/versions") for _ in range(4)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert len(made) == 1
    draft = made[0].json()["data"]["id"]
    for answer in answers:
        if answer is not made[0]:
            refused = assert_problem(answer, 409, "ALREADY_EXISTS")
            assert draft in refused["detail"]
            assert draft in refused["errors"][0]["suggestion"]
    assert_problem(await author.post(f"/playbooks/{draft}/versions"), 409, "ALREADY_EXISTS")


async def test_differences_of_two_versions(author: Caller, stranger: Caller) -> None:
    first, second = await published_twice(author)
    path = f"/playbooks/{second}/versions/compare"
    data = (await author.get(path)).json()["data"]
    assert (data["from_version"]["id"], data["to_version"]["id"]) == (first, second)
    assert [(each["pointer"], each["before"], each["after"]) for each in data["fields"]] == [
        ("/name", "Refund", "Refund 2")
    ]
    assert [each["key"] for each in data["steps"]["added"]] == ["log"]
    assert (data["summary"]["steps_added"], data["summary"]["input_contract"], data["is_equal"]) == (1, "equal", False)
    back = (await author.get(f"/playbooks/{first}/versions/compare", params={"from": 2, "to": 1})).json()["data"]
    assert [each["key"] for each in back["steps"]["removed"]] == ["log"]
    same = (await author.get(path, params={"from": 2, "to": 2})).json()["data"]
    assert same["is_equal"] is True
    refused = assert_problem(await author.get(f"/playbooks/{first}/versions/compare"), 422, "VALIDATION_ERROR")
    assert refused["errors"][0]["pointer"] == "/query/from"
    assert_problem(await author.get(path, params={"from": 7}), 404, "NOT_FOUND")
    assert_problem(await author.get(path, params={"from": "x"}), 422, "VALIDATION_ERROR")
    assert_problem(await stranger.get(path), 404, "NOT_FOUND")


async def test_a_contract_is_looser_or_tighter_when_it_changes(author: Caller) -> None:
    written = document()
    first = await author.published(written)
    written["input_contract"]["required"] = []
    written["steps"][1]["output_contract"]["properties"]["score"]["maximum"] = 50
    written["policies"] = {"timeout_minutes": 60}
    second = (await author.post(f"/playbooks/{first}/versions", written)).json()["data"]["id"]
    data = (await author.get(f"/playbooks/{second}/versions/compare")).json()["data"]
    assert data["summary"]["input_contract"] == "loosened"
    assert data["contracts"]["input_contract"]["findings"][0]["pointer"] == "/required"
    changed = data["steps"]["changed"][0]
    assert (changed["key"], changed["contracts"]["output_contract"]["direction"]) == ("approve_refund", "tightened")
    assert [each["pointer"] for each in data["policies"]] == ["/policies/timeout_minutes"]


@pytest.mark.usefixtures("worker")
async def test_a_run_ends_on_its_version_when_the_next_one_is_published(
    organization: Organization, author: Caller
) -> None:
    first = await author.published(document())
    execution_id = await author.started(first, amount=5)
    task = await author.open_task(execution_id)
    step = {"name": "Log", "step_number": 1, "step_type": "system", "worker_type": "data_processor"}
    body = {"steps": [step], "create_new_version": True}
    second = (await author.post(f"/playbooks/{first}/steps", body)).json()["data"]["id"]
    answer = await author.put(f"/playbooks/{second}/publish", {"action": "publish"})
    assert answer.status_code == 200, answer.text
    manager = organization.caller("max", roles=("manager",))
    decided = await manager.post(f"/tasks/{task['task_id']}/decisions", {"decision": "approve", "data": {"score": 7}})
    assert decided.status_code in (200, 202), decided.text
    run = (await author.get(f"/playbooks/runs/{execution_id}", params={"wait": 30, "include": "steps"})).json()["data"]
    assert (run["status"], run["playbook_id"], run["playbook_version"], run["total_steps"]) == (
        "completed",
        first,
        1,
        2,
    )
