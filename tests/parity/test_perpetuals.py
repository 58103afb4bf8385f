"""Perpetuals in both executors: shorts, leverage, margin, funding and liquidation, down to the last unit."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.backtest.parity import first_difference
from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.market import reference
from abidance.market.bars import FIELDS, Bars
from abidance.market.funding import Funding
from abidance.market.terms import Terms, Version
from abidance.model.instrument import MS_NS
from abidance.model.order import Direction, Purpose
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.strategy import library
from abidance.strategy.base import BarStrategy
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from tests.parity import test_trades as trades
from tests.parity.markets import COINS, START, Memory, Rates, Shape, funding, market, rates, stepped
from tests.parity.test_compiled import (
    HERE,
    LISTED,
    QUIET,
    agree,
    breakers,
    entries,
    limits,
    remark,
    scripted,
    scripts,
    sizings,
    tiered,
    venues,
)

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]
HOURS = int(os.environ.get("ABIDANCE_HOURS", "4000"))
"""How many of the latest recorded hours of each contract are run; there are more than five years of them."""
DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
FREE = LimitsConfig(
    max_exposure=60.0, max_asset_exposure=60.0, max_venue_exposure=60.0, max_leverage=25.0, price_collar=1.0
)
kinds = st.lists(st.sampled_from([":USDT", ":USDT", ":USDT", ""]), min_size=1, max_size=3)
leverages = st.one_of(st.integers(1, 20), st.sampled_from([1.0, 2.5, 3.7, 17.3, 20.0]))
sides = st.fixed_dictionaries(
    {"allow_short": st.sampled_from([True, True, True, False]), "leverage": leverages}
)


@dataclass(frozen=True)
class Contracts(Memory):
    """A market whose rules are drawn too: the smallest quantity in lots, the maintenance, the smallest value."""

    rules: tuple[int, str, str] | None = None

    def terms(self, instrument: str, ts: int | None = None) -> Version | None:
        if self.rules is None:
            return None
        known = reference.instrument(instrument)
        lots, maintenance, least = self.rules
        changed = msgspec.structs.replace(
            known,
            min_quantity=known.lot * lots,
            maintenance=Decimal(maintenance),
            min_notional=Decimal(least),
        )
        return Version(0, Terms(changed, instrument))


rules = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from([1, 50, 3_000]), st.sampled_from(["0", "0.004", "0.02"]), st.sampled_from(["0", "5", "100"])
    ),
)  # fmt: skip


def named(kinds: Sequence[str], venues: Sequence[str] = ("BINANCE",)) -> tuple[str, ...]:
    return tuple(f"{COINS[n]}/USDT{kind}@{venues[n % len(venues)]}" for n, kind in enumerate(kinds))


def contracts(
    shape: Shape, ids: Sequence[str], rate: Rates, rule: Any, detail: str | None = None
) -> Contracts:
    paid = funding(rate, shape.seed, ids, shape.length)
    return Contracts(market(shape, ids, "1h", detail).series, paid, rules=rule)


def survey(found: BacktestResult) -> None:
    """Tell hypothesis's statistics what a run has been through."""
    seen = {
        "shorts": any(trip.direction is Direction.SHORT for trip in found.round_trips),
        "funding": found.costs["funding"] != 0,
        "liquidations": any(fill.purpose is Purpose.LIQUIDATION for fill in found.fills),
        "flips": _flips(found),
    }
    for name, is_there in seen.items():
        if is_there:
            remark(name)


def _flips(found: BacktestResult) -> bool:
    held: dict[tuple[str, str], Decimal] = {}
    flips = False
    for fill in found.fills:
        place = (fill.strategy, fill.instrument)
        before = held.get(place, Decimal(0))
        held[place] = before + fill.quantity * fill.side.sign
        flips |= before * held[place] < 0
    return flips


@LISTED
@given(
    shape=stepped, many=st.lists(scripts, min_size=1, max_size=2), side=sides, kind=kinds, rate=rates, rule=rules,
    venue=venues, sizing=sizings, entry=entries, detail=st.sampled_from([None, None, "15m"]),
    sites=st.sampled_from([("BINANCE",), ("BINANCE", "BYBIT")]),
)  # fmt: skip
def test_perpetuals_and_spot_share_money_the_same(
    shape: Shape, many: list[dict[str, Any]], side: dict[str, Any], kind: list[str], rate: Rates, rule: Any,
    venue: VenueConfig, sizing: SizingConfig, entry: dict[str, Any], detail: str | None, sites: Sequence[str],
) -> None:  # fmt: skip
    ids = named(kind, sites)
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        detail_timeframe=detail,
        strategies=tuple(
            scripted(n, script, sizing=sizing, allocation=1 / len(many), **side, **entry)
            for n, script in enumerate(many)
        ),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        venue=venue,
    )

    survey(agree(config, contracts(shape, ids, rate, rule, detail)))


@LISTED
@given(
    shape=stepped, script=scripts, leverage=leverages, kind=kinds, rate=rates, rule=rules, venue=venues,
    amount=st.sampled_from([40_000.0, 1e6, 1e6]), entry=entries,
)  # fmt: skip
def test_positions_as_large_as_margin_allows_are_ruined_the_same(
    shape: Shape, script: dict[str, Any], leverage: float, kind: list[str], rate: Rates, rule: Any,
    venue: VenueConfig, amount: float, entry: dict[str, Any],
) -> None:  # fmt: skip
    ids = named(kind)
    sizing = SizingConfig(method="fixed_notional", amount=amount, max_fraction=20.0)
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        strategies=(scripted(0, script, sizing=sizing, allow_short=True, leverage=leverage, **entry),),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        venue=venue,
    )

    survey(agree(config, contracts(shape, ids, rate, rule)))


@LISTED
@given(
    shape=stepped, many=st.lists(scripts, min_size=1, max_size=2), side=sides, kind=kinds, rate=rates, venue=venues,
    tiers=tiered, limit=limits, breaker=breakers, most=st.sampled_from([1.0, 3.0, 25.0]),
)  # fmt: skip
def test_limits_breakers_and_fee_tiers_judge_contracts_the_same(
    shape: Shape, many: list[dict[str, Any]], side: dict[str, Any], kind: list[str], rate: Rates,
    venue: VenueConfig, tiers: list[FeeTier], limit: LimitsConfig, breaker: BreakersConfig, most: float,
) -> None:  # fmt: skip
    ids = named(kind, ("BINANCE", "BYBIT"))
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        strategies=tuple(
            scripted(n, script, sizing=SizingConfig(fraction=0.8), allocation=1 / len(many), **side)
            for n, script in enumerate(many)
        ),
        risk=RiskConfig(limits=limit.model_copy(update={"max_leverage": most}), breakers=breaker),
        venue=venue.model_copy(update={"fees": tuple(tiers)}),
    )

    survey(agree(config, contracts(shape, ids, rate, None)))


@LISTED
@given(
    pace=trades.paces, script=scripts, leverage=leverages, kind=kinds, venue=venues, rate=rates,
    amount=st.sampled_from([900.0, 40_000.0, 1e6]), breaker=breakers,
)  # fmt: skip
def test_trades_fill_and_liquidate_contracts_the_same(
    pace: trades.Pace, script: dict[str, Any], leverage: float, kind: list[str], venue: VenueConfig, rate: Rates,
    amount: float, breaker: BreakersConfig,
) -> None:  # fmt: skip
    ids = named(kind)
    sizing = SizingConfig(method="fixed_notional", amount=amount, max_fraction=20.0)
    strategy = scripted(0, script, sizing=sizing, allow_short=True, leverage=leverage)
    config = trades.config_of(ids, [strategy], venue=venue, risk=RiskConfig(limits=FREE, breakers=breaker))
    often = replace(rate, every=60 if pace.gap < 9 else 900, past=rate.past % 60)
    tapes = trades.market(pace, ids)
    hours = int(max(tape.ts[-1] for tape in tapes.tapes.values()) - START) // 3_600_000_000_000 + 1

    truth = trades.agree(config, replace(tapes, rates=funding(often, pace.seed, ids, hours)))

    if truth is not None:
        survey(truth)


@pytest.mark.parametrize("asset", ["received", "KCS"])
def test_contracts_pay_fees_in_their_quote_whatever_else_is_named(asset: str) -> None:
    ids = named([":USDT"])
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        strategies=(scripted(0, {"seed": 5, "often": 0.7, "protect": "s"}, allow_short=True, leverage=3.0),),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        venue=VenueConfig(fee_asset=asset),
    )

    found = agree(
        config, contracts(Shape(3, 200, 0.01, 0.0, 0.0, 101.25), ids, Rates(3_600, 0, 0.0, 0.0, 1.0), None)
    )

    assert fallback_of(found) == ""
    assert found.costs["fees"] > 0
    assert {fill.fee_asset for fill in found.fills} == {"USDT"}


def always_filled(leverage: float, target: float, bars: Bars, rate: Mapping[str, Funding]) -> BacktestResult:
    """Hold one side of a contract, as large as margin allows, and hold both executors equal."""
    (id,) = {bars.instrument}
    config = RunConfig(
        instruments=(id,),
        timeframe="1h",
        strategies=(
            StrategyConfig(
                strategy=f"{HERE}:Steady",
                parameters={"target": target},
                allow_short=True,
                leverage=leverage,
                sizing=SizingConfig(method="fixed_notional", amount=1e6, max_fraction=20.0),
            ),
        ),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        venue=VenueConfig(unlimited_volume=True, slippage=SlippageConfig(spread=0.0, volume_share=0.0)),
    )
    found = agree(config, Memory({(id, "1h"): bars}, rate))
    assert fallback_of(found) == ""
    return found


def flat(prices: Sequence[float]) -> Bars:
    id = "BTC/USDT:USDT@BINANCE"
    close = np.array(prices)
    opened = np.r_[close[0], close[:-1]]
    ts = START + np.arange(len(close)) * 3_600_000_000_000
    columns = [opened, np.maximum(opened, close), np.minimum(opened, close), close, np.full(len(close), 1e6)]
    return Bars(id, "1h", ts, columns)


@pytest.mark.parametrize(
    ("target", "after"), [(1.0, 30_000.0), (-1.0, 90_000.0), (1.0, 57_000.0), (-1.0, 63_000.0)]
)
def test_a_gap_past_the_liquidation_price_costs_the_margin_and_no_more(target: float, after: float) -> None:
    bars = flat([60_000.0, 60_000.0, 60_000.0, after, after])
    bars = Bars(bars.instrument, "1h", bars.ts, [bars.close, bars.close, bars.close, bars.close, bars.volume])

    found = always_filled(20.0, target, bars, {})

    assert [fill.purpose for fill in found.fills] == [Purpose.ENTRY, Purpose.LIQUIDATION]
    assert 0 <= found.equity[-1] < 0.2 * found.start_equity


@pytest.mark.parametrize(("target", "rate"), [(1.0, 0.01), (-1.0, -0.01), (1.0, -0.01), (-1.0, 0.01)])
def test_funding_moves_between_cash_and_market_until_it_eats_the_margin(target: float, rate: float) -> None:
    bars = flat([60_000.0] * 60)
    ts = START + np.arange(1, 60) * 3_600_000_000_000
    due = {bars.instrument: Funding(bars.instrument, ts, np.full(len(ts), rate))}

    found = always_filled(10.0, target, bars, due)

    pays = target * rate > 0
    assert (found.costs["funding"] > 0) is pays
    assert (found.fills[-1].purpose is Purpose.LIQUIDATION) is pays


# --- recorded markets

STRATEGIES = [
    name
    for name in library.__all__
    if issubclass(getattr(library, name), BarStrategy) and hasattr(getattr(library, name), "short")
]


def both(strategy: str, memory: Memory, ids: Sequence[str], leverage: float) -> BacktestResult:
    """Run a shipped strategy, bare and guarded, in both executors."""
    exits = ExitsConfig(stop_atr=3.0, take_profit=0.09, trailing_atr=4.0, break_even=0.03, max_bars=240)
    own = {"strategy": strategy, "allow_short": True, "leverage": leverage, "allocation": 0.5}
    own["parameters"] = {"short": True}
    sizing = SizingConfig(method="risk_per_trade", risk=0.05)
    config = RunConfig(
        instruments=tuple(ids),
        timeframe="1h",
        strategies=(
            StrategyConfig(name="bare", sizing=SizingConfig(fraction=1.0), **own),
            StrategyConfig(name="guarded", exits=exits, sizing=sizing, **own),
        ),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
    )
    truth, other = backtest(config, memory), compiled_backtest(config, memory)
    assert fallback_of(other) == ""
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    assert other.costs == pytest.approx(truth.costs, rel=1e-9, abs=1e-9)
    return other


@cache
def march() -> Memory:
    id = "BTC/USDT:USDT@BINANCE"
    frame = pl.read_parquet(DATA / "binance_usdm_btc_1h_2024-03.parquet")
    paid = pl.read_csv(DATA / "binance_usdm_btc_funding_2024-03.csv")
    columns = [frame[name].to_numpy() for name in FIELDS]
    bars = Bars(id, "1h", frame["ts"].to_numpy() * MS_NS, columns)
    ts, rate = (paid[name].to_numpy() for name in paid.columns[:2])
    return Memory({(id, "1h"): bars}, {id: Funding(id, ts * MS_NS, rate)})


@pytest.mark.parametrize("leverage", [1.0, 10.0])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_shipped_strategy_goes_short_the_same_on_recorded_prices(strategy: str, leverage: float) -> None:
    found = both(strategy, march(), ["BTC/USDT:USDT@BINANCE"], leverage)

    assert found.costs["funding"] != 0 or not found.fills
    assert len(found.fills) > 3


@cache
def recent() -> Memory:
    series, paid = {}, {}
    for coin in ("BTC", "ETH", "XRP"):
        id, name = f"{coin}/USDT:USDT@BINANCE", f"{coin}-USDT-PERP.parquet"
        frame = pl.read_parquet(SHARED / "candles" / "binance_usdm" / "1h" / name).tail(HOURS)
        columns = [frame[field].to_numpy().astype(float) for field in FIELDS]
        series[id, "1h"] = Bars(id, "1h", frame["ts"].to_numpy().astype(np.int64) * MS_NS, columns)
        due = pl.read_parquet(SHARED / "funding" / f"binance_usdm_{name}")
        ts, rate = (due[field].to_numpy() for field in due.columns[:2])
        paid[id] = Funding(id, ts.astype(np.int64) * MS_NS, rate.astype(float))
    return Memory(series, paid)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the full recordings (../shared/data/candles) are not here")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_shipped_strategy_shares_margin_the_same_on_recorded_prices(strategy: str) -> None:
    memory = recent()

    found = both(strategy, memory, list(memory.rates), 5.0)

    assert any(trip.direction is Direction.SHORT for trip in found.round_trips)
