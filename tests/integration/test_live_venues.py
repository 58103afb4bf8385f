"""A bot with real orders elsewhere than at Binance spot, over real sockets: each dialect with everything around it."""

from decimal import Decimal
from pathlib import Path

import pytest

from abidance.model.order import OrderType
from abidance.run.config import RunConfig
from abidance.run.trading import Access, LiveTrading
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.testing.exchange.desk import State
from abidance.venues.account import Credentials
from abidance.venues.dialects import dialect_of
from abidance.venues.net.config import AddressConfig, FeedConfig
from tests.integration.live_bench import START
from tests.integration.test_live_paper import PAST
from tests.integration.test_live_trading import Market
from tests.unit.venues.trading_world import PHRASE, SCENES, SECRET

D = Decimal


class Elsewhere(Market):
    """A local exchange of any venue with an account that has money, in a wallet of its own if one is named."""

    def __init__(self, folder: Path, venue: str, wallet: str = "") -> None:
        super().__init__(folder)
        self.wallets = {venue: wallet} if wallet else {}
        self.venue, self.id = venue, f"BTC/USDT@{venue}"
        self.market = generated(self.id, 11, START, past_seconds=PAST * 60, pace=5.0)
        owner = Account("a-key", SECRET, PHRASE)
        self.account = owner.open_margin() if wallet else owner
        self.exchange = LocalExchange([self.market], start=START, accounts=[owner])
        self.exchange.desk.transfer(self.account, "USDT", D(20_000), START)

    @property
    def access(self) -> dict[str, Access]:
        keys = Credentials(self.account.key, self.account.secret, self.account.passphrase)
        return {self.venue: Access(keys, self.exchange.rest_url, self.stream_url)}

    @property
    def stream_url(self) -> str:
        """Return the address under which the venue's streams begin, as a configuration names it."""
        return self.exchange.point(dialect_of(self.market.instrument)).stream_url

    def config(self, **more: object) -> RunConfig:
        address = AddressConfig(rest_url=self.exchange.rest_url, stream_url=self.stream_url)
        feed = FeedConfig(addresses={self.venue: address}, anomalies=False)
        own = {"instruments": (self.id,), "feed": feed, "spot_wallets": self.wallets}
        return super().config(**{**own, **more})

    def agrees(self, bot: LiveTrading) -> None:
        named = SCENES[self.venue].execution
        ours = {named(part.id) for order in self.exchange.desk.orders.values() for part in order.parts}
        assert {fill.id for fill in bot.engine.fills} == ours
        ledger = bot.engine.state.portfolio.ledger.balances(self.venue)
        there = self.account.totals()
        assert ledger.get("BTC", D(0)) == there.get("BTC", D(0))
        assert ledger["USDT"] - D(10_000) == there["USDT"] - D(20_000)


@pytest.fixture(params=["BYBIT", "KRAKEN", "KUCOIN", "MEXC", "BINANCE cross_margin", "KUCOIN cross_margin"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path / "bot", *request.param.split())


async def test_real_orders_are_sent_and_both_books_agree_to_the_last_unit(place: Elsewhere) -> None:
    async with place:
        bot = await place.live(60 * 25)

        assert len(bot.engine.fills) >= 2
        place.agrees(bot)


async def test_an_open_position_has_its_stop_at_the_exchange_or_with_us(place: Elsewhere) -> None:
    async with place:
        bot = await place.until_held()

        waiting = [o for o in place.exchange.desk.orders.values() if o.state is State.WAITING]
        (gateway,) = bot.gateways
        stops = [each for each in gateway.register.open() if each.request.type is OrderType.STOP]
        is_native = OrderType.STOP in gateway.dialect.capability.native
        assert len(waiting) == is_native
        assert [each.held for each in stops] == [not is_native]
        # What we watched is told when we stop, with its price; what the venue keeps is not.
        watched = [f"{each.request.quantity} at {each.request.trigger}" for each in stops if not is_native]
        assert [told.partition(": stop of ")[2] for told in bot.unguarded()] == watched
        place.agrees(bot)
