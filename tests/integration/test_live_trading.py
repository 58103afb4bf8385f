"""A bot with real orders at a local exchange, over real sockets, in a time that the test moves."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.engine.config import StrategyConfig
from abidance.journal.store import read
from abidance.kernel.log import logger
from abidance.model.command import Submit
from abidance.model.errors import ConfigError, JournalError, UsageError
from abidance.model.event import ControlAction, OrderFilled
from abidance.model.order import Purpose, Side
from abidance.model.outcome import Decided, RefusalCode, Refused
from abidance.risk.state import Standing
from abidance.run import live
from abidance.run.bot import JOURNAL, Moment
from abidance.run.checkpoint import CHECKPOINT
from abidance.run.config import RunConfig
from abidance.run.door import Answer, Wish, ask
from abidance.run.killing import Extent, kill, release
from abidance.run.live import gather_begun, open_live
from abidance.run.reconciling import differences, replica_of
from abidance.run.replica import Replica
from abidance.run.rules import Ask
from abidance.run.setup import Material
from abidance.run.strangers import strangers_at
from abidance.run.trading import Access, LiveTrading
from abidance.strategy.config import ExitsConfig
from abidance.testing.exchange import Account, Fault, LocalExchange, Wrong, generated
from abidance.testing.exchange.core import BUY, Force
from abidance.testing.exchange.desk import State, Ticket
from abidance.venues.account import Credentials, Execution
from abidance.venues.ccxt.terms import fetch_terms
from abidance.venues.net.budget import Budgets
from abidance.venues.net.line import World
from abidance.venues.net.real import AiohttpTransport
from abidance.venues.trading.books import told
from tests.integration.live_bench import START, HandDisk, breathe
from tests.integration.test_live_paper import BTC, PAST, Place

D = Decimal


def decided(folder: Path) -> list[Decided]:
    """Return what a bot has on record as decided, oldest first."""
    return [record.event for record in read(folder / JOURNAL).records if isinstance(record.event, Decided)]


def refused(folder: Path) -> list[RefusalCode]:
    """Return why risk refused orders of a bot, by its record, oldest first."""
    return [
        verdict.code for each in decided(folder) for verdict in each.verdicts if isinstance(verdict, Refused)
    ]


class Market(Place):
    """A local Binance with an account that has money."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.market = generated(BTC, 11, START, past_seconds=PAST * 60, pace=5.0)
        self.account = Account("a-key", "a-secret")
        self.exchange = LocalExchange([self.market], start=START, accounts=[self.account])
        self.exchange.desk.transfer(self.account, "USDT", D(20_000), START)
        self.last: LiveTrading | None = None
        self.exits = ExitsConfig(stop_loss=0.02)
        self.rules: Ask | None = None
        self.disk = HandDisk()
        self.doubt = ""
        """Why the account may be another one's."""

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            await self.exchange.advance(0.5)
            await breathe(20)
            await self.pulse.advance(0.5)
            await breathe(10)

    @property
    def access(self) -> dict[str, Access]:
        keys = Credentials(self.account.key, self.account.secret)
        return {"BINANCE": Access(keys, self.exchange.rest_url, self.exchange.stream_url)}

    def guarded(self, **more: object) -> RunConfig:
        """Return a configuration whose entries have a stop."""
        cross = StrategyConfig(
            strategy="EmaCross",
            name="cross",
            parameters={"fast": 2, "slow": 5},
            exits=self.exits,
        )
        return self.config(strategies=(cross,), **more)

    def made(self, material: Material) -> LiveTrading:
        """Return the bot before it begins."""
        return LiveTrading(
            material,
            self.folder,
            self.access,
            apart=lambda: self.disk,
            rules=self.rules,
            lease=lambda: self.doubt,
        )

    async def live(
        self,
        seconds: float,
        after: float = 0.0,
        extent: Extent = Extent.ENTRIES,
        person: Callable[[LiveTrading], Awaitable[None]] | None = None,
        **more: object,
    ) -> LiveTrading:
        """Let a bot with real orders live for so long, then meet a person, and return it, closed."""
        config = self.guarded(**more)
        now = self.pulse.wall()
        material = await gather_begun(config, self.history, None, self.folder, now)
        with self.made(material) as bot:
            self.last = bot
            async with AiohttpTransport(heartbeat=0) as transport:
                world = World(transport, self.pulse, Budgets(self.pulse), lambda: 0.5, logger("test"))
                running = asyncio.ensure_future(
                    bot.run(world, lambda: False, self.moments.append, self.history)
                )
                async with asyncio.timeout(60):
                    while not (bot.relay.is_open or running.done()):  # ccxt is loaded in real time
                        await breathe()
                await self.pass_time(seconds)
                if person is not None:
                    await person(bot)
                if after:
                    kill(self.folder, "tester", extent)
                    await self.pass_time(after)
                if running.done():
                    running.result()
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
        return bot

    async def until_held(self) -> LiveTrading:
        """Let bots live one after the other until one ends with a position."""
        for minutes in (7, 5, 3, 4, 5, 6, 7, 8):
            bot = await self.live(60 * minutes + 20)
            if bot.engine.state.portfolio.open_positions():
                return bot
        raise AssertionError("no position was ever held")

    def agrees(self, bot: LiveTrading) -> None:
        """Compare the exchange's books with ours, which share no code."""
        ours = {str(part.id) for order in self.exchange.desk.orders.values() for part in order.parts}
        assert {fill.id for fill in bot.engine.fills} == ours
        ledger = bot.engine.state.portfolio.ledger.balances("BINANCE")
        there = self.account.totals()
        assert ledger.get("BTC", D(0)) == there.get("BTC", D(0))
        opening = D(10_000)
        assert ledger["USDT"] - opening == there["USDT"] - D(20_000)


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Market:
    monkeypatch.setattr(live, "CHECKPOINT_EVERY", 300)  # every start goes over one
    return Market(tmp_path / "bot")


async def test_real_orders_are_sent_and_both_books_agree_to_the_last_unit(place: Market) -> None:
    async with place:
        bot = await place.live(60 * 25)

        assert len(bot.engine.fills) >= 2
        assert {fill.purpose for fill in bot.engine.fills} & {Purpose.ENTRY}
        place.agrees(bot)


async def test_every_order_is_on_record_before_the_exchange_has_it(place: Market) -> None:
    async with place:
        await place.live(60 * 25)

        intended = {
            command.order_id
            for each in decided(place.folder)
            for command in each.commands
            if isinstance(command, Submit)
        }
        assert {order.ticket.client_id for order in place.exchange.desk.orders.values()} <= intended
        assert len(intended) >= 2


async def test_an_open_position_has_its_stop_at_the_exchange(place: Market) -> None:
    async with place:
        bot = await place.until_held()

        waiting = [o for o in place.exchange.desk.orders.values() if o.state is State.WAITING]
        position = bot.engine.state.portfolio.open_positions()[0]
        assert len(waiting) == 1
        assert waiting[0].ticket.lots * place.market.instrument.lot <= position.quantity
        place.agrees(bot)


async def test_a_bot_that_starts_again_repeats_its_record_and_sends_nothing_twice(place: Market) -> None:
    async with place:
        for _ in range(6):
            bot = await place.live(60 * 4)
            place.agrees(bot)

        ids = [order.ticket.client_id for order in place.exchange.desk.orders.values()]
        assert len(ids) == len(set(ids)) >= 2


async def test_a_start_repeats_only_what_came_after_the_last_checkpoint(place: Market) -> None:
    async with place:
        first = await place.live(60 * 4)
        material = await gather_begun(place.guarded(), place.history, None, place.folder, place.pulse.wall())

        with LiveTrading(material, place.folder, place.access) as after:
            repeated, known = after.journal.recorded, after.resumed
            moment = after.engine.state.now
        (place.folder / CHECKPOINT).write_bytes(b"damaged")
        with LiveTrading(material, place.folder, place.access) as whole:
            everything = whole.journal.recorded

        assert known == everything == first.journal.seq
        assert 0 <= repeated < 400 < everything
        assert 0 < moment <= first.engine.state.now


async def test_what_filled_while_nobody_ran_is_booked(place: Market) -> None:
    async with place:
        await place.until_held()
        (stop,) = (o for o in place.exchange.desk.orders.values() if o.state is State.WAITING)
        stop.ticket.trigger = place.market.tape.price[-1] + 10**6
        stop.rising = False
        await place.pass_time(20)
        filled = stop.state

        bot = await place.live(60)

        assert filled is State.FILLED
        assert any(fill.purpose is Purpose.STOP_LOSS for fill in bot.engine.fills)
        place.agrees(bot)


async def test_lost_answers_lead_to_no_second_order(place: Market) -> None:
    async with place:
        place.exchange.faults.add(Fault(Wrong.LOST, "/api/v3/order", times=0))

        bot = await place.live(60 * 25)

        ids = [order.ticket.client_id for order in place.exchange.desk.orders.values()]
        assert len(ids) == len(set(ids)) >= 2
        place.agrees(bot)


async def test_nothing_new_is_risked_before_the_account_was_compared(place: Market) -> None:
    async with place:
        place.exchange.faults.add(Fault(Wrong.ERROR, "/api/v3/myTrades", times=0))

        bot = await place.live(60 * 20)

        assert RefusalCode.VENUE_NOT_TRUSTED in refused(place.folder)
        assert bot.engine.fills == []


async def test_the_kill_switch_stops_the_bot_and_stays_thrown_over_a_restart(place: Market) -> None:
    async with place:
        await place.until_held()
        await place.live(5, after=5, extent=Extent.ALL)
        standing = [o for o in place.exchange.desk.orders.values() if o.state.is_working]

        bot = await place.live(60 * 12)
        placed = len(place.exchange.desk.orders)
        release(place.folder)
        again = await place.live(60 * 20)

        assert [o for o in standing if o.state.is_working and o.ticket.side > 0] == []
        assert not any(
            f.purpose is Purpose.ENTRY and f.ts > START + 60 * 10**9 * 60 for f in bot.engine.fills
        )
        assert len(place.exchange.desk.orders) > placed
        place.agrees(again)


async def test_paper_and_live_records_are_not_mixed(place: Market) -> None:
    async with place:
        await place.live(30)

        with pytest.raises(JournalError, match=r"another mode \(live, not paper on live data\)"):
            await open_live(
                place.guarded(), place.history, None, place.folder, place.pulse.wall(),
            )  # fmt: skip


async def test_nor_are_live_and_paper_records(place: Market) -> None:
    async with place:
        paper = await open_live(place.guarded(), place.history, None, place.folder, place.pulse.wall())
        paper.__exit__()

        with pytest.raises(JournalError, match=r"another mode \(paper on live data, not live\)"):
            await place.live(30)


async def test_an_account_without_money_is_told(place: Market) -> None:
    async with place:
        place.account.purses.clear()

        with pytest.raises(ConfigError, match="no USDT to trade with at BINANCE"):
            await place.live(10)


async def test_money_that_is_gone_from_the_account_stops_new_risk(place: Market) -> None:
    async with place:
        await place.live(60)
        place.exchange.desk.transfer(place.account, "USDT", D(-15_000), place.exchange.now)

        bot = await place.live(130)

        status = bot.engine.state.feeds.venues["BINANCE"]
        assert not status.is_trusted
        assert "USDT: the venue has 5000" in " ".join(status.reasons)
        assert not [e for e in bot.engine.fills if isinstance(e, OrderFilled)]


async def test_coins_that_are_gone_are_written_off_when_a_person_accepts_it(place: Market) -> None:
    async with place:
        held = await place.until_held()
        (stop,) = (o for o in place.exchange.desk.orders.values() if o.state is State.WAITING)
        place.exchange.desk.cancel(stop, place.exchange.now)
        lost = held.engine.state.portfolio.open_positions()[0].quantity / 2
        place.exchange.desk.transfer(place.account, "BTC", -lost, place.exchange.now)
        answers: list[Answer] = []

        async def person(bot: LiveTrading) -> None:
            account, id = bot.gateways[0], place.market.instrument.id
            sold = Execution("x", "", "v", id, Side.SELL, lost, D(1), D(0), "USDT", 0)
            for strays, seen in (({}, "nothing"), ({sold.key: [sold]}, ""), ({}, "")):
                account.register.strays.update(strays)
                text = seen or told(account.scales.gaps())
                values: dict[str, float | int | str | bool] = {"seen": text, "reason": "in cold storage"}
                wish = Wish(ControlAction.ADJUST, "tester", values=values)
                answers.append(await asyncio.to_thread(ask, place.folder, wish))
                account.register.strays.clear()

        bot = await place.live(70, person=person)
        again = await place.live(10)

        refused, early, accepted = answers
        assert refused.error.startswith("The bot sees something else: BTC: the venue has ")
        assert early.error.startswith("Orders are under way whose fills may be what differs")
        assert accepted.notices[0].text == "tester brings our books in line with the account: in cold storage"
        for each in (bot, again):
            ledger = each.engine.state.portfolio.ledger
            assert each.engine.state.feeds.venues["BINANCE"].is_trusted
            assert ledger.balance("BINANCE", "BTC") == place.account.totals().get("BTC", D(0))
            assert ledger.balance("BINANCE", "USDT") - 10_000 == place.account.totals()["USDT"] - 20_000
            assert not any(ledger.totals().values())
        (stop,) = (o for o in place.exchange.desk.orders.values() if o.state is State.WAITING)
        (position,) = again.engine.state.portfolio.open_positions()
        lot = place.market.instrument.lot
        assert position.quantity - lot < stop.ticket.lots * lot <= position.quantity


async def test_a_record_is_compared_with_its_account_and_every_difference_is_named(place: Market) -> None:
    async with place:
        await place.until_held()
        async with AiohttpTransport(heartbeat=0) as transport:
            agree = await differences(replica_of(place.folder), place.access, transport, place.pulse)
            by_hand = Ticket("by-hand", BUY, 10, force=Force.IOC)
            place.exchange.desk.place(place.account, place.market, by_hand, place.exchange.now)
            rests = Ticket("rests", BUY, 100, place.market.tape.price[-1] - 50_000)
            place.exchange.desk.place(place.account, place.market, rests, place.exchange.now)
            (stop,) = (o for o in place.exchange.desk.orders.values() if o.state is State.WAITING)
            place.exchange.desk.cancel(stop, place.exchange.now)
            place.exchange.desk.transfer(place.account, "USDT", D(-15_000), place.exchange.now)

            differ = await differences(replica_of(place.folder), place.access, transport, place.pulse)

        assert agree == []
        told = {each.about.partition(" ")[0]: each.text for each in differ}
        assert set(told) == {"execution", "rests", stop.ticket.client_id, "USDT"}
        assert "does not stand" in told[stop.ticket.client_id]
        assert "is not of this bot" in told["rests"]


async def test_steps_that_the_venue_changes_while_a_bot_runs_are_taken_over_and_a_restart_knows_them(
    place: Market,
) -> None:
    async def person(bot: LiveTrading) -> None:
        async with asyncio.timeout(60):  # ccxt asks in real time, which this clock does not wait for
            while bot.engine.state.instruments[BTC].tick != D(10):
                await breathe()
        await place.pass_time(1)

    async with place:
        place.rules = lambda venue: fetch_terms(venue, place.config().feed)
        coarse = {"tick": D(10), "lot": D("0.001")}
        place.market.change_filters(**coarse)
        await place.live(75, person=person)  # the first question is due after a minute
        bot = await place.live(60 * 5)

        orders = [each.ticket for each in place.exchange.desk.orders.values()]
        assert orders
        assert all(each.lots * place.market.instrument.lot % coarse["lot"] == 0 for each in orders)
        stops = [each.trigger for each in orders if each.trigger is not None]
        assert stops
        assert all(each * place.market.instrument.tick % coarse["tick"] == 0 for each in stops)
        replica = replica_of(place.folder)
        assert (replica.state.instruments[BTC].tick, replica.state.instruments[BTC].lot) == (
            D(10),
            D("0.001"),
        )
        assert bot.engine.state.instruments[BTC] == replica.state.instruments[BTC]


async def test_a_market_that_the_venue_takes_off_its_list_is_entered_no_more_until_it_is_back(
    place: Market,
) -> None:
    def told(bot: LiveTrading) -> list[str]:
        return [each.code for each in bot._recorder.notices if each.code in ("not_listed", "listed_again")]

    async def seen(bot: LiveTrading, count: int) -> None:
        async with asyncio.timeout(60):  # ccxt asks in real time, which this clock does not wait for
            while len(told(bot)) < count:
                await place.pass_time(10)

    async def person(bot: LiveTrading) -> None:
        place.exchange.desk.delist(place.market, place.exchange.now)
        await seen(bot, 1)
        before = len(place.exchange.desk.orders)
        await place.pass_time(60 * 5)
        assert len(place.exchange.desk.orders) == before
        place.market.is_listed = True
        await seen(bot, 2)
        await place.pass_time(60 * 10)
        assert len(place.exchange.desk.orders) > before

    async with place:
        place.rules = lambda venue: fetch_terms(venue, place.config().feed)
        bot = await place.live(60, person=person)

        assert told(bot) == ["not_listed", "listed_again"]


async def test_orders_that_nobody_here_knows_are_told_at_the_start_and_left_alone(
    place: Market, caplog: pytest.LogCaptureFixture
) -> None:
    async with place:
        desk, ticks = place.exchange.desk, place.market.tape.price[-1]
        first = desk.place(place.account, place.market, Ticket("lost", BUY, 100, ticks - 50_000), START)
        async with AiohttpTransport(heartbeat=0) as transport:
            before = await strangers_at(place.guarded(), place.access, transport, place.pulse)
        await place.live(30)

        told, stood = place.moments[-1].feeds, first.state.is_working
        desk.cancel(first, place.exchange.now)
        await place.live(30)

        assert [text.partition(":")[0] for text in before] == [
            "1 open order at BINANCE not on record, left alone"
        ]
        assert "(lost)" in before[0]
        assert "1 open order at BINANCE not on record" in told
        assert any(
            "orders_not_on_record" in str(each.msg) and "(lost)" in str(each.msg) for each in caplog.records
        )
        assert "not on record" not in place.moments[-1].feeds
        assert stood


async def test_of_two_exits_of_one_position_the_one_that_gives_way_is_no_difference(place: Market) -> None:
    async with place:
        place.exits = ExitsConfig(stop_loss=0.02, take_profit=0.05)
        bot = await place.until_held()
        async with AiohttpTransport(heartbeat=0) as transport:
            agree = await differences(replica_of(place.folder), place.access, transport, place.pulse)
            (there,) = (o for o in place.exchange.desk.orders.values() if o.state.is_working)
            place.exchange.desk.cancel(there, place.exchange.now)

            differ = await differences(replica_of(place.folder), place.access, transport, place.pulse)

        exits = {order.id for order in bot.engine.state.orders.open() if order.request.reduce_only}
        assert len(exits) == 2
        assert there.ticket.trigger is not None
        assert agree == []
        assert {each.about for each in differ} == exits


async def test_a_market_where_no_orders_can_be_sent_is_refused_before_any_order(place: Market) -> None:
    material = await gather_begun(
        place.config(instruments=("BTC/USDT:USDT@KUCOIN",)), None, None, place.folder, place.pulse.wall()
    )

    with pytest.raises(UsageError, match="Real orders in perpetual instruments of KUCOIN"):
        LiveTrading(material, place.folder, {})


async def test_a_bot_stands_reducing_until_its_account_was_compared(place: Market) -> None:
    seen: list[str] = []

    class Watched(list[Moment]):
        def append(self, moment: Moment) -> None:
            seen.append(moment.engine.standing().state.value)

    place.moments = Watched()
    async with place:
        await place.live(10)
    record = read(place.folder / JOURNAL)
    replica = Replica(record.header)
    replica.take(record.records)
    told = [each.what.state.value for each in replica.changes if isinstance(each.what, Standing)]

    assert [*dict.fromkeys(seen)] == ["reducing", "active"]
    assert told == ["reducing", "active"]
