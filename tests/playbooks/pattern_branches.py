"""Essential checks of the patterns of branches, joins, cycles, triggers and ends, made on their plays.

A trace records every step; these checks assert the part of it that makes the pattern.
"""

from __future__ import annotations

from itertools import pairwise

from tests.support.pattern_essences import Plays, begun, ended, last_end, of, statuses, who_ran
from tests.support.pattern_plays import Play

# -- branching and merging -------------------------------------------------------------------------------------------


@of(1)
def sequence(plays: Plays) -> None:
    """Each step begins when the one before it has ended, and not before."""
    (play,) = plays.values()
    for before, after in pairwise(("register_claim", "assess_claim", "pay_claim")):
        assert begun(play.only(after)) == ended(play.only(before))
    assert play.at_once("register_claim", "assess_claim", "pay_claim") == 1


@of(2)
def parallel_split(plays: Plays) -> None:
    """Both branches begin when the step before them has ended, and run at the same time."""
    (play,) = plays.values()
    assert begun(play.only("pack_goods")) == begun(play.only("write_invoice")) == ended(play.only("take_order"))
    assert play.at_once("pack_goods", "write_invoice") == 2


@of(3)
def synchronization(plays: Plays) -> None:
    """The next step begins once, when the last branch ends, whichever branch that is."""
    for play in plays.values():
        assert begun(play.only("ship_order")) == last_end(play, "pack_goods", "write_invoice")
    assert len({begun(play.only("ship_order")) for play in plays.values()}) == 2


_WAYS = ("transfer_money", "write_cheque", "charge_card")


@of(4)
def exclusive_choice(plays: Plays) -> None:
    """Exactly one branch runs, immediately, and each of them can be the one."""
    chosen = [who_ran(play, *_WAYS) for play in plays.values()]
    assert chosen == [[way] for way in _WAYS]
    for play in plays.values():
        assert sorted(statuses(play, *_WAYS)) == ["completed", "skipped", "skipped"]


@of(5)
def simple_merge(plays: Plays) -> None:
    """The step after the branches runs once, as soon as the one branch that ran has ended."""
    for play, way in zip(plays.values(), _WAYS, strict=True):
        assert who_ran(play, *_WAYS) == [way]
        assert begun(play.only("confirm_payment")) == ended(play.only(way))


_HELP = ("send_police", "send_ambulance", "send_fire_brigade")


@of(6)
def multi_choice(plays: Plays) -> None:
    """One or several branches run, each by its own condition, and they run at the same time."""
    assert [len(who_ran(play, *_HELP)) for play in plays.values()] == [1, 2, 3]
    for play in plays.values():
        assert play.at_once(*_HELP) == len(who_ran(play, *_HELP))


@of(7)
def structured_synchronizing_merge(plays: Plays) -> None:
    """The merge begins, once, when the last of the branches that run has ended."""
    for play in plays.values():
        assert begun(play.only("transfer_patient")) == last_end(play, *who_ran(play, *_HELP))
    assert [len(who_ran(play, *_HELP)) for play in plays.values()] == [1, 2]


@of(37)
def local_synchronizing_merge(plays: Plays) -> None:
    """Each of two merges begins when what is active before it has ended, with unbalanced splits and skips."""
    branches, merged = ("close_road", "send_ambulance"), ("send_police", "brief_hospital")
    for play in plays.values():
        assert begun(play.only("write_report")) == last_end(play, *who_ran(play, *merged))
        if play.ran("brief_hospital"):
            assert begun(play.only("brief_hospital")) == last_end(play, *who_ran(play, *branches))
    assert [who_ran(play, *branches) for play in plays.values()] == [[*branches], ["send_ambulance"], []]


@of(38)
def general_synchronizing_merge(plays: Plays) -> None:
    """The merge begins once, after the last visit of the branch that loops, and not between its visits."""
    looped, glass = plays.values()
    assert len(looped.spans("mill_part")) == len(looped.spans("inspect_part")) == 3
    assert begun(looped.only("assemble")) == last_end(looped, "inspect_part", "order_glass")
    assert ended(looped.only("order_glass")) < last_end(looped, "mill_part")
    assert not glass.ran("mill_part")
    assert begun(glass.only("assemble")) == ended(glass.only("order_glass"))


# -- joins of some branches ------------------------------------------------------------------------------------------


def _rounds(play: Play, join: str, needed: int, *branches: str) -> int:
    """Check that each round's join began with the end of its n-th branch, and no round began before all had ended."""
    joins = play.spans(join)
    for number, joined in enumerate(joins):
        ends = sorted(ended(play.spans(branch)[number]) for branch in branches)
        assert begun(joined) == ends[needed - 1] < ends[-1]
        assert ended(joined) <= ends[-1]
    for branch in branches:
        for following in play.spans(branch)[1:]:
            assert all(begun(following) >= ended(play.spans(other)[0]) for other in branches)
        assert statuses(play, branch) == ["completed"] * len(joins)
    return len(joins)


@of(9)
def structured_discriminator(plays: Plays) -> None:
    """The join begins after the first branch and before the second has ended; it is reset when both have."""
    (play,) = plays.values()
    assert _rounds(play, "triage", 1, "check_breathing", "check_pulse") == 2


@of(28)
def blocking_discriminator(plays: Plays) -> None:
    """Like the structured discriminator, but no branch begins its next round while another is still in this one."""
    (play,) = plays.values()
    branches = ("read_first_sensor", "read_second_sensor")
    assert _rounds(play, "adjust_valve", 1, *branches) == 3
    for number in range(2):
        round_end = max(ended(play.spans(branch)[number]) for branch in branches)
        assert all(begun(play.spans(branch)[number + 1]) >= round_end for branch in branches)


@of(29)
def cancelling_discriminator(plays: Plays) -> None:
    """The join begins with the end of the first branch, and the other one is cancelled at that moment."""
    for play in plays.values():
        first, other = sorted(
            (play.only(key) for key in ("assess_at_once", "assess_on_site")),
            key=lambda span: span.status == "cancelled",
        )
        assert (first.status, other.status) == ("completed", "cancelled")
        assert begun(play.only("settle_claim")) == ended(first) == ended(other)
    assert [play.only("assess_at_once").status for play in plays.values()] == ["completed", "cancelled"]


@of(30)
def structured_partial_join(plays: Plays) -> None:
    """The join begins, once, with the second of three; the third goes on to its end."""
    for play in plays.values():
        assert _rounds(play, "complete_contract", 2, "first_signature", "second_signature", "third_signature") == 1


@of(31)
def blocking_partial_join(plays: Plays) -> None:
    """Two of three, round by round."""
    (play,) = plays.values()
    sensors = ("read_first_sensor", "read_second_sensor", "read_third_sensor")
    assert _rounds(play, "adjust_valve", 2, *sensors) == 2


@of(32)
def cancelling_partial_join(plays: Plays) -> None:
    """The join begins with the second of three, and the third is cancelled at that moment."""
    keys = ("first_quotation", "second_quotation", "third_quotation")
    for play in plays.values():
        assert sorted(statuses(play, *keys)) == ["cancelled", "completed", "completed"]
        assert {begun(play.only("compare_quotations"))} == {
            ended(play.only(key)) for key in keys if play.only(key).status == "cancelled"
        }
        done = [ended(play.only(key)) for key in keys if play.only(key).status == "completed"]
        assert begun(play.only("compare_quotations")) == max(done)


@of(33)
def generalized_and_join(plays: Plays) -> None:
    """The engine that came too early is used with the second chassis; the join fires once for each pair."""
    (play,) = plays.values()
    assert play.count("receive engine_built") == play.count("receive chassis_built") == 2
    cars = [visit.step.input for (key, _), visit in sorted(play.simulated.visits.items()) if key == "assemble_car"]
    assert cars == [{"engine": "E1", "chassis": "C1"}, {"engine": "E2", "chassis": "C2"}]


# -- cycles, triggers and ends ---------------------------------------------------------------------------------------


@of(10)
def arbitrary_cycles(plays: Plays) -> None:
    """The cycle of drafting and legal check is entered at either step, and left at either check."""
    entered, left = plays.values()
    back = [line.partition(" ")[2] for line in entered.lines if " back to " in line]
    assert back == ["back to draft_article", "back to check_law", "back to draft_article"]
    assert [len(entered.spans(key)) for key in ("draft_article", "check_law", "check_style", "publish")] == [3, 4, 3, 2]
    assert who_ran(entered, "publish", "decline_article") == ["publish"]
    assert who_ran(left, "check_style", "publish", "decline_article") == ["decline_article"]


@of(21)
def structured_loop(plays: Plays) -> None:
    """The condition before decides whether it runs at all, the one after how often; in order, one at a time."""
    fresh, used = plays.values()
    assert not fresh.ran("rinse_bottle")
    assert [len(fresh.spans(key)) for key in ("take_sample", "test_sample", "write_report")] == [3, 3, 1]
    visits = [
        span for pair in zip(fresh.spans("take_sample"), fresh.spans("test_sample"), strict=True) for span in pair
    ]
    assert all(begun(after) == ended(before) for before, after in pairwise(visits))
    assert len(used.spans("rinse_bottle")) == 3
    assert [len(used.spans(key)) for key in ("take_sample", "test_sample", "write_report")] == [1, 1, 1]


@of(23)
def transient_trigger(plays: Plays) -> None:
    """A signal is of use only to a step that waits for it when it comes."""
    early, watched, again = plays.values()
    assert not early.ran("handle_overflow")
    assert begun(watched.only("handle_overflow")) == 40
    assert (again.count("receive reservoir_full"), begun(again.only("handle_overflow"))) == (2, 50)


@of(24)
def persistent_trigger(plays: Plays) -> None:
    """A signal that comes early is kept, with what it carries, until the step waits."""
    early, later = plays.values()
    assert begun(early.only("new_colleague")) == ended(early.only("new_colleague")) == 30
    assert begun(later.only("induct_colleague")) == 45
    assert early.simulated.visits["induct_colleague", 1].step.input == {"name": "Ines"}


@of(11)
def implicit_termination(plays: Plays) -> None:
    """The run ends when the last step that can run has ended, whichever that is."""
    for play, last in zip(plays.values(), ("deliver_goods", "call_customer"), strict=True):
        assert play.status == "completed"
        assert play.lines[-1] == f"{ended(play.only(last)):g} completed"


@of(43)
def explicit_termination(plays: Plays) -> None:
    """The last step cancels work under way and work to come, and the run is completed."""
    delivered, withdrawn = plays.values()
    assert delivered.status == withdrawn.status == "completed"
    assert statuses(withdrawn, "pick_goods", "pack_goods", "deliver_goods") == ["cancelled"] * 3
    assert who_ran(withdrawn, "pack_goods", "deliver_goods") == []
    assert withdrawn.lines[-1] == f"{ended(withdrawn.only('close_order')):g} completed" == "20 completed"
    assert delivered.only("withdrawal").status == "cancelled"
