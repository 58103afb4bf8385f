"""How well orders were executed: slippage against the decision, fill rate, time to fill, share of maker fills.

Pure functions over orders and fills. Slippage is what was filled against the price at which the strategy decided;
what an unfilled order would have earned (the rest of the implementation shortfall) is left out, because it needs a
guess of what would have been.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import ceil
from statistics import median

import msgspec

from abidance.model.instrument import SECOND_NS, parse_instrument_id
from abidance.model.order import TRIGGERED, Fill, Order, OrderRequest, Purpose


class ExecutionStats(msgspec.Struct, frozen=True):
    """The quality of a set of orders' execution; None where there is nothing to measure.

    `orders` are all orders, `filled` those with any fill. `slippage` is signed (positive = it cost us) in the report's
    currency over the orders that could be `measured`, `slippage_bps` the same per value at the decision price.
    `fill_rate` is the mean share of the quantity that closed orders filled, triggers that were never touched left out.
    `seconds_median` and `seconds_p95` are from the decision to the last fill of completely filled orders, those
    with a trigger left out: they wait by intent. `maker_share` is by value. `expected_bps` is the slippage that was
    expected of the orders whose cost was limited, `surprise_bps` what theirs was beyond it, both per value at the
    decision price.
    """

    orders: int = 0
    filled: int = 0
    measured: int = 0
    slippage: float = 0.0
    slippage_bps: float | None = None
    fill_rate: float | None = None
    seconds_median: float | None = None
    seconds_p95: float | None = None
    maker_share: float | None = None
    expected_bps: float | None = None
    surprise_bps: float | None = None


class ExecutionReport(msgspec.Struct, frozen=True):
    """Execution quality over all orders, and by strategy in the order of first appearance."""

    overall: ExecutionStats
    by_strategy: Mapping[str, ExecutionStats]


def slippage_of(order: Order) -> tuple[float, float] | None:
    """Return what filling away from the decision price cost, in quote units and in basis points of the value decided.

    For a stop that is the trigger as it last stood (a trailing stop moves), for a take-profit its price. Positive is a
    cost. None before the first fill and without a decision price.
    """
    decided = decided_price(order.request)
    if not order.filled or not decided > 0:
        return None
    expected = decided * order.filled
    cost = (order.cost - expected) * order.request.side.sign
    return float(cost), float(cost / expected * 10_000)


def decided_price(request: OrderRequest) -> Decimal:
    """Return the price that an order was meant to trade at; zero when nobody said."""
    if request.type in TRIGGERED and request.trigger is not None:
        return request.trigger
    if request.purpose is Purpose.TAKE_PROFIT and request.price is not None:
        return request.price
    return request.decision_price


def analyse(
    orders: Iterable[Order], fills: Iterable[Fill], rates: Mapping[str, float] | None = None
) -> ExecutionReport:
    """Measure orders with their fills; fills of other orders are passed over.

    `rates` says what one unit of each quote asset is worth in the report's currency. Without it every quote asset
    counts as 1, which is right when all instruments share one. Orders in a quote asset that `rates` lacks stay out of
    slippage and maker share.
    """
    by_order: dict[str, list[Fill]] = {}
    for fill in fills:
        by_order.setdefault(fill.order_id, []).append(fill)
    groups: dict[str, list[Order]] = {}
    everything: list[Order] = []
    for order in orders:
        everything.append(order)
        groups.setdefault(order.request.strategy, []).append(order)
    return ExecutionReport(
        overall=_measure(everything, by_order, rates),
        by_strategy={name: _measure(group, by_order, rates) for name, group in groups.items()},
    )


def _measure(
    orders: list[Order], by_order: Mapping[str, list[Fill]], rates: Mapping[str, float] | None
) -> ExecutionStats:
    cost = expected = maker = traded = 0.0
    foreseen = promised = paid = 0.0
    measured = 0
    for order in orders:
        worth = 1.0 if rates is None else rates.get(parse_instrument_id(order.request.instrument).quote)
        if worth is None:
            continue
        for fill in by_order.get(order.id, ()):
            value = float(fill.price * fill.quantity) * worth
            traded += value
            maker += value if fill.is_maker else 0.0
        slipped = slippage_of(order)
        if slipped is not None:
            measured += 1
            cost += slipped[0] * worth
            decided = decided_price(order.request)
            expected += float(decided * order.filled) * worth
            if order.request.expected:
                away = (order.request.expected - decided) * order.request.side.sign
                foreseen += float(decided * order.filled) * worth
                promised += float(away * order.filled) * worth
                paid += slipped[0] * worth
    seconds = sorted(_seconds_to_fill(orders, by_order))
    shares = [min(float(o.filled / o.request.quantity), 1.0) for o in orders if _counts_for_rate(o)]
    return ExecutionStats(
        orders=len(orders),
        filled=sum(1 for order in orders if order.filled),
        measured=measured,
        slippage=cost,
        slippage_bps=cost / expected * 10_000 if expected else None,
        fill_rate=sum(shares) / len(shares) if shares else None,
        seconds_median=median(seconds) if seconds else None,
        seconds_p95=seconds[ceil(0.95 * len(seconds)) - 1] if seconds else None,
        maker_share=maker / traded if traded else None,
        expected_bps=promised / foreseen * 10_000 if foreseen else None,
        surprise_bps=(paid - promised) / foreseen * 10_000 if foreseen else None,
    )


def _seconds_to_fill(orders: Iterable[Order], by_order: Mapping[str, list[Fill]]) -> Iterable[float]:
    """Yield seconds from the decision to the last fill, for each filled order that was to trade at once."""
    for order in orders:
        fills = by_order.get(order.id)
        if fills and order.filled >= order.request.quantity and order.request.type not in TRIGGERED:
            yield max(max(fill.ts for fill in fills) - order.ts_intent, 0) / SECOND_NS


def _counts_for_rate(order: Order) -> bool:
    """Say whether an order is over and was to trade: a trigger that was never touched did its duty."""
    wanted = order.request.quantity > 0 and (order.filled > 0 or order.request.type not in TRIGGERED)
    return order.state.is_closed and wanted
