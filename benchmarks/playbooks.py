"""The playbooks that the jobs run."""

from __future__ import annotations

from typing import Any

PURE = "data_processor"
EFFECT = "bench_noop"
_INPUT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def steps_in_a_row(worker: str, count: int, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """`count` steps, one after the other, each with an output contract."""
    return _playbook(f"bench-row-{worker}-{count}", [_step(n, worker, config) for n in range(1, count + 1)])


def steps_at_once(worker: str, count: int) -> dict[str, Any]:
    """`count` steps that all start together."""
    steps = [{**_step(n, worker, None), "parallel_group": "all"} for n in range(1, count + 1)]
    return _playbook(f"bench-all-{worker}-{count}", steps)


def one_approval() -> dict[str, Any]:
    """A step, an approval, a step."""
    approval = {"name": "Approve", "step_number": 2, "step_type": "human", "worker_type": "approver"}
    approval |= {"required_roles": ["approver"]}
    return _playbook("bench-approval", [_step(1, EFFECT, None), approval, _step(3, EFFECT, None)])


def _step(number: int, worker: str, config: dict[str, Any] | None) -> dict[str, Any]:
    step = {"name": f"Step {number}", "step_number": number, "step_type": "system", "worker_type": worker}
    return {**step, "config": config or {}, "output_contract": {"type": "object"}}


def _playbook(code: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    name = code.replace("-", " ").replace("_", " ")
    return {"name": name, "code": code.replace("_", "-"), "industry": "BENCH", "input_contract": _INPUT, "steps": steps}
