"""Flow of a document: stages, groups, the longest chain, and unreachable steps."""

from __future__ import annotations

from hypothesis import given

from playbooks.compiler.order import resolve_order
from playbooks.compiler.stages import Flow, flow_of
from playbooks.document.model import read_document
from tests.playbooks.building import Document, compiled, grants, playbook, system
from tests.playbooks.random_documents import documents


def flow(document: Document) -> Flow:
    return flow_of(resolve_order(read_document(document)), compiled(document).problems)


def test_stages_and_the_longest_chain_are_found_when_branches_differ() -> None:
    found = flow(
        playbook(
            system(1, "Start", estimated_duration_minutes=2),
            system(2, "Short", parallel_group="both", estimated_duration_minutes=1),
            system(3, "Long", parallel_group="both", estimated_duration_minutes=10.5),
            system(4, "End"),
            system(5, "Aside", dependencies=[{"depends_on": "start"}], estimated_duration_minutes=11),
        )
    )
    assert [(stage.steps, stage.minutes) for stage in found.stages] == [
        (("start",), 2.0),
        (("short", "long", "aside"), 11.0),
        (("end",), 0.0),
    ]
    assert [(group.name, group.steps) for group in found.parallel_groups] == [("both", ("short", "long"))]
    assert (found.critical_path.steps, found.critical_path.minutes) == (("start", "aside"), 13.0)
    assert (found.total_minutes, found.without_estimate) == (24.5, ("end",))
    assert (found.first_steps, found.final_steps, found.unreachable) == (("start",), ("end", "aside"), ())


def test_the_grants_example_is_one_chain_when_it_is_analysed() -> None:
    found = flow(grants())
    assert len(found.stages) == 5
    assert (len(found.critical_path.steps), found.critical_path.minutes) == (5, 159.0)


def test_the_longer_chain_wins_without_estimates() -> None:
    found = flow(playbook(system(1, "One"), system(2, "Two"), system(3, "Three", dependencies=[{"depends_on": "one"}])))
    assert found.critical_path.steps == ("one", "two")


def test_nothing_is_reported_when_there_are_no_steps() -> None:
    found = flow(playbook())
    assert (found.stages, found.critical_path.steps, found.total_minutes) == ((), (), 0)


def test_steps_are_unreachable_when_they_are_never_true_or_wait_for_such_output() -> None:
    found = flow(
        playbook(
            system(1, "Never", condition="false"),
            system(2, "After"),
            system(3, "Needs", dependencies=[{"depends_on": "never", "dependency_type": "data"}]),
            system(4, "Needs More", dependencies=[{"depends_on": "needs", "dependency_type": "data"}]),
        )
    )
    # A step that is skipped is finished, so what only follows it runs.
    assert [each.step for each in found.unreachable] == ["never", "needs", "needs_more"]


def test_steps_are_unreachable_when_they_wait_in_a_circle_or_for_nothing() -> None:
    found = flow(
        playbook(
            system(1, "One", dependencies=[{"depends_on_step_number": 2}]),
            system(2, "Two", dependencies=[{"depends_on_step_number": 1}]),
            system(3, "Three"),
            system(4, "Lost", dependencies=[{"depends_on": "nobody"}]),
        )
    )
    assert [(each.step, each.code) for each in found.unreachable] == [
        ("one", "CYCLE"),
        ("two", "CYCLE"),
        ("three", "CYCLE"),
        ("lost", "UNKNOWN_DEPENDENCY"),
    ]


@given(documents())
def test_every_step_has_one_stage_after_its_dependencies(written: Document) -> None:
    order = resolve_order(read_document(written))
    found = flow(written)
    stage = {key: level.number for level in found.stages for key in level.steps}
    assert sorted(stage) == sorted(item.key for item in order.located)
    assert sum(len(level.steps) for level in found.stages) == len(order.located)
    for key, waits in order.dependencies.items():
        assert all(stage[each.step] < stage[key] for each in waits)
    assert [level.number for level in found.stages] == list(range(1, len(found.stages) + 1))
    assert len(found.critical_path.steps) == len(found.stages)
    assert found.unreachable == ()
