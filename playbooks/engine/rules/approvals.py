"""Decisions from people's votes, and who may vote.

Approved as soon as threshold and consensus both hold; rejected once that cannot happen any more within
`max_voters`; `no_quorum` where abstentions alone made the threshold unreachable.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from uuid import UUID

from playbooks.common.values import Json, JsonObject
from playbooks.engine.model.plan import ApprovalPlan
from playbooks.engine.model.state import TaskDecision, Vote


def decision_of(rules: ApprovalPlan, votes: Iterable[Vote]) -> TaskDecision | None:
    """Return the decision of these votes, or None while it is open."""
    counts = Counter(vote.choice for vote in votes)
    if counts["request_changes"]:
        return "changes_requested"
    approve, reject, abstain = counts["approve"], counts["reject"], counts["abstain"]
    if _holds(rules, approve, reject):
        return "approved"
    remaining = rules.max_voters - approve - reject - abstain
    if remaining > 0 and _holds(rules, approve + remaining, reject):
        return None
    return "no_quorum" if approve + reject + remaining < rules.threshold else "rejected"


def _holds(rules: ApprovalPlan, approve: int, reject: int) -> bool:
    if approve < rules.threshold:
        return False
    share = Fraction(approve, approve + reject) if approve + reject else Fraction(0)
    return share >= Fraction(str(rules.consensus))


def task_output(decision: TaskDecision, votes: Iterable[Vote]) -> JsonObject:
    """Return the output `{decision, counts, approvals, data, mean}` and the fields of the last approving form."""
    cast = tuple(votes)
    counts = Counter(vote.choice for vote in cast)
    forms = [vote.data or {} for vote in cast if vote.choice == "approve"]
    last: JsonObject = forms[-1] if forms else {}
    return {
        **last,
        "decision": decision,
        "counts": {choice: counts[choice] for choice in ("approve", "reject", "abstain", "request_changes")},
        "approvals": [_approval(vote) for vote in cast],
        "data": last,
        "mean": _means(forms),
    }


def _approval(vote: Vote) -> Json:
    return {
        "actor": {"id": str(vote.actor.id), "name": vote.actor.name, "via": vote.actor.via},
        "decision": vote.choice,
        "comment": vote.comment,
        "data": vote.data,
        "attachments": list(vote.attachments),
        "at": vote.at.isoformat(),
    }


def _means(forms: list[JsonObject]) -> JsonObject:
    """Return the mean of each field that is a number in an approving form, over the forms that hold it."""
    numbers: dict[str, list[int | float]] = {}
    for form in forms:
        for name, value in form.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                numbers.setdefault(name, []).append(value)
    means = {name: _mean(values) for name, values in sorted(numbers.items())}
    return {name: mean for name, mean in means.items() if mean is not None}


def _mean(values: list[int | float]) -> float | None:
    """Return the mean, or None where JSON has no such number: people may type any digits."""
    try:
        mean = sum(values) / len(values)
    except OverflowError:
        return None
    return mean if math.isfinite(mean) else None


def is_separated(person: UUID, initiator: UUID, rules: ApprovalPlan, earlier_voters: Iterable[UUID]) -> bool:
    """Return whether separation of duties lets this person decide."""
    if not rules.self_approval and person == initiator:
        return False
    return person not in set(earlier_voters)
