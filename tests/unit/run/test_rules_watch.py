"""Venues that demand something else of orders while a bot runs: asked now and then, and soon after a refusal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec.structs import replace

from abidance.market.reference import instrument
from abidance.market.terms import Status, Terms
from abidance.model.errors import VenueError
from abidance.model.event import RulesChanged
from abidance.model.instrument import Instrument
from abidance.risk.feeds import Feeds
from abidance.run.rules import AGAIN, EVERY, FIRST, LOOK, RulesWatch
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
async def watched(venue: Venue) -> AsyncIterator[tuple[HandPulse, RulesWatch, list[RulesChanged]]]:
    """Watch one instrument; what is told is known from then on, as the engine does it."""
    known, told, pulse = _Known({BTC.id: BTC}), list[RulesChanged](), HandPulse()

    def take(event: RulesChanged) -> None:
        told.append(event)
        now = {name: getattr(event, name) for name in ("tick", "lot", "min_quantity", "min_notional")}
        known.instruments[event.instrument] = replace(known.instruments[event.instrument], **now)
        if event.is_listed:
            known.feeds.delisted.pop(event.instrument, None)
        else:
            known.feeds.delisted[event.instrument] = event.ts

    watch = RulesWatch(venue.ask, ["BINANCE"], lambda: known, take)
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
