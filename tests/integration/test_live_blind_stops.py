"""A stop that the bot holds while the venue's market data is silent, over real sockets."""

from decimal import Decimal
from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.model.order import Purpose
from abidance.run.bot import JOURNAL
from abidance.run.config import RunConfig
from abidance.run.replica import Replica
from abidance.run.trading import LiveTrading
from abidance.testing.exchange import Fault, LocalExchange, Wrong
from abidance.testing.exchange.crowd import Crowd, Walk, generated_past
from abidance.testing.exchange.market import Market
from tests.integration.live_bench import START
from tests.integration.test_live_by_hand import once
from tests.integration.test_live_paper import PAST
from tests.integration.test_live_venues import Elsewhere

PRICE = 30_000.0
TOPICS = {"KUCOIN": ("/market/", "/spotMarket/level"), "MEXC": ("spot@public",)}
BEST = {"KUCOIN": "orderbook/level1", "MEXC": "ticker/bookTicker"}


class Held(Elsewhere):
    """A bot that buys once with a stop 1 % below, at a venue whose price the test moves."""

    def __init__(self, folder: Path, venue: str) -> None:
        super().__init__(folder, venue)
        self.walk, reference = Walk("11", PRICE), self.market.instrument
        past = generated_past(reference, PRICE, START, PAST * 60, 11)
        self.market = Market(reference, [Crowd(self.walk, "11", 5.0)], past, 11)
        self.exchange = LocalExchange([self.market], start=START, accounts=[self.account])

    def guarded(self, **more: object) -> RunConfig:
        return self.config(strategies=(once(self.folder, "Protection(stop=bar.close * 0.01)"),), **more)

    def blind(self) -> None:
        """Let the venue push nothing of its market any more."""
        for topic in TOPICS[self.venue]:
            self.exchange.faults.add(Fault(Wrong.GAP, topic, times=0))

    def told(self, code: str) -> list[str]:
        found = read(self.folder / JOURNAL)
        replica = Replica(found.header)
        replica.take([*found.records])
        return [each.text for each in replica.notices if each.code == code]


@pytest.fixture(params=sorted(TOPICS))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Held:
    return Held(tmp_path / "bot", request.param)


def is_flat(bot: LiveTrading) -> bool:
    return not bot.engine.state.portfolio.open_positions()


async def test_a_stop_fires_within_seconds_though_market_data_is_silent(place: Held) -> None:
    held: list[bool] = []

    async def fall(bot: LiveTrading) -> None:
        held.append(not is_flat(bot))
        place.blind()
        place.walk.jump(-0.04)
        await place.pass_time(15)

    async with place:
        bot = await place.live(90, person=fall)

    assert held == [True]
    assert is_flat(bot)
    assert {each.purpose for each in bot.engine.fills if each.side.sign < 0} == {Purpose.STOP_LOSS}
    assert place.told("unprotected") == []


async def test_a_position_is_left_with_an_alarm_where_no_price_can_be_asked_for_either(place: Held) -> None:
    held: list[bool] = []

    async def go_dark(bot: LiveTrading) -> None:
        held.append(not is_flat(bot))
        place.blind()
        place.exchange.faults.add(Fault(Wrong.ERROR, BEST[place.venue], times=0))
        await place.pass_time(20)

    async with place:
        bot = await place.live(90, person=go_dark)

    assert held == [True]
    assert is_flat(bot)
    (alarm,) = place.told("unprotected")
    assert "that could trigger" in alarm
    (_, measured) = max(bot.engine.vigil.past.items(), key=lambda each: each[1].longest)
    assert measured.longest >= 5 * 10**9


async def test_while_the_whole_venue_is_away_the_stop_waits_and_fires_once_it_is_back(place: Held) -> None:
    asked: list[bool] = []

    async def vanish(bot: LiveTrading) -> None:
        place.blind()
        away = [Fault(Wrong.ERROR, "", times=0), Fault(Wrong.REFUSE, "", times=0)]
        for fault in away:
            place.exchange.faults.add(fault)
        place.walk.jump(-0.04)
        await place.pass_time(30)
        asked.append(is_flat(bot))
        for fault in away:
            place.exchange.faults.script.remove(fault)
        await place.pass_time(30)

    async with place:
        bot = await place.live(90, person=vanish)

    assert asked == [False]
    assert is_flat(bot)
    assert any("answers nothing" in each for each in place.told("unprotected"))
    ids = [order.ticket.client_id for order in place.exchange.desk.orders.values()]
    assert len(ids) == len(set(ids))
    assert Decimal(0) <= place.account.totals().get("BTC", Decimal(0)) < place.market.instrument.lot


async def test_a_stop_that_is_due_and_cannot_leave_is_told_and_leaves_once_it_can(place: Held) -> None:
    held: list[bool] = []

    async def ban(bot: LiveTrading) -> None:
        fault = place.exchange.faults.add(Fault(Wrong.LIMIT, "", times=0, seconds=60))
        await place.pass_time(15)  # until a question was answered with it
        place.walk.jump(-0.04)
        await place.pass_time(15)
        held.append(not is_flat(bot))
        place.exchange.faults.script.remove(fault)
        await place.pass_time(70)

    async with place:
        bot = await place.live(150, person=ban)

    assert held == [True]
    assert is_flat(bot)
    assert any("could not trigger" in each for each in place.told("unprotected"))
    (_, measured) = max(bot.engine.vigil.past.items(), key=lambda each: each[1].longest)
    assert measured.longest >= 5 * 10**9
    assert Decimal(0) <= place.account.totals().get("BTC", Decimal(0)) < place.market.instrument.lot
