"""The compiled executor against the event engine on random markets: the same fills, money, orders and refusals."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, currently_in_test_context, event, given, settings
from hypothesis import strategies as st

from abidance.backtest.parity import first_difference
from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.journal.told import TripColumns, columns_of, value_of
from abidance.market.reference import instrument
from abidance.market.terms import Terms, Version
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from tests.parity.markets import COINS, Memory, Shape, market, stepped
from tests.parity.tally import RUNS

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]
HERE = "tests/parity/markets.py"
QUIET = BreakersConfig(daily_loss=None, max_drawdown=None, data_anomaly=None)
OPEN = LimitsConfig(max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0)
EXAMPLES = int(os.environ.get("ABIDANCE_EXAMPLES", "60"))
"""How many examples each property draws; more than the usual 60 are drawn at random."""
LISTED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 60,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),
)

sizings = st.one_of(
    st.builds(
        SizingConfig,
        method=st.just("fixed_notional"),
        amount=st.sampled_from([12.0, 400.0, 3_000.0, 50_000.0]),
    ),
    st.builds(SizingConfig, method=st.just("fixed_quantity"), quantity=st.sampled_from([0.01, 1.0, 300.0])),
    st.builds(
        SizingConfig,
        fraction=st.sampled_from([0.05, 0.1, 0.37, 1.0]),
        max_fraction=st.sampled_from([0.2, 1.0]),
    ),
    st.builds(SizingConfig, method=st.just("risk_per_trade"), risk=st.sampled_from([0.001, 0.01])),
    st.builds(
        SizingConfig,
        method=st.just("volatility_target"),
        volatility=st.sampled_from([0.1, 2.0]),
        lookback=st.just(10),
    ),
)
venues = st.builds(
    VenueConfig,
    fees=st.builds(
        lambda maker, taker: (FeeTier(volume=0, maker=maker, taker=taker),),
        st.sampled_from([0.0, 0.001, -0.0001, 0.00075]),
        st.sampled_from([0.0, 0.001, 0.00037, 0.0123456]),
    ),
    slippage=st.builds(
        SlippageConfig,
        spread=st.sampled_from([0.0, 0.0002, 0.003]),
        fixed=st.sampled_from([0.0, 0.0005]),
        volume_share=st.sampled_from([0.0, 0.1]),
    ),
    unlimited_volume=st.booleans(),
    max_volume_share=st.sampled_from([0.1, 0.01, 1.0]),
    fill_on_touch=st.booleans(),
    latency_ms=st.sampled_from([0, 0, 0, 250]),
    fee_asset=st.sampled_from(["quote", "quote", "KCS"]),
)
scripts = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "often": st.sampled_from([0.05, 0.2, 0.7]),
        "protect": st.sampled_from(["", "s", "g", "sg", "t", "sgtem", "te", "m", "sgm", "ste"]),
    }
)


entries: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "order_type": st.just("limit"),
            "entry_timeout": st.sampled_from([None, 1, 900, 3_600, 3_601, 10_000]),
            "entry_retries": st.sampled_from([0, 1, 3]),
        }
    ),
)
"""How entries are sent."""


limits = st.builds(
    LimitsConfig,
    max_exposure=st.sampled_from([0.5, 1.0, 0.2]),
    max_asset_exposure=st.sampled_from([0.25, 1.0]),
    max_venue_exposure=st.sampled_from([0.5, 1.0]),
    max_positions=st.sampled_from([1, 2, 10]),
    max_order_value=st.sampled_from([None, 900.0]),
    max_orders_per_minute=st.sampled_from([1, 60]),
    stale_after=st.sampled_from([2.0, 0.5]),
    require_stop=st.booleans(),
    exit_margin=st.sampled_from([1.0, 1.1]),
    price_collar=st.sampled_from([0.05, 0.002]),
)
breakers = st.builds(
    BreakersConfig,
    daily_loss=st.sampled_from([None, 0.01, 0.05]),
    max_drawdown=st.sampled_from([None, 0.03, 0.25]),
    losing_streak=st.sampled_from([None, 2]),
    cooldown=st.sampled_from([3.0, 24.0]),
    volatility_spike=st.sampled_from([None, 2.0]),
    data_anomaly=st.sampled_from([None, 0.02, 0.5]),
    cooldown_bars=st.sampled_from([1, 6]),
)


def ids(count: int, venues: Sequence[str] = ("BINANCE",)) -> tuple[str, ...]:
    return tuple(f"{coin}/USDT@{venues[n % len(venues)]}" for n, coin in enumerate(COINS[:count]))


def scripted(number: int, script: dict[str, Any], **settings: Any) -> StrategyConfig:
    return StrategyConfig(strategy=f"{HERE}:Scripted", name=f"s{number}", parameters=script, **settings)


def remark(text: str) -> None:
    """Tell hypothesis's statistics, if it is asking, what an example was about."""
    if currently_in_test_context():
        event(text)


def agree(config: RunConfig, memory: Memory) -> BacktestResult:
    """Run both executors and hold them to one story; return the compiled one's."""
    truth, other = backtest(config, memory), compiled_backtest(config, memory)

    fell_back = fallback_of(other)
    RUNS.count(not fell_back)
    remark(fell_back[70:] or "compiled, " + ("with fills" if other.fills else "no fills"))
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    if not fell_back:
        assert [order.state for order in other.orders] == [order.state for order in truth.orders]
        assert [order.request for order in other.orders] == [order.request for order in truth.orders]
        assert [(n.ts, n.code) for n in other.notices] == [
            (n.ts, n.code) for n in truth.notices if n.code in TOLD
        ]
        for name, profits in truth.strategy_equity.items():
            assert np.allclose(other.strategy_equity[name], profits, rtol=1e-9, atol=1e-6)
        _add_up(truth, other)
    return other


def _add_up(truth: BacktestResult, other: BacktestResult) -> None:
    """See to it that the columns and sums of a compiled run are those of the objects that it tells."""
    one, two = columns_of(other.round_trips), TripColumns.of(list(truth.round_trips))
    assert [one.strategies[at] for at in one.strategy] == [two.strategies[at] for at in two.strategy]
    assert [one.instruments[at] for at in one.instrument] == [two.instruments[at] for at in two.instrument]
    for name in ("ts_entry", "is_open", "fees", "funding"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.array_equal(one.ts_exit[~one.is_open], two.ts_exit[~two.is_open])
    assert np.allclose(one.pnl, two.pnl, rtol=1e-12, atol=1e-12)
    assert np.allclose(one.value, two.value, rtol=1e-15, atol=0)
    assert value_of(other.fills) == value_of(list(truth.fills))
    assert other.costs == pytest.approx(truth.costs, rel=1e-9, abs=1e-9)


TOLD = {
    "rebalanced",
    "liquidated",
    "daily_loss",
    "max_drawdown",
    "losing_streak",
    "data_anomaly",
    "volatility_spike",
    "data",
    "exit_failed",
    "feed_not_certified",
}


@LISTED
@given(shape=stepped, script=scripts, venue=venues, sizing=sizings, entry=entries)
def test_one_instrument_trades_the_same(
    shape: Shape, script: dict[str, Any], venue: VenueConfig, sizing: SizingConfig, entry: dict[str, Any]
) -> None:
    config = RunConfig(
        instruments=ids(1),
        strategies=(scripted(0, script, sizing=sizing, rebalance_threshold=0.2, **entry),),
        risk=RiskConfig(limits=OPEN, breakers=QUIET),
        venue=venue,
    )

    agree(config, market(shape, config.instruments, "1h"))


@LISTED
@given(
    shape=stepped, many=st.lists(scripts, min_size=1, max_size=3), venue=venues, sizing=sizings, limit=limits,
    breaker=breakers, count=st.integers(1, 3), sites=st.sampled_from([("BINANCE",), ("BINANCE", "KRAKEN")]),
    entry=entries,
)  # fmt: skip
def test_portfolios_under_limits_and_breakers_trade_the_same(
    shape: Shape, many: list[dict[str, Any]], venue: VenueConfig, sizing: SizingConfig, limit: LimitsConfig,
    breaker: BreakersConfig, count: int, sites: Sequence[str], entry: dict[str, Any],
) -> None:  # fmt: skip
    strategies = tuple(
        scripted(n, script, sizing=sizing, allocation=1 / len(many), **entry) for n, script in enumerate(many)
    )
    config = RunConfig(
        instruments=ids(count, sites),
        strategies=strategies,
        risk=RiskConfig(limits=limit, breakers=breaker),
        venue=venue,
    )

    agree(config, market(shape, config.instruments, "1h"))


@LISTED
@given(shape=stepped, script=scripts, venue=venues, sizing=sizings, count=st.integers(1, 2), entry=entries)
def test_finer_bars_decide_fills_the_same(
    shape: Shape, script: dict[str, Any], venue: VenueConfig, sizing: SizingConfig, count: int, entry: dict[str, Any]
) -> None:  # fmt: skip
    config = RunConfig(
        instruments=ids(count),
        timeframe="1h",
        detail_timeframe="15m",
        strategies=(scripted(0, script, sizing=sizing, **entry),),
        risk=RiskConfig(limits=OPEN, breakers=QUIET),
        venue=venue,
    )

    agree(config, market(shape, config.instruments, "1h", "15m"))


tiered = st.lists(
    st.builds(
        FeeTier,
        volume=st.sampled_from([0.0, 500.0, 4_000.0, 4_000.0, 12_345.6, 40_000.0]),
        maker=st.sampled_from([-0.0001, 0.0, 0.0004, 0.001]),
        taker=st.sampled_from([0.0, 0.0005, 0.00037, 0.002]),
    ),
    min_size=2,
    max_size=5,
)


@LISTED
@given(
    shape=stepped, many=st.lists(scripts, min_size=1, max_size=2), venue=venues, tiers=tiered,
    timeframe=st.sampled_from(["1h", "1d"]), sites=st.sampled_from([("BINANCE",), ("BINANCE", "KRAKEN")]),
)  # fmt: skip
def test_fees_by_the_volume_of_thirty_days_are_the_same(
    shape: Shape, many: list[dict[str, Any]], venue: VenueConfig, tiers: list[FeeTier], timeframe: str, sites: Sequence[str]
) -> None:  # fmt: skip
    strategies = tuple(
        scripted(n, script, sizing=SizingConfig(fraction=0.5), allocation=1 / len(many))
        for n, script in enumerate(many)
    )
    config = RunConfig(
        instruments=ids(2, sites),
        timeframe=timeframe,
        strategies=strategies,
        risk=RiskConfig(limits=OPEN, breakers=QUIET),
        venue=venue.model_copy(update={"fees": tuple(tiers)}),
    )

    found = agree(config, market(shape, config.instruments, timeframe))

    rates = {round(float(fill.fee / (fill.quantity * fill.price)), 5) for fill in found.fills}
    event(f"{len(rates)} rates")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"strategies": (scripted(0, {}, sizing=SizingConfig(method="kelly", lookback=100_000)),)},
            "more round trips",
        ),
        ({"strategies": (StrategyConfig(strategy="Grid"),)}, "events"),
        ({"instruments": ("BTC/USD:BTC@BINANCE",), "currency": "USD"}, "settles in BTC"),
        ({"currency": "USDC"}, "not quoted in USDC"),
        ({"venue": VenueConfig(fee_asset="BTC")}, "BTC that the run itself trades"),
        ({"venue": VenueConfig(fee_asset="received")}, "no whole lot"),
        ({"routing": {"routes": {"BTC/USDT@BINANCE": ["BTC/USDT@KRAKEN"]}}}, "routed over several venues"),
        ({"strategies": (scripted(0, {}, execution={"algo": "twap"}),)}, "ways that are not compiled"),
        ({"strategies": (scripted(0, {}, exits={"take_profit_order": "market"}),)}, "takes profits at market"),
    ],
)  # fmt: skip
def test_what_is_not_covered_is_run_by_the_event_engine_and_said(change: dict[str, Any], reason: str) -> None:
    config = RunConfig(**{"instruments": ids(1), "strategies": (scripted(0, {}),), **change})
    routed = ("BTC/USDT@KRAKEN",)
    memory = market(Shape(1, 80, 0.01, 0.0, 0.0, 101.25), (*config.instruments, *routed), "1h")

    result = compiled_backtest(config, memory)

    assert reason in fallback_of(result)
    assert first_difference(backtest(config, memory), result) is None


@pytest.mark.parametrize(
    ("orders", "stops", "is_covered"), [(0, 0, True), (0, 2, True), (0, 1, False), (15, 2, False)]
)
def test_a_market_that_takes_fewer_stops_than_there_are_strategies_is_left_to_the_event_engine(
    orders: int, stops: int, is_covered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(instruments=ids(1), strategies=tuple(scripted(n, {}, allocation=0.5) for n in (0, 1)))
    listed = msgspec.structs.replace(instrument(ids(1)[0]), max_orders=orders, max_stops=stops)
    known = Version(0, Terms(listed, "BTCUSDT"))

    class Listed(Memory):
        def terms(self, id: str, ts: int | None = None) -> Version | None:
            return known

    memory = Listed(market(Shape(1, 80, 0.01, 0.0, 0.0, 101.25), config.instruments, "1h").series)
    result = compiled_backtest(config, memory)

    assert (fallback_of(result) == "") is is_covered
    assert first_difference(backtest(config, memory), result) is None


def test_more_orders_than_there_is_room_for_are_left_to_the_event_engine() -> None:
    script = {"seed": 3, "often": 1.0, "protect": ""}
    thin = VenueConfig(max_volume_share=0.000001)
    config = RunConfig(
        instruments=ids(1),
        strategies=(scripted(0, script, rebalance_threshold=0.01, sizing=SizingConfig(fraction=0.2)),),
        venue=thin,
    )
    memory = market(Shape(5, 600, 0.002, 0.0, 0.0, 101.25), config.instruments, "1h")

    result = compiled_backtest(config, memory)

    assert first_difference(backtest(config, memory), result) is None


def test_a_difference_is_told_by_time_place_and_field() -> None:
    config = RunConfig(instruments=ids(1), strategies=(scripted(0, {"often": 0.5}),))
    memory = market(Shape(1, 80, 0.01, 0.0, 0.0, 101.25), config.instruments, "1h")
    truth = compiled_backtest(config, memory)
    fills = list(truth.fills)
    fills[1] = msgspec.structs.replace(fills[1], fee=fills[1].fee + 1)

    found = first_difference(truth, replace(truth, fills=fills))

    assert found is not None
    assert (found.ts, found.field, found.truth) == (fills[1].ts, "fee", fills[1].fee - 1)
    assert "fill 2 in BTC/USDT@BINANCE of s0: fee is" in str(found)
