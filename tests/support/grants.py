"""The grants journey, as the people of the example walk it through REST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support.stack import Client, Stack, example

APPLICATION_ID = "APP-2025-0A1B2C3D"
VOTERS = ("vera", "viktor", "violet")


@dataclass
class Grants:
    """One organization's grants people."""

    stack: Stack
    _published: dict[str, str] = field(default_factory=dict)

    @property
    def author(self) -> Client:
        return self.stack.client("paula", "playbook_author")

    @property
    def specialist(self) -> Client:
        return self.stack.client("irma", "intake_specialist")

    def member(self, name: str) -> Client:
        return self.stack.client(name, "committee_member")

    def playbook(self) -> str:
        """The published example; published once per organization."""
        found = self.author.get("/playbooks", params={"code": "grants-intake", "status": "active"})
        assert found.status_code == 200, found.text
        rows = found.json()["data"]
        return rows[0]["playbook_id"] if rows else self.author.publish(example("grants-intake.playbook.json"))

    def start(self, **changes: Any) -> str:
        return self.author.execute(self.playbook(), {**example("grants-intake.input.json"), **changes})

    def register(self, run: str, decision: str = "approve") -> None:
        task = self.specialist.task(run, "Register Application")
        form = {"application_id": APPLICATION_ID, "complete": True}
        answer = self.specialist.decide(task, decision, data=form, comment="checked")
        assert answer.status_code == 200, answer.text

    def vote(self, run: str, name: str, decision: str = "approve", score: float = 90) -> None:
        member = self.member(name)
        answer = member.decide(member.task(run, "Committee Review"), decision, data={"score": score})
        assert answer.status_code in (200, 202), answer.text
