"""Builds backtest results from seeded prices and hand-made round trips; no engine is involved."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from abidance.backtest.result import BacktestResult
from abidance.market.bars import Bars
from abidance.model.account import RoundTrip
from abidance.model.order import Direction, Fill, Order, OrderRequest, OrderState, Purpose, Side
from abidance.model.outcome import Notice, RefusalCode, Refused

HOUR = 3_600_000_000_000
START = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
BTC, ETH = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE"


def make_bars(instrument: str = BTC, size: int = 500, seed: int = 1, price: float = 40_000.0) -> Bars:
    draw = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(draw.normal(0, 0.006, size)))
    opens = np.r_[price, closes[:-1]]
    highs, lows = np.maximum(opens, closes) * 1.002, np.minimum(opens, closes) * 0.998
    ts = START + np.arange(size, dtype=np.int64) * HOUR
    return Bars(instrument, "1h", ts, (opens, highs, lows, closes, draw.uniform(10, 100, size)))


def make_trip(
    pnl: str = "10", *, instrument: str = BTC, hour: int = 5, hours: int | None = 10, **changes: Any
) -> RoundTrip:
    values: dict[str, Any] = {
        "instrument": instrument,
        "strategy": "trend",
        "direction": Direction.LONG,
        "ts_entry": START + hour * HOUR,
        "entry_price": Decimal("40000.5"),
        "ts_exit": None if hours is None else START + (hour + hours) * HOUR,
        "exit_price": None if hours is None else Decimal("40100.25"),
        "quantity": Decimal("0.1"),
        "pnl": Decimal(pnl),
        "fees": Decimal("0.8"),
        "funding": Decimal(0),
        "tags": ("breakout",),
        "exit_reason": "" if hours is None else "trailing_stop",
    }
    return RoundTrip(**(values | changes))


def make_request(**changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "strategy": "trend",
        "instrument": BTC,
        "side": Side.BUY,
        "quantity": Decimal("0.1"),
        "decision_price": Decimal(40_000),
    }
    return OrderRequest(**(values | changes))


def make_refusal(
    code: RefusalCode = RefusalCode.MAX_EXPOSURE, reason: str = "60 % is above 50 %."
) -> tuple[int, Refused]:
    return START, Refused(make_request(), code, reason)


def make_order(*, filled: str = "0.1", price: str = "40008", **changes: Any) -> Order:
    values: dict[str, Any] = {
        "id": "a" * 32,
        "request": make_request(),
        "state": OrderState.FILLED,
        "ts_intent": START,
        "filled": Decimal(filled),
        "cost": Decimal(filled) * Decimal(price),
        "ts_first_fill": START + HOUR,
    }
    return Order(**(values | changes))


def make_fill(**changes: Any) -> Fill:
    values: dict[str, Any] = {
        "id": "1",
        "order_id": "a" * 32,
        "instrument": BTC,
        "strategy": "trend",
        "side": Side.BUY,
        "quantity": Decimal("0.1"),
        "price": Decimal("40000.5"),
        "fee": Decimal("0.4"),
        "fee_asset": "USDT",
        "ts": START + 5 * HOUR,
        "purpose": Purpose.ENTRY,
    }
    return Fill(**(values | changes))


def make_result(size: int = 500, *, bars: Sequence[Bars] | None = None, **changes: Any) -> BacktestResult:
    held = list(bars) if bars is not None else [make_bars(BTC, size), make_bars(ETH, size, 2, 2_000.0)]
    ts = START + (np.arange(size, dtype=np.int64) + 1) * HOUR
    draw = np.random.default_rng(7)
    equity = 10_000 * np.exp(np.cumsum(draw.normal(0.0001, 0.003, size)))
    values: dict[str, Any] = {
        "currency": "USDT",
        "start_equity": 10_000.0,
        "ts": ts,
        "equity": equity,
        "exposure": draw.choice([0.0, 0.25], size),
        "benchmark": 10_000 * np.exp(np.cumsum(draw.normal(0.0001, 0.006, size))),
        "strategy_equity": {"trend": equity - 10_000},
        "round_trips": [
            make_trip("10"),
            make_trip("-4", hour=30),
            make_trip("3", hour=60, instrument=ETH, hours=None),
        ],
        "fills": [make_fill()],
        "orders": [make_order()],
        "refusals": [make_refusal()],
        "notices": [Notice(START, "warning", "daily_loss", "Lost 5 % since midnight.", "trend")],
        "bars": {b.instrument: b for b in held},
        "costs": {"fees": 1.6, "slippage": 0.8, "funding": 0.0},
        "config": {"seed": 1, "strategies": [{"strategy": "trend", "parameters": {"fast": 10}}]},
        "fingerprint": "f" * 64,
        "digest": "d" * 64,
        "version": "0.1.0",
        "elapsed": 0.5,
    }
    return BacktestResult(**(values | changes))
