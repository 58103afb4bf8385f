"""Somebody trades at the venue, by hand, with what a running bot's strategies hold."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.engine.config import StrategyConfig
from abidance.journal.record import Codec, read_opening, walk
from abidance.model.event import ControlAction, OrderFilled
from abidance.model.order import OrderState
from abidance.run.bot import JOURNAL
from abidance.run.checkpoint import CHECKPOINT
from abidance.run.config import RunConfig
from abidance.run.reconciling import replica_of
from abidance.run.trading import LiveTrading
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.core import SELL, Force
from abidance.testing.exchange.desk import State, Ticket
from abidance.venues.account import Page
from tests.integration.test_live_perpetuals import Contracts
from tests.integration.test_live_trading import Market

D = Decimal
HELD = D("0.01")
ONCE = '''
from decimal import Decimal

from abidance.model.order import OrderRequest, Protection, Side
from abidance.strategy.base import EventStrategy


class Once(EventStrategy):
    """Buys once."""

    timeframe = "1m"

    def __init__(self):
        self.done = False

    def on_bar(self, bar, view):
        if self.done or not view.price(bar.instrument):
            return None
        self.done = True
        return [OrderRequest(self.name, bar.instrument, Side.BUY, Decimal("0.01"), protection={protection})]
'''


def once(folder: Path, protection: str) -> StrategyConfig:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "once.py"
    path.write_text(ONCE.format(protection=protection), encoding="utf-8")
    return StrategyConfig(strategy=f"{path}:Once", name="once", timeframe="1m", leverage=1)


class Spot(Market):
    """A bot that holds coins without a stop, for a stop would keep them from being sold by hand."""

    def guarded(self, **more: object) -> RunConfig:
        return self.config(strategies=(once(self.folder, "None"),), **more)


class Contract(Contracts):
    """A bot that holds a contract with a stop at the venue."""

    def guarded(self, **more: object) -> RunConfig:
        return super().guarded(strategies=(once(self.folder, "Protection(stop=bar.close * 0.1)"),), **more)


def sell(place: Market, quantity: Decimal) -> None:
    """Sell by hand, at market."""
    lots = int(quantity / place.market.instrument.lot)
    ticket = Ticket("by-hand", SELL, lots, force=Force.IOC)
    placed = place.exchange.desk.place(place.account, place.market, ticket, place.exchange.now)
    assert placed.filled == lots


def held(bot: LiveTrading) -> dict[str, Decimal]:
    return {each.strategy: each.quantity for each in bot.engine.state.portfolio.open_positions()}


@pytest.mark.parametrize("own", [D(0), D("0.5")])
async def test_a_strategy_loses_the_coins_that_were_sold_by_hand_and_not_those_of_their_owner(
    tmp_path: Path, own: Decimal
) -> None:
    place, seen, worth = Spot(tmp_path / "bot"), list[dict[str, Decimal]](), list[float]()
    if own:
        place.exchange.desk.transfer(place.account, "BTC", own, place.exchange.now)

    async def person(bot: LiveTrading) -> None:
        seen.append(held(bot))
        worth.append(bot.engine.state.equity())
        for asset, amount in (("USDT", D(20_000)), ("SOL", D(100))) if own else ():
            place.exchange.desk.transfer(place.account, asset, amount, place.exchange.now)
        sell(place, D("0.004"))
        await place.pass_time(20)
        seen.append(held(bot))
        worth.append(bot.engine.state.equity())
        bot.control(ControlAction.FLATTEN, "tester")
        await place.pass_time(5)

    async with place:
        bot = await place.live(130, person=person)

    before, after = seen
    assert before["once"] > D("0.009")
    assert after["once"] == (before["once"] if own else before["once"] - D("0.004"))
    assert "once" not in held(bot)
    assert OrderState.REJECTED not in {order.state for order in bot.engine.state.orders.all()}
    left = place.account.totals().get("BTC", D(0))
    assert left == pytest.approx(own - (D("0.004") if own else 0), abs=D("0.00001"))
    assert worth[1] == pytest.approx(worth[0], abs=20)  # 20,000 came that are none of its own
    codes = [notice.code for notice in bot._recorder.notices]
    assert ("gone_by_hand" in codes) is (not own)
    assert bot.engine.state.feeds.venues["BINANCE"].is_trusted
    assert replica_of(place.folder).portfolio.open_positions() == bot.engine.state.portfolio.open_positions()


async def test_coins_that_a_strategy_sold_untold_are_not_taken_for_those_that_their_owner_sold_of_his_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = Spot(tmp_path / "bot"), list[Mapping[str, Decimal]]()
    place.exchange.desk.transfer(place.account, "BTC", D("0.004"), place.exchange.now)

    async def person(bot: LiveTrading) -> None:
        (gateway,) = bot.gateways
        sell(place, D("0.004"))
        await place.pass_time(4)
        seen.append(held(bot))
        place.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
        told = gateway.dialect.proof
        with monkeypatch.context() as untold:
            untold.setattr(
                gateway.dialect, "proof", lambda *asked: told(*asked)._replace(executions=(), reports=())
            )
            untold.setattr(gateway.dialect, "read_executions", lambda *_: Page(()))
            bot.control(ControlAction.FLATTEN, "tester")
            await place.pass_time(1)
            comparing = asyncio.ensure_future(gateway.scales.compare())
            await place.pass_time(5)
            comparing.cancel()
            seen.append(held(bot))
        await place.pass_time(60)

    async with place:
        bot = await place.live(130, person=person)

    before, untold = seen
    assert before == untold
    assert held(bot) == {}
    assert bot.engine.state.portfolio.owner.position(place.market.instrument.id) == D("-0.004")
    assert "gone_by_hand" not in [notice.code for notice in bot._recorder.notices]
    assert bot.engine.state.feeds.venues["BINANCE"].is_trusted


async def test_coins_that_were_withdrawn_are_the_strategy_s_loss_and_a_restart_knows_it(
    tmp_path: Path,
) -> None:
    place, seen = Spot(tmp_path / "bot"), list[dict[str, Decimal]]()

    async def person(bot: LiveTrading) -> None:
        seen.append(held(bot))
        place.exchange.desk.transfer(place.account, "BTC", D("-0.004"), place.exchange.now)
        await place.pass_time(90)
        seen.append(held(bot))

    async with place:
        bot = await place.live(130, person=person)
        again = await place.live(10)

    assert seen[1]["once"] == seen[0]["once"] - D("0.004")
    assert held(again) == held(bot)
    for each in (bot, again):
        ledger = each.engine.state.portfolio.ledger
        assert ledger.balance("BINANCE", "BTC") == place.account.totals()["BTC"]
        assert ledger.balance("BINANCE", "USDT") - 10_000 == place.account.totals()["USDT"] - 20_000
        assert each.engine.state.feeds.venues["BINANCE"].is_trusted


def die_after(folder: Path, count: int) -> int:
    """Let a record end as if its process had died after so many entries of a loss; return how many there were."""
    journal, found = folder / JOURNAL, list[int]()
    with journal.open("rb") as file:
        header, start = read_opening(file, JOURNAL)
        codec = Codec(header.instruments)
        for payload, mark in walk(file, start):
            event = codec.decode(payload).event
            named = event.fill.order_id if isinstance(event, OrderFilled) else getattr(event, "reason", "")
            if named.startswith("by hand "):
                found.append(mark.offset)
    with journal.open("r+b") as file:
        file.truncate(found[count - 1])
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return len(found)


@pytest.mark.parametrize("entries", [1, 2])
async def test_coins_that_were_withdrawn_are_lost_once_though_the_process_dies_while_it_books_that(
    tmp_path: Path, entries: int
) -> None:
    place, seen = Spot(tmp_path / "bot"), list[dict[str, Decimal]]()

    async def person(bot: LiveTrading) -> None:
        seen.append(held(bot))
        place.exchange.desk.transfer(place.account, "BTC", D("-0.004"), place.exchange.now)
        await place.pass_time(90)

    async with place:
        whole = await place.live(130, person=person)
        assert die_after(place.folder, entries) == 3
        again = await place.live(10)
        once_more = await place.live(10)

    assert held(again) == held(whole) == {"once": seen[0]["once"] - D("0.004")}
    for bot in (again, once_more):
        now, then = bot.engine.state.portfolio.ledger, whole.engine.state.portfolio.ledger
        assert now.balances("BINANCE") == then.balances("BINANCE")
        assert now.purse("BINANCE") == then.purse("BINANCE")
        assert bot.engine.state.feeds.venues["BINANCE"].is_trusted


async def test_wrong_answers_long_after_the_owner_took_coins_of_his_own_take_nothing_from_strategies(
    tmp_path: Path,
) -> None:
    place, seen = Spot(tmp_path / "bot"), list[tuple[dict[str, Decimal], bool]]()
    place.exchange.desk.transfer(place.account, "BTC", D("0.5"), place.exchange.now)

    async def wrong(bot: LiveTrading) -> None:
        for there in (D(0), D("-0.008"), D("0.008")):
            place.account.purse("BTC").free += there
            await place.pass_time(70)
            seen.append((held(bot), bot.engine.state.feeds.venues["BINANCE"].is_trusted))

    async def person(bot: LiveTrading) -> None:
        place.exchange.desk.transfer(place.account, "BTC", D("-0.5"), place.exchange.now)
        await place.pass_time(130)
        await wrong(bot)

    async with place:
        await place.live(130, person=person)
        await place.live(10, person=wrong)

    assert [trusted for _, trusted in seen] == [True, False, True] * 2
    assert len({tuple(each.items()) for each, _ in seen}) == 1


async def test_who_takes_out_more_than_is_his_leaves_the_ledger_and_stops_new_risk(tmp_path: Path) -> None:
    place, seen = Spot(tmp_path / "bot"), list[tuple[float, Decimal, bool]]()

    async def person(bot: LiveTrading) -> None:
        for amount in (D(0), D(-5_000), D(-10_000), D(10_000)):  # half of the 20,000 is the run's
            if amount:
                place.exchange.desk.transfer(place.account, "USDT", amount, place.exchange.now)
            await place.pass_time(70)
            state = bot.engine.state
            is_trusted = state.feeds.venues["BINANCE"].is_trusted
            seen.append((state.equity(), state.portfolio.balance("BINANCE", "USDT"), is_trusted))

    async with place:
        await place.live(400, person=person)

    assert [trusted for *_, trusted in seen] == [True, True, False, True]
    assert len({cash for _, cash, _ in seen}) == 1
    assert max(equity for equity, *_ in seen) - min(equity for equity, *_ in seen) < 50


@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT"])
async def test_a_contract_sold_by_hand_is_the_strategy_s_and_its_stop_follows(
    tmp_path: Path, venue: str
) -> None:
    place, stops = Contract(tmp_path / "bot", venue), list[Decimal]()

    def stand() -> None:
        lot = place.market.instrument.lot
        waiting = [o for o in place.exchange.desk.orders.values() if o.state is State.WAITING]
        stops.append(sum((o.ticket.lots * lot for o in waiting), D(0)))

    async def person(_: LiveTrading) -> None:
        stand()
        sell(place, D("0.004"))
        await place.pass_time(20)
        stand()

    async with place:
        bot = await place.live(130, person=person)
        again = await place.live(10)

    assert stops == [HELD, HELD - D("0.004")]
    assert held(bot) == held(again) == {"once": HELD - D("0.004")}
