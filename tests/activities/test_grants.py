"""The steps of the grants example that no person does, one by one, on contexts as a run has them."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from activities import execution
from activities.registry import build_handlers
from playbooks.common.values import JsonObject
from playbooks.engine.model.temporal_messages import StepOutcome
from storage.database.sessions import Database
from tests.activities.world import World, make_world

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "grants-intake.playbook.json").read_text())
INPUT: JsonObject = {"amount_requested": 50000, "applicant_type": "educational", "tax_id": "12-3456789"}


@pytest.fixture
async def world(database: Database, organization_id: UUID) -> World:
    fields = {name: value for name, value in EXAMPLE.items() if name not in ("steps", "name", "code", "industry")}
    return await make_world(database, organization_id, EXAMPLE["steps"], **fields)


async def run(world: World, step: str, context: JsonObject) -> StepOutcome:
    outcome = await execution.execute(world.deps, world.call(step, context), build_handlers(world.deps, {}))
    assert outcome.status != "failed", outcome.error
    return outcome


def completed(**output: object) -> JsonObject:
    return json.loads(json.dumps({"status": "completed", "output": output}))


@pytest.mark.parametrize(("applicant", "passed"), [("educational", True), ("tribal", False)])
async def test_applicant_is_screened_when_registered(world: World, applicant: str, passed: bool) -> None:
    registered = completed(complete=True)
    context: JsonObject = {
        "input": {**INPUT, "applicant_type": applicant},
        "steps": {"register_application": registered},
    }
    outcome = await run(world, "eligibility_screen", context)
    assert isinstance(outcome.output, dict)
    assert outcome.output["passed"] is passed
    score = await run(
        world, "score_proposal", {"input": INPUT, "steps": {"eligibility_screen": completed(passed=passed)}}
    )
    assert score.status == ("succeeded" if passed else "skipped")
    if passed:
        assert score.input == {"amount_requested": 50000, "applicant_type": "educational"}, "without the tax id"
        assert score.confidence == 0.87


async def test_award_is_decided_when_both_scores_are_there(world: World) -> None:
    steps: JsonObject = {
        "register_application": {"status": "completed"},
        "score_proposal": completed(total_score=84.2),
        "committee_review": completed(decision="approved", mean={"score": 90}),
    }
    outcome = await run(world, "award_decision", {"input": INPUT, "steps": steps})
    assert isinstance(outcome.output, dict)
    assert outcome.output["award_status"] == "awarded"
    assert outcome.output["final_score"] == pytest.approx(0.4 * 84.2 + 0.6 * 90)


async def test_award_is_denied_when_the_steps_before_were_skipped(world: World) -> None:
    skipped: JsonObject = {"status": "skipped"}
    steps: JsonObject = {
        "register_application": {"status": "completed"},
        "score_proposal": skipped,
        "committee_review": skipped,
    }
    outcome = await run(world, "award_decision", {"input": INPUT, "steps": steps})
    assert isinstance(outcome.output, dict)
    assert (outcome.output["award_status"], outcome.output["final_score"]) == ("denied", 0.0)
