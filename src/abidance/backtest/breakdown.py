"""A result taken apart: by strategy, instrument, exit reason, refusal, cost and kind of order."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from abidance.backtest.result import BacktestResult
from abidance.execution.analysis import decided_price, slippage_of
from abidance.journal.metrics import Metrics, TradeStats, measure, trade_stats
from abidance.journal.told import TripColumns, columns_of
from abidance.model.account import RoundTrip
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Order, OrderState


class RefusalCount(msgspec.Struct, frozen=True):
    """How often risk gave one reason; `reason` is the latest wording, with its numbers and remedy."""

    code: str
    count: int
    reason: str


class Costs(msgspec.Struct, frozen=True):
    """What trading cost. `gross` is the profit before costs; the share is None where there was none to share."""

    fees: float
    slippage: float
    funding: float
    total: float
    gross: float
    share_of_gross: float | None


class ExecutionRow(msgspec.Struct, frozen=True):
    """How orders of one purpose fared."""

    purpose: str
    orders: int
    filled: int
    unfilled: int
    fill_share: float
    """Filled quantity as a share of what was ordered, mean over the orders."""
    slippage: float | None
    """Mean fill price against the decision price, weighted by value, as a share; positive cost us."""
    delay_hours: float | None
    """Mean time from the decision to the first fill."""


def metrics_of(result: BacktestResult) -> tuple[Metrics, Metrics]:
    """Return the metrics of the run and of its benchmark, by the same arithmetic."""
    run = measure(
        result.ts,
        result.equity,
        start_equity=result.start_equity,
        round_trips=result.round_trips,
        fills=result.fills,
        exposure=result.exposure,
        costs=result.costs,
    )
    return run, measure(result.ts, result.benchmark, start_equity=result.start_equity)


def by_strategy(result: BacktestResult) -> dict[str, TradeStats]:
    """Return each strategy's round trips summarised; one that never traded is there too."""
    trips = columns_of(result.round_trips)
    return _grouped(trips, trips.strategies, trips.strategy, result.strategy_equity)


def by_instrument(result: BacktestResult) -> dict[str, TradeStats]:
    """Return each instrument's round trips summarised; one that was never traded is there too."""
    trips = columns_of(result.round_trips)
    return _grouped(trips, trips.instruments, trips.instrument, result.bars)


def by_exit_reason(result: BacktestResult) -> dict[str, TradeStats]:
    """Return the closed round trips summarised by what ended them, most frequent first."""
    groups: dict[str, list[RoundTrip]] = {}
    for trip in result.round_trips:
        if trip.ts_exit is not None:
            groups.setdefault(trip.exit_reason or "unknown", []).append(trip)
    found = {name: trade_stats(group) for name, group in groups.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].trades, item[0])))


def refusals_of(result: BacktestResult) -> list[RefusalCount]:
    """Return the refusals counted by code, most frequent first."""
    counts = Counter(str(refused.code) for _, refused in result.refusals)
    latest = {str(refused.code): refused.reason for _, refused in result.refusals}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [RefusalCount(code, count, latest[code]) for code, count in ordered]


def costs_of(result: BacktestResult, metrics: Metrics) -> Costs:
    """Return what trading cost, and which share of the profit before costs that was."""
    fees, slippage, funding = (float(result.costs.get(name, 0.0)) for name in ("fees", "slippage", "funding"))
    total = fees + slippage + funding
    gross = metrics.profit + total
    return Costs(fees, slippage, funding, total, gross, total / gross if gross > 0 else None)


def execution_of(result: BacktestResult) -> list[ExecutionRow]:
    """Return how orders fared, by purpose, most frequent first."""
    groups: dict[str, list[Order]] = {}
    for order in result.orders:
        groups.setdefault(str(order.request.purpose), []).append(order)
    rows = [_execution_row(purpose, orders) for purpose, orders in groups.items()]
    return sorted(rows, key=lambda row: (-row.orders, row.purpose))


def _execution_row(purpose: str, orders: Sequence[Order]) -> ExecutionRow:
    filled = [order for order in orders if order.filled]
    value = float(sum(order.filled * decided_price(order.request) for order in filled))
    worse = sum(slippage[0] for order in filled if (slippage := slippage_of(order)) is not None)
    shares = sum(float(order.filled / order.request.quantity) for order in orders if order.request.quantity)
    delays = [order.ts_first_fill - order.ts_intent for order in filled if order.ts_first_fill is not None]
    return ExecutionRow(
        purpose,
        len(orders),
        sum(order.state is OrderState.FILLED for order in orders),
        len(orders) - len(filled),
        shares / len(orders),
        worse / value if value > 0 else None,
        sum(delays) / len(delays) / (3_600 * SECOND_NS) if delays else None,
    )


def _grouped(
    trips: TripColumns, names: Sequence[str], codes: NDArray[np.int64], known: Iterable[str]
) -> dict[str, TradeStats]:
    """Return the statistics of each group of round trips; those of `known` names come first, in their order."""
    groups = {name: TripColumns.of(()) for name in known}
    for code, name in enumerate(names):
        if (rows := codes == code).any():
            groups[name] = trips.only(rows)
    return {name: trade_stats(group) for name, group in groups.items()}
