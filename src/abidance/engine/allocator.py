"""Divide the run's equity among its strategies: measured day by day, decided at set moments, from full days only.

Owns the daily returns of the strategies and the moments at which shares change. What a share is for is sizing: entries
from then on follow it, nothing is bought or sold because of it.
"""

from collections import deque
from collections.abc import Collection, Sequence
from math import floor, nan
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from abidance.engine.config import AllocationConfig
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Purpose
from abidance.model.outcome import Notice
from abidance.portfolio import allocation

DAY_NS = 86_400 * SECOND_NS
_YEAR_NS = 365 * DAY_NS
_SIZED = frozenset({Purpose.ENTRY, Purpose.REBALANCE})
_PARTS = 1_000_000  # shares are whole millionths: the last bits of a linear algebra library decide nothing
_UNIT = 1 / _PARTS


class Capital(Protocol):
    """What the strategies of a run have made of its money, at the last marks."""

    def equity(self) -> float:
        """Return what everything is worth."""
        ...

    def profit_of(self, strategy: str) -> float:
        """Return what a strategy has earned since the start."""
        ...

    def holders(self) -> Collection[str]:
        """Return the strategies that hold something."""
        ...


class Traded(Protocol):
    """What counts of a fill: whose it was, and what it was for."""

    @property
    def strategy(self) -> str:
        """Return the name of the strategy."""
        ...

    @property
    def purpose(self) -> Purpose:
        """Return what it was for."""
        ...


class Allocator:
    """Sets `shares`, of each strategy; `due` is the moment from which `on_moment` wants to be called.

    `start` is when the run's first bar opens, `bar` the length of the run's bars, both ns.
    """

    def __init__(
        self, config: AllocationConfig, shares: dict[str, float], capital: Capital, start: int, bar: int
    ) -> None:
        self.due = 0
        self._config = config
        self._shares = shares
        self._capital = capital
        self._start = self._since = start
        self._every = bar * config.rebalance if isinstance(config.rebalance, int) else 0
        self._period = self._period_at(start)
        self._days: deque[tuple[int, list[float]]] = deque(maxlen=config.lookback)
        self._equity = 0.0
        self._profits = dict.fromkeys(shares, 0.0)
        self._bases = dict(shares)
        self._seen = 0

    def on_moment(self, now: int, fills: Sequence[Traded]) -> Notice | None:
        """Take the first moment at or after `due`, everything marked; `fills` are all of the run so far.

        A day ends with the first moment at or after midnight UTC.
        """
        is_first = not self.due
        if is_first:
            self._equity = self._capital.equity()
        midnight, period = now // DAY_NS * DAY_NS, self._period_at(now)
        if midnight > self._since:
            self._close_day(midnight, fills)
        is_time = period > self._period or (is_first and self._config.method == "equal")
        self._period = period
        self.due = midnight + DAY_NS
        if self._every:
            self.due = min(self.due, self._start + (period + 1) * self._every)
        return self._rebalance(now) if is_time else None

    def _period_at(self, now: int) -> int:
        """Return the number of the period between two rebalancings that `now` lies in."""
        if self._every:
            return (now - self._start) // self._every
        day = now // DAY_NS
        match self._config.rebalance:
            case "weekly":
                return (day + 3) // 7  # day 0 of the epoch was a Thursday
            case "monthly":
                return int(np.datetime64(day, "D").astype("datetime64[M]").astype(np.int64))
        return day

    def _close_day(self, midnight: int, fills: Sequence[Traded]) -> None:
        """Note each strategy's profit as a share of the capital that its holdings were sized with."""
        capital, shares = self._capital, self._shares
        for fill in fills[self._seen :]:
            if fill.purpose in _SIZED and fill.strategy in shares:
                self._bases[fill.strategy] = shares[fill.strategy]
        profits = {name: capital.profit_of(name) for name in shares}
        if not self._since % DAY_NS:  # a run may begin in the middle of a day
            sized = {name: self._equity * self._bases[name] for name in shares}
            earned = [
                (profits[name] - self._profits[name]) / sized[name] if sized[name] > 0 else nan
                for name in shares
            ]
            self._days.append((self._since, earned))
        holders = capital.holders()
        self._bases.update((name, share) for name, share in shares.items() if name not in holders)
        self._since, self._seen = midnight, len(fills)
        self._equity, self._profits = capital.equity(), profits

    def _rebalance(self, now: int) -> Notice | None:
        config, shares = self._config, self._shares
        if config.method != "equal" and len(self._days) < config.lookback:
            return None
        limit = 1.0 - config.reserve
        wished = allocation.bounded(self._weights(), limit, config.floor, config.cap)
        new = {name: floor(each * _PARTS + 1e-3) / _PARTS for name, each in zip(shares, wished, strict=True)}
        change = max(abs(new[name] - shares[name]) for name in shares)
        fits = sum(shares.values()) <= limit + _UNIT and all(
            config.floor - _UNIT <= share <= config.cap + _UNIT for share in shares.values()
        )
        if change < _UNIT / 2 or (fits and change < config.threshold - _UNIT / 2):
            return None
        told = ", ".join(f"{name} from {shares[name]:.2%} to {new[name]:.2%}" for name in shares)
        shares.update(new)
        return Notice(now, "info", "rebalanced", f"Shares of equity by {config.method}: {told}.")

    def _weights(self) -> NDArray[np.float64]:
        config = self._config
        returns = np.array([earned for _, earned in self._days]).reshape(-1, len(self._shares))
        match config.method:
            case "inverse_volatility":
                return allocation.inverse_volatility(returns)
            case "risk_parity":
                return allocation.risk_parity(returns)
            case "hrp":
                return allocation.hrp(returns)
            case "volatility_target":
                # bars may be longer than a day, and data may have holes
                per_year = _YEAR_NS * len(returns) / (self._since - self._days[0][0])
                return allocation.volatility_target(returns, config.volatility, per_year)
            case "kelly":
                return allocation.kelly(returns, config.kelly_cap)
        return allocation.equal(returns)
