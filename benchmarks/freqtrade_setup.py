"""freqtrade's backtesting set up in memory: its exchange's markets are given, nothing is asked of a network."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.configuration import TimeRange
from freqtrade.enums import RunMode
from freqtrade.exchange.exchange import Exchange
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.optimize.optimize_reports import generate_backtest_stats
from harness import FEE, Phases

FIELDS = ("open", "high", "low", "close", "volume")
STRATEGIES = Path(__file__).resolve().parent / "freqtrade_strategies"
NEVER = 10**15

Frames = dict[str, pd.DataFrame]


def market(pair: str) -> dict[str, Any]:
    """Return a spot market as the exchange would describe it."""
    base, quote = pair.split("/")
    amounts = {"min": 1e-6, "max": 1e9}
    nothing = {"min": None, "max": None}
    return {
        "id": base + quote, "symbol": pair, "base": base, "quote": quote, "active": True, "type": "spot",
        "spot": True, "margin": False, "swap": False, "future": False, "option": False, "contract": False,
        "linear": None, "inverse": None, "taker": FEE, "maker": FEE, "contractSize": None, "info": {},
        "precision": {"amount": 1e-8, "price": 1e-4, "base": 1e-8, "quote": 1e-8},
        "limits": {
            "amount": amounts, "price": {"min": 1e-4, "max": 1e9}, "cost": {"min": 1.0, "max": 1e12},
            "leverage": nothing, "market": nothing,
        },
    }  # fmt: skip


def backtesting(pairs: list[str], strategy: str, **settings: Any) -> Backtesting:
    """Return its backtesting of one strategy over `pairs`; `settings` replace those below."""
    markets = {pair: market(pair) for pair in pairs}

    def given(self: Exchange, *_: Any, **__: Any) -> None:
        self._markets = markets
        self._api.markets = self._api_async.markets = markets
        self._last_markets_refresh = NEVER

    Exchange.reload_markets = given
    Exchange.validate_config = lambda self, config: None
    logging.disable(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="bench-freqtrade-"))
    data = folder / "data" / "binance"
    data.mkdir(parents=True)
    (folder / "backtest_results").mkdir()
    pricing = {"price_side": "other", "use_order_book": False, "order_book_top": 1, "price_last_balance": 0.0}
    config = {
        "stake_currency": "USDT", "tradable_balance_ratio": 1.0, "timeframe": "1m", "strategy": strategy,
        "strategy_path": str(STRATEGIES), "fee": FEE, "runmode": RunMode.BACKTEST, "dry_run": True,
        "exchange": {
            "name": "binance", "pair_whitelist": pairs, "pair_blacklist": [], "key": "", "secret": "",
            "enable_ws": False,
        },
        "pairlists": [{"method": "StaticPairList"}], "user_data_dir": folder, "datadir": data,
        "dataformat_ohlcv": "feather", "dataformat_trades": "feather", "export": "none",
        "backtest_cache": "none", "internals": {}, "original_config": {}, "candle_type_def": "spot",
        "entry_pricing": {**pricing, "check_depth_of_market": {"enabled": False, "bids_to_ask_delta": 1}},
        "exit_pricing": pricing, "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes"},
    }  # fmt: skip
    return Backtesting(config | settings)


def frame(ts: np.ndarray, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return arrays as the frame that it takes; `ts` in ms."""
    date = pd.to_datetime(ts, unit="ms", utc=True)
    return pd.DataFrame({"date": date, **{name: columns[name] for name in FIELDS}})


def run(test: Backtesting, frames: Frames, phases: Phases) -> dict[str, Any]:
    """Run it and return its content: the phase `run` is the simulation, `metrics` its statistics."""
    with phases.measure("run"):
        first, last = test.backtest_one_strategy(test.strategylist[0], frames, TimeRange())
    with phases.measure("metrics"):
        generate_backtest_stats(frames, test.all_bt_content, min_date=first, max_date=last)
    content: dict[str, Any] = next(iter(test.all_bt_content.values()))
    return content
