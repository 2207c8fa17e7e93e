"""Essential checks of the patterns of multiple instances, states and cancellation, made on their plays.

A trace records every step; these checks assert the part of it that makes the pattern.
"""

from __future__ import annotations

from typing import Any

from playbooks.document.model import snake_case
from tests.support.pattern_essences import Plays, begun, ended, last_end, of, statuses, who_ran
from tests.support.pattern_plays import Play, document_of

# -- multiple instances ----------------------------------------------------------------------------------------------


@of(12)
def multiple_instances_without_synchronization(plays: Plays) -> None:
    """The other branch begins with the notices and ends before any of them; a notice that fails stops no other."""
    (play,) = plays.values()
    notices = play.items("issue_notice")
    assert play.at_once(*play.items_by_name("issue_notice")) == 3
    assert ended(play.only("file_list")) < min(ended(notice) for notice in notices)
    assert [notice.status for notice in notices] == ["completed", "failed", "completed"]
    assert play.status == "completed"


def _all_together(play: Play, key: str, following: str, count: int) -> None:
    """Assert that `count` items ran at the same time, and the step after them began with the end of the last."""
    items = play.items(key)
    assert len(items) == play.at_once(*play.items_by_name(key)) == count
    assert begun(play.only(following)) == max(ended(item) for item in items)


@of(13)
def multiple_instances_with_design_time_knowledge(plays: Plays) -> None:
    (play,) = plays.values()
    _all_together(play, "sign_report", "issue_report", 6)


@of(14)
def multiple_instances_with_run_time_knowledge(plays: Plays) -> None:
    four, one, none = plays.values()
    _all_together(four, "check_sensor", "identify_fault", 4)
    _all_together(one, "check_sensor", "identify_fault", 1)
    assert (none.items("check_sensor"), none.only("identify_fault").status) == ([], "completed")


@of(22)
def recursion(plays: Plays) -> None:
    """The playbook runs itself for each part, which ends by itself where there are none, and waits for all of them."""
    nested, leaf, endless = plays.values()
    steps = {step["key"]: step for step in _steps_of("wcp-22-recursion")}
    assert steps["build_parts"]["config"]["playbook"] == "wcp-22-recursion"
    _all_together(nested, "build_parts", "assemble_part", 2)
    assert (leaf.items("build_parts"), leaf.only("assemble_part").status) == ([], "completed")
    assert (endless.status, endless.ran("assemble_part")) == ("failed", False)


def _steps_of(code: str) -> list[Any]:
    return [{"key": snake_case(step["name"]), **step} for step in document_of(code)["steps"]]


_TEST = "test_protein"


@of(26)
def cancel_multiple_instance_task(plays: Plays) -> None:
    """Instances that are done stay so, the others are withdrawn or never begin, and nothing follows from them."""
    cancelled, whole = plays.values()
    assert [item.status for item in cancelled.items(_TEST)] == ["completed", "completed", "cancelled", "cancelled"]
    assert {ended(item) for item in cancelled.items(_TEST)[2:]} == {30}
    assert not cancelled.ran("evaluate_tests")
    assert (cancelled.only("clean_laboratory").status, cancelled.status) == ("completed", "completed")
    assert [item.status for item in whole.items(_TEST)] == ["completed"] * 5
    assert whole.ran("evaluate_tests")


@of(27)
def complete_multiple_instance_task(plays: Plays) -> None:
    """Instances that are done stay so, the others are withdrawn or never begin, and the next step begins at once."""
    completed, whole = plays.values()
    assert [item.status for item in completed.items(_TEST)] == ["completed", "completed", "cancelled", "cancelled"]
    assert completed.only(_TEST).status == "completed"
    assert begun(completed.only("evaluate_tests")) == ended(completed.only(_TEST)) == 30
    assert [item.status for item in whole.items(_TEST)] == ["completed"] * 5


@of(34)
def static_partial_join_for_multiple_instances(plays: Plays) -> None:
    """The next step begins with the third of five; the others end for themselves, and then it can begin anew."""
    (play,) = plays.values()
    for number, following in enumerate(play.spans("evaluate_tests")):
        items = [play.spans(f"{_TEST}[{index}]")[number] for index in range(5)]
        ends = sorted(ended(item) for item in items)
        assert [item.status for item in items] == ["completed"] * 5
        assert begun(following) == ends[2] < ends[4] < ended(following)
    assert len(play.spans("evaluate_tests")) == 2


@of(35)
def cancelling_partial_join_for_multiple_instances(plays: Plays) -> None:
    """The next step begins with the third of five, and the others are cancelled at that moment."""
    (play,) = plays.values()
    items = play.items(_TEST)
    assert sorted(item.status for item in items) == ["cancelled"] * 2 + ["completed"] * 3
    assert {ended(item) for item in items if item.status == "cancelled"} == {begun(play.only("evaluate_tests"))} == {30}


@of(41)
def thread_merge(plays: Plays) -> None:
    (play,) = plays.values()
    _all_together(play, "register_vehicle", "process_batch", 3)


@of(42)
def thread_split(plays: Plays) -> None:
    """Three executions begin at one point and end each for itself."""
    (play,) = plays.values()
    reviews = play.items("review_paper")
    assert {begun(review) for review in reviews} == {ended(play.only("confirm_paper"))}
    assert len({ended(review) for review in reviews}) == 3


# -- states ----------------------------------------------------------------------------------------------------------


@of(16)
def deferred_choice(plays: Plays) -> None:
    """The first event decides, and the other branches never run; later events change nothing."""
    answers = ("ship_goods", "close_order", "remind_customer")
    assert [who_ran(play, *answers) for play in plays.values()] == [[answer] for answer in answers]
    paid = plays["paid"]
    assert paid.count("receive withdrawn") == 1
    assert paid.only("close_order").status == "skipped"


_EXAMINATIONS = ("take_sample", "scan_patient", "explain_analysis")


@of(17)
def interleaved_parallel_routing(plays: Plays) -> None:
    """Each once, never two at once, in any order that the partial order allows."""
    orders: set[tuple[str, ...]] = set()
    for play in plays.values():
        assert play.at_once(*_EXAMINATIONS) == 1
        assert begun(play.only("explain_analysis")) >= ended(play.only("take_sample"))
        assert begun(play.only("discharge_patient")) == last_end(play, *_EXAMINATIONS)
        orders.add(tuple(sorted(_EXAMINATIONS, key=lambda key: begun(play.only(key)))))
    assert len(orders) == 2


@of(40)
def interleaved_routing(plays: Plays) -> None:
    """Each once, never two at once, in any order."""
    checks = ("check_brakes", "check_lights", "check_tyres")
    orders: set[tuple[str, ...]] = set()
    for play in plays.values():
        assert play.at_once(*checks) == 1
        assert statuses(play, *checks) == ["completed"] * 3
        assert begun(play.only("return_car")) == last_end(play, *checks)
        orders.add(tuple(sorted(checks, key=lambda key: begun(play.only(key)))))
    assert len(orders) == 2


@of(18)
def milestone(plays: Plays) -> None:
    """The step runs only while the state lasts, does not end it, and never runs once it is over."""
    in_time, late = plays.values()
    period = in_time.only("enrolment")
    assert begun(period) <= begun(in_time.only("change_course")) < ended(period) == ended(late.only("enrolment"))
    assert ended(late.only("be_ready")) > ended(late.only("enrolment"))
    assert late.only("change_course").status == "skipped"


@of(39)
def critical_section(plays: Plays) -> None:
    """A region that was begun is over before the other one begins; steps outside both regions go on."""
    firsts: list[str] = []
    for play in plays.values():
        spans = {
            which: (begun(play.only(f"load_{which}_batch")), ended(play.only(f"burn_{which}_batch")))
            for which in ("first", "second")
        }
        (_, end), (begin, _) = sorted(spans.values())
        assert begin == end
        firsts.append(min(spans, key=lambda which: spans[which]))
    assert firsts == ["first", "second"]
    play = plays["first batch first"]
    assert (
        begun(play.only("load_first_batch"))
        < ended(play.only("weigh_second_batch"))
        < begun(play.only("load_second_batch"))
    )


# -- cancellation ----------------------------------------------------------------------------------------------------


@of(19)
def cancel_task(plays: Plays) -> None:
    """A step that waits its turn never begins, one that runs is ended; only what needs its result is left out."""
    before, during, whole = plays.values()
    assert not before.ran("inspect_building")
    assert ended(during.only("inspect_building")) == 40
    assert during.count("begin inspect_building") == 1
    assert during.count("end inspect_building") == 0
    for play in (before, during):
        assert not play.ran("discuss_report")
        assert (play.only("search_title").status, play.status) == ("completed", "completed")
    assert whole.only("discuss_report").status == "completed"


@of(20)
def cancel_case(plays: Plays) -> None:
    """Work under way ends at that moment, later work never begins, and the run is recorded as cancelled."""
    withdrawn, whole = plays.values()
    assert (withdrawn.status, withdrawn.lines[-1]) == ("cancelled", "60 cancelled")
    assert (withdrawn.only("value_house").status, ended(withdrawn.only("value_house"))) == ("cancelled", 60)
    assert not withdrawn.ran("offer_mortgage")
    assert withdrawn.only("check_income").status == "completed"
    assert whole.status == "completed"


@of(25)
def cancel_region(plays: Plays) -> None:
    """Every step of the region is ended, also where they are not connected; steps outside it go on."""
    withdrawn, whole = plays.values()
    region = ("collect_evidence", "analyse_evidence", "hear_witness")
    assert statuses(withdrawn, *region) == ["cancelled"] * 3
    assert {ended(withdrawn.only(key)) for key in region} == {20}
    assert not withdrawn.ran("analyse_evidence")
    assert statuses(withdrawn, "inform_victim", "close_case") == ["completed"] * 2
    assert statuses(whole, *region, "inform_victim", "close_case") == ["completed"] * 5
