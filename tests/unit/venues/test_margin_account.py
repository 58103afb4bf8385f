"""A gateway and a lender at a cross margin account, Binance's or KuCoin's: its level, its interest, its stream."""

from collections.abc import AsyncIterator

import pytest

from abidance.model.event import DebtChanged, LoanTold
from abidance.model.instrument import SECOND_NS
from abidance.model.loan import LoanState
from abidance.model.order import Side
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.lending import HOUR, RATE
from tests.unit.venues.borrower import KUCOIN, MARGIN, Borrower
from tests.unit.venues.trading_world import D, World


@pytest.fixture(params=["BINANCE", "KUCOIN"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param, wallet="cross_margin").start()
    yield made
    await made.stop()


@pytest.fixture(params=[MARGIN, KUCOIN], ids=lambda place: place.venue)
async def borrower(request: pytest.FixtureRequest) -> AsyncIterator[Borrower]:
    made = await Borrower(request.param).start()
    yield made
    await made.stop()


async def test_a_low_margin_level_keeps_a_margin_account_to_exits_until_it_is_above_again(
    world: World,
) -> None:
    assert world.gateway.doubts == {}

    world.account.debts["USDT"] = D(800_000)  # of a million
    await world.advance(61)
    low = dict(world.gateway.doubts)
    world.account.debts["USDT"] = D(100_000)
    await world.advance(61)

    assert low["strained"].startswith(
        {
            "BINANCE": "the margin level is 1.25: Binance calls for margin at 1.3",
            "KUCOIN": "the debt ratio is 0.8: KuCoin warns at 0.95",
        }[world.btc.venue]
    )
    assert "strained" not in world.gateway.doubts


async def test_a_stop_of_an_earlier_process_is_taken_back_by_an_answer_that_has_no_time(world: World) -> None:
    stop = await world.guarded()
    await world.restart(down=3)
    await world.advance(5)
    stood = world.told(stop)[-1]
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    world.cancel(stop)
    await world.advance(30)

    assert stood == "OrderAccepted"
    assert world.told(stop)[-2:] == ["OrderAccepted", "OrderCancelled"]


async def test_an_order_that_the_margin_wallet_cannot_pay_is_refused_and_borrows_nothing(
    world: World,
) -> None:
    id = world.submit(Side.SELL, "0.5")
    await world.advance(2)

    assert world.told(id) == ["OrderRejected"]
    assert world.account.debts == {}
    assert world.gateway.doubts == {}


async def test_what_is_in_the_spot_wallet_pays_no_order_of_margin(world: World) -> None:
    exchange = world.exchange
    exchange.desk.transfer(exchange.desk.accounts["a-key"], "BTC", D(5), exchange.now)

    id = world.submit(Side.SELL, "0.5")
    await world.advance(2)

    assert world.told(id) == ["OrderRejected"]


async def test_money_that_leaves_the_margin_wallet_is_looked_at_and_not_booked(world: World) -> None:
    before = len(world.events)
    world.exchange.desk.transfer(world.account, "USDT", D(-1_000), world.exchange.now)
    await world.advance(2)

    assert len(world.events) == before
    assert world.gateway.scales.funds["USDT"].total == 999_000


@pytest.mark.slow  # a day
@pytest.mark.parametrize("world", ["BINANCE"], indirect=True)
async def test_a_token_that_ran_out_is_replaced_and_orders_are_heard_of_again(world: World) -> None:
    ears = len(world.ears)

    await world.advance(86_460, step=30)
    resting = world.rest(below=5_000)
    await world.advance(1)

    assert len(world.ears) > ears
    assert world.gateway.hears
    assert "stream" not in world.gateway.doubts
    assert world.told(resting) == ["OrderAccepted"]


async def test_interest_that_came_with_a_loan_is_booked_before_all_of_it_is_repaid(
    borrower: Borrower,
) -> None:
    world = borrower.world
    await world.advance(((120 * SECOND_NS - world.pulse.wall()) % HOUR) / SECOND_NS, step=10)
    lent = borrower.ask("1000")
    await world.advance(1)
    told = dict(borrower.ledger.owed)

    if borrower.venue == "KUCOIN":  # it bears its own time, and is booked once that is a minute ago
        await world.advance(61)
    repaid = borrower.ask("-1000", is_whole=True)
    await world.advance(2)

    assert borrower.states(lent) == borrower.states(repaid) == [LoanState.DONE]
    assert told == {(borrower.venue, "USDT"): D(1000)}
    assert borrower.lent("repayment") == [-1000 * (1 + RATE)]
    assert world.account.debts == {}
    borrower.agrees()


async def test_each_hours_interest_is_booked_once_as_a_cost_though_its_time_may_be_before_the_loan(
    borrower: Borrower,
) -> None:
    world = borrower.world
    await world.advance(((1_800 * SECOND_NS - world.pulse.wall()) % HOUR) / SECOND_NS, step=10)
    borrower.ask("1000")
    await world.advance(2 * 3_600 + 120, step=5)

    booked = [each for each in borrower.events if isinstance(each, DebtChanged) and each.reason == "interest"]
    assert [each.owed for each in booked] == [1000 * RATE] * 3  # with the loan, and as two hours began
    assert borrower.owed("USDT") == world.account.debts["USDT"] == 1000 + 3 * 1000 * RATE
    lent_at = borrower.loans[f"{0:032x}"].ts
    assert (booked[0].ts < lent_at) is (borrower.venue == "BINANCE")  # rounded down to the hour
    assert lent_at < booked[1].ts
    assert borrower.gaps() == []


@pytest.mark.parametrize("borrower", [KUCOIN], indirect=True)
async def test_interest_with_a_loan_is_booked_though_our_clock_is_ahead_of_the_venues(
    borrower: Borrower,
) -> None:
    world = borrower.world
    await world.advance(((120 * SECOND_NS - world.pulse.wall()) % HOUR) / SECOND_NS, step=10)
    borrower.ask("1000")
    await world.advance(1)
    (first,) = world.account.charges
    world.account.charges[:] = [first._replace(ts=first.ts - SECOND_NS)]
    await world.advance(125)

    assert borrower.owed("USDT") == world.account.debts["USDT"] == 1000 * (1 + RATE)
    assert borrower.gaps() == []


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("borrower", [KUCOIN], indirect=True)
async def test_interest_that_no_list_has_is_booked_once_the_venue_has_said_for_minutes_that_it_is_owed(
    borrower: Borrower, is_late: bool
) -> None:
    world = borrower.world
    await world.advance(((120 * SECOND_NS - world.pulse.wall()) % HOUR) / SECOND_NS, step=10)
    borrower.ask("1000")
    await world.advance(1)
    (first,) = world.account.charges
    world.account.charges.clear()
    await world.advance(125)
    early = borrower.owed("USDT")
    await world.advance(180)
    booked = borrower.owed("USDT")
    if is_late:  # it is listed after all, and the program has forgotten what it heard
        world.account.charges.append(first)
        await borrower.restart()
        await world.advance(300, step=5)
    repaid = borrower.ask("-1000", is_whole=True)
    await world.advance(2)

    assert early == 1000
    assert booked == 1000 * (1 + RATE)
    assert borrower.state(repaid) is LoanState.DONE
    assert world.account.debts == {}
    borrower.agrees()
    interest = [
        each for each in borrower.events if isinstance(each, DebtChanged) and each.reason == "interest"
    ]
    assert [(each.owed, each.received) for each in interest] == [(1000 * RATE, D(0))]


@pytest.mark.parametrize("borrower", [KUCOIN], indirect=True)
async def test_a_loan_that_somebody_else_took_is_never_booked_as_interest(borrower: Borrower) -> None:
    world = borrower.world
    await world.advance(((120 * SECOND_NS - world.pulse.wall()) % HOUR) / SECOND_NS, step=10)
    borrower.ask("1000")
    await world.advance(125)
    world.account.debts["USDT"] += D(
        "0.5"
    )  # less than what interest may be at most, and none by the venue's word
    await world.advance(600, step=5)

    assert borrower.owed("USDT") == 1000 * (1 + RATE)


async def test_while_interest_is_owed_that_no_list_has_nothing_is_asked_for_and_the_difference_is_named(
    borrower: Borrower,
) -> None:
    world = borrower.world
    await world.advance(((120 * SECOND_NS - world.pulse.wall()) % HOUR) / SECOND_NS, step=10)
    lent = borrower.ask("1000")
    await world.advance(1)
    world.account.charges.clear()
    await world.advance(125)

    wish = borrower.ask("-500")
    await world.advance(2)

    told = [each.reason for each in borrower.events if isinstance(each, LoanTold) and each.loan_id == wish]
    assert borrower.departed == [lent]
    assert borrower.state(wish) is LoanState.REFUSED
    assert "USDT owed: the venue says 1000.01" in told[-1]
