"""Runs the example: publishes the grants playbook, starts a run, and acts as every person that the run asks for.

A run that does not finish within the time limit is a failure, as is any other end than `completed`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from cli.rest import Api, ApiProblemError, Data, objects

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLAYBOOK_FILE = EXAMPLES / "grants-intake.playbook.json"
INPUT_FILE = EXAMPLES / "grants-intake.input.json"

_RUN_SECONDS = 120.0
_FINISHED = frozenset({"completed", "failed", "cancelled"})
_ACTIVE, _DRAFT, _DEPRECATED = "active", "draft", "deprecated"


class DemoFailedError(RuntimeError):
    """The demo did not end as it should."""


@dataclass(frozen=True, slots=True)
class Person:
    """A participant. `score` is what a committee member gives."""

    user: str
    role: str
    score: int = 0


APPLICANT_OFFICE = Person("grants-office", "grants_officer")
CAST = (
    Person("ines", "intake_specialist"),
    Person("carla", "committee_member", 88),
    Person("chen", "committee_member", 84),
    Person("amara", "committee_member", 91),
)


@dataclass(slots=True)
class Play:
    """One run of the demo. `sign_in` makes an API client for a person, `report` prints progress."""

    sign_in: Callable[[Person], Api]
    report: Callable[[str], None]
    _apis: dict[str, Api] = field(default_factory=dict[str, Api])
    _step_states: dict[str, str] = field(default_factory=dict[str, str])
    _acted: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def perform(self) -> Data:
        """Publish, start, act until the end. Return the finished run. Raises DemoFailedError, ApiProblemError."""
        with ExitStack() as cleanup:
            for person in (APPLICANT_OFFICE, *CAST):
                self._apis[person.user] = api = self.sign_in(person)
                cleanup.callback(api.close)
            playbook = self._published_playbook()
            run = self._start(playbook)
            return self._until_finished(str(run["execution_id"]))

    # -- the playbook ----------------------------------------------------------------------------------------------

    def _published_playbook(self) -> Data:
        """Return the active version of the grants playbook, created and published where necessary."""
        office = self._apis[APPLICANT_OFFICE.user]
        document = json.loads(PLAYBOOK_FILE.read_text())
        versions = self._versions(office, str(document["code"]))
        for status in (_ACTIVE, _DRAFT, _DEPRECATED):
            for playbook in versions:
                if playbook["status"] == status:
                    return self._activate(office, playbook)
        created = office.post("/playbooks", document)
        self.report(f"created the playbook '{document['name']}' with {len(document['steps'])} steps")
        return self._activate(office, created)

    def _versions(self, office: Api, code: str) -> list[Data]:
        found: list[Data] = office.get("/playbooks", code=code)
        return [playbook for playbook in found if playbook.get("code") == code]

    def _activate(self, office: Api, playbook: Data) -> Data:
        if playbook["status"] == _ACTIVE:
            self.report(f"using the published version {playbook['version']}")
            return playbook
        action = "publish" if playbook["status"] == _DRAFT else "reactivate"
        office.put(f"/playbooks/{playbook['id']}/publish", {"action": action, "reason": "Demo"})
        self.report(f"published version {playbook['version']}")
        return playbook

    # -- the run ---------------------------------------------------------------------------------------------------

    def _start(self, playbook: Data) -> Data:
        office = self._apis[APPLICANT_OFFICE.user]
        body = {
            "input_data": json.loads(INPUT_FILE.read_text()),
            "execution_context": {"priority": "high", "tags": ["demo"]},
        }
        run = office.post(f"/playbooks/{playbook['id']}/execute", body, {"Idempotency-Key": uuid4().hex})
        self.report(f"started run {run['execution_id']}")
        return run

    def _until_finished(self, execution_id: str) -> Data:
        office = self._apis[APPLICANT_OFFICE.user]
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            run = office.get(f"/playbooks/runs/{execution_id}", include="steps,timeline")
            self._report_steps(run)
            if run["status"] in _FINISHED:
                return self._checked(run)
            if not self._act(execution_id):
                time.sleep(0.2)
        raise DemoFailedError(f"run {execution_id} did not finish within {_RUN_SECONDS:.0f} s")

    def _checked(self, run: Data) -> Data:
        if run["status"] != "completed":
            raise DemoFailedError(f"the run ended as {run['status']}: {json.dumps(run.get('error_details'))}")
        return run

    def _report_steps(self, run: Data) -> None:
        for step in objects(run, "steps"):
            key, status = str(step["step_key"]), str(step["status"])
            if self._step_states.get(key, "pending") != status:
                self._step_states[key] = status
                self.report(f"step {step['step_number']} {step['step_name']}: {status}")

    def _act(self, execution_id: str) -> bool:
        """Let the first person who has an open task decide it. Return whether somebody did."""
        for person, task in self._open_tasks(execution_id):
            self._acted.add((person.user, str(task["task_id"])))
            data = _form_for(person, task)
            try:
                self._apis[person.user].post(f"/tasks/{task['task_id']}/decisions", {"decision": "approve", **data})
            except ApiProblemError as problem:
                if problem.code == "TASK_CLOSED":  # since the list was made
                    continue
                raise
            self.report(
                f"  {person.user} ({person.role}) approves '{task['step_name']}' with {json.dumps(data['data'])}"
            )
            return True
        return False

    def _open_tasks(self, execution_id: str) -> Iterator[tuple[Person, Data]]:
        for person in CAST:
            for task in self._apis[person.user].get("/tasks", execution_id=execution_id):
                has_acted = (person.user, str(task["task_id"])) in self._acted
                if person.role in task["required_roles"] and task["state"] in {"open", "claimed"} and not has_acted:
                    yield person, task


def _form_for(person: Person, task: Data) -> Data:
    if person.role == "intake_specialist":
        number = f"APP-2026-{str(task['execution_id'])[:8].upper()}"
        return {"comment": "All documents are there.", "data": {"application_id": number, "complete": True}}
    return {"comment": "A convincing proposal.", "data": {"score": person.score}}
