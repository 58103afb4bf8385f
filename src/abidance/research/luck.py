"""How much of a Sharpe ratio is luck: closed forms over returns, and over the returns of many trials.

Sharpe ratios here are those of one period (mean over standard deviation, sample, risk-free rate zero): never annual.
Tests are one-sided. No drawing of random numbers happens here.

Sources: Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012 (probabilistic
Sharpe ratio, minimum track record length); the same, "The Deflated Sharpe Ratio", Journal of Portfolio Management
40(5), 2014; Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of
Computational Finance 20(4), 2017; Holm 1979; Benjamini and Hochberg 1995.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, e, inf, isfinite, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from abidance.model.errors import DataError, InvariantError

FloatArray = NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329
MOST_SPLITS = 20_000
"""The most combinations of blocks that `overfitting` looks at: 16 blocks have 12,870."""
_NORMAL = NormalDist()
_FLAT = 1e-12
"""A spread of returns below this share of their size is rounding, not risk."""


@dataclass(frozen=True)
class Record:
    """What a track record says of itself: its length and the shape of its returns.

    `kurtosis` is that of a normal distribution at 3. Skew and kurtosis are the moments of the sample (not corrected for
    its size), as the sources use them.
    """

    periods: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0

    @staticmethod
    def of(returns: FloatArray) -> "Record":
        """Return the record of `returns`, one a period. Raises DataError when no Sharpe ratio comes of them."""
        ratio = sharpe(returns)
        if ratio is None:
            raise DataError(
                f"{len(returns)} returns that do not vary have no Sharpe ratio.",
                "Judge a run that trades for at least a few days.",
            )
        centred = returns - returns.mean()
        # The shape has no scale, and powers of tiny returns have no floats.
        centred = centred / np.abs(centred).max()
        variance = float(np.mean(centred**2))
        skew = float(np.mean(centred**3)) / variance**1.5
        return Record(len(returns), ratio, skew, float(np.mean(centred**4)) / variance**2)

    @property
    def spread(self) -> float:
        """Return the standard deviation of the Sharpe ratio's estimate, times the root of the periods less one."""
        # The expression is not below 0 for moments of any real sample (kurtosis >= 1 + skew**2); rounding may differ.
        moments = 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return sqrt(max(moments, _FLAT))


def sharpe(returns: FloatArray) -> float | None:
    """Return mean over standard deviation (ddof = 1) per period, or None when the returns do not vary."""
    if len(returns) < 2:
        return None
    spread = float(returns.std(ddof=1))
    if not isfinite(spread) or spread <= _FLAT * float(np.abs(returns).max()):
        return None
    return float(returns.mean()) / spread


def column_sharpes(returns: FloatArray) -> FloatArray:
    """Return the Sharpe ratio of each column; 0 where a column does not vary, since it neither earned nor lost."""
    if len(returns) < 2:
        return np.zeros(returns.shape[1])
    return _ratio(returns.mean(axis=0), returns.std(axis=0, ddof=1), np.abs(returns).max(axis=0))


def probabilistic(record: Record, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark`, given the record."""
    return _NORMAL.cdf((record.sharpe - benchmark) * sqrt(record.periods - 1) / record.spread)


def minimum_length(record: Record, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Return how many periods a record must have to be above `benchmark` with `confidence`; infinite when it is not."""
    if record.sharpe <= benchmark:
        return inf
    needed = _NORMAL.inv_cdf(confidence) / (record.sharpe - benchmark)
    return 1.0 + (record.spread * needed) ** 2


def expected_maximum(trials: float, variance: float) -> float:
    """Return the Sharpe ratio that the best of `trials` without any skill has on average.

    `variance` is that of the trials' Sharpe ratios. One trial selects nothing: 0.
    """
    if trials < 1 or not variance >= 0:
        raise InvariantError(f"{trials} trials with a variance of {variance} cannot be.")
    # Near one trial the approximation falls below the mean, which a maximum never does.
    if trials == 1 or not variance:
        return 0.0
    usual, late = (_NORMAL.inv_cdf(1.0 - share / trials) for share in (1.0, 1.0 / e))
    return max(0.0, sqrt(variance) * ((1.0 - EULER_GAMMA) * usual + EULER_GAMMA * late))


def deflated(record: Record, trials: float, variance: float) -> float:
    """Return the probability that the true Sharpe ratio is above zero, given that it is the best of `trials`."""
    return probabilistic(record, expected_maximum(trials, variance))


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best of many trials was worth, over all ways to halve the time.

    `logits` holds one value a split: the log odds of the chosen trial's rank out of sample; below zero it did worse
    than half of the trials. `inside` and `outside` are its Sharpe ratios.
    """

    logits: FloatArray
    inside: FloatArray
    outside: FloatArray

    @property
    def probability(self) -> float:
        """Return the share of splits in which the best in sample was in the worse half out of sample."""
        return float(np.mean(self.logits <= 0))

    @property
    def loss_probability(self) -> float:
        """Return the share of splits in which the chosen trial lost out of sample."""
        return float(np.mean(self.outside < 0))

    @property
    def degradation(self) -> float | None:
        """Return the slope of the outcome on what was promised, or None when all promised the same."""
        centred = self.inside - self.inside.mean()
        spread = float(np.sum(centred**2))
        return float(np.sum(centred * self.outside)) / spread if spread > 0 else None


def overfitting(returns: FloatArray, blocks: int = 16) -> Overfitting:
    """Return the outcome of combinatorially symmetric cross-validation over `returns`, one column a trial.

    The rows are cut into `blocks` (even) stretches of equal length, the oldest rows that are left over go first; every
    choice of half of them is once the sample that the best trial is chosen in. Raises DataError when there are fewer
    than two trials, or than two rows a block.
    """
    if blocks < 2 or blocks % 2 or comb(blocks, blocks // 2) > MOST_SPLITS:
        raise InvariantError(f"{blocks} blocks: an even number is needed, up to 16.")
    rows, trials = returns.shape
    if trials < 2:
        raise DataError("The probability of overfitting needs at least two trials.", "Try several settings.")
    length = rows // blocks
    if length < 2:
        raise DataError(
            f"{rows} returns are too few for {blocks} blocks.", f"At least {2 * blocks} are needed."
        )
    if not np.isfinite(returns).all():
        raise DataError(
            "A trial's returns are not all numbers.", "Leave trials out whose objective is undefined."
        )
    parts = returns[rows - length * blocks :].reshape(blocks, length, trials)
    sums, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    chosen = _halves(blocks)
    inside = _sharpes_of(chosen, sums, squares, length)
    outside = _sharpes_of(~chosen, sums, squares, length)
    best = np.argmax(inside, axis=1)
    rows_of = np.arange(len(best))
    own = outside[rows_of, best][:, None]
    below = np.sum(outside < own, axis=1)
    equal = np.sum(outside == own, axis=1)  # itself among them
    rank = (below + (equal + 1) / 2) / (trials + 1)
    return Overfitting(np.log(rank / (1 - rank)), inside[rows_of, best], own[:, 0])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that the chance of any false discovery holds over all of them (Holm)."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order.tolist()):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - place)))
        corrected[index] = largest
    return corrected


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that the share of false ones among the discoveries holds (Benjamini-Hochberg)."""
    order = np.argsort(p_values, kind="stable")[::-1]
    corrected, smallest = [0.0] * len(p_values), 1.0
    for place, index in enumerate(order.tolist()):
        smallest = min(smallest, p_values[index] * len(p_values) / (len(p_values) - place))
        corrected[index] = smallest
    return corrected


def _halves(blocks: int) -> NDArray[np.bool_]:
    """Return every choice of half of the blocks, one a row."""
    found = np.zeros((comb(blocks, blocks // 2), blocks), dtype=bool)
    for row, chosen in enumerate(combinations(range(blocks), blocks // 2)):
        found[row, list(chosen)] = True
    return found


def _sharpes_of(chosen: NDArray[np.bool_], sums: FloatArray, squares: FloatArray, length: int) -> FloatArray:
    """Return the Sharpe ratio of each trial (column) over the chosen blocks of each split (row)."""
    count = length * chosen.shape[1] // 2
    mean = chosen @ sums / count
    power = chosen @ squares
    spread = np.sqrt(np.maximum(power - count * mean**2, 0.0) / (count - 1))
    return _ratio(mean, spread, np.sqrt(power))


def _ratio(mean: FloatArray, spread: FloatArray, size: FloatArray) -> FloatArray:
    """Return mean over spread, and 0 where the spread is no more than rounding of values of that size."""
    found = np.zeros(mean.shape)
    # Sums of squares lose half of the digits: what is left of a constant is up to about 1e-8 of its size.
    np.divide(mean, spread, out=found, where=spread > 1e-7 * size)
    return found
