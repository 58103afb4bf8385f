"""The engine on real bars, trade by trade, against a plain loop that shares no code with it."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.indicators.trend import donchian
from abidance.indicators.volatility import atr_distance
from abidance.market.bars import Bars
from abidance.market.reference import instrument
from abidance.market.store import BarStore, Catalog, parse_timerange
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.library import EmaCross
from tests.oracle import plain
from tests.oracle.plain import Market, Place, Row, Steps, Trade, Wish

BTC, ETH, SOL = (f"{coin}/USDT@BINANCE" for coin in ("BTC", "ETH", "SOL"))
SPAN = "20240101-20240501"
OFF = BreakersConfig(daily_loss=None, max_drawdown=None, data_anomaly=None)
HERE = Path(__file__)


class Breakout(BarStrategy):
    """Breakouts with a stop and a target at fixed distances."""

    stop, goal = 612.37, 1105.5

    @property
    def warmup(self) -> int:
        return 24

    def signals(self, bars: Bars) -> Signals:
        top, _ = donchian(bars.high, bars.low, 24)
        _, bottom = donchian(bars.high, bars.low, 12)
        return Signals(
            Signals.entries(bars.close > top, bars.close < bottom), stop=self.stop, take_profit=self.goal
        )


class Chandelier(BarStrategy):
    """Crosses with a trailing stop of three ranges, break-even and a last bar."""

    @property
    def warmup(self) -> int:
        return 21

    def signals(self, bars: Bars) -> Signals:
        cross = EmaCross()
        cross.fast, cross.slow = 8, 21
        return Signals(
            cross.signals(bars).target,
            trailing=atr_distance(bars.high, bars.low, bars.close, 14, 3.0),
            break_even=35.0,
            max_bars=30,
        )


@cache
def catalog() -> Catalog:
    return Catalog(BarStore(HERE.parent / "no-store-here"))


@cache
def rows_of(id: str) -> list[Row]:
    bars = catalog().read(id, "1h", None, parse_timerange(SPAN)[1])
    columns = (column.tolist() for column in bars.columns())
    return [Row(*row) for row in zip(bars.ts.tolist(), *columns, strict=True)]


def place(id: str, wishes: list[Wish], sizing: str = "notional", amount: float = 1000.0) -> Place:
    own = instrument(id)
    return Place(id, Steps(own.tick, own.lot, own.min_notional), rows_of(id), wishes, sizing, amount)


def engine_run(
    strategy: str, ids: Sequence[str], sizing: SizingConfig, limits: LimitsConfig | None = None
) -> BacktestResult:
    config = RunConfig(
        instruments=tuple(ids),
        timerange=SPAN,
        strategies=(StrategyConfig(strategy=strategy, sizing=sizing, parameters={}),),
        risk=RiskConfig(limits=limits or LimitsConfig(), breakers=OFF),
    )
    return backtest(config, catalog())


def trades_of(result: BacktestResult) -> list[Trade]:
    return [
        (f.ts, f.instrument, f.side.value, f.quantity, f.price, f.purpose.value)
        for f in sorted(result.fills, key=lambda f: (f.ts, f.instrument))
    ]


def compare(result: BacktestResult, market: Market, least: int) -> None:
    ours = sorted(market.trades, key=lambda trade: trade[:2])
    theirs = trades_of(result)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        assert one == other, f"trade {number}"
    assert len(ours) == len(theirs)
    assert len(ours) >= least
    assert result.equity[-1] == pytest.approx(market.equity(), rel=1e-9, abs=0)


def start() -> int:
    begin = parse_timerange(SPAN)[0]
    assert begin is not None
    return begin


NOTIONAL = SizingConfig(method="fixed_notional", amount=1000.0)


def test_a_plain_cross_trades_as_the_plain_loop_does() -> None:
    rows = rows_of(BTC)
    closes = [row.close for row in rows]
    wishes = [Wish(target) for target in plain.crossings(plain.ema(closes, 20), plain.ema(closes, 50))]

    market = Market(Decimal(10_000), [place(BTC, wishes)]).run(start())
    result = engine_run("EmaCross", [BTC], NOTIONAL)

    compare(result, market, least=30)


def test_breakouts_with_stop_and_target_trade_as_the_plain_loop_does() -> None:
    rows = rows_of(BTC)
    stop, goal = Decimal(str(Breakout.stop)), Decimal(str(Breakout.goal))
    wishes = [Wish(target, stop=stop, goal=goal) for target in plain.breakouts(rows, 24, 12)]

    market = Market(Decimal(10_000), [place(BTC, wishes)]).run(start())
    result = engine_run(f"{HERE}:Breakout", [BTC], NOTIONAL)

    compare(result, market, least=50)
    assert {trade[5] for trade in market.trades} == {"entry", "stop_loss", "take_profit", "signal"}


def test_trailing_break_even_and_last_bar_trade_as_the_plain_loop_does() -> None:
    rows = rows_of(ETH)
    closes = [row.close for row in rows]
    targets = plain.crossings(plain.ema(closes, 8), plain.ema(closes, 21))
    ranges = [width if np.isnan(width) else width * 3.0 for width in plain.atr(rows, 14)]
    wishes = [
        Wish(
            target, trailing=None if np.isnan(width) else Decimal(repr(width)), even=Decimal(35), last_bar=30
        )
        for target, width in zip(targets, ranges, strict=True)
    ]

    market = Market(Decimal(10_000), [place(ETH, wishes)]).run(start())
    result = engine_run(f"{HERE}:Chandelier", [ETH], NOTIONAL)

    compare(result, market, least=60)
    assert {trade[5] for trade in market.trades} == {"entry", "trailing_stop", "break_even", "signal", "time"}


def test_a_portfolio_with_shared_cash_and_refusals_trades_as_the_plain_loop_does() -> None:
    places = []
    for id in (BTC, ETH, SOL):
        closes = [row.close for row in rows_of(id)]
        wishes = [Wish(target) for target in plain.crossings(plain.ema(closes, 20), plain.ema(closes, 50))]
        places.append(place(id, wishes, "fraction", 0.2))

    market = Market(Decimal(10_000), places).run(start())
    result = engine_run("EmaCross", [BTC, ETH, SOL], SizingConfig(method="fixed_fraction", fraction=0.2))

    compare(result, market, least=80)
    refused = [(ts, each.request.instrument) for ts, each in result.refusals]
    assert refused == market.refused
    assert len(refused) > 5
    assert {each.code for _, each in result.refusals} == {RefusalCode.MAX_EXPOSURE}


def test_the_oracle_knows_nothing_of_the_package() -> None:
    assert "abidance" not in Path(plain.__file__).read_text(encoding="utf-8")
