"""Nobody trades with himself: what a venue's self-trade prevention ends is told as ended, and no fill is made up.

Every venue has such a prevention, and each order asks that the one that rests be taken; Binance does that in its spot
markets unasked. An exchange that is not asked, here as there, lets orders of one account trade with each other.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from abidance.model.command import Submit
from abidance.model.event import OrderCancelled, OrderExpired, OrderFilled
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.model.order import OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import AccountDialect, Call
from abidance.venues.accounts import account_of
from tests.unit.venues.trading_world import PERPETUALS, SCENES, D, World

ASKED = ("smpType", "stp", "stpMode", "selfTradePreventionMode")


@pytest.fixture(params=[(venue, False) for venue in SCENES] + [(venue, True) for venue in PERPETUALS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    venue, is_perpetual = request.param
    made = await World(venue=venue, is_perpetual=is_perpetual).start()
    yield made
    await made.stop()


def unguarded(venue: str, kind: InstrumentKind, instruments: Sequence[Instrument]) -> AccountDialect:
    """Return an account whose orders do not ask to be kept from each other."""
    dialect = account_of(venue, kind, instruments)
    guarded = dialect.submit

    def submit(command: Submit) -> Call:
        call = guarded(command)
        return call._replace(params={name: each for name, each in call.params.items() if name not in ASKED})

    dialect.submit = submit  # type: ignore[method-assign]
    return dialect


async def meets_itself(world: World) -> tuple[str, str]:
    """Let a sale rest, then buy so much that the purchase would meet it; return both orders."""
    world.submit(quantity="0.1")
    await world.advance(2)
    rests = world.submit(Side.SELL, "0.05", type=OrderType.LIMIT, price=world.bid() + 30)
    await world.advance(1)
    assert world.told(rests)[0] == "OrderAccepted"
    takes = world.submit(Side.BUY, "2", type=OrderType.LIMIT, price=world.bid() + 80)
    return rests, takes


def checked(world: World, rests: str, takes: str) -> None:
    """Check that the sale ended, and that the fills are those of the exchange's books."""
    endings = [
        e for e in world.events if isinstance(e, OrderExpired | OrderCancelled) and e.order_id == rests
    ]
    assert len(endings) == 1
    fills = {e.fill.id: e.fill for e in world.events if isinstance(e, OrderFilled)}
    theirs = {o.ticket.client_id: o for o in world.exchange.desk.orders.values()}
    assert theirs[rests].is_self_trade
    for order_id in (rests, takes):
        told = sum((fill.quantity for fill in fills.values() if fill.order_id == order_id), D(0))
        assert told == theirs[order_id].filled * world.btc.lot
    assert world.filled(takes) > 0
    if world.btc.venue in ("BINANCE", "BYBIT"):
        assert any(word in endings[0].reason for word in ("self-trade prevention", "CancelBySmp"))


async def test_an_order_that_would_have_met_our_own_ends_and_nothing_is_traded_with_ourselves(
    world: World,
) -> None:
    rests, takes = await meets_itself(world)
    await world.advance(3)

    checked(world, rests, takes)


async def test_what_self_trade_prevention_ended_is_found_though_the_stream_did_not_tell(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=50))

    rests, takes = await meets_itself(world)
    await world.advance(45)

    checked(world, rests, takes)


@pytest.mark.parametrize(
    ("venue", "is_perpetual"),
    [("BYBIT", False), ("KUCOIN", False), ("MEXC", False), ("BINANCE", True), ("BYBIT", True)],
)
async def test_orders_that_traded_with_each_other_are_each_booked_once_and_nothing_is_in_doubt(
    venue: str, is_perpetual: bool
) -> None:
    world = await World(venue=venue, is_perpetual=is_perpetual, speaks=unguarded).start()

    rests, takes = await meets_itself(world)
    await world.advance(60)

    theirs = {order.ticket.client_id: order for order in world.exchange.desk.orders.values()}
    assert {part.id for part in theirs[rests].parts} & {part.id for part in theirs[takes].parts}
    told = Counter[str]()
    for event in world.events:
        if isinstance(event, OrderFilled):
            told[event.fill.order_id] += event.fill.quantity  # type: ignore[assignment]
    for order_id in (rests, takes):
        assert told[order_id] == theirs[order_id].filled * world.btc.lot
    assert world.gateway.doubts == {}
    await world.stop()
