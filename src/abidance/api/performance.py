"""How a strategy of a run does by what it closed: the figures of reports, over its own round trips and their sum.

Money is in the run's currency, at the rates of now. What is open counts only in how long something was held: a curve of
closed profit has no falls between an entry and its exit, so that nothing is said here of risk by the day.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import fsum
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from abidance.api.schemas.market import PerformanceOut
from abidance.api.valuing import opening
from abidance.journal.metrics import measure, share_held
from abidance.journal.told import TripColumns
from abidance.run.replica import Replica

POINTS = 500
"""Points of the curve at most."""
_TOLD = (
    "trades", "profit", "win_rate", "profit_factor", "max_drawdown", "max_drawdown_days", "expectancy", "average_win",
    "average_loss", "best_trade", "worst_trade", "average_holding_hours", "fees", "funding",
)  # fmt: skip


@dataclass(frozen=True)
class _Basis:
    """What the figures of a strategy follow from, besides the round trips themselves."""

    changes: int
    rates: tuple[float, ...]
    capital: float
    held: tuple[int, ...]
    """Since when something is held."""
    first: int
    last: int


class Performances:
    """The figures of strategies, worked out again when something has changed: half a million round trips take time."""

    def __init__(self, reading: Callable[..., Awaitable[Any]]) -> None:
        self._reading = reading
        self._known: WeakKeyDictionary[Replica, dict[str, tuple[_Basis, PerformanceOut]]] = (
            WeakKeyDictionary()
        )

    async def of(self, replica: Replica, name: str) -> PerformanceOut:
        """Return the figures of a strategy that the run has, by the names that they have in reports, and its curve."""
        basis, known = _basis(replica, name), self._known.setdefault(replica, {})
        if name not in known or known[name][0] != basis:
            columns = replica.trips.columns()
            known[name] = basis, await self._reading(_measured, columns, name, basis)
        return known[name][1]


def _basis(replica: Replica, name: str) -> _Basis:
    moments, places = replica.curve[0], replica.trips.instruments
    return _Basis(
        changes=replica.trips.changes,
        rates=tuple(replica.state.quote_rate(id) or 0.0 for id in places),
        capital=opening(replica) * replica.state.strategies[name].allocation,
        held=tuple(each.ts_entry for each in replica.portfolio.open_round_trips() if each.strategy == name),
        first=moments[0] if moments else 0,
        last=moments[-1] if moments else 0,
    )


def _measured(columns: TripColumns, name: str, basis: _Basis) -> PerformanceOut:
    place = columns.strategies.index(name) if name in columns.strategies else -1
    trips = _valued(columns.only(columns.strategy == place), basis.rates)
    ts, profit = _summed(trips)
    costs = {"fees": fsum(trips.fees.tolist()), "funding": fsum(trips.funding.tolist())}
    capital = basis.capital
    found = measure(ts, capital + profit, start_equity=capital, round_trips=trips, costs=costs)
    rows = np.unique(np.linspace(0, len(ts) - 1, min(len(ts), POINTS)).round().astype(np.int64))
    starts = np.append(trips.ts_entry, np.array(basis.held, dtype=np.int64))
    ends = np.append(trips.ts_exit, np.full(len(basis.held), basis.last, dtype=np.int64))
    begun = trips.ts_entry[:1]
    held = share_held(starts, ends, basis.first, basis.last)
    return PerformanceOut(
        capital=capital,
        figures={each: getattr(found, each) for each in _TOLD} | {"time_in_market": held},
        ts=[*(begun // 1_000_000).tolist(), *(ts[rows] // 1_000_000).tolist()],
        profit=[0.0] * len(begun) + profit[rows].tolist(),
    )


def _valued(trips: TripColumns, rates: tuple[float, ...]) -> TripColumns:
    """Return round trips with their money in the run's currency."""
    rate = np.array(rates, dtype=np.float64)[trips.instrument]
    money = {each: getattr(trips, each) * rate for each in ("pnl", "fees", "funding", "value")}
    return replace(trips, **money)


def _summed(trips: TripColumns) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the moments at which trips were closed and what had been earned by each."""
    order = np.argsort(trips.ts_exit, kind="stable")
    ts, earned = trips.ts_exit[order], np.cumsum(trips.pnl[order])
    last = np.flatnonzero(np.append(ts[1:] != ts[:-1], True)) if len(ts) else np.empty(0, np.int64)
    return ts[last], earned[last]


__all__ = ["Performances"]
