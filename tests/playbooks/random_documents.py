"""Random documents whose order can be compiled: gaps in numbers, groups, dependencies by number and by key."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.playbooks.building import Document, playbook, system

# Names that make a key, and names without a usable letter, where the number makes it.
_NAMES = ("Check", "Pay", "Ask", "審査", "Решение", "--")


@st.composite
def documents(draw: st.DrawFn, *, least: int = 1) -> Document:
    numbers = sorted(draw(st.sets(st.integers(1, 40), min_size=least, max_size=8)))
    steps: list[Document] = []
    keys: dict[int, str] = {}
    for number in numbers:
        name = draw(st.sampled_from(_NAMES))
        step: dict[str, Any] = system(number, name if not name.isascii() or name == "--" else f"{name} {number}")
        if draw(st.booleans()):
            step["key"] = f"own_{number}"
        if draw(st.booleans()):
            step["parallel_group"] = draw(st.sampled_from(["a", "b"]))
        if draw(st.booleans()):
            step["dependencies"] = [
                draw(st.sampled_from([{"depends_on_step_number": earlier}, {"depends_on": keys[earlier]}]))
                | {"dependency_type": draw(st.sampled_from(["sequential", "data"]))}
                for earlier in sorted(draw(st.sets(st.sampled_from(list(keys)), max_size=3)) if keys else ())
            ]
        keys[number] = step.get("key") or (
            f"{name} {number}".lower().replace(" ", "_") if name.isascii() and name != "--" else f"step_{number}"
        )
        steps.append(step)
    return playbook(*draw(st.permutations(steps)))
