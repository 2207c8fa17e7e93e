"""Storms of messages and poisonous input: nothing breaks, nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from tests.chaos.judge import all_ended, assert_sound, watching
from tests.chaos.scene import Place, running_place
from tests.support.waiting import eventually

DEEP = 1_000
NAUGHTY = (
    *(
        "",
        "undefined",
        "null",
        "NaN",
        "-0",
        "1E+02",
        "00",
        "ＡＢＣ",
        "田中さん",
        "\u202e\u200bevil\ufeff",
        "\x7f\x1b[31m",
    ),
    *("👩‍👩‍👧‍👦 Z̷̢̛͔a̸l̶g̸o̶", "🏳️‍🌈", "\ud800", "a\x00b", "'; DROP TABLE core_entities; --", "<script>alert(1)</script>"),
    *("${input.n} {{7*7}} %s %n", "$(touch /tmp/x)", "../../etc/passwd", "__proto__", "\r\nSet-Cookie: x=1", " " * 300),
)
"""Some of the strings that break software, after minimaxir's list of the same name."""
POISON: dict[str, str] = {
    **{f"naughty {number}": json.dumps(text) for number, text in enumerate(NAUGHTY)},
    "megabyte": json.dumps("x" * 1_000_000),
    "huge integer": "1" + "0" * 400,
    "float at the edge": "1e308",
    "beyond any float": "1e999",
    "not a number": "NaN",
    "deep list": "[" * DEEP + "]" * DEEP,
    "deep object": '{"a":' * DEEP + "1" + "}" * DEEP,
    "many keys": json.dumps({f"k{n}": n for n in range(10_000)}),
    "empty key": '{"": {"": ""}}',
    "same key twice": '{"n": 1, "n": "2"}',
    "proto": '{"__proto__": {"x": 1}, "constructor": 1}',
}
"""As raw JSON: what clients send, not what Python can build."""
BODIES = (b"", b"{", b"\xff\xfe", b"null", b"[" * 100_000, b'{"a":' * 100_000, b'{"input_data": {"n": 1e999}}', b"\x00")


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with running_place() as running:
        yield running


@pytest.mark.soak
@pytest.mark.parametrize("count", [20, 100])
async def test_votes_count_once_when_signals_storm(place: Place, count: int) -> None:
    """Every run is pelted with repeated, late and malformed signals, by clients that never wait."""
    crowd = await place.crowd(f"storm {count}")
    temporal = await Client.connect(place.stack.temporal_address)
    stop = asyncio.Event()

    async def pelt() -> int:
        sent = 0
        while not stop.is_set():
            run = crowd.rng.choice(crowd.accepted) if crowd.accepted else None
            if run is None:
                await asyncio.sleep(0.05)
                continue
            handle = temporal.get_workflow_handle(crowd.workflow_of(run))
            name, body = crowd.rng.choice(signals(crowd.rng.choice(["ann", "ben"])))
            try:
                await handle.signal(name, args=body)
                sent += 1
            except RPCError:
                await asyncio.sleep(0.02)  # over already
        return sent

    async with watching(crowd) as watch, crowd.at_work():
        pelting = [asyncio.create_task(pelt()) for _ in range(4)]
        await crowd.offer(count, over=2.0)
        await asyncio.sleep(3.0)
        stop.set()
        sent = sum(await asyncio.gather(*pelting))
        await all_ended(crowd, watch, 120)
    print(f"{sent} signals to {count} runs")
    assert sent >= count
    await asyncio.to_thread(assert_sound, crowd, watch)


def signals(who: str) -> list[tuple[str, list[Any]]]:
    """Good ones, late ones, and every kind of nonsense."""
    actor = {"sub": who, "roles": ["approver"]}
    vote = {"step": "approve", "decision": "approve", "actor": actor}
    return [
        ("decide", [vote]),
        ("decide", [vote]),
        ("decide", [{**vote, "step": "nowhere"}]),
        ("decide", [{**vote, "decision": "perhaps"}]),
        ("decide", [{**vote, "actor": {"sub": "", "roles": "all"}}]),
        ("decide", ["nonsense"]),
        ("decide", []),
        ("decide", [None, None, vote]),
        ("resume", [{}]),
        ("claim", [{"step": "approve", "actor": actor}]),
        ("release", [{"step": "approve", "actor": actor}]),
        ("frobnicate", [{"deep": [[[[[]]]]]}]),
        ("\u202edecide", [{"x": "\x00"}]),
    ]


@pytest.mark.soak
async def test_every_answer_is_clear_when_input_is_poison(place: Place) -> None:
    """As input, in a document, as a comment, and as a raw body; what is accepted runs to its end."""
    crowd = await place.crowd("poison")
    async with watching(crowd) as watch, crowd.at_work():
        await crowd.offer(3)
        async with crowd.http("paula", "playbook_author") as http:
            path = f"/playbooks/{await crowd.version_of('chaos-chain')}/execute"
            for name, value in POISON.items():
                for body in (f'{{"input_data": {{"n": 1, "x": {value}}}}}', f'{{"input_data": {value}}}', value):
                    answer = await _post(http, path, body.encode())
                    _assert_clear(answer, name)
                    if answer.status_code in (201, 202):
                        run = answer.json()["data"]["execution_id"]
                        crowd.accepted.append(run)
                        crowd.code_of[run] = "chaos-chain"
                body = f'{{"name": {value}, "code": "p", "industry": {value}, "steps": {value}}}'
                _assert_clear(await _post(http, "/playbooks", body.encode()), name, is_refused=True)
            for raw in BODIES:
                _assert_clear(await _post(http, path, raw), repr(raw[:20]), is_refused=True)
        assert len(crowd.accepted) > 3, "some of it is harmless"
        await all_ended(crowd, watch, 60)
    print(f"poison: {len(crowd.accepted) - 3} poisoned runs of {3 * len(POISON)} were accepted")
    await asyncio.to_thread(assert_sound, crowd, watch)


@pytest.mark.soak
async def test_every_answer_is_clear_when_comments_and_reasons_are_poison(place: Place) -> None:
    """One run at a committee: a member writes impossible comments, the author steers it with impossible reasons."""
    crowd = await place.crowd("poisoned comments")
    await crowd.version_of("chaos-committee")
    async with watching(crowd) as watch:
        await crowd.offer(1, only=["chaos-committee"])
        (run,) = crowd.accepted
        async with crowd.http("paula", "playbook_author") as http, crowd.http("ann", "approver") as ann:
            task = await _task_of(ann, run)
            for name, value in POISON.items():
                for verb in ("pause", "resume"):
                    body = f'{{"action": "{verb}", "reason": {value}}}'
                    _assert_clear(await _put(http, f"/playbooks/runs/{run}", body.encode()), name)
                for body in (f'{{"decision": {value}}}', f'{{"decision": "abstain", "comment": {value}}}'):
                    _assert_clear(await _post(ann, f"/tasks/{task}/decisions", body.encode()), name)
            for text in NAUGHTY:
                asked = quote(text, safe="", errors="surrogatepass")
                _assert_clear(await http.get(f"/playbooks/runs?status={asked}&cursor={asked}"), repr(text))
            resumed = await _put(http, f"/playbooks/runs/{run}", b'{"action": "resume"}')
            _assert_clear(resumed, "resume")
        async with crowd.at_work():
            await all_ended(crowd, watch, 60)
    await asyncio.to_thread(assert_sound, crowd, watch)


def _assert_clear(answer: httpx2.Response, name: str, *, is_refused: bool = False) -> None:
    """Never a 5xx, and a refusal has a code that a program can read."""
    message = f"{name}: {answer.status_code} {answer.text[:300]}"
    if is_refused:
        assert answer.status_code >= 400, message
    assert answer.status_code < 500, message
    assert answer.status_code < 400 or answer.json()["code"], message


async def _task_of(http: httpx2.AsyncClient, run: str) -> str:
    async def found() -> list[dict[str, str]]:
        return (await http.get("/tasks", params={"execution_id": run})).json()["data"]

    return (await eventually(found))[0]["task_id"]


async def _post(http: httpx2.AsyncClient, path: str, body: bytes) -> httpx2.Response:
    """As any client may write it: NaN and lone surrogates included."""
    return await http.post(path, content=body, headers={"Content-Type": "application/json"}, timeout=60)


async def _put(http: httpx2.AsyncClient, path: str, body: bytes) -> httpx2.Response:
    return await http.put(path, content=body, headers={"Content-Type": "application/json"}, timeout=60)
