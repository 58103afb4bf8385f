"""How much an entry buys: six methods, one cap, one rounding. Whether it may be bought is for the gate."""

from collections.abc import Sequence
from decimal import Decimal
from math import floor, inf, isfinite

from abidance.model.intent import Target
from abidance.model.money import ZERO, to_decimal
from abidance.model.order import Protection
from abidance.risk.config import SizingConfig
from abidance.risk.view import SizingView

ENOUGH_RESULTS = 20
"""Round trips from which Kelly's fraction is believed (fewer when `lookback` is shorter)."""

# A stake that misses a lot by float noise alone keeps it; so much more cannot matter to any limit.
_LAST_BIT = 1 + 1e-12


def size(config: SizingConfig, target: Target, view: SizingView) -> Decimal:
    """Return the quantity of a position that follows `target`, in base units, shortened to the lot; never negative.

    Zero when there is nothing to size with: no strength, equity, price, stop (risk_per_trade), volatility, or edge
    (kelly). The gate refuses it as ZERO_QUANTITY.
    """
    instrument, rate = view.instrument(target.instrument), view.quote_rate(target.instrument)
    share = min(abs(target.strength), 1.0) * min(max(target.confidence, 0.0), 1.0)
    if instrument is None or rate is None or not (rate > 0 and share > 0 and 0 < target.price < inf):
        return ZERO
    equity = view.allotted(target.strategy) / rate
    if not 0 < equity < inf:
        return ZERO
    leverage = view.terms(target.strategy).leverage if instrument.is_perpetual else 1.0
    # a full stake leaves room for its own costs, or it could never be paid
    payable = leverage / (1.0 + leverage * view.cost_rate(target.instrument))
    value = min(
        _stake(config, target, equity, view) * share,
        config.max_fraction * leverage * equity,
        payable * equity,
    )
    lots = value / target.price / float(instrument.lot) * _LAST_BIT
    return to_decimal(floor(lots)) * instrument.lot if 0 < lots < inf else ZERO


def stop_distance(protection: Protection | None) -> float | None:
    """Return how far the price may go against an entry before its stop, in quote units; None without a stop.

    With a fixed and a trailing stop the nearer one counts.
    """
    if protection is None:
        return None
    given = (protection.stop, protection.trailing)
    distances = [distance for distance in given if distance is not None and distance > 0]
    return min(distances, default=None)


def kelly_fraction(config: SizingConfig, results: Sequence[float]) -> float:
    """Return Kelly's share of equity, W - (1 - W) / R, within [0, kelly_cap].

    W is the share of winners among the last `lookback` results, R the mean win over the mean loss. Before 20 results
    (or `lookback`, if that is less) it is a quarter of `kelly_cap`: enough to learn, too little to hurt.
    """
    latest = results[-config.lookback :]
    return kelly_of(latest, 0, len(latest), min(ENOUGH_RESULTS, config.lookback), config.kelly_cap)


def kelly_of(results: Sequence[float], oldest: int, count: int, enough: int, cap: float) -> float:
    """Return Kelly's share of `count` results that lie in a ring; a quarter of `cap` before there are `enough`.

    Plain loops over floats, added oldest first: compiled code takes this very function.
    """
    known = wins = losses = 0
    won = lost = 0.0
    for n in range(count):
        result = results[(oldest + n) % count]
        if not isfinite(result):
            continue
        known += 1
        if result > 0:
            wins += 1
            won += result
        elif result < 0:
            losses += 1
            lost -= result
    if known < enough:
        return cap / 4
    if not wins:
        return 0.0
    share = wins / known
    loss_to_win = (lost / losses) / (won / wins) if losses else 0.0
    return min(max(share - (1.0 - share) * loss_to_win, 0.0), cap)


def _stake(config: SizingConfig, target: Target, equity: float, view: SizingView) -> float:
    """Return the value of a full stake in quote units, not yet scaled or capped; 0 when it cannot be told."""
    match config.method:
        case "fixed_notional":
            return config.amount
        case "fixed_quantity":
            return config.quantity * target.price
        case "fixed_fraction":
            return config.fraction * equity
        case "risk_per_trade":
            distance = stop_distance(target.protection)
            return config.risk * equity * (target.price / distance) if distance else 0.0
        case "volatility_target":
            volatility = view.volatility(target.strategy, target.instrument, config.lookback)
            return config.volatility / volatility * equity if volatility and volatility > 0 else 0.0
        case "kelly":
            return kelly_fraction(config, view.results(target.strategy)) * equity
