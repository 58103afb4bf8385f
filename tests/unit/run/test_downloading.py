"""Downloads from a local exchange in the dialects of five venues, whose truth is known."""

from pathlib import Path

import numpy as np
import pytest

from abidance.market.backfill import Step
from abidance.market.store import BarStore, FundingStore, Place, Tables, holes, open_tables
from abidance.model.errors import UsageError, VenueError
from abidance.model.instrument import SECOND_NS
from abidance.run.downloading import CatchUp, Outcome, Wish, download
from abidance.testing.exchange import Fault, Faults, LocalExchange, Market, Wrong, generated
from abidance.venues.ccxt import history
from abidance.venues.net.config import FeedConfig
from abidance.venues.net.real import RealPulse

HOUR = 3_600 * SECOND_NS
MINUTE = 60 * SECOND_NS
NOW = 1_717_200_000 * SECOND_NS + 30 * SECOND_NS  # half a minute into a bar
SPOTS = [f"BTC/USDT@{venue}" for venue in ("BINANCE", "BYBIT", "KRAKEN", "KUCOIN", "MEXC")]
PERPETUALS = [f"BTC/USDT:USDT@{venue}" for venue in ("BINANCE", "BYBIT")]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our own clock be no earlier than the exchange's, which is the one that counts."""
    monkeypatch.setattr(RealPulse, "wall", lambda _: NOW + 5 * HOUR)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


def market_of(id: str, hours: float = 3.0) -> Market:
    return generated(id, 7, NOW, past_seconds=int(hours * 3600))


def feed_of(exchange: LocalExchange) -> FeedConfig:
    venue = next(iter(exchange.markets)).partition("@")[2]
    return FeedConfig.model_validate({"addresses": {venue: {"rest_url": exchange.rest_url}}})


async def fetched(
    exchange: LocalExchange,
    tables: Tables,
    hours: float = 4.0,
    timeframes: tuple[str, ...] = ("1m",),
    **more: bool,
) -> list[Outcome]:
    wish = Wish(tuple(exchange.markets), NOW - int(hours * HOUR), NOW, timeframes, **more)
    return await download(wish, tables, feed_of(exchange), lambda _: None)


def assert_true(tables: Tables, market: Market, timeframe: str = "1m") -> None:
    """Compare what is stored with what traded, all but the bar that is still open."""
    truth = market.bars(timeframe, filled=market.instrument.venue != "KRAKEN")[:-1]
    found = BarStore(tables).read(market.instrument.id, timeframe)
    assert found.ts.tolist() == [bar.ts for bar in truth]
    for name in ("open", "high", "low", "close", "volume"):
        ours, theirs = getattr(found, name), [getattr(bar, name) for bar in truth]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("id", SPOTS + PERPETUALS)
async def test_every_venues_bars_are_stored_as_they_traded_without_the_open_one(
    id: str, tables: Tables
) -> None:
    market = market_of(id)

    async with LocalExchange([market], start=NOW) as exchange:
        outcomes = await fetched(exchange, tables, timeframes=("1m", "1h"))

    assert [outcome.fault for outcome in outcomes] == [None, None]
    assert_true(tables, market)
    assert_true(tables, market, "1h")


@pytest.mark.parametrize("id", ["BTC/USDT@BINANCE", "BTC/USDT@MEXC", "BTC/USDT:USDT@BINANCE"])
async def test_trades_are_stored_once_each_whatever_the_pages(id: str, tables: Tables) -> None:
    market = market_of(id)

    async with LocalExchange([market], start=NOW) as exchange:
        outcomes = await fetched(exchange, tables, timeframes=(), trades=True)
        again = await fetched(exchange, tables, timeframes=(), trades=True)

    truth = [trade for trade in market.trades() if trade.ts < NOW - 2 * SECOND_NS]
    found = tables.tape(Place(id, "trades"))
    assert outcomes[0].fault is None
    assert again[0].added == 0
    assert found["size"].sum() == pytest.approx(sum(trade.size for trade in truth))
    assert found["ts"].is_sorted()


async def test_krakens_720_bars_are_continued_backwards_with_its_trades(tables: Tables) -> None:
    market = market_of("BTC/USDT@KRAKEN", 13)

    async with LocalExchange([market], start=NOW) as exchange:
        outcomes = await fetched(exchange, tables, 14)
        asked = [request.path for request in exchange.requests]

    assert outcomes[0].fault is None
    assert_true(tables, market)
    assert len(BarStore(tables).read("BTC/USDT@KRAKEN", "1m")) > 720
    assert "/0/public/Trades" in asked
    assert "/0/public/OHLC" in asked


@pytest.mark.parametrize("id", ["BTC/USDT@KUCOIN", "BTC/USDT@BYBIT"])
async def test_a_venue_that_tells_no_old_trades_says_so(id: str, tables: Tables) -> None:
    async with LocalExchange([market_of(id, 1)], start=NOW) as exchange:
        outcomes = await fetched(exchange, tables, timeframes=(), trades=True)

    assert isinstance(outcomes[0].fault, UsageError)
    assert "--from-files" in outcomes[0].fault.remedy


@pytest.mark.parametrize("id", PERPETUALS)
async def test_funding_rates_are_stored(id: str, tables: Tables) -> None:
    market = market_of(id, 30)

    async with LocalExchange([market], start=NOW) as exchange:
        outcomes = await fetched(exchange, tables, 30, timeframes=(), funding=True)

    truth = {rate.ts: rate.rate for rate in market.funding()}
    found = FundingStore(tables).read(id)
    assert outcomes[0].fault is None
    assert len(found) >= 3
    assert all(
        truth[ts] == pytest.approx(rate) for ts, rate in zip(found.ts.tolist(), found.rate, strict=True)
    )


async def test_nothing_is_asked_for_twice(tables: Tables) -> None:
    market = market_of("BTC/USDT@BINANCE")
    async with LocalExchange([market], start=NOW) as exchange:
        await fetched(exchange, tables)
        before = len([request for request in exchange.requests if "klines" in request.path])

        again = await fetched(exchange, tables)

        after = len([request for request in exchange.requests if "klines" in request.path])
    assert again == [Outcome("BTC/USDT@BINANCE", "1m", 0)]
    assert after == before > 0


async def test_a_download_that_breaks_off_keeps_what_came_and_goes_on_there(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = market_of("BTC/USDT@MEXC", 20)
    monkeypatch.setattr(history, "ATTEMPTS", 1)
    faults = Faults([Fault(Wrong.ERROR, "klines", after=1)])
    async with LocalExchange([market], start=NOW, faults=faults) as exchange:
        broken = await fetched(exchange, tables, 21)
        kept = len(BarStore(tables).read("BTC/USDT@MEXC", "1m"))

        whole = await fetched(exchange, tables, 21)

    assert isinstance(broken[0].fault, VenueError)
    assert 0 < kept < 1_200
    assert whole[0].fault is None
    assert whole[0].added + kept == 1_200
    assert_true(tables, market)


async def test_a_venue_that_asks_to_wait_is_waited_for(tables: Tables) -> None:
    market = market_of("BTC/USDT@BINANCE")
    fault = Fault(Wrong.LIMIT, "klines", seconds=1.0)
    async with LocalExchange([market], start=NOW, faults=Faults([fault])) as exchange:
        outcomes = await fetched(exchange, tables)

    assert fault.hits == 1
    assert outcomes[0].fault is None
    assert_true(tables, market)


async def test_a_pair_that_is_not_there_does_not_keep_the_others_away(tables: Tables) -> None:
    market = market_of("BTC/USDT@BYBIT")
    async with LocalExchange([market], start=NOW) as exchange:
        wish = Wish(("BTCC/USDT@BYBIT", "BTC/USDT@BYBIT"), NOW - 4 * HOUR, NOW, ("1m",))
        outcomes = await download(wish, tables, feed_of(exchange), lambda _: None)

    assert isinstance(outcomes[0].fault, UsageError)
    assert "Did you mean BTC/USDT?" in str(outcomes[0].fault)
    assert outcomes[1].fault is None
    assert_true(tables, market)


async def test_where_the_venue_has_no_bars_a_hole_is_on_record(tables: Tables) -> None:
    market = market_of("BTC/USDT@BINANCE")
    async with LocalExchange([market], start=NOW) as exchange:
        await fetched(exchange, tables, 4)

    first = int(BarStore(tables).read("BTC/USDT@BINANCE", "1m").ts[0])
    (hole,) = holes(tables, "BTC/USDT@BINANCE")["bars"]
    assert (hole.start, hole.end) == (NOW - 30 * SECOND_NS - 4 * HOUR + MINUTE, first)


async def test_progress_only_ever_grows(tables: Tables) -> None:
    steps: list[Step] = []
    async with LocalExchange([market_of("BTC/USDT@MEXC", 20)], start=NOW) as exchange:
        wish = Wish(("BTC/USDT@MEXC",), NOW - 20 * HOUR, NOW, ("1m",))
        await download(wish, tables, feed_of(exchange), steps.append)

    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert steps[-1].added == len(BarStore(tables).read("BTC/USDT@MEXC", "1m"))


async def test_live_begins_where_history_ends(tables: Tables) -> None:
    market = market_of("BTC/USDT@KUCOIN")
    async with LocalExchange([market], start=NOW) as exchange:
        catch_up = CatchUp(tables, feed_of(exchange))
        early = await catch_up("BTC/USDT@KUCOIN", "1m", NOW - 2 * HOUR, NOW - HOUR)

        bars = await catch_up("BTC/USDT@KUCOIN", "1m", NOW - 2 * HOUR, NOW)
        await catch_up.close()

    open_now = NOW // MINUTE * MINUTE
    assert len(early) == 60
    assert int(bars.ts[-1]) == open_now - MINUTE
    assert (np.diff(bars.ts) == MINUTE).all()
    assert len(BarStore(tables).read("BTC/USDT@KUCOIN", "1m")) == len(bars)


async def test_a_venue_that_is_silent_leaves_what_is_stored(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "ATTEMPTS", 1)
    market = market_of("BTC/USDT@KUCOIN")
    async with LocalExchange([market], start=NOW) as exchange:
        feed = feed_of(exchange)
        stored = await CatchUp(tables, feed)("BTC/USDT@KUCOIN", "1m", NOW - 2 * HOUR, NOW)

    bars = await CatchUp(tables, feed)("BTC/USDT@KUCOIN", "1m", NOW - 3 * HOUR, NOW)

    assert bars.ts.tolist() == stored.ts.tolist()
    with pytest.raises(VenueError, match="does not answer"):
        await CatchUp(tables, feed)("ETH/USDT@KUCOIN", "1m", NOW - 3 * HOUR, NOW)
