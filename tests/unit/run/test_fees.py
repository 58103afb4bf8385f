"""What accounts pay beside what is configured: asked for as a bot runs, and told when it is more."""

import asyncio
from decimal import Decimal

from abidance.execution.cost import Costs
from abidance.market.reference import instrument
from abidance.model.errors import VenueError
from abidance.run.config import RunConfig
from abidance.run.fees import AGAIN, EVERY, FIRST, FeeWatch, dearer
from abidance.run.setup import costs_of
from abidance.venues.account import Call, Rates
from abidance.venues.binance.account import BinanceSpotAccount
from abidance.venues.ccxt.account import CcxtSpotAccount
from abidance.venues.net.transport import Answer
from abidance.venues.sim.config import FeeTier, VenueConfig
from tests.unit.venues.net_world import HandPulse

BTC, ETH = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE"
D = Decimal


def costs(maker: float = 0.001, taker: float = 0.001) -> Costs:
    return costs_of(RunConfig(venue=VenueConfig(fees=(FeeTier(volume=0, maker=maker, taker=taker),))).venue)


class Venue:
    """A Binance that takes the same of all trades."""

    def __init__(self) -> None:
        self.taker, self.is_up, self.asked = "0.002", True, 0

    async def ask(self, call: Call) -> Answer:
        assert call.path == "account/commission"
        self.asked += 1
        if not self.is_up:
            raise VenueError("BINANCE answered 503.", "Try again later.")
        body = f'{{"standardCommission": {{"maker": "0.001", "taker": "{self.taker}"}}}}'
        return Answer(200, {}, body.encode())


async def test_fees_are_asked_for_soon_and_each_hour_and_more_than_is_configured_is_told_once() -> None:
    venue, pulse, told = Venue(), HandPulse(), list[str]()
    watch = FeeWatch(lambda: {BTC: costs(), ETH: costs()}, told.append)
    watch.add(BinanceSpotAccount([instrument(BTC), instrument(ETH)]), venue.ask)
    (work,) = watch.works(pulse)
    task = asyncio.ensure_future(work)

    await pulse.advance(FIRST)
    first, paid = len(told), dict(watch.paid)
    await pulse.advance(EVERY)
    venue.is_up = False
    await pulse.advance(EVERY)
    venue.is_up, venue.taker = True, "0.003"
    await pulse.advance(AGAIN)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert first == 2
    assert paid == dict.fromkeys((BTC, ETH), Rates(D("0.001"), D("0.002")))
    assert venue.asked == 2 + 2 + 1 + 2
    assert watch.paid[BTC].taker == D("0.003")
    assert len(told) == 4
    assert told[-1] == dearer(ETH, Rates(D("0.001"), D("0.003")), costs())


def test_fees_that_are_not_above_the_configured_ones_are_told_to_nobody() -> None:
    assert dearer(BTC, Rates(D("0.001"), D("0.0005")), costs()) == ""
    assert dearer(BTC, Rates(D("0.001"), D("0.001")), None) == ""


def test_what_is_told_names_both_fees_and_the_setting() -> None:
    assert dearer(BTC, Rates(D("0.0025"), D("0.004")), costs()) == (
        "BTC/USDT@BINANCE costs this account 0.2500% as a maker where 0.1000% is configured, and 0.4000% as a taker "
        "where 0.1000% is configured: backtests and sizes reckon with too little (venues.BINANCE.fees)."
    )


async def test_venues_that_cannot_be_asked_are_not() -> None:
    watch = FeeWatch(dict, list[str]().append)
    watch.add(CcxtSpotAccount("OKX", ()), Venue().ask)

    assert watch.works(HandPulse()) == []
