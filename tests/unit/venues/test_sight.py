"""Stops that we hold while the streams are silent: the price is asked for, and who sees nothing says so."""

import json
from collections.abc import AsyncIterator
from math import inf, nan

import pytest

from abidance.market.live.inbox import Inbox
from abidance.market.reference import instrument
from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS, InstrumentKind
from abidance.model.market import Bar, Quote
from abidance.model.order import OrderType, Purpose, Side
from abidance.run.relay import Relay
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import Best
from abidance.venues.accounts import ACCOUNTS, account_of
from abidance.venues.net.transport import Answer
from abidance.venues.trading.sight import ASK, BLIND, SIGHT, SILENT, UNANSWERED
from tests.unit.venues.other_venue import OTHERS, other
from tests.unit.venues.trading_world import D, World

PRICES = {"KUCOIN": "orderbook/level1", "MEXC": "ticker/bookTicker"}
"""Where each venue that keeps no stops tells its best prices."""
FAR = "0.5"
"""A share of the price that the market does not fall to by itself."""


@pytest.fixture(params=sorted(PRICES))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param).start()
    made.submit(quantity="0.1")
    await made.advance(1)
    yield made
    await made.stop()


def stop_at(world: World, price: object) -> str:
    """State a stop of what is held."""
    return world.submit(
        Side.SELL,
        "0.09",
        type=OrderType.STOP,
        trigger=D(str(price)),
        reduce_only=True,
        purpose=Purpose.STOP_LOSS,
    )


def below(world: World) -> str:
    """State a stop that the market is far from."""
    return stop_at(world, (world.bid() * D(FAR)).quantize(world.btc.tick))


def passed(world: World) -> str:
    """State a stop that the market is through, which nobody here has seen."""
    return stop_at(world, world.bid() + 500)


def questions(world: World) -> int:
    return sum(each.path.endswith(PRICES[world.btc.venue]) for each in world.exchange.requests)


def silence(world: World) -> Fault:
    """Let the venue tell no price to whoever asks."""
    return world.exchange.faults.add(Fault(Wrong.ERROR, PRICES[world.btc.venue], times=0))


async def seen(world: World, seconds: float, bid: float = 0.0) -> None:
    """Let quotes come for so long."""
    price = bid or float(world.bid())
    for _ in range(round(seconds)):
        world.gateway.sight.see(world.btc.id, price, price + 1, world.pulse.wall())
        await world.advance(1)


def bar(world: World, start: int, low: float, close: float) -> Bar:
    high = max(float(world.bid()), close)
    return Bar(world.btc.id, "1m", start, close, high, low, close, 1.0)


async def test_a_stop_that_was_passed_while_streams_are_silent_fires_by_a_price_that_is_asked_for(
    world: World,
) -> None:
    trigger = world.bid() + 500
    await seen(world, 2, float(trigger) + 100)  # above it as long as quotes came

    order = stop_at(world, trigger)
    await seen(world, 2, float(trigger) + 100)
    before = world.told(order)
    await world.advance(SILENT + ASK)

    assert before == ["OrderAccepted"]
    assert "OrderFilled" in world.told(order)
    assert world.gateway.sight.blind == ()
    assert world.gateway.doubts == {}


async def test_nobody_asks_while_quotes_come_or_nothing_is_held(world: World) -> None:
    await world.advance(10)
    idle = questions(world)
    below(world)

    await seen(world, 10)

    assert idle == 0
    assert questions(world) == 0


async def test_no_more_than_one_question_leaves_in_a_second_and_a_half(world: World) -> None:
    below(world)
    await seen(world, 2)

    await world.advance(30)

    assert 6 <= questions(world) <= 30 / ASK
    assert world.gateway.sight.blind == ()


async def test_a_venue_that_answers_slowly_is_neither_blind_nor_away(world: World) -> None:
    below(world)
    await seen(world, 1)
    world.exchange.faults.add(Fault(Wrong.LATE, PRICES[world.btc.venue], times=0, seconds=4.0))
    await world.advance(10)  # until the first answer
    sights = set()

    for _ in range(40):
        await world.advance(0.5)
        sights.add((world.gateway.sight.blind, world.gateway.sight.is_away))

    assert sights == {((), False)}


async def test_few_questions_wait_at_once_for_a_venue_that_does_not_answer(world: World) -> None:
    below(world)
    await seen(world, 1)
    world.exchange.faults.add(Fault(Wrong.SLOW, "", times=0, seconds=9.0))

    most = 0
    for _ in range(60):
        await world.advance(0.5)
        most = max(most, *world.gateway.sight._waiting.values(), 0)

    assert most == UNANSWERED


async def test_a_quote_of_long_ago_is_no_fresh_price(world: World) -> None:
    order = passed(world)
    price = float(world.bid()) + 600

    for _ in range(10):  # they arrive now, and are of ten seconds ago
        world.gateway.sight.see(world.btc.id, price, price, world.pulse.wall() - 10 * SECOND_NS)
        await world.advance(0.5)

    assert "OrderFilled" in world.told(order)


async def test_a_price_of_before_a_stop_stood_does_not_fire_it(world: World) -> None:
    await world.advance(2)
    order = below(world)
    price = float(world.bid()) * 0.4

    world.gateway.sight.see(world.btc.id, price, price + 1, world.pulse.wall() - SECOND_NS)
    await world.advance(0.5)
    by_an_old_one = world.told(order)
    world.gateway.sight.see(world.btc.id, price, price + 1, world.pulse.wall())
    await world.advance(0.5)

    assert by_an_old_one == ["OrderAccepted"]
    assert "OrderFilled" in world.told(order)


async def test_a_price_of_before_a_trigger_moved_does_not_fire_it_there(world: World) -> None:
    price = float(world.bid())
    order = below(world)
    await seen(world, 3)

    world.amend(order, trigger=(world.bid() * D("0.9")).quantize(world.btc.tick))
    world.gateway.sight.see(world.btc.id, price * 0.8, price * 0.8 + 1, world.pulse.wall() - SECOND_NS)
    await world.advance(0.5)
    by_an_old_one = world.told(order)
    world.gateway.sight.see(world.btc.id, price * 0.8, price * 0.8 + 1, world.pulse.wall())
    await world.advance(0.5)

    assert by_an_old_one == ["OrderAccepted", "OrderAmended"]
    assert "OrderFilled" in world.told(order)


async def test_a_stop_of_another_size_is_fired_by_a_late_price_of_before_that(world: World) -> None:
    price = float(world.bid())
    order = below(world)
    await seen(world, 3)

    world.amend(order, quantity=D("0.08"))
    world.gateway.sight.see(world.btc.id, price * 0.4, price * 0.4 + 1, world.pulse.wall() - SECOND_NS)
    await world.advance(0.5)

    assert "OrderFilled" in world.told(order)


async def test_a_market_that_stays_where_it_was_before_a_stop_stood_fires_it_within_five_seconds(
    world: World,
) -> None:
    price = float(world.bid())
    await world.advance(1)

    order = passed(world)
    world.gateway.sight.see(world.btc.id, price, price + 1, world.pulse.wall() - SECOND_NS // 10)
    await world.advance(SILENT + ASK)

    assert "OrderFilled" in world.told(order)


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(nan, nan), (0.0, 0.0), (0.0, 1e6), (-1.0, 1e6), (inf, inf), (1.0, inf), (1.0, nan), (9.0, 8.0)],
)
async def test_what_is_streamed_and_is_no_price_neither_fires_a_stop_nor_counts_as_seen(
    world: World, bid: float, ask: float
) -> None:
    order = below(world)
    silence(world)

    for _ in range(round(BLIND) + 1):
        world.gateway.sight.see(world.btc.id, bid, ask, world.pulse.wall())
        await world.advance(1)

    assert world.told(order) == ["OrderAccepted"]
    assert world.gateway.sight.blind == (order,)


async def test_who_watches_goes_on_and_says_so_when_the_program_fails_over_it(world: World) -> None:
    order = passed(world)
    sight, judge = world.gateway.sight, world.gateway.sight._judge

    def fail(stops: object, stuck: object) -> None:
        raise RuntimeError("a mistake")

    sight._judge = fail  # type: ignore[method-assign]
    await world.advance(1)
    doubts = dict(world.gateway.doubts)
    sight._judge = judge  # type: ignore[method-assign]
    await world.advance(SILENT + ASK)

    assert "a mistake" in doubts[SIGHT]
    assert SIGHT not in world.gateway.doubts
    assert "OrderFilled" in world.told(order)


async def test_a_late_quote_is_as_old_as_it_is_though_other_markets_are_ahead(world: World) -> None:
    order, price = below(world), float(world.bid())
    inbox, relay = Inbox(), Relay()
    relay.gateways, relay.is_open, relay.inbox = {world.btc.id: world.gateway}, True, inbox
    silence(world)

    for _ in range(round(BLIND) + 2):
        now = world.pulse.wall()
        inbox.put(Quote(now, "ETH/USDT@OTHER", 1.0, 1.0, 2.0, 1.0), now)
        inbox.put(Quote(now - 20 * SECOND_NS, world.btc.id, price, 1.0, price + 1, 1.0), now)
        while (event := inbox.next()) is not None:
            relay.advance(event)
        await world.advance(1)

    assert world.gateway.sight.blind == (order,)


async def test_a_stop_of_which_no_price_can_be_had_is_blind_until_there_is_one(world: World) -> None:
    order = below(world)
    await seen(world, 1)
    fault = silence(world)

    await world.advance(BLIND - 1.5)
    early = world.gateway.sight.blind
    await world.advance(2.5)
    found, doubts = world.gateway.sight.blind, dict(world.gateway.doubts)
    is_away = world.gateway.sight.is_away
    world.exchange.faults.script.remove(fault)
    await world.advance(ASK + 1)

    assert early == ()
    assert found == (order,)
    assert world.btc.id in doubts[SIGHT]
    assert not is_away  # it tells the time
    assert world.gateway.sight.blind == ()
    assert SIGHT not in world.gateway.doubts
    assert world.told(order) == ["OrderAccepted"]


async def test_where_nothing_answers_the_venue_is_away_and_the_stop_fires_once_a_price_is_known(
    world: World,
) -> None:
    trigger = world.bid() + 500
    order = stop_at(world, trigger)
    await seen(world, 1, float(trigger) + 100)
    world.is_up = False

    await world.advance(BLIND + 5)
    sight = world.gateway.sight
    blind, is_away, told = sight.blind, sight.is_away, world.told(order)
    world.is_up = True
    await world.advance(5)

    assert blind == (order,)
    assert is_away
    assert told == ["OrderAccepted"]
    assert "OrderFilled" in world.told(order)
    assert (sight.blind, sight.is_away) == ((), False)


async def test_a_stop_that_is_due_and_cannot_leave_is_blind_until_it_has_left(world: World) -> None:
    order = below(world)
    price = float(world.bid()) * 0.4
    sight = world.gateway.sight
    world.is_up = False

    await seen(world, BLIND - 1, price)
    early = sight.blind
    await seen(world, 3, price)
    blind, is_away, doubts = sight.blind, sight.is_away, dict(world.gateway.doubts)
    sights = set()
    for _ in range(20):
        await seen(world, 1, price)
        sights.add((sight.blind, sight.is_away))
    world.is_up = True
    await seen(world, 3, price)

    assert early == ()
    assert blind == (order,)
    assert is_away
    assert "due and cannot leave" in doubts[SIGHT]
    assert sights == {((order,), True)}
    assert "OrderFilled" in world.told(order)
    assert (sight.blind, sight.is_away) == ((), False)


async def test_a_stop_whose_price_has_gone_again_is_not_blind_because_it_could_not_leave(
    world: World,
) -> None:
    order = below(world)
    price = float(world.bid())
    world.is_up = False

    await seen(world, 2, price * 0.4)
    await seen(world, BLIND + 2, price)

    assert world.gateway.sight.blind == ()
    assert world.told(order) == ["OrderAccepted"]


async def test_an_answer_that_is_no_price_is_none(world: World) -> None:
    order = passed(world)
    best = world.gateway.dialect.best
    assert best is not None

    for prices in ((5.0, 4.0), (0.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))):
        world.gateway.dialect.best = Best(best.call, lambda _, told=prices: told)  # type: ignore[misc]
        await world.advance(BLIND + 1)
        assert world.told(order) == ["OrderAccepted"]
        assert world.gateway.sight.blind == (order,)


async def test_a_bar_shows_that_a_stop_was_crossed_while_nobody_looked(world: World) -> None:
    price = float(world.bid())
    order = below(world)
    silence(world)
    await world.advance(5)
    start = world.pulse.wall()
    await world.advance(60)

    world.gateway.sight.see_bar(bar(world, start, price * 0.4, price))
    await world.advance(1)

    assert "OrderFilled" in world.told(order)


async def test_a_bar_that_began_before_a_stop_stood_counts_by_its_close_alone(world: World) -> None:
    price = float(world.bid())
    silence(world)
    start = world.pulse.wall()
    await world.advance(30)
    order = below(world)
    await world.advance(30)

    world.gateway.sight.see_bar(bar(world, start, price * 0.4, price))
    await world.advance(1)
    by_extremes = world.told(order)
    world.gateway.sight.see_bar(bar(world, start + SECOND_NS, price * 0.4, price * 0.45))
    await world.advance(1)

    assert by_extremes == ["OrderAccepted"]
    assert "OrderFilled" in world.told(order)


async def test_a_bar_that_closed_before_a_stop_stood_says_nothing_of_it(world: World) -> None:
    price = float(world.bid())
    silence(world)
    start = world.pulse.wall() - 60 * SECOND_NS
    await world.advance(2)
    order = below(world)
    await world.advance(5)

    world.gateway.sight.see_bar(bar(world, start, price * 0.4, price * 0.4))
    await world.advance(1)

    assert world.told(order) == ["OrderAccepted"]


async def test_a_bar_adds_nothing_to_what_was_seen_all_the_time(world: World) -> None:
    price = float(world.bid())
    order = below(world)
    await seen(world, 2)
    start = world.pulse.wall()
    await seen(world, 62)

    world.gateway.sight.see_bar(bar(world, start, price * 0.4, price * 0.45))
    await world.advance(1)

    assert world.told(order) == ["OrderAccepted"]


# --- how each venue tells its best prices

KINDS = sorted((venue, kind) for venue, kind in ACCOUNTS)


@pytest.mark.parametrize("named", [*KINDS, *(("ccxt " + each, InstrumentKind.SPOT) for each in OTHERS)])
async def test_the_best_prices_of_a_venue_are_those_of_its_book(named: tuple[str, InstrumentKind]) -> None:
    venue, kind = named[0].rpartition(" ")[2], named[1]
    speaks = other if named[0].startswith("ccxt") else account_of
    world = await World(venue=venue, is_perpetual=kind is InstrumentKind.PERPETUAL, speaks=speaks).start()

    best = world.gateway.dialect.best
    assert best is not None
    answer = await world.wire.ask(best.call(world.btc.id))
    (bid, _), *_ = world.market.ladder(1).bids
    (ask, _), *_ = world.market.ladder(1).asks

    assert best.call(world.btc.id).is_urgent
    assert best.read(answer) == (bid, ask)
    await world.stop()


@pytest.mark.parametrize(("venue", "kind"), KINDS)
@pytest.mark.parametrize(
    "body", [{}, [], {"code": "429000", "data": None}, {"error": ["EGeneral:Busy"], "result": {}}, {"result": {"list": []}}]
)  # fmt: skip
def test_whatever_is_no_answer_is_no_price(venue: str, kind: InstrumentKind, body: object) -> None:
    id = f"BTC/USDT{':USDT' * (kind is InstrumentKind.PERPETUAL)}@{venue}"
    best = account_of(venue, kind, [instrument(id)]).best

    assert best is not None
    for status in (200, 503):
        with pytest.raises(VenueError):
            best.read(Answer(status, {}, json.dumps(body).encode()))
