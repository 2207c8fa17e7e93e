"""Random playbook documents: most of them compile, some are broken on purpose. Equal seeds give equal documents."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Document = dict[str, Any]

_KINDS = ("timeout", "network", "temporary_failure", "rate_limited", "system")
_CONTRACTS: tuple[Any, ...] = (
    None,
    {"type": "object"},
    {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 2, "maximum": 9}}},
    {"type": "object", "required": ["a"], "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "null"}]}}},
    {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "pattern": "^X-[0-9]{3}$"}}},
    {"type": "object", "required": ["never"], "properties": {"never": {"not": {}}}},
    {"type": "object", "required": ["again"], "properties": {"again": {"$ref": "#"}}},
)
_JUNK: tuple[Any, ...] = (None, 3, -1, "", "${", "${input.", "steps.x.y", [], {}, [1], {"a": 1}, True, 10**30)


def random_document(rng: Random, *, max_steps: int = 7) -> Document:
    """A document of up to `max_steps` steps with every kind of step, dependency, condition, contract and policy."""
    steps: list[Document] = []
    for number in range(1, rng.randint(1, max_steps) + 1):
        steps.append(_step(rng, number, [step["name"] for step in steps]))
    document: Document = {"name": "Random", "code": "random", "industry": "TESTING", "steps": steps}
    if rng.random() < 0.3:
        document["input_contract"] = {"type": "object", "properties": {"n": {"type": "number", "x-sensitive": True}}}
    if rng.random() < 0.4:
        document["output"] = {"of": _reference(rng, [step["name"] for step in steps]), "text": "run ${run.id}"}
    if rng.random() < 0.2:
        document["output_contract"] = {"type": "object", "required": [rng.choice(["of", "other"])]}
    policies = _policies(rng)
    if policies:
        document["policies"] = policies
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        _break(rng, document)
    return document


def _policies(rng: Random) -> Document:
    policies: Document = {}
    if rng.random() < 0.3:
        policies["timeout_minutes"] = rng.choice([1, 90, 5000])
    if rng.random() < 0.4:
        policies["budget"] = {
            "max_cost": rng.randint(0, 3),
            "on_exceed": rng.choice(["pause", "pause", "fail", "warn"]),
        }
    if rng.random() < 0.4:
        policies["retry"] = {"max_retries": rng.randint(0, 4), "retry_on_errors": list(_KINDS)}
    return policies


def _step(rng: Random, number: int, earlier: list[str]) -> Document:
    step: Document = {"name": f"s{number}", "step_number": number, **rng.choice(_MAKERS)(rng)}
    if rng.random() < 0.3:
        step["condition"] = _condition(rng, earlier)
    if earlier and rng.random() < 0.4:
        step["dependencies"] = [
            _dependency(rng, key, earlier) for key in rng.sample(earlier, rng.randint(1, min(2, len(earlier))))
        ]
    elif rng.random() < 0.3:
        step["parallel_group"] = rng.choice("ab")
    if rng.random() < 0.3:
        step["input"] = {"n": _reference(rng, earlier), "text": "got ${input.n}"}
    if rng.random() < 0.2:
        step["critical"] = False
    if rng.random() < 0.5:
        step["cost"] = {"unit_amount": rng.randint(0, 3)}
    if rng.random() < 0.3:
        step["estimated_duration_minutes"] = rng.choice([0, 1, 100, 10_000])
    return step


def _condition(rng: Random, earlier: list[str]) -> Any:
    return rng.choice(
        [
            "input.n > 1.0",
            "has(input.n)",
            "true",
            f"{_path(rng, earlier)} == 'completed'",
            {"field": "input.n", "operator": "greater_than", "value": rng.randint(0, 3)},
            {"field": "input.other", "operator": "exists"},
        ]
    )


def _dependency(rng: Random, key: str, earlier: list[str]) -> Document:
    kind = rng.choice(["sequential", "conditional", "data"])
    dependency: Document = {"depends_on": key, "dependency_type": kind}
    if kind == "conditional":
        dependency["condition"] = _condition(rng, earlier)
    if kind == "data" and rng.random() < 0.5:
        dependency["mapping"] = {"all": f"${{steps.{key}.output}}"}
    return dependency


def _reference(rng: Random, earlier: list[str]) -> str:
    paths = [
        "input.n",
        "input",
        "run.priority",
        *(f"steps.{key}.{part}" for key in earlier for part in ("status", "output")),
    ]
    return f"${{{rng.choice(paths)}}}"


def _path(rng: Random, earlier: list[str]) -> str:
    return f"steps.{rng.choice(earlier)}.status" if earlier else "run.priority"


def _system(rng: Random) -> Document:
    configs: dict[str, Any] = {
        "data_processor": {"output": {"n": "${input.n}", "more": 1}},
        "rules_engine": {
            "rules": [{"name": "r", "when": "input.n > 1.0"}],
            "decision": rng.choice(["all", "any", "first"]),
        },
        "data_validator": {"schema": {"type": "object", "required": ["n"]}},
        "timer": {"duration_seconds": rng.choice([1, 60, 86_400, "${input.n}"])},
        "notification_sender": {"message": "for ${input.n}"},
    }
    worker = rng.choice(sorted(configs))
    return {"step_type": "system", "worker_type": worker, "config": configs[worker]}


def _external(rng: Random) -> Document:
    step: Document = {"step_type": "external", "worker_type": "http_request", "config": {"url": "https://a.example"}}
    contract = rng.choice(_CONTRACTS)
    return step if contract is None else {**step, "output_contract": contract}


def _ai(rng: Random) -> Document:
    script = [{"error": {"kind": rng.choice(_KINDS)}}, {"output": {"n": 1}, "confidence": rng.random()}]
    config = {"provider": "scripted", "confidence_threshold": 0.5, "script": script[rng.randint(0, 1) :]}
    return {"step_type": "ai", "worker_type": "model", "config": config, "required_roles": ["clerk"]}


def _human(rng: Random) -> Document:
    threshold = rng.randint(1, 3)
    approval: Document = {"max_voters": threshold + rng.randint(0, 1), "consensus": rng.choice([0, 0.5, 1])}
    if rng.random() < 0.5:
        actions = ["timed_out", "approve", "reject", "fail"]
        approval |= {"window_minutes": rng.choice([1, 60]), "on_timeout": {"action": rng.choice(actions)}}
    if rng.random() < 0.3:
        approval["on_reject"] = "fail"
    step: Document = {"step_type": "human", "worker_type": "person", "required_roles": ["clerk"]}
    contract = rng.choice(_CONTRACTS)
    more = {} if contract is None else {"output_contract": contract}
    return {**step, "approval_threshold": threshold, "approval": approval, **more}


_MAKERS: tuple[Callable[[Random], Document], ...] = (_system, _system, _external, _ai, _human)


def _break(rng: Random, document: Document) -> None:
    """Put something that does not belong there somewhere in the document, or take something away."""
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and rng.random() < 0.7:
            place = place[key]
            continue
        if isinstance(place, dict) and rng.random() < 0.3:
            del place[key]
        elif isinstance(place, dict) and rng.random() < 0.2:
            place[f"{key}_x"] = rng.choice(_JUNK)
        else:
            place[key] = rng.choice(_JUNK)
        return
