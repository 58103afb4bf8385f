"""Another bot of this program on the account: told by the mark of its orders, and by nothing else."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from abidance.kernel.ids import OrderIds
from abidance.model.account import OWNER
from abidance.model.event import OrderFilled
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.core import BUY, Force
from abidance.testing.exchange.desk import Placed, State, Ticket
from abidance.venues.trading.register import ANOTHER
from tests.unit.venues.trading_world import SCENES, World

OTHER = OrderIds(2, 2, b"another run", marked=True).make
UNMARKED = OrderIds(2, 2, b"another run").make


@pytest.fixture(params=SCENES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param).start()
    yield made
    await made.stop()


@pytest.fixture
async def binance() -> AsyncIterator[World]:
    made = await World().start()
    yield made
    await made.stop()


def rests(world: World, id: str, below: int = 50) -> Placed:
    """Let somebody place an order that waits below the market, by that part of its price."""
    last = world.market.tape.price[-1]
    ticket = Ticket(id, BUY, world.lots("0.01"), last - last // below)
    return world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)


def trades(world: World, id: str) -> Placed:
    """Let somebody trade at once."""
    ticket = Ticket(id, BUY, world.lots("0.01"), force=Force.IOC)
    return world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)


async def test_an_order_of_another_bot_is_a_doubt_that_stays_and_is_left_alone(world: World) -> None:
    placed = rests(world, OTHER(1))
    await world.advance(2)
    told = world.gateway.doubts.get(ANOTHER, "")
    world.exchange.desk.cancel(placed, world.exchange.now)
    await world.advance(60)

    assert OTHER(1) in told
    assert f"buy 0.01 {world.btc.id}" in told
    assert "Stop one of the two" in told
    assert world.gateway.doubts == {ANOTHER: told}


async def test_a_trade_of_another_bot_is_a_doubt_though_the_stream_is_silent(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    trades(world, OTHER(1))
    await world.advance(70)

    fills = [event.fill for event in world.events if isinstance(event, OrderFilled)]
    told = [text for cause, text in world.gateway.doubts.items() if cause == ANOTHER]
    assert {fill.strategy for fill in fills} == {OWNER}
    assert len(told) == 1
    assert OTHER(1) in told[0]


@pytest.mark.parametrize("id", ["by-hand", "web_" + "a" * 20, UNMARKED(1), str(UUID(UNMARKED(2))), "0" * 32])
async def test_what_people_and_other_programs_place_is_no_other_bot(binance: World, id: str) -> None:
    rests(binance, id)
    trades(binance, f"{id[:-1]}x")
    await binance.advance(40)

    assert ANOTHER not in binance.gateway.doubts


async def test_a_mark_in_capitals_and_with_dashes_is_known(binance: World) -> None:
    rests(binance, str(UUID(OTHER(1))).upper())
    await binance.advance(2)

    assert ANOTHER in binance.gateway.doubts


async def test_what_an_earlier_run_left_behind_is_no_other_bot_when_it_fills_or_ends(world: World) -> None:
    """A record was lost, or lies in another user directory: its orders stand, and one of them trades while we run."""
    await world.stop()
    stands, fills = rests(world, OTHER(1)), rests(world, OTHER(2), below=20_000)
    await world.restart()
    await world.advance(2)
    stood = set(world.gateway.register.foreign)

    world.exchange.desk.cancel(stands, world.exchange.now)
    await world.advance(120)

    assert len(stood) == 2
    assert fills.state is State.FILLED
    assert ANOTHER not in world.gateway.doubts


@pytest.mark.parametrize(("venue", "kind"), [*((each, "spot") for each in SCENES), ("BINANCE", "perpetual")])
async def test_an_order_is_judged_by_when_it_was_placed_though_it_was_not_listed_at_the_start(
    venue: str, kind: str
) -> None:
    """What is told of it comes while we run: it is taken back by hand, and another one trades."""
    world = World(venue=venue, is_perpetual=kind == "perpetual")
    stands, fills = rests(world, OTHER(1)), rests(world, OTHER(2), below=20_000)
    await world.advance(1)
    dialect = world.gateway.dialect
    open_orders = dialect.open_orders
    dialect.open_orders = lambda: () if stands.state is State.OPEN else open_orders()  # type: ignore[method-assign]
    await world.start()
    began = world.gateway.register.witness.compared_at

    await world.advance(60)
    world.exchange.desk.cancel(stands, world.exchange.now)
    await world.advance(60)

    assert began is not None
    assert stands.ts < began < stands.updated
    assert fills.state is State.FILLED
    assert ANOTHER not in world.gateway.doubts
    await world.stop()


async def test_all_open_orders_are_listed_however_many_pages_they_take() -> None:
    world = World(venue="BYBIT")
    placed = [rests(world, OTHER(number)) for number in range(120)]
    await world.advance(1)

    await world.start()
    known = {each.order_id for each in world.gateway.register.foreign.values()}

    assert known == {each.ticket.client_id for each in placed}
    assert ANOTHER not in world.gateway.doubts
    await world.stop()


async def test_what_an_earlier_run_traded_while_nobody_ran_is_no_other_bot(world: World) -> None:
    await world.stop()
    trades(world, OTHER(1))
    await world.restart(down=5)
    await world.advance(70)

    assert ANOTHER not in world.gateway.doubts


async def test_a_copy_of_our_own_run_is_another_bot_and_its_orders_are_left_alone(world: World) -> None:
    placed = rests(world, world.ids.make(999))
    await world.advance(30)

    assert placed.state is State.OPEN
    assert world.ids.make(999) in world.gateway.doubts[ANOTHER]


@pytest.mark.parametrize("venue", ["BINANCE", "KRAKEN"])
async def test_a_copy_of_our_run_is_found_out_though_its_orders_bear_the_ids_of_ours(venue: str) -> None:
    """These venues take an id again once its order has ended; two copies decide the same and count alike."""
    world = await World(venue=venue).start()
    order = world.submit(quantity="0.02")
    await world.advance(3)
    before = dict(world.gateway.doubts)

    trades(world, order)
    await world.advance(5)

    assert before == {}
    assert order in world.gateway.doubts[ANOTHER]
    await world.stop()


async def test_our_own_orders_are_no_other_bot_however_they_are_told(binance: World) -> None:
    binance.ids = OrderIds(1, 1, b"world", marked=True)
    binance.exchange.faults.add(Fault(Wrong.LOST, binance.scene.order))
    binance.exchange.faults.add(Fault(Wrong.DUPLICATE, binance.scene.own, times=0))

    for _ in range(3):
        binance.submit(quantity="0.05")
        binance.rest()
    await binance.advance(20)
    await binance.restart(down=3)
    binance.submit(quantity="0.05")
    await binance.advance(60)

    assert binance.gateway.doubts == {}


async def test_another_bot_is_told_of_once_however_many_orders_it_places(binance: World) -> None:
    told: list[str] = []
    binance.gateway._on_doubt = lambda: told.append(binance.gateway.doubts.get(ANOTHER, ""))

    for number in range(5):
        rests(binance, OTHER(number))
        await binance.advance(12)

    assert {text for text in told if text} == {binance.gateway.doubts[ANOTHER]}
    assert len([text for text in told if text]) == 1


async def test_orders_of_others_that_are_gone_are_no_longer_listed(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
    stays, goes = rests(world, "by-hand-1"), rests(world, "by-hand-2")
    await world.advance(12)
    before = {each.order_id for each in world.gateway.register.foreign.values()}

    world.exchange.desk.cancel(goes, world.exchange.now)
    await world.advance(12)

    after = {each.order_id for each in world.gateway.register.foreign.values()}
    assert len(before) == 2
    assert len(after) == 1
    assert after < before
    assert stays.state is State.OPEN


async def test_however_often_somebody_trades_beside_us_a_lost_order_is_proven_absent(binance: World) -> None:
    binance.exchange.faults.add(Fault(Wrong.DEAF, binance.scene.order, 0, 1))
    lost = binance.submit()

    for n in range(60):
        trades(binance, f"theirs{n}")
        await binance.advance(0.5)

    assert binance.told(lost) == ["OrderUnknown", "OrderAbandoned"]
