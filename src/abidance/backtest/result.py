"""What every executor of a backtest returns, and every report reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import Bars
from abidance.model.account import RoundTrip
from abidance.model.order import Fill, Order
from abidance.model.outcome import Notice, Refused

DATA_NOTICE = "data"
"""The code of notices about what a run stood on, known before it began; all others tell what happened in it."""


@dataclass(frozen=True)
class BacktestResult:
    """One finished run.

    `ts` (ns UTC, bar closes) and `equity` (in `currency`) have one value per time slice; `benchmark` is the equity of
    buying and holding the same instruments in equal parts with the same costs. `exposure` is gross exposure as a share
    of equity per slice. `strategy_equity` holds each strategy's profit so far per slice.
    """

    currency: str
    start_equity: float
    ts: NDArray[np.int64]
    equity: NDArray[np.float64]
    exposure: NDArray[np.float64]
    benchmark: NDArray[np.float64]
    strategy_equity: Mapping[str, NDArray[np.float64]]
    round_trips: Sequence[RoundTrip]
    fills: Sequence[Fill]
    orders: Sequence[Order]
    refusals: Sequence[tuple[int, Refused]]
    notices: Sequence[Notice]
    bars: Mapping[str, Bars]
    costs: Mapping[str, float]
    """fees, slippage, funding: what trading cost, in `currency`."""
    config: Mapping[str, object]
    fingerprint: str
    """SHA-256 of the market data that was replayed."""
    digest: str
    """SHA-256 over all outcomes: two equal runs have equal digests."""
    version: str
    elapsed: float
    """Seconds of simulation, loading not counted."""
    benchmark_name: str = "buy and hold"
    timings: Mapping[str, float] = field(default_factory=dict)
