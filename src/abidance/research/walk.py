"""Choosing settings in one stretch of time and judging them in another, over the returns of many settings.

Columns are settings, rows are days. Runs are made elsewhere: whoever asks passes in what a setting earned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import DAY_NS, YEAR_DAYS
from abidance.model.errors import DataError, UsageError
from abidance.research.luck import column_sharpes, sharpe
from abidance.research.splits import Purge, Span, Split, combinatorial, group_spans, paths, spans_of

FloatArray = NDArray[np.float64]
Objective = Callable[[FloatArray], FloatArray]
"""Takes returns (a column a setting) and says how good each is; higher is better, NaN where it cannot be said."""


def daily_returns(result: BacktestResult, days: Span) -> FloatArray:
    """Return a run's return of each UTC day (days since 1970, the second not included); 0 outside the run.

    A close at 00:00 belongs to the day before. A ruined run loses everything once and nothing after.
    """
    ends = np.searchsorted(result.ts, np.arange(days[0] + 1, days[1] + 1) * DAY_NS, side="right") - 1
    equity = np.r_[result.start_equity, np.maximum(result.equity, 0.0)]
    values = np.r_[result.start_equity, equity[ends + 1]]
    ruined = np.maximum.accumulate(values <= 0)
    values = np.where(ruined, 0.0, values)
    found = np.zeros(len(ends))
    np.divide(values[1:], values[:-1], out=found, where=values[:-1] > 0)
    found[values[:-1] > 0] -= 1.0
    return found


def _sharpes(returns: FloatArray) -> FloatArray:
    varies = returns.std(axis=0) > 0 if len(returns) else np.zeros(returns.shape[1], dtype=bool)
    found: FloatArray = np.where(varies, column_sharpes(returns) * np.sqrt(YEAR_DAYS), np.nan)
    return found


def _totals(returns: FloatArray) -> FloatArray:
    total: FloatArray = np.prod(1.0 + returns, axis=0) - 1.0
    total[~(returns != 0).any(axis=0)] = np.nan
    return total


def _sortinos(returns: FloatArray) -> FloatArray:
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2, axis=0))
    found = np.full(returns.shape[1], np.nan)
    np.divide(returns.mean(axis=0) * np.sqrt(YEAR_DAYS), downside, out=found, where=downside > 0)
    return found


def _calmars(returns: FloatArray) -> FloatArray:
    equity = np.cumprod(np.concatenate((np.ones((1, returns.shape[1])), 1.0 + returns)), axis=0)
    fall = 1.0 - (equity / np.maximum.accumulate(equity, axis=0)).min(axis=0)
    growth = returns.mean(axis=0) * YEAR_DAYS
    found = np.full(returns.shape[1], np.nan)
    np.divide(growth, fall, out=found, where=fall > 0)
    return found


OBJECTIVES: dict[str, Objective] = {
    "sharpe": _sharpes,
    "return": _totals,
    "sortino": _sortinos,
    "calmar": _calmars,
}
"""By what settings may be chosen; all but `return` are annual."""


def objective_named(name: str) -> Objective:
    """Return an objective. Raises UsageError for a name that is none."""
    if name not in OBJECTIVES:
        raise UsageError(
            f"There is no metric {name!r} to choose by.", f"Choose from {', '.join(OBJECTIVES)}."
        )
    return OBJECTIVES[name]


def best(returns: FloatArray, objective: Objective) -> tuple[int, float]:
    """Return the setting (column) with the highest objective, and that. Raises DataError when none has any."""
    found = np.asarray(objective(returns), dtype=np.float64)
    if np.isnan(found).all():
        raise DataError(
            f"None of the {returns.shape[1]:,} settings has a figure to choose by in a training of {len(returns):,} days:"
            " none traded in it, or the metric is not a number.",
            "Take a longer time range, or choose by another metric.",
        )
    chosen = int(np.nanargmax(found))
    return chosen, float(found[chosen])


@dataclass(frozen=True)
class Step:
    """One fold: what was chosen in training, and what the same figures were in the test (annual Sharpe)."""

    train: tuple[Span, ...]
    test: Span
    chosen: int
    inside: float | None
    outside: float | None


@dataclass(frozen=True)
class Walk:
    """A walk forward or a cross-validation: its steps, and the returns of all tests one after another."""

    steps: tuple[Step, ...]
    returns: FloatArray

    @property
    def inside(self) -> float | None:
        """Return the mean annual Sharpe ratio in training; what had none counts as 0."""
        return float(np.mean([step.inside or 0.0 for step in self.steps])) if self.steps else None

    @property
    def outside(self) -> float | None:
        """Return the annual Sharpe ratio of all tests together, None when nothing happened in them."""
        return annual(sharpe(self.returns))

    @property
    def efficiency(self) -> float | None:
        """Return what was left of the Sharpe ratio out of sample, as a share; None where none was promised."""
        if self.inside is None or self.outside is None or self.inside <= 0:
            return None
        return self.outside / self.inside


def walk(
    returns: FloatArray,
    splits: Sequence[Split],
    objective: Objective,
    outside: Callable[[int, Span], FloatArray],
) -> Walk:
    """Walk: choose by the training's rows of `returns`, then ask `outside` for what the setting earned in the test.

    `outside(setting, days)` returns the returns of those rows, as if trading began there. Splits have one test each.
    """
    steps, earned = [], []
    for split in splits:
        (test,) = split.tests
        chosen, _ = best(returns[split.train], objective)
        after = outside(chosen, test)
        inside = annual(sharpe(returns[split.train, chosen]))
        steps.append(Step(spans_of(split.train), test, chosen, inside, annual(sharpe(after))))
        earned.append(after)
    return Walk(tuple(steps), np.concatenate(earned) if earned else np.empty(0))


def crossed(
    returns: FloatArray, groups: int, tested: int, objective: Objective, purge: Purge
) -> list[FloatArray]:
    """Return the paths of combinatorial purged cross-validation: out-of-sample returns of every day, one array a path.

    In each split the best setting is chosen by the training that the purge leaves.
    """
    chosen = [
        best(returns[each.split.train], objective)[0]
        for each in combinatorial(len(returns), groups, tested, purge)
    ]
    spans = group_spans(len(returns), groups)
    return [
        np.concatenate(
            [returns[start:stop, chosen[number]] for number, (start, stop) in zip(path, spans, strict=True)]
        )
        for path in paths(groups, tested)
    ]


def annual(ratio: float | None) -> float | None:
    """Return a daily Sharpe ratio as an annual one."""
    return None if ratio is None else ratio * float(np.sqrt(YEAR_DAYS))
