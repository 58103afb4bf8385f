"""Accounts that are in doubt, and venues that change no orders."""

from abidance.model.event import ChangeRejected, Control, ControlAction, OrderCancelled, VenueStatus
from abidance.model.order import OrderType
from abidance.model.outcome import RefusalCode
from abidance.risk.feeds import Feeds
from abidance.risk.state import ACTIVE
from tests.unit.engine.rig import SPOT, D, Rig, Scripted, flat, rig_of

STOPS = frozenset({OrderType.STOP})
FALLING = [*flat(100, 100, 110, 120, 130, 140), (140, 140, 118, 118, 1e6), *flat(118)]


def doubted(rig: Rig, *reasons: str) -> None:
    rig.tell(VenueStatus(rig.ts, "SIM", reasons))


def test_an_account_in_doubt_takes_no_new_risk() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))

    doubted(rig, "The private stream is down.")
    rig.run()

    assert [each.code for each in rig.refusals] == [RefusalCode.VENUE_NOT_TRUSTED]
    assert rig.refusals[0].reason == "Only exits at SIM: The private stream is down."
    assert rig.trades == []


def test_a_position_is_left_although_the_account_is_in_doubt() -> None:
    rig = rig_of(Scripted([1, 1, 0]), flat(*[100] * 6))
    rig.step(3)

    doubted(rig, "Balances differ.")
    rig.run()

    assert rig.position() == 0
    assert [trade[0] for trade in rig.trades] == ["buy", "sell"]


def test_trust_that_comes_back_is_told_and_lets_entries_pass() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))

    doubted(rig, "Not compared yet.")
    doubted(rig, "Not compared yet.")
    doubted(rig)
    rig.run()

    assert [notice.code for notice in rig.notices] == ["venue_not_trusted", "venue_trusted"]
    assert [trade[0] for trade in rig.trades] == ["buy"]


def test_a_run_stands_reducing_while_its_account_is_in_doubt_unless_it_is_halted() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 100))
    seen = [rig.engine.standing()]

    doubted(rig, "Not compared yet.")
    seen.append(rig.engine.standing())
    rig.tell(Control(rig.ts, ControlAction.KILL, actor="ada"))
    seen.append(rig.engine.standing())
    doubted(rig)
    rig.tell(Control(rig.ts, ControlAction.RELEASE, actor="ada"))

    assert [each.state for each in (*seen, rig.engine.standing())] == [
        "active",
        "reducing",
        "halted",
        "active",
    ]
    assert seen[1].reason == "Only exits at SIM: Not compared yet."


def test_what_can_be_entered_at_one_venue_still_stands_active() -> None:
    feeds = Feeds()
    venues = ("BINANCE", "KRAKEN")
    feeds.venues = {"BINANCE": VenueStatus(1, "BINANCE", ("No.",)), "KRAKEN": VenueStatus(1, "KRAKEN")}
    one = feeds.standing(venues)
    feeds.venues["KRAKEN"] = VenueStatus(2, "KRAKEN", ("Nor here.",))

    none = feeds.standing(venues)

    assert one == feeds.standing(("BYBIT",)) == feeds.standing(()) == ACTIVE
    assert none.reason == "Only exits at BINANCE: No. Only exits at KRAKEN: Nor here."


def test_a_stop_trails_as_well_where_the_venue_changes_no_orders() -> None:
    changing = rig_of(Scripted([1], trailing=10.0), FALLING).run()
    rig = rig_of(Scripted([1], trailing=10.0), FALLING)
    rig.state.fixed = {SPOT.id: STOPS}

    rig.run()

    assert rig.trades == changing.trades
    assert rig.amends == []
    assert len(changing.amends) == len(rig.cancels) >= 3


def test_a_stop_that_could_not_be_taken_back_stands_as_it_is() -> None:
    rig = rig_of(Scripted([1], trailing=10.0), FALLING, venue=False)
    rig.state.fixed = {SPOT.id: STOPS}
    rig.step()
    entry = rig.submits[0]
    rig.accept(entry)
    rig.fill(entry, "1", "100")
    stop = rig.submits[1]
    rig.accept(stop)
    rig.step(2)
    asked = [each.order_id for each in rig.cancels]

    rig.tell(ChangeRejected(rig.ts, stop.order_id, "busy"))
    rig.tell(OrderCancelled(rig.ts, stop.order_id, "by the venue"))

    assert asked == [stop.order_id]
    # What the venue ended by itself leaves the position unprotected: its stop is set anew where it is wished by now.
    before, after = stop.request.trigger, rig.submits[-1].request.trigger
    assert rig.submits[-1].request.type is OrderType.STOP
    assert rig.submits[-1].request.quantity == D(1)
    assert before is not None
    assert after is not None
    assert after > before
