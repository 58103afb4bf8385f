"""What a venue says of its instruments: read from recorded lists, kept by version, used by a run of its time."""

import asyncio
import gzip
import json
import socket
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ccxt.base import errors  # type: ignore[import-untyped]

from abidance.market.reference import Source, known, resolve
from abidance.market.store import BarStore, Catalog
from abidance.market.terms import Status, Terms, TermsStore, Tier
from abidance.model.errors import DataError, UsageError, VenueError
from abidance.model.instrument import Instrument
from abidance.run.config import RunConfig
from abidance.run.setup import gather
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.ccxt.terms import fetch_terms, read_exchange, read_market
from tests.unit.market.series import BTC, NEW_YEAR, a_series

SHARED = Path(__file__).parents[4] / "shared" / "data" / "wire"
PERP = "BTC/USDT:USDT@BINANCE"
DAY = 86_400_000_000_000

SPOT: dict[str, Any] = {
    "id": "BTCUSDT",
    "symbol": "BTC/USDT",
    "base": "BTC",
    "spot": True,
    "swap": False,
    "active": True,
    "taker": 0.001,
    "maker": 0.0008,
    "contractSize": None,
    "precision": {"amount": 1e-05, "price": 0.01},
    "limits": {"amount": {"min": 1e-05, "max": 9000}, "cost": {"min": 5, "max": 9e6}, "leverage": {}},
    "info": {},
}
SWAP: dict[str, Any] = SPOT | {
    "symbol": "BTC/USDT:USDT",
    "id": "XBTUSDTM",
    "spot": False,
    "swap": True,
    "linear": True,
    "contractSize": 0.001,
    "precision": {"amount": 1, "price": 0.1},
    "limits": {"amount": {"min": 2, "max": 1000}, "leverage": {"max": 100}},
    "info": {"fundingRateGranularity": 28800000},
}
TIERS = [
    {"minNotional": 50_000, "maintenanceMarginRate": 0.01, "maxLeverage": 50},
    {"minNotional": 0, "maintenanceMarginRate": 0.004, "maxLeverage": 125},
]


class FakeExchange:
    """One of ccxt's exchanges as far as it is asked here."""

    def __init__(self, markets: Mapping[str, Any], **answers: Any) -> None:
        self.markets, self.answers = markets, answers
        self.precisionMode = 4
        self.has = {"fetchLeverageTiers": True, "fetchFundingIntervals": True, "fetchCrossBorrowRates": True}

    async def load_markets(self) -> Mapping[str, Any]:
        return self.markets

    async def _answer(self, name: str) -> Any:
        if name not in self.answers:
            raise PermissionError("keys are needed")
        return self.answers[name]

    async def fetch_leverage_tiers(self) -> Any:
        return await self._answer("tiers")

    async def fetch_funding_intervals(self) -> Any:
        return await self._answer("intervals")

    async def fetch_cross_borrow_rates(self) -> Any:
        return await self._answer("loans")


def read(venue: str, market: Mapping[str, Any], **more: Any) -> Terms:
    terms = read_market(venue, market, **more)
    assert terms is not None
    return terms


def some_terms(tick: str = "0.01", id: str = BTC) -> Terms:
    return Terms(Instrument(id, Decimal(tick), Decimal("0.00001"), Decimal("0.00001"), Decimal(5)), "BTCUSDT")


def test_a_spot_market_is_read_digit_by_digit() -> None:
    terms = read("BINANCE", SPOT)

    assert terms.instrument == Instrument(
        BTC, Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5)
    )
    assert (terms.maker, terms.taker, terms.max_quantity) == (
        Decimal("0.0008"),
        Decimal("0.001"),
        Decimal(9000),
    )
    assert (terms.symbol, terms.status, terms.funding_hours) == ("BTCUSDT", Status.TRADING, None)


def test_a_contract_counts_in_the_base_asset_and_has_tiers_and_a_funding_schedule() -> None:
    terms = read("KUCOIN", SWAP, tiers=TIERS)

    instrument = terms.instrument
    assert (instrument.lot, instrument.min_quantity, terms.max_quantity) == (
        Decimal("0.001"),
        Decimal("0.002"),
        Decimal(1),
    )
    assert (instrument.max_leverage, instrument.maintenance) == (Decimal(125), Decimal("0.004"))
    assert [tier.floor for tier in terms.tiers] == [0, 50_000]
    assert terms.funding_hours == 8


def test_a_position_falls_into_the_tier_of_its_notional() -> None:
    terms = read("KUCOIN", SWAP, tiers=TIERS)

    found = [terms.tier(Decimal(notional)) for notional in (0, 49_999, 50_000, 10**9)]

    low, high = (
        Tier(Decimal(0), Decimal("0.004"), Decimal(125)),
        Tier(Decimal(50_000), Decimal("0.01"), Decimal(50)),
    )
    assert found == [low, low, high, high]


@pytest.mark.parametrize(
    "change",
    [
        {"spot": False},
        {"symbol": "BTC/USD:BTC", "spot": False, "swap": True, "linear": False},
        {"symbol": "A.B/USDT"},
        {"symbol": None},
        {"precision": {}},
        {"precision": {"amount": 0, "price": 0.1}},
        {"precision": {"amount": "many", "price": float("nan")}},
    ],
)
def test_what_is_not_traded_here_or_not_understood_is_left_out(change: dict[str, Any]) -> None:
    assert read_market("BINANCE", SPOT | change) is None


@pytest.mark.parametrize(
    ("filters", "orders", "stops"),
    [
        # spot and perpetual, as Binance writes them
        (
            [
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
            ],
            200,
            5,
        ),
        (
            [
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": "10"},
            ],
            200,
            10,
        ),
        ([{"filterType": "LOT_SIZE", "limit": 1}], 0, 0),
        (
            [
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": "many"},
                {"filterType": "MAX_NUM_ALGO_ORDERS"},
                None,
            ],
            0,
            0,
        ),
        ([{"filterType": ["MAX_NUM_ORDERS"]}, {"filterType": "MAX_NUM_ORDERS", "limit": -1}], 0, 0),
        ("MAX_NUM_ORDERS", 0, 0),
    ],
)
def test_how_many_orders_may_be_open_is_read_from_the_filters_of_an_instrument(
    filters: object, orders: int, stops: int
) -> None:
    found = read("BINANCE", SPOT | {"info": {"filters": filters}}).instrument

    assert (found.max_orders, found.max_stops) == (orders, stops)


def test_steps_given_as_decimals_become_steps() -> None:
    terms = read("OLD", SPOT | {"precision": {"amount": 4, "price": 2}}, is_step=False)

    assert (terms.instrument.tick, terms.instrument.lot) == (Decimal("0.01"), Decimal("0.0001"))


def test_a_halted_market_says_so() -> None:
    assert read("BINANCE", SPOT | {"active": False}).status is Status.HALTED


def test_loans_are_counted_by_the_day_and_intervals_in_hours() -> None:
    exchange = FakeExchange(
        {"BTC/USDT": SPOT, "BTC/USDT:USDT": SWAP | {"info": {}}},
        loans={"BTC": {"rate": 0.00001, "period": 3_600_000}},
        intervals={"BTC/USDT:USDT": {"interval": "4h"}},
    )

    spot, swap = asyncio.run(read_exchange("BINANCE", exchange))

    assert spot.borrow_rate == Decimal("0.00024")
    assert swap.funding_hours == 4


def test_extras_that_want_keys_cost_only_themselves() -> None:
    (terms,) = asyncio.run(read_exchange("BINANCE", FakeExchange({"BTC/USDT": SPOT})))

    assert (terms.borrow_rate, terms.tiers) == (None, ())


def test_a_venue_that_does_not_answer_is_an_error_with_a_remedy() -> None:
    class Silent(FakeExchange):
        async def load_markets(self) -> Mapping[str, Any]:
            raise ConnectionError("nobody there")

    with pytest.raises(VenueError, match="nobody there"):
        asyncio.run(read_exchange("BINANCE", Silent({})))


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (errors.ExchangeNotAvailable("binance GET https://x"), "BINANCE cannot be reached."),
        (errors.RequestTimeout("binance GET https://x"), "BINANCE did not answer in time."),
        (errors.DDoSProtection("binance 429 {}"), "BINANCE asks us to be slower."),
        (errors.PermissionDenied("binance 451 <html>"), "BINANCE refuses to answer from here."),
        (errors.BadResponse("binance {'code': 1}"), "BINANCE answered what cannot be read"),
    ],
)
def test_why_a_venue_did_not_answer_is_told_in_our_words(failure: Exception, told: str) -> None:
    class Failing(FakeExchange):
        async def load_markets(self) -> Mapping[str, Any]:
            raise failure

    with pytest.raises(VenueError, match=told) as found:
        asyncio.run(read_exchange("BINANCE", Failing({})))

    assert not any(word in str(found.value) for word in ("GET", "<html>", "code", "binance"))


def test_what_the_network_said_is_told_without_what_was_put_around_it() -> None:
    class Unreachable(FakeExchange):
        async def load_markets(self) -> Mapping[str, Any]:
            try:
                raise socket.gaierror(-2, "Name or service not known")
            except OSError as error:
                raise errors.ExchangeNotAvailable("binance GET https://x") from error

    with pytest.raises(VenueError, match=r"^BINANCE cannot be reached: Name or service not known\. Check"):
        asyncio.run(read_exchange("BINANCE", Unreachable({})))


def test_a_venue_that_ccxt_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="no venue"):
        asyncio.run(fetch_terms("NOWHERE"))


def test_terms_that_did_not_change_make_no_new_version(tmp_path: Path) -> None:
    store = TermsStore(tmp_path)

    changes = [
        store.add([some_terms(tick)], day * DAY) for day, tick in ((1, "0.1"), (2, "0.1"), (3, "0.01"))
    ]

    assert changes == [[BTC], [], [BTC]]
    assert [version.since for version in store.versions(BTC)] == [DAY, 3 * DAY]
    assert [*store.ids("BINANCE")] == [*store.ids()] == [BTC]


def test_the_terms_of_a_time_are_those_that_held_then(tmp_path: Path) -> None:
    store = TermsStore(tmp_path)
    for day, tick in ((10, "0.1"), (20, "0.01")):
        store.add([some_terms(tick)], day * DAY)

    found = [store.at(BTC, day * DAY if day else None) for day in (5, 10, 19, 20, 99, 0)]

    ticks = [str(version.terms.instrument.tick) for version in found if version]
    assert ticks == ["0.1", "0.1", "0.1", "0.01", "0.01", "0.01"]
    assert store.at("ETH/USDT@BINANCE") is None


def test_what_a_venue_lists_no_more_is_halted_and_may_come_back(tmp_path: Path) -> None:
    store, eth = TermsStore(tmp_path), "ETH/USDT@BINANCE"
    store.replace_all("BINANCE", [some_terms(), some_terms(id=eth)], DAY)

    gone = store.replace_all("BINANCE", [some_terms(id=eth)], 2 * DAY)
    still = store.replace_all("BINANCE", [some_terms(id=eth)], 3 * DAY)
    back = store.replace_all("BINANCE", [some_terms(), some_terms(id=eth)], 4 * DAY)

    assert (gone, still, back) == ([BTC], [], [BTC])
    assert [version.terms.status.value for version in store.versions(BTC)] == ["trading", "halted", "trading"]


def test_terms_from_the_past_are_refused(tmp_path: Path) -> None:
    store = TermsStore(tmp_path)
    store.add([some_terms("0.1")], 9 * DAY)

    with pytest.raises(DataError, match="clock"):
        store.add([some_terms("0.2")], 8 * DAY)


def test_a_broken_file_of_terms_is_refused_with_a_remedy(tmp_path: Path) -> None:
    store = TermsStore(tmp_path)
    store.add([some_terms()], DAY)
    (tmp_path / "BINANCE" / "BTC-USDT" / "terms.json").write_text("[{")

    with pytest.raises(DataError, match="refresh-instruments"):
        store.versions(BTC)


def test_rules_older_than_any_that_are_known_say_so(tmp_path: Path) -> None:
    store = TermsStore(tmp_path)
    store.add([some_terms()], 20 * DAY)

    early, later = (resolve(BTC, version=store.at(BTC, ts), ts=ts) for ts in (DAY, 30 * DAY))

    assert early.source is later.source is Source.LISTED
    assert "older ones are not known" in early.notice
    assert later.notice == ""


def test_a_run_uses_the_rules_of_its_time(tmp_path: Path) -> None:
    bars = a_series(1_000)
    store = BarStore(tmp_path)
    store.write(bars)
    for day, lot in ((-5, "1"), (20, "0.5")):
        terms = Terms(Instrument(BTC, Decimal("0.01"), Decimal(lot), Decimal(lot), Decimal(5)), "BTCUSDT")
        TermsStore(tmp_path).add([terms], NEW_YEAR + day * DAY)
    run: dict[str, Any] = {
        "strategies": [{"name": "s", "strategy": "BuyAndHold", "instruments": [BTC], "timeframe": "1h"}]
    }
    early, late = (RunConfig(**run, timerange=span) for span in ("20240105-20240115", "20240125-20240130"))

    lots = [str(gather(config, Catalog(store), None).instruments[BTC].lot) for config in (early, late)]

    assert lots == ["1", "0.5"]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded payloads in {SHARED}")
@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT", "KRAKEN", "KUCOIN", "MEXC"])
def test_recorded_market_lists_give_the_rules_of_the_bundled_table(venue: str) -> None:
    name = venue.lower()
    files = [SHARED / name / "rest" / f"ccxt_markets_{each}.json" for each in (name, f"{name}futures")]
    markets = [m for file in files if file.is_file() for m in json.loads(file.read_text()).values()]

    found = {t.instrument.id: t.instrument for t in (read_market(venue, m) for m in markets) if t}

    listed = [id for id in known() if id in found and resolve(id).source is Source.LISTED]
    assert len(listed) >= 3
    for id in listed:
        table = resolve(id).instrument
        assert (id, found[id].tick, found[id].lot) == (id, table.tick, table.lot)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded payloads in {SHARED}")
def test_ccxt_itself_reads_a_recorded_exchange_info_into_terms() -> None:
    """No network: the answer is handed to ccxt's own parser, whose markets are read here."""
    with gzip.open(SHARED / "binance/rest/spot_exchangeInfo_2021-10.log.gz", "rt") as file:
        line = next(line for line in file if '"symbols"' in line)
    answer = json.loads(line[line.index("{") :])
    exchange = exchange_class("binance", streaming=False)()
    exchange.options |= {
        "crossMarginPairsData": [],
        "isolatedMarginPairsData": [],
    }  # asked for with keys alone
    markets = exchange.parse_markets(answer["symbols"])

    found = asyncio.run(read_exchange("BINANCE", FakeExchange({m["symbol"]: m for m in markets})))

    by_id = {terms.instrument.id: terms for terms in found}
    rules = {s["symbol"]: {f["filterType"]: f for f in s["filters"]} for s in answer["symbols"]}["BTCUSDT"]
    btc = by_id[BTC].instrument
    assert btc.tick == Decimal(rules["PRICE_FILTER"]["tickSize"])
    assert btc.lot == Decimal(rules["LOT_SIZE"]["stepSize"])
    assert (
        (btc.max_orders, btc.max_stops) == (200, rules["MAX_NUM_ALGO_ORDERS"]["maxNumAlgoOrders"]) == (200, 5)
    )
    assert len(by_id) > 1_000
