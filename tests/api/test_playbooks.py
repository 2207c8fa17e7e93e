"""Authoring and the life cycle."""

from __future__ import annotations

import json
from pathlib import Path

from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_a_playbook_comes_back_as_it_was_written_when_it_is_read(author: Caller) -> None:
    written = json.loads((EXAMPLES / "grants-intake.playbook.json").read_text())
    playbook_id = await author.draft(written)
    answer = await author.get(f"/playbooks/{playbook_id}", params={"include": "validation,versions"})
    data = answer.json()["data"]
    assert data["document"] == written
    assert data["status"] == "draft"
    assert data["validation"]["is_valid"] is True
    assert [version["version"] for version in data["versions"]] == [1]
    assert answer.headers["etag"] == '"1"'
    unchanged = await author.get(f"/playbooks/{playbook_id}", headers={"If-None-Match": '"1"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_a_second_playbook_is_refused_when_the_code_is_taken(author: Caller) -> None:
    written = document()
    await author.draft(written)
    assert_problem(await author.post("/playbooks", written), 409, "ALREADY_EXISTS")


async def test_a_field_is_refused_with_its_pointer_when_it_is_unknown_or_not_built(author: Caller) -> None:
    body = assert_problem(await author.post("/playbooks", document(colour="red")), 422, "VALIDATION_ERROR")
    assert [(item["pointer"], item["code"]) for item in body["errors"]] == [("/colour", "UNKNOWN_FIELD")]
    written = document(policies={"retention_days": 3})
    body = assert_problem(await author.post("/playbooks", written), 422, "NOT_SUPPORTED")
    assert body["errors"][0]["pointer"] == "/policies/retention_days"


async def test_a_draft_changes_only_when_the_revision_is_the_one_that_was_read(author: Caller) -> None:
    written = document()
    playbook_id = await author.draft(written)
    path = f"/playbooks/{playbook_id}"
    changed = {**written, "name": "Refunds"}
    assert_problem(await author.put(path, changed), 428, "PRECONDITION_REQUIRED")
    assert_problem(await author.put(path, changed, headers={"If-Match": '"9"'}), 412, "PRECONDITION_FAILED")
    answer = await author.put(path, changed, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["data"]["name"], answer.headers["etag"]) == (200, "Refunds", '"2"')
    assert_problem(await author.put(path, changed, headers={"If-Match": '"1"'}), 412, "PRECONDITION_FAILED")
    other = {**written, "code": "other-code"}
    assert_problem(await author.put(path, other, headers={"If-Match": "*"}), 422, "VALIDATION_ERROR")


async def test_a_version_is_locked_when_it_is_published(author: Caller) -> None:
    written = document()
    playbook_id = await author.published(written)
    path = f"/playbooks/{playbook_id}"
    assert_problem(await author.put(path, written), 423, "PLAYBOOK_IMMUTABLE")
    for method, steps in (("POST", "/steps"), ("PUT", "/steps/1"), ("DELETE", "/steps/1")):
        assert_problem(await author.ask(method, path + steps), 423, "PLAYBOOK_IMMUTABLE")
    answer = await author.put(path, {**written, "create_new_version": True})
    data = answer.json()["data"]
    assert (answer.status_code, data["version"], data["status"]) == (201, 2, "draft")
    draft = data["id"]
    await author.put(f"/playbooks/{draft}/publish", {"action": "publish"})
    third = await author.post(f"{path}/versions")
    assert (third.status_code, third.json()["data"]["version"]) == (201, 3)
    listed = (await author.get(f"{path}/versions")).json()["data"]
    assert [(item["version"], item["status"]) for item in listed] == [(3, "draft"), (2, "active"), (1, "active")]


async def test_publishing_is_refused_with_pointers_when_the_playbook_has_errors(author: Caller) -> None:
    written = document()
    written["steps"][0]["config"]["rules"][0]["when"] = "input.amount <="
    playbook_id = await author.draft(written)
    assert (await author.post(f"/playbooks/{playbook_id}/validate")).json()["data"]["is_valid"] is False
    answer = await author.put(f"/playbooks/{playbook_id}/publish", {"action": "publish"})
    body = assert_problem(answer, 422, "VALIDATION_FAILED")
    assert any(item["pointer"].startswith("/steps/0/config/rules/0/when") for item in body["errors"])
    report = (await author.post("/playbooks/validate", {"name": 3})).json()["data"]
    assert report["is_valid"] is False
    assert {"/name", "/code"} <= {item["pointer"] for item in report["errors"]}


async def test_the_life_cycle_is_recorded_when_it_goes_its_way(author: Caller) -> None:
    requests = json.loads((EXAMPLES / "requests.json").read_text())
    playbook_id = await author.draft(document())
    path = f"/playbooks/{playbook_id}/publish"
    published = await author.put(path, requests["publish"])
    assert (published.status_code, published.json()["data"]["playbook"]["status"]) == (200, "active"), published.text
    assert_problem(await author.put(path, {"action": "publish"}), 409, "INVALID_STATE_TRANSITION")
    assert_problem(await author.put(path, {"action": "explode"}), 422, "INVALID_ACTION")
    for action, status in (("deprecate", "deprecated"), ("reactivate", "active"), ("archive", "deleted")):
        answer = await author.put(path, {"action": action, "reason": f"because {action}"})
        assert answer.json()["data"]["playbook"]["status"] == status, answer.text
    data = (await author.get(path)).json()["data"]
    assert [item["action"] for item in data["history"]] == ["publish", "deprecate", "reactivate", "archive"]
    assert data["history"][1]["reason"] == "because deprecate"
    assert data["allowed_actions"] == []


async def test_archiving_is_forbidden_when_the_caller_is_no_admin(organization: Organization, author: Caller) -> None:
    playbook_id = await author.published(document())
    publisher = organization.caller("paul", permissions=("playbooks:read", "playbooks:publish"))
    answer = await publisher.put(f"/playbooks/{playbook_id}/publish", {"action": "archive"})
    assert_problem(answer, 403, "FORBIDDEN")


async def test_a_page_of_playbooks_goes_on_when_its_cursor_is_used(author: Caller) -> None:
    made = {await author.draft(document()) for _ in range(5)}
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        body = (await author.get("/playbooks", params=params)).json()
        assert body["total"] == body["pagination"]["total"] == 5
        seen += [item["id"] for item in body["data"]]
        cursor = body["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == made


async def test_another_organization_sees_nothing_when_it_has_every_id(author: Caller, stranger: Caller) -> None:
    playbook_id = await author.published(document())
    path = f"/playbooks/{playbook_id}"
    assert_problem(await stranger.get(path), 404, "NOT_FOUND")
    for method, end in (
        ("PUT", ""),
        ("GET", "/versions"),
        ("POST", "/versions"),
        ("POST", "/validate"),
        ("GET", "/publish"),
        ("GET", "/steps"),
        ("POST", "/steps"),
    ):
        assert_problem(await stranger.ask(method, path + end, json={} if method != "GET" else None), 404, "NOT_FOUND")
    answer = await stranger.put(f"{path}/publish", {"action": "deprecate"})
    assert_problem(answer, 404, "NOT_FOUND")
    assert_problem(await stranger.post(f"{path}/execute", {}), 404, "NOT_FOUND")
    assert (await stranger.get("/playbooks")).json()["data"] == []


async def test_smart_codes_are_made_and_checked_when_asked(author: Caller) -> None:
    requests = json.loads((EXAMPLES / "requests.json").read_text())
    body = {"action": "validate", "codes": [*requests["smart_codes"], "HERA.X.V1"]}
    checked = (await author.post("/playbooks/smart-codes", body)).json()["data"]
    assert [item["is_valid"] for item in checked] == [True] * len(requests["smart_codes"]) + [False]
    made = {"industry": "PUBLICSECTOR", "kind": "RUN", "name": "grants"}
    answer = (await author.post("/playbooks/smart-codes", made)).json()["data"]
    assert answer[0]["code"] == requests["smart_codes"][0]
    assert_problem(await author.post("/playbooks/smart-codes", {"name": "x"}), 422, "VALIDATION_ERROR")
    catalogue = (await author.get("/playbooks/smart-codes", params={"code": answer[0]["code"]})).json()["data"]
    assert catalogue["codes"][0]["is_valid"] is True
    assert "STEP.EXEC" in catalogue["kinds"]


async def test_a_name_that_no_row_can_hold_is_refused_when_it_is_only_half_a_character(author: Caller) -> None:
    answer = await author.ask(
        "POST",
        "/playbooks",
        content=json.dumps(document(name="\ud800")).encode(),
        headers={"Content-Type": "application/json"},
    )
    body = assert_problem(answer, 422, "VALIDATION_ERROR")
    assert body["errors"][0]["pointer"] == "/name"
