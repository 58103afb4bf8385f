"""Whatever goes wrong between us and the exchange: nothing is lost, nothing is doubled, and in the end both agree."""

import asyncio
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from abidance.execution.orders import AnomalyCode
from abidance.model.event import OrderFilled
from abidance.model.instrument import SECOND_NS
from abidance.model.money import ZERO
from abidance.model.order import OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.desk import State
from abidance.venues.accounts import account_of
from abidance.venues.trading.scales import under_way
from abidance.venues.trading.witness import plain
from tests.unit.venues.other_venue import OTHERS, other
from tests.unit.venues.trading_world import MARGINS, PERPETUALS, SCENES, Speaks, World

ON_REQUESTS = (
    Wrong.LOST,
    Wrong.FAIL,
    Wrong.DEAF,
    Wrong.LATE,
    Wrong.LAG,
    Wrong.ERROR,
    Wrong.PAGE,
    Wrong.LIMIT,
)
ON_FRAMES = (Wrong.GAP, Wrong.DUPLICATE, Wrong.REORDER, Wrong.DISCONNECT)
ASKED_WITHIN = 5 * SECOND_NS
"""What no stream tells of is asked for every two seconds."""
ENDED = {
    State.FILLED: {"OrderFilled"},
    State.CANCELLED: {"OrderCancelled"},
    State.EXPIRED: {"OrderExpired", "OrderCancelled"},  # not every venue tells them apart
}


def act(world: World, random: Random, orders: list[str]) -> None:
    """Do one thing that an engine might ask."""
    match random.randrange(8):
        case 0 | 1:
            orders.append(world.submit(quantity=f"0.{random.randint(1, 5)}"))
        case 2:
            orders.append(world.rest(below=random.randint(0, 100)))
        case 3:
            orders.append(world.stop_loss(below=random.randint(1, 60), quantity="0.05"))
        case 4:
            orders.append(world.submit(Side.SELL, "0.05", reduce_only=True))
        case 5:
            orders.append(world.goal(above=random.randint(1, 60), quantity="0.05", triggers=True))
        case 6 if orders:
            world.cancel(random.choice(orders))
        case _:
            kind = OrderType.LIMIT
            orders.append(world.submit(quantity="0.1", type=kind, price=world.bid(), post_only=True))


def look(world: World, above: int = 0) -> None:
    """Let the gateway see the market as it is, or as it was while it was higher."""
    bid = float(world.bid()) + above
    world.gateway.watch(world.btc.id, bid, bid + float(world.btc.tick))


async def see(world: World, random: Random, orders: list[str]) -> None:
    """Let the gateway see the market for a while; it may have sent a stop that this has passed meanwhile."""
    if random.random() < 0.3:
        look(world, above=200)
        orders.append(world.stop_loss(below=-random.randint(1, 60), quantity="0.05"))
    for _ in range(4):
        look(world)
        await world.advance(random.choice((0.0, 0.25, 1.0)))


async def live(
    seed: int,
    venue: str,
    *,
    is_perpetual: bool = False,
    speaks: Speaks = account_of,
    wallet: str = "",
    sees: bool = False,
) -> tuple[World, list[str]]:
    """Let a gateway trade while things go wrong, then let nothing go wrong any more; one that `sees` has prices."""
    random, orders = Random(seed), list[str]()
    world = await World(seed % 5, venue, is_perpetual=is_perpetual, speaks=speaks, wallet=wallet).start()
    if speaks is other:  # until one was found, none is believed absent
        orders.append(world.rest(below=5_000))
        await world.advance(3)
    for _ in range(random.randint(1, 4)):
        what = random.choice(ON_REQUESTS)
        where = world.scene.order if random.random() < 0.7 else world.scene.every
        if world.scene.conditional and random.random() < 0.4:
            where = world.scene.conditional
        seconds = random.choice((0.3, 2.0, 12.0))
        times = random.randint(1, 6)
        world.exchange.faults.add(Fault(what, where, random.randrange(6), times, seconds))
    for _ in range(random.randint(0, 3)):
        world.exchange.faults.add(Fault(random.choice(ON_FRAMES), "account", random.randrange(8), 3))
    for _ in range(random.randint(4, 14)):
        act(world, random, orders)
        if sees:
            await see(world, random, orders)
        await world.advance(random.choice((0.0, 0.25, 1.0, 4.0)))
        if random.random() < 0.1:
            world.is_up = not world.is_up
        if random.random() < 0.1:
            await world.restart(random.choice((0.0, 1.0, 30.0)))
    world.is_up = True
    world.exchange.faults.clear()
    await world.advance(120)
    for _ in range(30):  # one question in three seconds takes long for a dozen orders, and so does doubt
        if has_settled(world):
            break
        await world.advance(30)
    for _ in range(40 if sees else 0):
        look(world)
        await world.advance(0.5)
    await world.stop()
    return world, orders


def has_settled(world: World) -> bool:
    """Say whether nothing is in question, and nothing has filled so shortly ago that it may not have been asked for."""
    newest = max((part.ts for each in world.exchange.desk.orders.values() for part in each.parts), default=0)
    is_quiet = world.exchange.now - newest > ASKED_WITHIN
    return is_quiet and not world.gateway.doubts and not under_way(world.gateway.register)


def check(world: World, orders: list[str]) -> None:
    """Compare what the engine was told with the exchange's own books, which share no code with the gateway."""
    told = [event.fill for event in world.events if isinstance(event, OrderFilled)]
    assert len({fill.id for fill in told}) == len(told), "a fill was told twice"
    truth = {
        (order.ticket.side, world.scene.execution(part.id))
        for order in world.exchange.desk.orders.values()
        for part in order.parts
    }
    # Where two orders of ours met, which is one execution with one number, the one told later says its side.
    mine = {(fill.side.sign, fill.id.removesuffix(f"-{fill.side}")) for fill in told}
    assert mine == truth, "fills differ"
    for order_id in orders:
        placed = [o for o in world.exchange.desk.orders.values() if plain(o.ticket.client_id) == order_id]
        names, tracked = world.told(order_id), world.gateway.register.get(order_id)
        known = world.orders.get(order_id)
        assert tracked is not None
        assert known is not None
        assert (known.filled, known.state) == (tracked.filled, tracked.told), (known, tracked)
        assert sum(o.state.is_working for o in placed) <= 1
        assert tracked.held or len(placed) <= 1 or all(not o.state.is_working for o in placed[:-1])
        lots = sum(o.filled for o in placed)
        assert world.filled(order_id) == lots * world.market.instrument.lot
        if tracked.held:
            assert not any(o.state.is_working for o in placed)
        elif not placed:
            assert names[-1] in ("OrderRejected", "OrderAbandoned", "OrderCancelled"), names
        elif placed[-1].state.is_working:
            assert tracked.told.value in ("open", "partial"), names
        else:
            assert tracked.is_closed, (names, placed[-1].state)
            never_back = (
                {"OrderAbandoned"} if tracked.past else set()
            )  # it gave way, and did not get there again
            assert (ENDED[placed[-1].state] | never_back) & set(names)
    assert world.gateway.doubts == {}
    assert not {AnomalyCode.CONFLICT, AnomalyCode.MISMATCH, AnomalyCode.MALFORMED} & set(world.orders.counts)
    assert sum((fill.quantity for fill in told), ZERO) >= 0


@settings(max_examples=60)
@example(191511, "KRAKEN")
@given(st.integers(0, 10**6), st.sampled_from(sorted(SCENES)))
def test_nothing_is_lost_or_doubled_whatever_goes_wrong(seed: int, venue: str) -> None:
    world, orders = asyncio.run(live(seed, venue))

    check(world, orders)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(sorted(PERPETUALS)))
def test_nothing_is_lost_or_doubled_of_perpetuals_either(seed: int, venue: str) -> None:
    world, orders = asyncio.run(live(seed, venue, is_perpetual=True))

    check(world, orders)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(sorted(MARGINS)))
def test_nothing_is_lost_or_doubled_in_a_margin_account_either(seed: int, venue: str) -> None:
    world, orders = asyncio.run(live(seed, venue, wallet="cross_margin"))

    check(world, orders)


@settings(max_examples=15)
@example(374121, "KUCOIN")
@example(176312, "KUCOIN")
@example(2724, "BINANCE")
@example(2980, "KUCOIN")
@given(st.integers(0, 10**6), st.sampled_from(OTHERS))
def test_nothing_is_lost_or_doubled_through_ccxt_either(seed: int, venue: str) -> None:
    world, orders = asyncio.run(live(seed, venue, speaks=other))

    check(world, orders)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_nothing_is_lost_or_doubled_while_stops_that_were_crossed_are_taken_over(seed: int) -> None:
    world, orders = asyncio.run(live(seed, "BYBIT", sees=True))

    check(world, orders)
