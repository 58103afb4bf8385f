"""What share of capital each of several strategies (or instruments) gets: a matrix of returns in, weights out.

Rows are periods, columns are strategies. Any matrix gets an answer: weights are finite, none is negative, together they
are at most 1. A row that holds anything but finite numbers is left out. A column that has not moved says nothing about
its risk: it keeps an equal part, and the others divide the rest by the method. Knows no strategies, days or money.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from abidance.model.errors import InvariantError

Array = NDArray[np.float64]

STILL = 1e-9
"""A column whose deviation is below this share of the largest return has not moved: the rest is rounding."""

_RIDGE = 1e-10  # keeps a perfect hedge, whose risk is zero at any size, from growing without end
_STEPS = 120
_LARGEST_SCALE = 1e12


def equal(returns: Array) -> Array:
    """Return the same weight for every column."""
    count = _finite(returns).shape[1]
    return np.full(count, 1.0 / max(count, 1))


def inverse_volatility(returns: Array) -> Array:
    """Return weights in proportion to 1 / deviation: correlations do not matter."""
    return _by_risk(returns, lambda covariance: 1.0 / np.sqrt(np.diag(covariance)))


def risk_parity(returns: Array) -> Array:
    """Return the weights at which every column contributes the same to the variance of the whole.

    They are unique, the minimum of a convex function (Spinu 2013), found by damped Newton steps.
    """
    return _by_risk(returns, _equal_risk)


def hrp(returns: Array) -> Array:
    """Return hierarchical risk parity (López de Prado 2016): no covariance is inverted.

    Columns are ordered by a single-linkage tree over the distances of their correlations, then the list is halved
    again and again, each half weighted by the inverse of its variance. Of two branches the one with the calmest
    column comes first, so that the order of the columns does not matter.
    """
    return _by_risk(returns, _hierarchical)


def volatility_target(returns: Array, target: float, per_year: float) -> Array:
    """Return inverse-volatility weights, scaled down until the whole has at most the annual volatility `target`.

    `per_year` is how many rows make a year. They are never scaled up: the sum stays at most 1. Fewer than two rows
    scale nothing.
    """
    (rows, peak), weights = _scaled(returns), inverse_volatility(returns)
    if len(rows) < 2:
        return weights
    volatility = peak * float(np.std(rows @ weights, ddof=1)) * per_year**0.5
    return weights * (target / volatility) if volatility > target else weights


def kelly(returns: Array, cap: float) -> Array:
    """Return the weights that let capital grow fastest, each within [0, cap]; columns that lose or stand still get 0.

    That is covariance⁻¹ · mean, with both estimates believed only so far: of K columns over T rows, correlations and
    means are shrunk towards zero by K / (K + T). Where the sum exceeds 1, all are scaled.
    """
    rows, peak = _scaled(returns)
    (length, count), moved = rows.shape, _moved(rows)
    weights = np.zeros(count)
    if not moved.any():
        return weights
    shrink = count / (count + length)
    covariance = _covariance(rows[:, moved])
    deviation = np.sqrt(np.diag(covariance))
    correlation = (1.0 - shrink) * _correlation(covariance) + shrink * np.eye(len(deviation))
    mean = (1.0 - shrink) * rows[:, moved].mean(axis=0)
    with np.errstate(over="ignore"):
        wished = np.linalg.solve(correlation, mean / deviation) / deviation / peak
    weights[moved] = np.clip(wished, 0.0, cap)
    return weights / max(1.0, float(weights.sum()))


def bounded(weights: Array, limit: float, floor: float, cap: float) -> Array:
    """Return weights between `floor` and `cap` whose sum is that of `weights`, at most `limit`.

    Proportions are kept among those that meet neither bound: what one may not hold goes to the others. The sum is
    smaller where all are at `cap`, larger where all are at `floor`; floors that exceed the limit are cut to fit it.
    """
    count, total = len(weights), min(float(weights.sum()), limit)
    if count * floor >= total:
        return np.full(count, min(floor, limit / max(count, 1)))
    plain: Array = weights * (total / weights.sum())
    if plain.min() >= floor and plain.max() <= cap:
        return plain
    low, high = 0.0, _LARGEST_SCALE
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if np.clip(weights * middle, floor, cap).sum() > total:
            high = middle
        else:
            low = middle
    return np.clip(weights * low, floor, cap)


# --- estimates


def _finite(returns: Array) -> Array:
    rows = np.asarray(returns, dtype=np.float64)
    if rows.ndim != 2:
        raise InvariantError(f"Returns of shape {rows.shape} are no table of periods by strategies.")
    return rows[np.isfinite(rows).all(axis=1)]


def _scaled(returns: Array) -> tuple[Array, float]:
    """Return the usable rows divided by the largest return, so that no square can overflow, and that return."""
    rows = _finite(returns)
    peak = float(np.abs(rows).max(initial=0.0))
    return (rows / peak, peak) if peak else (rows, 1.0)


def _moved(rows: Array) -> NDArray[np.bool_]:
    if len(rows) < 2:
        return np.zeros(rows.shape[1], dtype=np.bool_)
    moved: NDArray[np.bool_] = rows.std(axis=0, ddof=1) > STILL
    return moved


def _covariance(rows: Array) -> Array:
    apart = rows - rows.mean(axis=0)
    covariance: Array = apart.T @ apart / (len(rows) - 1)
    return covariance


def _correlation(covariance: Array) -> Array:
    deviation = np.sqrt(np.diag(covariance))
    correlation: Array = np.clip(covariance / np.outer(deviation, deviation), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _by_risk(returns: Array, rule: Callable[[Array], Array]) -> Array:
    """Divide capital by `rule`, which turns a covariance into proportions, among the columns that have moved."""
    rows, _ = _scaled(returns)
    weights, moved = equal(rows), _moved(rows)
    measured = int(moved.sum())
    if measured >= 2:
        wished = rule(_covariance(rows[:, moved]))
        weights[moved] = wished * (measured / rows.shape[1] / wished.sum())
    return weights


# --- risk parity


def _equal_risk(covariance: Array) -> Array:
    """Minimise ½ x'Cx - Σ ln x over the correlations C: there x·(Cx) = 1 in every place."""
    correlation = _correlation(covariance) + _RIDGE * np.eye(len(covariance))
    x = np.ones(len(covariance))
    for _ in range(_STEPS):
        gradient = correlation @ x - 1.0 / x
        step = np.linalg.solve(correlation + np.diag(x**-2), gradient)
        decrement = max(float(gradient @ step), 0.0) ** 0.5
        if decrement < 1e-12:
            break
        # the function is self-concordant: a step damped like this keeps x positive and always descends
        x = x - step / (1.0 + decrement)
    return x / np.sqrt(np.diag(covariance))


# --- hierarchical risk parity


def _hierarchical(covariance: Array) -> Array:
    order = _order(covariance)
    weights = np.ones(len(covariance))
    parts = [order]
    while parts:
        part = parts.pop()
        if len(part) < 2:
            continue
        first, second = part[: len(part) // 2], part[len(part) // 2 :]
        ahead, behind = _cluster_variance(covariance, first), _cluster_variance(covariance, second)
        share = behind / (ahead + behind) if ahead + behind > 0 else 0.5
        weights[first] *= share
        weights[second] *= 1.0 - share
        parts += [first, second]
    return weights


def _cluster_variance(covariance: Array, members: list[int]) -> float:
    """Return the variance of a cluster whose members are weighted by the inverse of theirs."""
    inner = covariance[np.ix_(members, members)]
    weights = 1.0 / np.diag(inner)
    weights /= weights.sum()
    return max(float(weights @ inner @ weights), 0.0)


def _order(covariance: Array) -> list[int]:
    """Return the leaves of the single-linkage tree from one side to the other."""
    distance = np.sqrt((1.0 - _correlation(covariance)) / 2.0)
    # two columns are near when they stand alike to all others, not only to each other
    apart = np.sqrt(((distance[:, None, :] - distance[None, :, :]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    variance = np.diag(covariance)
    clusters = {index: [index] for index in range(len(variance))}
    while len(clusters) > 1:
        one, other = (int(place) for place in np.unravel_index(apart.argmin(), apart.shape))
        pair = sorted((clusters.pop(one), clusters.pop(other)), key=lambda part: variance[part].min())
        clusters[one] = pair[0] + pair[1]
        apart[one] = apart[:, one] = np.minimum(apart[one], apart[other])
        apart[other] = apart[:, other] = apart[one, one] = np.inf
    return next(iter(clusters.values()))
