"""Perpetuals through the gateway to a local exchange: exits only make smaller, stops stay at the venue beside them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from abidance.model.account import OWNER
from abidance.model.event import FundingPaid, OrderFilled
from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.model.order import OrderType, Purpose, Side
from abidance.testing.exchange import Fault, Wrong, binance_keys
from abidance.testing.exchange.accounts import Line
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.desk import State, live
from tests.unit.venues.net_world import settle
from tests.unit.venues.trading_world import PERPETUALS, D, World

LIQUIDATION = Purpose.LIQUIDATION


@pytest.fixture(params=PERPETUALS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param, is_perpetual=True).start()
    yield made
    await made.stop()


async def exposed(world: World) -> list[tuple[str, object]]:
    """Return what the venue says of positions."""
    dialect = world.gateway.dialect
    call = dialect.exposures()
    assert call is not None
    found = dialect.read_exposures(await world.wire.ask(call))
    return [(each.instrument, each.quantity) for each in found]


async def test_a_position_is_opened_and_read_back(world: World) -> None:
    order = world.submit(Side.SELL, "0.5")
    await world.advance(2)

    call = world.gateway.dialect.exposures()
    assert call is not None
    (found,) = world.gateway.dialect.read_exposures(await world.wire.ask(call))

    assert world.filled(order) == D("0.5")
    assert (found.instrument, found.quantity) == (world.btc.id, D("-0.5"))
    assert found.entry > 0
    assert world.gateway.doubts == {}


async def test_a_stop_stays_at_the_venue_while_an_exit_goes(world: World) -> None:
    stop = await world.guarded("0.2", below=2_000)

    leave = world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(2)

    tracked = world.gateway.register.get(stop)
    assert tracked is not None
    assert (world.placed(stop), tracked.held, world.told(stop)) == (1, False, ["OrderAccepted"])
    assert world.filled(leave) == D("0.05")
    assert await exposed(world) == [(world.btc.id, D("0.15"))]


async def test_an_exit_never_opens_a_position_the_other_way(world: World) -> None:
    leave = world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(5)

    assert world.told(leave)[-1] in ("OrderRejected", "OrderCancelled", "OrderExpired")
    assert world.filled(leave) == 0
    assert await exposed(world) == []


async def test_an_order_in_hedge_mode_is_refused(world: World) -> None:
    world.account.is_hedged = True

    order = world.submit(quantity="0.1")
    await world.advance(1)

    assert world.told(order) == ["OrderRejected"]


async def test_a_stop_and_a_resting_order_are_changed_where_the_venue_can_and_taken_back(
    world: World,
) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    stop, order = world.stop_loss(below=2_000), world.rest()
    await world.advance(1)
    amends = world.gateway.dialect.capability.amends

    world.amend(stop, quantity=D("0.05"), trigger=world.bid() - 1_000)
    world.amend(order, quantity=D("0.2"), price=D(20_000))
    await world.advance(2)
    changed = [each.ticket.lots for each in world.exchange.desk.orders.values() if each.state.is_working]
    await world.gateway.cancel_all()
    await world.advance(2)

    wished = ("0.05", "0.2") if amends else ("0.09", "0.1")
    assert changed == [world.lots(each) for each in wished]
    answer = "OrderAmended" if amends else "ChangeRejected"
    for each in (stop, order):
        assert world.told(each) == ["OrderAccepted", answer, "OrderCancelled"]


async def test_a_stop_that_is_touched_trades_and_ends(world: World) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    stop = world.stop_loss(below=1)

    for _ in range(300):
        await world.advance(1)
        if world.told(stop)[-1] == "OrderFilled":
            break

    tracked = world.gateway.register.get(stop)
    assert world.filled(stop) == D("0.09")
    assert tracked is not None
    assert tracked.is_closed
    assert world.gateway.register.strays == {}


@pytest.mark.parametrize("is_long", [True, False])
async def test_a_take_profit_that_is_touched_trades_and_ends(world: World, is_long: bool) -> None:
    enter, leave = (Side.BUY, Side.SELL) if is_long else (Side.SELL, Side.BUY)
    world.submit(enter, "0.1")
    await world.advance(1)
    away = 1 if is_long else -1
    goal = world.submit(
        leave, "0.1", type=OrderType.TAKE_PROFIT, trigger=world.bid() + away * 20, reduce_only=True
    )
    await world.advance(1)
    placed = [each for each in world.exchange.desk.orders.values() if each.ticket.client_id == goal]
    waited = [(each.state, each.rising) for each in placed]

    for _ in range(600):
        await world.advance(1)
        if world.told(goal)[-1] == "OrderFilled":
            break

    tracked = world.gateway.register.get(goal)
    assert waited in ([(State.WAITING, is_long)], [(State.FILLED, is_long)])
    assert tracked is not None
    assert tracked.is_closed
    assert not tracked.held
    assert world.filled(goal) == D("0.1")
    assert await exposed(world) == []
    assert world.gateway.register.strays == {}


async def test_a_stop_and_a_take_profit_stand_side_by_side_and_each_for_the_whole_position(
    world: World,
) -> None:
    stop = await world.guarded()
    goal = world.goal(above=2_000, triggers=True)
    await world.advance(2)

    stood = {
        each.ticket.client_id: (each.rising, each.ticket.reduces)
        for each in world.exchange.desk.orders.values()
        if each.state is State.WAITING
    }

    assert stood == {stop: (False, True), goal: (True, True)}


async def test_a_stop_that_is_touched_while_nobody_listens_is_found_with_its_fills(world: World) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    stop = world.stop_loss(below=1)
    await world.advance(1)
    tracked = world.gateway.register.get(stop)
    assert tracked is not None
    waiting = tracked.venue_id
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    for _ in range(300):
        await world.advance(1)
        if tracked.is_closed:
            break

    (placed,) = (o for o in world.exchange.desk.orders.values() if o.ticket.client_id == stop)
    assert (tracked.venue_id, world.filled(stop)) == (str(placed.id), D("0.09"))
    assert (tracked.venue_id != waiting) == (
        world.btc.venue == "BINANCE"
    )  # a conditional one gets a new number
    assert tracked.is_closed
    assert world.gateway.register.strays == {}


async def test_a_stop_with_a_limit_is_taken_back_before_and_after_it_is_touched(world: World) -> None:
    world.submit(quantity="0.2")
    await world.advance(1)
    given = {"type": OrderType.STOP_LIMIT, "reduce_only": True}
    far = world.submit(Side.SELL, "0.05", trigger=world.bid() - 2_000, price=world.bid() - 2_000, **given)
    near = world.submit(Side.SELL, "0.05", trigger=world.bid() - 1, price=world.bid() + 900, **given)
    placed = world.exchange.desk.orders
    for _ in range(300):
        await world.advance(1)
        if any(each.ticket.client_id == near and each.state is State.OPEN for each in placed.values()):
            break

    world.cancel(far)
    world.cancel(near)
    await world.advance(3)

    for each in (far, near):
        assert world.told(each) == ["OrderAccepted", "OrderCancelled"]
        assert [one.state for one in placed.values() if one.ticket.client_id == each] == [State.CANCELLED]


# --- how the account is set


async def test_hedge_mode_is_a_doubt_until_it_is_switched_off(world: World) -> None:
    world.account.is_hedged = True
    await world.advance(61)
    doubts = dict(world.gateway.doubts)
    world.account.is_hedged = False
    await world.advance(61)

    assert "hedge mode" in doubts["mode"]
    assert world.gateway.doubts == {}


async def test_another_leverage_is_a_doubt(world: World) -> None:
    held = world.exchange.desk.clearing.position(world.account, world.market)
    held.leverage = 50
    await world.advance(61)

    assert world.gateway.doubts == {
        "mode": f"{world.btc.id} has leverage 50 at the venue and 20 in the configuration."
    }


async def test_another_leverage_is_set_at_the_start_where_that_is_wanted(world: World) -> None:
    held = world.exchange.desk.clearing.position(world.account, world.market)
    held.leverage, world.sets = 50, True

    await world.restart()
    await world.advance(2)

    assert held.leverage == 20
    assert world.gateway.doubts == {}


async def test_what_was_set_is_read_back_and_not_believed(world: World) -> None:
    held = world.exchange.desk.clearing.position(world.account, world.market)
    held.leverage, world.sets = 50, True
    where = {"BINANCE": "/fapi/v1/leverage", "BYBIT": "/v5/position/set-leverage"}[world.btc.venue]
    world.exchange.faults.add(Fault(Wrong.ERROR, where))

    await world.restart()
    await world.advance(2)

    assert held.leverage == 50
    assert "leverage 50 at the venue" in world.gateway.doubts["mode"]


# --- what the venue does


async def test_funding_is_told_once_with_its_own_time_and_again_the_same_after_a_restart(
    world: World,
) -> None:
    world.submit(quantity="0.5")
    await world.advance(1)
    await world.advance(6_410, step=10)  # 22:13 UTC is when these worlds begin
    await world.advance(40)
    told = [event for event in world.events if isinstance(event, FundingPaid)]
    await world.restart()
    await world.advance(40)

    (line,) = [each for each in world.account.ledger if each.why == "funding"]
    assert told == [FundingPaid(line.ts, world.btc.id, "", line.amount, "USDT")]
    assert all(event == told[0] for event in world.events if isinstance(event, FundingPaid))


async def test_funding_of_more_than_one_page_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abidance.venues.binance.contracts._PAGE", 5)
    world = await World(is_perpetual=True).start()
    world.submit(quantity="0.5")
    await world.advance(2)
    paid = world.pulse.wall()
    await world.stop()
    for number in range(23):  # two at a time, as instruments are paid together
        line = Line(paid + number // 2 * MS_NS, "USDT", D(-number - 1), "funding", instrument=world.btc.id)
        world.account.move(line)
    await world.advance(2)

    await world.restart()
    await world.advance(40)

    told = [event for event in world.events if isinstance(event, FundingPaid)]
    assert sorted(event.amount for event in told) == [D(-number) for number in range(23, 0, -1)]
    await world.stop()


async def test_a_liquidation_is_told_as_what_the_venue_did(world: World) -> None:
    world.submit(quantity="0.5")
    stop = world.stop_loss(below=9_000, quantity="0.5")
    await world.advance(2)

    world.exchange.desk.transfer(world.account, "USDT", -world.account.purse("USDT").free, world.pulse.wall())
    await world.advance(40)

    forced = [e.fill for e in world.events if isinstance(e, OrderFilled) and e.fill.purpose is LIQUIDATION]
    assert sum((each.quantity for each in forced), D(0)) == D("0.5")
    assert {each.side for each in forced} == {Side.SELL}
    assert world.told(stop)[-1] in ("OrderCancelled", "OrderExpired")
    assert await exposed(world) == []
    assert "books" not in world.gateway.doubts


@pytest.mark.parametrize("is_answered", [True, False])
async def test_what_a_liquidation_closes_is_told_before_it_though_no_word_had_come_of_it(
    world: World, is_answered: bool
) -> None:
    world.submit(quantity="0.5")
    await world.advance(2)
    faults = world.exchange.faults
    gap, lag = faults.add(Fault(Wrong.GAP, "account", 0, 0)), faults.add(Fault(Wrong.LAG, "", 0, 0, 4.0))
    if not is_answered:
        faults.add(Fault(Wrong.FAIL, world.scene.order))
    late = world.submit(quantity="0.1")
    await world.advance(1)
    faults.script.remove(gap)

    world.exchange.desk.transfer(world.account, "USDT", -world.account.purse("USDT").free, world.pulse.wall())
    await world.advance(20)
    faults.script.remove(lag)
    await world.advance(40)

    fills = [each.fill for each in world.events if isinstance(each, OrderFilled)]
    forced = [at for at, each in enumerate(fills) if each.purpose is LIQUIDATION]
    closed = [at for at, each in enumerate(fills) if each.order_id == late]
    assert sum((fills[at].quantity for at in closed), D(0)) == D("0.1")
    assert sum((fills[at].quantity for at in forced), D(0)) == D("0.6")
    assert max(closed) < min(forced)
    assert world.gateway.doubts == {}


async def test_a_liquidation_that_happened_while_nobody_listened_is_recognised(world: World) -> None:
    world.submit(quantity="0.5")
    await world.advance(2)
    await world.stop()
    world.exchange.desk.transfer(world.account, "USDT", -world.account.purse("USDT").free, world.pulse.wall())
    await world.advance(5)

    await world.restart()
    await world.advance(10)

    forced = [e.fill for e in world.events if isinstance(e, OrderFilled) and e.fill.purpose is LIQUIDATION]
    assert sum((each.quantity for each in forced), D(0)) == D("0.5")
    assert world.gateway.doubts == {}


async def test_a_position_that_nobody_here_opened_is_a_doubt(world: World) -> None:
    world.exchange.desk.clearing.position(world.account, world.market).lots = 3

    await world.advance(65)

    assert "the venue has" in world.gateway.doubts["books"]


@pytest.mark.parametrize("wrong", [Wrong.LOST, Wrong.FAIL])
async def test_an_order_whose_answer_was_lost_is_found_and_never_sent_again(
    world: World, wrong: Wrong
) -> None:
    world.exchange.faults.add(Fault(wrong, world.scene.order))

    order = world.rest()
    await world.advance(5)

    assert world.told(order)[-1] == "OrderAccepted"
    assert world.placed(order) == 1


async def test_an_order_that_never_arrived_is_abandoned_only_by_proof(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order))

    order = world.submit(type=OrderType.LIMIT, price=world.bid() - 500)
    await world.advance(44)

    assert world.told(order) == ["OrderUnknown", "OrderAbandoned"]


async def test_fills_that_the_stream_lost_are_found_once(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    order = world.submit(quantity="0.3")
    await world.advance(40)

    ids = [event.fill.id for event in world.events if isinstance(event, OrderFilled)]
    assert world.exchange.faults.unhit() == []
    assert world.filled(order) == D("0.3")
    assert len(ids) == len(set(ids))
    assert {event.fill.fee_asset for event in world.events if isinstance(event, OrderFilled)} == {"USDT"}


async def test_a_difference_is_explained_by_executions_that_nobody_told_of_before_it_is_a_doubt(
    world: World,
) -> None:
    order = world.rest(below=20)
    await world.advance(1)
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
    price = world.market.book.best(BUY)
    assert price is not None
    world.market.book.submit(world.exchange.now, "somebody", SELL, 10**6, price - 1_000, Force.IOC)

    compared = asyncio.ensure_future(world.gateway.scales.compare())
    await world.advance(2)

    assert compared.done()
    assert world.filled(order) == D("0.1")
    assert world.gateway.doubts == {}


async def test_an_account_that_differs_is_compared_again_before_it_is_due(world: World) -> None:
    position = world.exchange.desk.clearing.position(world.account, world.market)
    position.lots = 3
    await world.advance(65)
    position.lots = 0

    await world.advance(20)

    assert "books" not in world.gateway.doubts


async def test_a_difference_that_was_found_out_of_turn_is_looked_at_again_as_soon(world: World) -> None:
    position = world.exchange.desk.clearing.position(world.account, world.market)
    position.lots = 3
    found = asyncio.ensure_future(world.gateway.scales.compare())
    await world.advance(5)
    assert found.done()
    assert "books" in world.gateway.doubts
    position.lots = 0

    await world.advance(20)

    assert "books" not in world.gateway.doubts


async def test_a_listen_key_that_nobody_could_keep_alive_is_followed_by_another_and_fills_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binance_keys, "_LISTEN_NS", 60 * SECOND_NS)
    world = World(venue="BINANCE", is_perpetual=True)
    assert world.gateway.dialect.stream is not None
    monkeypatch.setattr(world.gateway.dialect.stream, "renew", lambda token: None)
    await world.start()

    await world.advance(50)
    before = len(world.ears)
    await world.advance(15)
    first, second = world.ears[before - 1], world.ears[-1]
    asked = world.asked["GET"]
    order = world.submit(Side.BUY, "0.1")
    await world.advance(0.5)
    told, asked_since = world.told(order), world.asked["GET"] - asked
    await world.stop()

    assert (before, first.is_over, first.path == second.path) == (1, True, False)
    assert world.filled(order) == D("0.1")
    assert (told[-1], asked_since) == ("OrderFilled", 0)  # nobody had to ask


@pytest.mark.parametrize(
    ("wrong", "left", "entered", "held"),
    [
        (None, "OrderFilled", "OrderFilled", "-0.1"),
        (Wrong.SLOW, "OrderFilled", "OrderFilled", "-0.1"),
        (Wrong.LOST, "OrderFilled", "OrderFilled", "-0.1"),  # the stream tells what the answer does not
        (Wrong.DEAF, "OrderAbandoned", "OrderRejected", "0.1"),
    ],
    ids=str,
)
async def test_the_entry_of_a_reversal_leaves_after_its_exit_was_answered_or_not_at_all(
    world: World, wrong: Wrong | None, left: str, entered: str, held: str
) -> None:
    world.submit(Side.BUY, "0.1")
    await world.advance(1)
    if wrong is not None:
        world.exchange.faults.add(Fault(wrong, world.scene.order, 0, 1, 3.0))

    exit = world.submit(Side.SELL, "0.1", reduce_only=True)
    entry = world.submit(Side.SELL, "0.1")
    await world.advance(60)

    assert (world.told(exit)[-1], world.told(entry)[-1]) == (left, entered)
    assert world.exposed() == {world.btc.id: D(held)}
    assert world.placed(entry) == (entered == "OrderFilled")


async def test_what_a_stop_trades_under_its_new_number_is_nobody_elses_while_no_copy_knows_that_number() -> (
    None
):
    world = await World(is_perpetual=True).start()
    stop = await world.guarded()
    placed = next(each for each in live(world.exchange.desk.orders.values()) if each.ticket.client_id == stop)
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))  # the stream tells nothing of it
    high = int((world.bid() + 500) / world.btc.tick)
    world.exchange.desk.amend(placed, world.exchange.now, trigger=high)
    while placed.state.is_working:
        await world.pulse.advance(0.05)
        world.exchange.catch_up()

    world.exchange.faults.add(Fault(Wrong.LAG, "/fapi/v1/order", times=0, seconds=10))
    world.gateway._way.spawn(world.gateway._inquiry.sweep())
    for _ in range(4):
        await settle()
    world.gateway._way.spawn(world.gateway._inquiry.explain_strays())
    await world.advance(1)
    await world.stop()

    assert world.filled(stop) == D("0.09")
    assert [each.fill.strategy for each in world.events if isinstance(each, OrderFilled)].count(OWNER) == 0
