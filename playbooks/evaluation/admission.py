"""Checks before a run of a document is accepted, whether a person or a step of another run starts it.

The text of a concurrency key never leaves this module: it may contain sensitive values and may be long, so a run
carries a digest of it.
"""

from __future__ import annotations

import hashlib

from playbooks.common.errors import InputContractError, LimitExceededError, MappingError, Problem, ValidationError
from playbooks.common.json_values import canonical
from playbooks.common.values import JsonObject
from playbooks.contracts.validation import violations
from playbooks.document.model import PlaybookDocument
from playbooks.engine.model.temporal_messages import ConcurrencyLimit
from playbooks.expressions import cel, templates

MAX_INPUT_BYTES = 256 * 1024
SLOT_LABEL = "concurrency:"
"""Prefix of the labels of concurrency keys."""

_DIGEST_CHARACTERS = 32


def check_input(document: PlaybookDocument, value: JsonObject, pointer: str = "/input_data") -> None:
    """Raise LimitExceededError, InputContractError where the input may not start a run of this document.

    `pointer` is where the input stands in what was sent. That the input can be stored was checked where it came in: by
    the API's request guard, or as the input of the step that starts the run.
    """
    if len(canonical(value)) > MAX_INPUT_BYTES:
        message = f"a run's input has at most {MAX_INPUT_BYTES} bytes"
        raise LimitExceededError(message, (Problem(pointer=pointer, code="TOO_LARGE", message=message),))
    if document.input_contract is None:
        return
    problems = violations(document.input_contract, value, pointer=pointer)
    if problems:
        first = f"{problems[0].pointer}: {problems[0].message}"
        raise InputContractError(f"the input does not satisfy the playbook's contract ({first})", problems)


def slot_of(document: PlaybookDocument, value: JsonObject, pointer: str = "/input_data") -> ConcurrencyLimit | None:
    """The place of a run with this input among those of its key; None where the playbook sets no limit.

    Raises ValidationError, pointing into the input, where the key cannot be evaluated.
    """
    policy = document.policies.concurrency if document.policies else None
    if policy is None:
        return None
    try:
        key = cel.resolve(policy.key, {"input": value})
    except MappingError as error:
        problems = [_at(problem, pointer) for problem in error.problems]
        raise ValidationError(f"the key of policies.concurrency has no value: {error.detail}", problems) from None
    text = key if isinstance(key, str) else templates.as_text(key)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    label = f"{SLOT_LABEL}{document.code}:{digest}"
    return ConcurrencyLimit(label=label, max_runs=policy.max_runs, on_limit=policy.on_limit)


def _at(problem: Problem, pointer: str) -> Problem:
    """A problem of the expression, whose pointer is a path of its context, as one of what was sent."""
    path = problem.pointer.removeprefix("/input")
    return Problem(pointer=pointer + path, code=problem.code, message=problem.message, suggestion=problem.suggestion)
