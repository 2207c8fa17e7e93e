"""Authors who start runs and people who decide, all at once, and the answers that each of them got.

Owns the load and its record: every run that was accepted, every decision that was acknowledged, every answer that no
client should ever get. Everything that is chosen comes from the seed. An outage is met as a client should meet it: with
patience, and with the same idempotency key. Each crowd is an organization of its own, so that scenes which share a
stack do not see each other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx2

from playbooks.common.ids import workflow_id
from runtime.tokens import DEFAULT_PERMISSIONS, issue_token
from tests.support.servers import JWT_SECRET
from tests.support.stack import Client, Stack

PEOPLE = ("ann", "ben", "cleo", "dan")
PATIENCE = 240.0
"""Seconds after which a caller gives up: longer than any outage here."""

AT_ONCE = 4
"""Decisions that one person has under way."""

_PAUSE = 0.2
_TRY_AGAIN = frozenset({429, 503})


def _step(number: int, worker: str, **more: Any) -> dict[str, Any]:
    step = {"name": f"Step {number}", "step_number": number, "step_type": "system", "worker_type": worker}
    return {**step, "config": {}, "output_contract": {"type": "object"}, **more}


def _sleep(number: int, milliseconds: int, **more: Any) -> dict[str, Any]:
    return _step(number, "bench_sleep", config={"ms": milliseconds}, **more)


def _approve(number: int, wanted: int) -> dict[str, Any]:
    step: dict[str, Any] = {"name": "Approve", "step_number": number, "step_type": "human", "worker_type": "approver"}
    step |= {"required_roles": ["approver"], "approval_threshold": wanted, "approval": {"max_voters": len(PEOPLE)}}
    return step


def playbooks() -> dict[str, dict[str, Any]]:
    """Documents by code: every carrier, people alone and in a committee, steps in a row and side by side."""
    steps = {
        "chaos-chain": [_step(n, "data_processor") for n in range(1, 7)],
        "chaos-effects": [_sleep(n, 800 + 200 * n) for n in range(1, 6)],
        "chaos-approval": [_sleep(1, 1000), _approve(2, 1), _sleep(3, 800), _step(4, "data_processor")],
        "chaos-committee": [_step(1, "data_processor"), _approve(2, 3), _sleep(3, 1000)],
        "chaos-wide": [*(_sleep(n, 600 * n, parallel_group="all") for n in range(1, 6)), _step(6, "data_processor")],
    }
    contract = {"type": "object", "properties": {"n": {"type": "integer"}}}
    return {
        code: {"name": code, "code": code, "industry": "CHAOS", "input_contract": contract, "steps": listed}
        for code, listed in steps.items()
    }


@dataclass(frozen=True)
class Vote:
    """A decision that the API acknowledged."""

    task: str
    person: str


@dataclass
class Crowd:
    """`effects` is the file in which `bench_sleep` notes when it begins and when it is done.

    `code_of`: the playbook of each accepted run.
    """

    stack: Stack
    effects: Path
    rng: Random
    organization: str
    organization_id: UUID
    code_of: dict[str, str] = field(default_factory=dict[str, str])
    accepted: list[str] = field(default_factory=list[str])
    votes: set[Vote] = field(default_factory=set[Vote])
    odd: list[str] = field(default_factory=list[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    _versions: dict[str, str] = field(default_factory=dict[str, str])
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """People decide whatever they find, until the block ends. Blocks that follow each other are fine."""
        await self._publish()
        self._stop = asyncio.Event()
        deciding = [asyncio.create_task(self._decide(person, Random(self.rng.random()))) for person in PEOPLE]
        try:
            yield
            self._stop.set()
            await asyncio.wait_for(asyncio.gather(*deciding), PATIENCE)
        finally:
            # After a failure nobody is waited for: what they ask may be dead.
            for task in deciding:
                task.cancel()
            await asyncio.gather(*deciding, return_exceptions=True)

    async def offer(self, count: int, *, over: float = 0.0, only: Sequence[str] = ()) -> None:
        """Start `count` runs of mixed playbooks, spread over so many seconds; returns when all are accepted."""
        codes = sorted(only or self._versions)
        chosen = [(self.rng.choice(codes), over * self.rng.random(), self.rng.getrandbits(64)) for _ in range(count)]
        async with self.http("paula", "playbook_author") as http:
            gate = asyncio.Semaphore(16)

            async def start(code: str, delay: float, key: int) -> None:
                await asyncio.sleep(delay)
                async with gate:
                    await self._start(http, code, f"chaos-{key:x}")

            await asyncio.gather(*(start(*one) for one in chosen))

    def in_mid_step(self) -> set[str]:
        """Effects of accepted runs, by key, that are at work now, or were when their worker died."""
        return self._noted("begin").keys() - self._noted("done").keys()

    def runs_in_mid_step(self) -> set[str]:
        return {key.partition(":")[0] for key in self.in_mid_step()}

    def done_twice(self) -> int:
        """Effects that were done more than once: their worker was thought lost. The key is the same, so whoever gets
        the effect can recognize it."""
        return sum(1 for count in self._noted("done").values() if count > 1)

    def _noted(self, what: str) -> Counter[str]:
        words = [line.split() for line in self.effects.read_text().splitlines()] if self.effects.exists() else []
        return Counter(key for word, key in words if word == what and key.partition(":")[0] in self.code_of)

    def token(self, user: str, *roles: str) -> str:
        return issue_token(
            JWT_SECRET,
            organization_id=self.organization_id,
            subject=user,
            roles=roles,
            permissions=DEFAULT_PERMISSIONS,
        )

    def workflow_of(self, run: str) -> str:
        return workflow_id(self.organization_id, UUID(run))

    async def version_of(self, code: str) -> str:
        """The playbook's id."""
        await self._publish()
        return self._versions[code]

    def http(self, user: str, *roles: str) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token(user, *roles)}"}
        return httpx2.AsyncClient(base_url=f"{self.stack.api_url}/api/v1", headers=headers, timeout=20)

    async def _publish(self) -> None:
        if self._versions:
            return
        author = Client(self.stack.api_url, self.token("paula", "playbook_author"))
        for code, document in playbooks().items():
            self._versions[code] = await asyncio.to_thread(author.publish, document)

    async def _start(self, http: httpx2.AsyncClient, code: str, key: str) -> None:
        body = {"input_data": {"n": 1}}
        path = f"/playbooks/{self._versions[code]}/execute"
        answer = await self._patiently(http, "POST", path, json=body, headers={"Idempotency-Key": key})
        if answer.status_code in (200, 201, 202):
            run = answer.json()["data"]["execution_id"]
            self.accepted.append(run)
            self.code_of[run] = code
        else:
            self.odd.append(f"start: {answer.status_code} {answer.text[:300]}")

    async def _decide(self, person: str, rng: Random) -> None:
        async with self.http(person, "approver") as http:
            while not self._stop.is_set():
                answer = await self._patiently(http, "GET", "/tasks", params={"limit": 50})
                tasks = [task["task_id"] for task in answer.json()["data"]] if answer.status_code == 200 else []
                chosen = rng.sample(tasks, min(AT_ONCE, len(tasks)))
                await asyncio.gather(*(self._vote(http, person, task) for task in chosen))
                await asyncio.sleep(rng.uniform(0.2, 0.6))

    async def _vote(self, http: httpx2.AsyncClient, person: str, task: str) -> None:
        answer = await self._patiently(http, "POST", f"/tasks/{task}/decisions", json={"decision": "approve"})
        if answer.status_code in (200, 202):
            self.votes.add(Vote(task, person))
        elif answer.status_code in (403, 404, 409):
            self.refused[answer.json().get("code", "")] += 1
        elif not self._stop.is_set():
            self.odd.append(f"decide: {answer.status_code} {answer.text[:300]}")

    async def _patiently(self, http: httpx2.AsyncClient, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer, once there is one other than "try again". The last one when the block ends meanwhile."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    answer = await http.request(method, path, **options)
                    if answer.status_code not in _TRY_AGAIN or (self._stop.is_set() and method == "GET"):
                        return answer
                await asyncio.sleep(_PAUSE)
