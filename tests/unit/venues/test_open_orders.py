"""A venue takes so many open orders in a market: one more is refused in its words, and the refusal is a proof.

The limits are those that venues publish; each is reached by orders of the same account that somebody else placed.
"""

from collections.abc import AsyncIterator

import pytest

from abidance.model.event import OrderRejected
from abidance.model.instrument import InstrumentKind
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.testing.exchange.core import BUY, Force
from abidance.testing.exchange.desk import Declined, Placed, Ticket, Why, live
from abidance.venues.accounts import ACCOUNTS
from tests.unit.venues.net_world import EPOCH
from tests.unit.venues.trading_world import World

Key = tuple[str, InstrumentKind]
MOST = {"BINANCE": 200, "BYBIT": 500, "KRAKEN": 80, "KUCOIN": 200, "MEXC": 500}
STOPS = {
    ("BINANCE", InstrumentKind.SPOT): 5,
    ("BINANCE", InstrumentKind.PERPETUAL): 10,
    ("BYBIT", InstrumentKind.SPOT): 30,
    ("BYBIT", InstrumentKind.PERPETUAL): 10,
}
"""Where stops that stand at the venue are counted apart."""
SAID = {
    ("BINANCE", InstrumentKind.SPOT): ("-2010: Filter failure: MAX_NUM_ORDERS", "-2010: Filter failure: MAX_NUM_ALGO_ORDERS"),
    ("BINANCE", InstrumentKind.PERPETUAL): ("-2025: Reach max open order limit.", "-4045: Reach max stop order limit."),
    ("BYBIT", InstrumentKind.SPOT): ("170810: Cannot exceed maximum of 500", "170810: Cannot exceed maximum of 500"),
    ("BYBIT", InstrumentKind.PERPETUAL): ("110020: Not allowed to have more than 500", "110009: The number of stop orders"),
    ("KRAKEN", InstrumentKind.SPOT): ("EOrder:Orders limit exceeded", ""),
    ("KUCOIN", InstrumentKind.SPOT): ("200003: Number of orders breached the limit", ""),
    ("MEXC", InstrumentKind.SPOT): ("30029: Cannot exceed the maximum order limit", ""),
}  # fmt: skip


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    venue, kind = request.param
    made = await World(venue=venue, is_perpetual=kind is InstrumentKind.PERPETUAL).start()
    yield made
    await made.stop()


def filled_up(world: World, most: int, *, stops: bool = False) -> list[Placed]:
    """Place orders of the account until there are so many."""
    exchange, tick = world.exchange, world.btc.tick
    far = int((world.bid() + 9_000 if stops else world.bid() - 9_000) / tick)
    least = max(world.btc.min_notional / (far * tick), world.btc.min_quantity)
    lots = int(least / world.btc.lot) + 10
    return [
        exchange.desk.place(
            world.account,
            world.market,
            Ticket(f"theirs{n}", BUY, lots, None if stops else far, far if stops else None),
            exchange.now,
        )
        for n in range(most)
    ]


def reason(world: World, order_id: str) -> str:
    (told,) = (each for each in world.events if isinstance(each, OrderRejected) and each.order_id == order_id)
    return told.reason


@pytest.mark.parametrize("world", ACCOUNTS, indirect=True)
async def test_one_open_order_too_many_is_refused_and_never_unknown(world: World) -> None:
    key = (world.btc.venue, world.btc.kind)
    theirs = filled_up(world, MOST[world.btc.venue])

    refused = world.rest()
    at_market = world.submit()
    await world.advance(2)
    world.exchange.desk.cancel(theirs[0], world.exchange.now)
    taken = world.rest()
    await world.advance(2)

    assert world.told(refused) == ["OrderRejected"]
    assert SAID[key][0] in reason(world, refused)
    assert world.placed(refused) == 0
    assert world.told(at_market)[-1] == "OrderFilled"  # what does not rest needs no room
    assert world.told(taken) == ["OrderAccepted"]
    assert world.gateway.doubts == {}


@pytest.mark.parametrize("world", STOPS, indirect=True)
async def test_one_stop_too_many_is_refused_and_never_unknown_while_others_are_taken(world: World) -> None:
    key = (world.btc.venue, world.btc.kind)
    world.submit()
    await world.advance(1)
    filled_up(world, STOPS[key], stops=True)

    stop = world.stop_loss(below=300)
    await world.advance(1)
    rests = world.rest()
    await world.advance(1)

    assert world.told(stop) == ["OrderRejected"]
    assert SAID[key][1] in reason(world, stop)
    assert world.told(rests) == ["OrderAccepted"]


@pytest.mark.parametrize(("grade", "most"), [("starter", 60), ("", 80), ("intermediate", 80), ("pro", 225)])
def test_kraken_takes_as_many_as_an_account_s_grade_has(grade: str, most: int) -> None:
    market, account = generated("BTC/USDT@KRAKEN", 7, EPOCH, past_seconds=600), Account("a-key", "YQ==")
    exchange = LocalExchange([market], start=EPOCH, accounts=[account], grade=grade)
    exchange.desk.transfer(account, "USDT", market.instrument.lot * 10**18, EPOCH)
    low = market.tape.price[-1] // 2

    for n in range(most):
        exchange.desk.place(account, market, Ticket(f"o{n}", BUY, 10_000, low, force=Force.POST), EPOCH)
    with pytest.raises(Declined) as declined:
        exchange.desk.place(account, market, Ticket("one more", BUY, 10_000, low), EPOCH)

    assert declined.value.why is Why.MANY
    assert len(list(live(exchange.desk.orders.values()))) == most


async def test_another_account_has_room_of_its_own() -> None:
    market = generated("BTC/USDT@BINANCE", 7, EPOCH, past_seconds=600)
    one, other = Account("one", "secret"), Account("other", "secret")
    exchange = LocalExchange([market], start=EPOCH, accounts=[one, other])
    low = market.tape.price[-1] // 2
    for account in (one, other):
        exchange.desk.transfer(account, "USDT", market.instrument.lot * 10**14, EPOCH)

    for n in range(200):
        exchange.desk.place(one, market, Ticket(f"o{n}", BUY, 1_000, low), EPOCH)

    assert exchange.desk.place(other, market, Ticket("o", BUY, 1_000, low), EPOCH).state.is_working
