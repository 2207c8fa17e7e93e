"""Whether the people who hold a step's roles can be enough for it.

Owns this arithmetic over numbers of members, which whoever knows them hands in. Must not know where members are kept.
A role without a known member only informs: roles usually come from an identity provider that nobody here can ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from playbooks.common.errors import Problem, error, warning
from playbooks.compiler.order import Order, Placed


def problems(order: Order, members: Mapping[str, Set[str]]) -> Iterator[Problem]:
    """Steps whose threshold their roles' members cannot reach. `members`: role -> who holds it."""
    for item in order.placed:
        if item.step.step_type == "human" and item.step.required_roles:
            yield from _of_step(item, members)


def _of_step(item: Placed, members: Mapping[str, Set[str]]) -> Iterator[Problem]:
    roles = list(dict.fromkeys(item.step.required_roles or ()))
    place = f"{item.pointer}/required_roles"
    unknown = [role for role in roles if not members.get(role)]
    if unknown:
        message = f"nobody is known to hold {_listed(unknown)}: whether enough people can decide is not known"
        yield warning(place, "QUORUM_UNKNOWN", message)
        return
    people = set[str]().union(*(members[role] for role in roles))
    threshold = item.step.approval_threshold or 1
    approval = item.step.approval
    if len(people) < threshold:
        message = f"{threshold} people have to approve, and {len(people)} hold {_listed(roles)}"
        yield error(place, "QUORUM_IMPOSSIBLE", message, "name more roles, or lower the threshold")
    elif len(people) == threshold and approval is not None and approval.self_approval is False:
        message = f"exactly {threshold} hold {_listed(roles)}: a run that one of them starts cannot be approved"
        yield warning(place, "QUORUM_TIGHT", message)


def _listed(roles: list[str]) -> str:
    return " or ".join(f"'{role}'" for role in roles)
