"""Venues that demand something else of orders while a bot runs: asked now and then, and soon after a refusal."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec.structs import replace

from abidance.engine.config import StrategyConfig
from abidance.market.reference import instrument
from abidance.market.terms import Status, Terms
from abidance.model.errors import VenueError
from abidance.model.event import RulesChanged
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.risk.feeds import Feeds
from abidance.run.config import RunConfig
from abidance.run.rules import AGAIN, EVERY, FIRST, LOOK, NONE, Demands, RulesWatch, published, scarce
from abidance.venues.accounts import stops_stand
from abidance.venues.net.limits import OpenLimits
from tests.unit.venues.net_world import HandPulse

D = Decimal
BTC = instrument("BTC/USDT@BINANCE")
OTHER = instrument("ETH/USDT@BINANCE")


class Venue:
    """What a venue lists, and how often it was asked."""

    def __init__(self) -> None:
        self.rules, self.asked, self.is_up, self.lists = BTC, 0, True, True
        self.status = Status.TRADING

    async def ask(self, _venue: str) -> list[Terms]:
        self.asked += 1
        if not self.is_up:
            raise VenueError("BINANCE cannot be reached.", "Try again later.")
        return [Terms(self.rules, "BTCUSDT", self.status), Terms(OTHER, "ETHUSDT")] if self.lists else []


@dataclass
class _Known:
    """What an engine knows of its instruments."""

    instruments: dict[str, Instrument]
    feeds: Feeds = field(default_factory=Feeds)


@asynccontextmanager
async def watched(
    venue: Venue, most: Mapping[str, OpenLimits] = NONE
) -> AsyncIterator[tuple[HandPulse, RulesWatch, list[RulesChanged]]]:
    """Watch one instrument; what is told is known from then on, as the engine does it."""
    known, told, pulse = _Known({BTC.id: BTC}), list[RulesChanged](), HandPulse()

    def take(event: RulesChanged) -> None:
        told.append(event)
        now = {name: getattr(event, name) for name in Demands._fields}
        known.instruments[event.instrument] = replace(known.instruments[event.instrument], **now)
        if event.is_listed:
            known.feeds.delisted.pop(event.instrument, None)
        else:
            known.feeds.delisted[event.instrument] = event.ts

    watch = RulesWatch(venue.ask, ["BINANCE"], lambda: known, take, most)
    task = asyncio.ensure_future(watch.work(pulse))
    await pulse.advance(0)
    yield pulse, watch, told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_rules_that_stay_are_never_told() -> None:
    venue = Venue()
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + EVERY + 2 * LOOK)

        assert (venue.asked, told) == (2, [])


async def test_changed_rules_are_told_once() -> None:
    venue = Venue()
    venue.rules = replace(BTC, tick=D(1), lot=D("0.001"), min_notional=D(10))
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + EVERY + 2 * LOOK)

        assert [(each.instrument, each.tick, each.lot, each.min_notional) for each in told] == [
            (BTC.id, D(1), D("0.001"), D(10))
        ]


async def test_a_refused_order_has_the_venue_asked_soon_and_many_not_more_often() -> None:
    venue = Venue()
    async with watched(venue) as (pulse, watch, told):
        await pulse.advance(FIRST + LOOK)
        venue.rules = replace(BTC, lot=D("0.001"))
        watch.refused()
        await pulse.advance(LOOK)
        early = venue.asked
        for _ in range(30):
            watch.refused()
            await pulse.advance(AGAIN / 30)

        assert early == 1  # it was asked a moment ago
        assert venue.asked == 2
        assert [each.lot for each in told] == [D("0.001")]


async def test_a_venue_that_does_not_answer_is_asked_again_and_ends_nothing() -> None:
    venue = Venue()
    venue.is_up, venue.rules = False, replace(BTC, tick=D(1))
    async with watched(venue) as (pulse, watch, told):
        await pulse.advance(FIRST + LOOK)
        venue.is_up = True
        watch.refused()
        await pulse.advance(AGAIN + LOOK)

        assert venue.asked == 2
        assert [each.tick for each in told] == [D(1)]


async def test_an_instrument_that_two_lists_leave_out_is_told_once_and_again_when_it_is_back() -> None:
    venue = Venue()
    venue.rules = OTHER
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + LOOK)
        early = list(told)
        await pulse.advance(AGAIN + EVERY + 2 * LOOK)
        venue.rules = BTC
        await pulse.advance(EVERY)

        assert early == []
        assert [(each.instrument, each.is_listed) for each in told] == [(BTC.id, False), (BTC.id, True)]
        assert {(each.tick, each.lot) for each in told} == {(BTC.tick, BTC.lot)}


async def test_one_list_that_says_halted_is_no_proof_and_a_second_one_is() -> None:
    venue = Venue()
    venue.status = Status.HALTED
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + LOOK)
        early = list(told)
        await pulse.advance(AGAIN + LOOK)

        assert early == []
        assert [each.is_listed for each in told] == [False]


async def test_a_venue_that_said_halted_once_by_mistake_keeps_no_entries_off() -> None:
    venue = Venue()
    venue.status = Status.HALTED
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + LOOK)
        venue.status = Status.TRADING
        await pulse.advance(AGAIN + LOOK)

        assert (venue.asked, told) == (2, [])


async def test_an_instrument_that_is_halted_is_looked_for_soon_until_it_is_traded_again() -> None:
    venue = Venue()
    venue.status = Status.HALTED
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + 3 * (AGAIN + LOOK))
        halted = [each.is_listed for each in told]
        venue.status = Status.TRADING
        await pulse.advance(AGAIN + LOOK)
        back, asked = [each.is_listed for each in told], venue.asked
        await pulse.advance(EVERY - AGAIN - 2 * LOOK)

        assert (halted, back) == ([False], [False, True])
        assert venue.asked == asked  # from now on in ordinary times


async def test_an_empty_list_says_nothing_of_what_is_traded() -> None:
    venue = Venue()
    venue.lists = False
    async with watched(venue) as (pulse, _, told):
        await pulse.advance(FIRST + 2 * EVERY)

        assert (venue.asked >= 2, told) == (True, [])


MOST = published([BTC.id], {})


def told_of(events: list[RulesChanged]) -> list[tuple[int, int]]:
    return [(each.max_orders, each.max_stops) for each in events]


async def test_what_is_published_of_open_orders_is_told_at_the_start_and_then_the_venue_s_own_word() -> None:
    venue = Venue()
    async with watched(venue, MOST) as (pulse, watch, told):
        watch.begin(1)
        watch.begin(2)
        at_the_start = told_of(told)
        await pulse.advance(FIRST + LOOK)
        silent = told_of(told)
        venue.rules = replace(BTC, max_orders=100, max_stops=3)
        await pulse.advance(EVERY + 2 * LOOK)

    assert at_the_start == [(200, 5)]
    assert silent == at_the_start  # its list does not say
    assert told_of(told) == [(200, 5), (100, 3)]


def test_only_where_stops_stand_at_the_venue_is_anything_published() -> None:
    ids = [
        f"BTC/USDT{settle}@{venue}"
        for venue in ("BINANCE", "BYBIT", "KUCOIN", "MEXC")
        for settle in ("", ":USDT")
    ]

    found = published([*ids, "BTC/USD@KRAKEN", "fear_greed@SENTIMENT"], {"KRAKEN": "pro"})

    assert {id: (each.orders, each.stops) for id, each in found.items()} == {
        "BTC/USDT@BINANCE": (200, 5),
        "BTC/USDT:USDT@BINANCE": (200, 10),
        "BTC/USDT@BYBIT": (500, 30),
        "BTC/USDT:USDT@BYBIT": (500, 10),
        "BTC/USD@KRAKEN": (225, 0),
    }
    assert not stops_stand("KUCOIN", InstrumentKind.SPOT)


def test_more_strategies_than_stops_may_stand_are_told_before_a_run_begins() -> None:
    def told(count: int) -> list[str]:
        each = [StrategyConfig(strategy="EmaCross", name=f"s{n}", allocation=0.1) for n in range(count)]
        return scarce(RunConfig(instruments=(BTC.id, OTHER.id), strategies=tuple(each)), MOST)

    assert told(5) == []
    (found,) = told(6)
    assert found == (
        "6 strategies trade BTC/USDT@BINANCE, where 5 stops may stand at a time: while so many hold a position there, "
        "entries of the others are refused (open_orders)."
    )
