"""A bot with real orders in perpetuals, over real sockets: short and long, funding, a liquidation, a new process."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from abidance.engine.config import StrategyConfig
from abidance.model.account import RoundTrip
from abidance.model.errors import ConfigError, UsageError
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Direction, OrderType, Purpose, Side
from abidance.portfolio.ledger import AccountKind
from abidance.run.bot import JOURNAL
from abidance.run.config import RunConfig
from abidance.run.perpetuals import PerpetualsConfig
from abidance.run.reconciling import differences, replica_of
from abidance.run.trading import LiveTrading
from abidance.strategy.config import ExitsConfig
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.testing.exchange.desk import State
from abidance.testing.exchange.market import FUNDING_NS
from abidance.venues.net.real import AiohttpTransport
from tests.integration.live_bench import breathe
from tests.integration.test_live_paper import PAST
from tests.integration.test_live_venues import Elsewhere
from tests.unit.venues.net_world import HandPulse
from tests.unit.venues.trading_world import SECRET

D = Decimal
DUE = (1_760_000_040 * SECOND_NS // FUNDING_NS + 1) * FUNDING_NS
BEGIN = DUE - 7 * 60 * SECOND_NS
ROUNDING = D("0.000001")
"""The exchange rounds what each execution realises; we keep every digit."""


class _Evening(HandPulse):
    """Time that begins seven minutes before funding is paid."""

    def wall(self) -> int:
        return BEGIN + round(self.now * 1e9)


class Contracts(Elsewhere):
    """A local exchange of perpetuals with an account that has money."""

    margin: Literal["cross", "isolated"] = "cross"

    def __init__(self, folder: Path, venue: str) -> None:
        super().__init__(folder, venue)
        self.pulse = _Evening()  # type: ignore[assignment]
        self.id = f"BTC/USDT:USDT@{venue}"
        self.market = generated(self.id, 11, BEGIN, past_seconds=PAST * 60, pace=5.0)
        self.account = Account("a-key", SECRET)
        self.exchange = LocalExchange([self.market], start=BEGIN, accounts=[self.account])
        self.exchange.desk.transfer(self.account, "USDT", D(20_000), BEGIN)

    def guarded(self, **more: object) -> RunConfig:
        cross = StrategyConfig(
            strategy="EmaCross",
            name="cross",
            parameters={"fast": 2, "slow": 5, "short": True},
            exits=ExitsConfig(stop_loss=0.02),
            allow_short=True,
            leverage=2,
        )
        return self.config(
            **{
                "strategies": (cross,),
                "perpetuals": PerpetualsConfig(margin=self.margin, set_at_venue=True),
                **more,
            }
        )

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            await self.exchange.advance(1.0)
            await breathe(20)
            await self.pulse.advance(1.0)
            await breathe(10)

    @property
    def held(self) -> Decimal:
        return (
            self.exchange.desk.clearing.position(self.account, self.market).lots * self.market.instrument.lot
        )

    def agrees(self, bot: LiveTrading) -> None:
        """Compare the exchange's books with ours, which share no code."""
        ours = {str(part.id) for order in self.exchange.desk.orders.values() for part in order.parts}
        portfolio = bot.engine.state.portfolio
        assert {fill.id.partition("/")[0] for fill in bot.engine.fills} == ours
        assert sum((each.quantity for each in portfolio.open_positions()), D(0)) == self.held
        there = self.account.totals()["USDT"] - D(20_000)
        assert abs(portfolio.ledger.balance(self.venue, "USDT") - D(10_000) - there) < ROUNDING
        paid = [each.amount for each in self.account.ledger if each.why == "funding"]
        booked = [
            each.amount
            for each in portfolio.ledger.entries()
            if each.kind is AccountKind.FUNDING and each.account.kind is AccountKind.WALLET
        ]
        replica = replica_of(self.folder)
        assert replica.fills == bot.engine.fills
        assert replica.portfolio.open_positions() == portfolio.open_positions()
        assert replica.portfolio.ledger.balances(self.venue) == portfolio.ledger.balances(self.venue)
        assert len(booked) == len(paid)
        assert abs(sum(booked, D(0)) - sum(paid, D(0))) < ROUNDING


def trips(bot: LiveTrading) -> list[RoundTrip]:
    """Return the round trips that ended, and those that did not."""
    portfolio = bot.engine.state.portfolio
    return [*portfolio.round_trips, *portfolio.open_round_trips()]


@pytest.fixture(params=["BINANCE", "BYBIT"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Contracts:
    return Contracts(tmp_path / "bot", request.param)


async def test_a_bot_goes_short_and_long_through_funding_and_a_restart_and_both_books_agree(
    place: Contracts,
) -> None:
    async with place:
        place.agrees(await place.live(60 * 5))
        bot = await place.live(60 * 6)
        place.agrees(bot)
        async with AiohttpTransport(heartbeat=0) as transport:
            replica = replica_of(place.folder)
            assert await differences(replica, place.access, transport, place.pulse) == []

        sides = {fill.side for fill in bot.engine.fills}
        ids = [order.ticket.client_id for order in place.exchange.desk.orders.values()]
        assert sides == {Side.BUY, Side.SELL}
        assert len(ids) == len(set(ids)) >= 4
        assert [each for each in place.account.ledger if each.why == "funding"]
        assert any(trip.direction is Direction.SHORT for trip in trips(bot))
        assert place.exchange.desk.clearing.position(place.account, place.market).leverage == 2


async def test_a_stop_stands_at_the_exchange_and_a_liquidation_is_booked_to_who_held_the_position(
    place: Contracts,
) -> None:
    async with place:
        bot = await place.until_held()
        held, purse = place.held, place.account.purse("USDT")
        (stop,) = (o for o in place.exchange.desk.orders.values() if o.state is State.WAITING)
        native = [e.held for e in bot.gateways[0].register.open() if e.request.type is OrderType.STOP]
        place.exchange.desk.transfer(place.account, "USDT", -purse.free, place.pulse.wall())
        await place.pass_time(10)
        left = place.held

        bot = await place.live(20)

        forced = [fill for fill in bot.engine.fills if fill.purpose is Purpose.LIQUIDATION]
        assert (stop.ticket.reduces, stop.ticket.closes, native) == (True, False, [False])
        assert stop.ticket.lots * place.market.instrument.lot == abs(held)
        assert held
        assert not left
        assert sum((fill.quantity * fill.side.sign for fill in forced), D(0)) == -held
        assert {fill.strategy for fill in forced} == {"cross"}
        assert replica_of(place.folder).fills == bot.engine.fills
        assert not bot.engine.state.portfolio.open_positions()


async def test_a_bot_trades_with_isolated_margin_and_a_liquidation_takes_that_alone(place: Contracts) -> None:
    clearing, desk = place.exchange.desk.clearing, place.exchange.desk
    position = clearing.position(place.account, place.market)
    place.margin = "isolated"
    position.is_isolated = place.venue == "BYBIT"  # one for the whole account there, and never set by us
    async with place:
        bot = await place.until_held()
        place.agrees(bot)
        held, own = place.held, position.wallet
        stood = abs(position.cost) / 2
        position.wallet = clearing.maintenance(place.market, position) - clearing.unrealised(
            place.market, position
        )
        before = place.account.purse("USDT").total
        await place.pass_time(10)
        left, lost = place.held, before - place.account.purse("USDT").total

        bot = await place.live(20)

        forced = [fill for fill in bot.engine.fills if fill.purpose is Purpose.LIQUIDATION]
        assert position.is_isolated
        assert abs(own - stood) < stood / 50  # what a leverage of 2 asks for; it has borne a funding
        assert held
        assert not left
        assert lost < own / 10  # of 20,000 that lay beside it nothing was touched
        assert sum((fill.quantity * fill.side.sign for fill in forced), D(0)) == -held
        assert {fill.strategy for fill in forced} == {"cross"}
        assert [o for o in desk.orders.values() if o.is_liquidation]
        assert not bot.engine.state.portfolio.open_positions()


async def test_nothing_is_sent_while_the_account_is_set_otherwise_than_the_configuration(
    place: Contracts,
) -> None:
    async with place:
        with pytest.raises(ConfigError, match="leverage 20 at the venue and 2 in the configuration"):
            await place.live(60, perpetuals=PerpetualsConfig())
        with pytest.raises(ConfigError, match="cross margin at the venue and isolated in the configuration"):
            await place.live(60, perpetuals=PerpetualsConfig(margin="isolated"))
        place.account.is_hedged = True
        with pytest.raises(ConfigError, match="hedge mode, where long and short are held apart"):
            await place.live(60)

        assert not place.exchange.desk.orders
        assert not (place.folder / JOURNAL).exists()


async def test_two_strategies_cannot_hold_one_perpetual(place: Contracts) -> None:
    slow, fast = (
        StrategyConfig(strategy="EmaCross", name=name, leverage=leverage, allocation=0.5)
        for name, leverage in (("slow", 1), ("fast", 3))
    )

    async with place:
        with pytest.raises(ConfigError, match="slow and fast may both hold BTC/USDT:USDT"):
            await place.live(60, strategies=(slow, fast))


async def test_spot_and_perpetuals_of_binance_are_traded_in_runs_of_their_own(tmp_path: Path) -> None:
    place = Contracts(tmp_path / "bot", "BINANCE")

    async with place:
        with pytest.raises(UsageError, match="keeps money for"):
            await place.live(60, instruments=("BTC/USDT@BINANCE", place.id))
