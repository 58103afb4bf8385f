"""A verdict on a run: the backtest itself, and hundreds of others that differ from it in one thing each.

What the runs are held against stands in `research.validate`. Equal seeds give equal verdicts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from abidance.backtest.result import BacktestResult
from abidance.backtest.wording import short_time
from abidance.journal.metrics import DAY_NS
from abidance.model.errors import DataError, StrategyError, UsageError
from abidance.research import validate
from abidance.research.luck import Overfitting, Record, overfitting, sharpe
from abidance.research.montecarlo import (
    Paths,
    bootstrap,
    holdings,
    shifted_returns,
    shifts,
    shuffle_trades,
)
from abidance.research.splits import Purge, Span, Split, purged_folds, walk_forward
from abidance.research.trials import Trial, TrialCounter, Tried
from abidance.research.validate import Check, Luck, Verdict
from abidance.research.variants import Values, is_tunable, neighbours, values_of
from abidance.research.walk import OBJECTIVES, Walk, annual, crossed, daily_returns, walk
from abidance.run.compiled import first_time
from abidance.run.config import RunConfig
from abidance.run.reruns import Reruns
from abidance.run.setup import BarSource, gather
from abidance.strategy.base import BarStrategy

FloatArray = NDArray[np.float64]
Progress = Callable[[int, int], None]

COSTS = (0.0, 1.0, 2.0, 3.0)
NOISE = 0.25
"""How much prices are disturbed, as a share of the deviation of returns from bar to bar."""
FOLDS, ROLLING = 5, 2
"""Tests of a walk forward, folds of a cross-validation; rolling training is as long as so many tests."""
GROUPS, TESTED = 8, 2
MOST_FOLDS, MOST_GROUPS = 20, 12
BLOCKS, DAYS_IN_BLOCK = 16, 10
RESAMPLES = 2_000
FEWEST_SHIFTS, APPROXIMATE_SHIFTS = 39, 500
"""Where there is no room for as many runs as tell a chance of 5 % apart well, shifts are approximated."""
_RERUN_BARS = 4_500_000
"""About half a minute of runs: the most bars that shifts are run again over."""


NO_CHOICE = "There are too few neighbouring settings to choose from."

T = TypeVar("T")


def _or_why(make: Callable[[], T]) -> T | str:
    """Return what `make` does, or the sentence that says why the data do not allow it."""
    try:
        return make()
    except DataError as error:
        return error.found


@dataclass(frozen=True)
class Settings:
    """How widely to look. Numbers of runs are upper bounds; None lets the number of bars decide."""

    seed: int = 1
    variants: int | None = None
    permutations: int | None = None
    noise: int | None = None
    metric: str = "sharpe"
    trials: int = 1
    """Trials of this idea in all, those made elsewhere included."""
    folds: int = FOLDS
    groups: int = GROUPS
    purge: int | None = None
    """Days that an outcome takes to be known; None: as long as the middle round trip lasts."""
    embargo: int | None = None
    """Days left out after what is tested; None: a hundredth of all."""

    def __post_init__(self) -> None:
        if self.metric not in OBJECTIVES:
            raise UsageError(
                f"There is no metric {self.metric!r} to choose by.", f"Choose from {', '.join(OBJECTIVES)}."
            )
        for name, value, least, most in (
            ("folds", self.folds, 2, MOST_FOLDS),
            ("groups", self.groups, TESTED + 1, MOST_GROUPS),
        ):
            if not least <= value <= most:
                raise UsageError(f"{value} {name} cannot be.", f"Choose from {least} to {most}.")

    def budget(self, bars: int) -> "Budget":
        """Return the numbers of runs for a run of so many bars."""
        room = max(1, _RERUN_BARS // max(bars, 1))
        shifted = min(200, room) if room >= FEWEST_SHIFTS else 0
        return Budget(
            variants=min(40, max(16, room // 4)) if self.variants is None else self.variants,
            permutations=shifted if self.permutations is None else self.permutations,
            noise=min(20, max(8, room // 8)) if self.noise is None else self.noise,
        )


@dataclass(frozen=True)
class Budget:
    """How many runs of each kind."""

    variants: int
    permutations: int
    noise: int


def judge(
    config: RunConfig,
    source: BarSource,
    folder: Path | None = None,
    *,
    counter: TrialCounter | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Verdict:
    """Run a backtest and all that tells whether it is more than luck; `progress(done, total)` counts runs.

    `say` is told when kernels are about to be compiled, which happens once for an installed version. The run is counted
    as a trial when there is a `counter`. Raises DataError when there are too few days, UsageError when nothing is
    traded, and what a backtest raises.
    """
    case = _Case(settings or Settings(), progress or (lambda *_: None))
    case.runs = Reruns(gather(config, source, folder), case.advance)
    if say is not None and (text := first_time(case.runs.material)):
        say(text)
    case.take_base()
    tried = Tried(())
    if counter is not None and (trial := Trial.of(case.base)) is not None:
        counter.count(trial)
        tried = counter.tried(trial.strategy, trial.data)
    return case.verdict(tried)


class _Case:
    """The evidence on one run, gathered piece by piece."""

    runs: Reruns
    base: BacktestResult
    returns: FloatArray
    """Daily returns of the run itself."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self.budget = Budget(0, 0, 0)
        self._walks: dict[str, object] = {}
        self._fans: dict[str, object] = {}
        self.details: dict[str, object] = {"walks": self._walks, "fans": self._fans}
        self._progress = progress
        self._done = self._total = 0

    def advance(self) -> None:
        """Count one run."""
        self._done += 1
        self._progress(self._done, max(self._done, self._total))

    def take_base(self) -> None:
        """Run the backtest itself. Raises DataError or UsageError when there is nothing to judge."""
        names = ", ".join(self.runs.material.strategies)
        first, last = self.runs.days
        if last - first < validate.FEWEST_DAYS:
            raise DataError(
                f"{last - first} days are too few for a verdict: its folds would be shorter than ten days.",
                f"Take {validate.FEWEST_DAYS} days or more with --timerange.",
            )
        self.base = self.runs.run(self.runs.material)
        if not self.base.fills:
            raise UsageError(
                f"{names} traded nothing on these bars, so that there is nothing to judge.",
                "`abidance backtest` with the same settings says why.",
            )
        self.returns = daily_returns(self.base, self.runs.days)
        if sharpe(self.returns) is None:
            raise UsageError(
                f"The returns of {names} do not vary, so that there is nothing to judge.",
                "Take a longer time range, or larger stakes.",
            )
        self.budget = self.settings.budget(sum(map(len, self.runs.material.bars.values())))
        tunable = self.budget.variants * any(map(is_tunable, self.runs.material.strategies.values()))
        shifted = self.budget.permutations * self._is_shiftable
        self._total = 1 + len(COSTS) - 1 + self.budget.noise + tunable + 3 * self.settings.folds + shifted

    def verdict(self, tried: Tried) -> Verdict:
        """Make all checks."""
        record = Record.of(self.returns)
        observed = annual(record.sharpe) or 0.0
        benchmark = replace(self.base, equity=self.base.benchmark)
        holding = annual(sharpe(daily_returns(benchmark, self.runs.days)))
        values, matrix = self._variants()
        ratios = np.array([sharpe(column) or 0.0 for column in matrix.T])
        tries = Luck.of(tried, self.settings.trials, ratios[1:], len(self.returns))
        closed = sum(trip.ts_exit is not None for trip in self.base.round_trips)
        checks = [
            validate.enough_trades(closed),
            validate.skill(record),
            validate.luck(record, tries),
            validate.yardstick(observed, holding),
            self._timing(observed),
            validate.plateau(ratios * (annual(1.0) or 1.0)),
            *self._choices(values, matrix),
            self._costs(),
            self._noise(observed),
            *self._resampled(),
        ]
        mark, sentence = validate.overall(checks)
        return Verdict(
            strategy=", ".join(self.runs.material.strategies),
            instruments=list(self.base.bars),
            period=[short_time(int(self.base.ts[0])), short_time(int(self.base.ts[-1]))],
            mark=mark,
            sentence=sentence,
            checks=checks,
            details=self.details
            | {
                "runs": self._done,
                "seed": self.settings.seed,
                "fallback": self.runs.fallback,
                "splits": self._splits(),
            },
            version=self.base.version,
            fingerprint=self.base.fingerprint,
        )

    def _draw(self, stream: int) -> Generator:
        """Return the generator of one kind of draws: none depends on how many another kind makes."""
        return np.random.default_rng((self.settings.seed, stream))

    # --- settings

    def _variants(self) -> tuple[list[dict[str, Values]], FloatArray]:
        """Return the settings that were run, the chosen ones first, and their daily returns as columns."""
        strategies = self.runs.material.strategies
        values = [{name: values_of(each) for name, each in strategies.items()}]
        columns, refused = [self.returns], 0
        for drawn in neighbours(strategies, self._draw(1)):
            if len(columns) > self.budget.variants or refused > self.budget.variants:
                break
            try:
                columns.append(self.runs.returns(self.runs.with_values(drawn)))
            except StrategyError:  # the strategy says that these values do not fit together
                refused += 1
                continue
            values.append(drawn)
        return values, np.column_stack(columns)

    def _choices(self, values: list[dict[str, Values]], matrix: FloatArray) -> list[Check]:
        """Return the checks of choosing among settings in one time and judging in another."""
        days, count = matrix.shape
        objective = OBJECTIVES[self.settings.metric]
        found: Overfitting | str = NO_CHOICE
        paths: list[FloatArray] | str = NO_CHOICE
        if count > validate.FEWEST_NEIGHBOURS:
            found = overfitting(matrix, min(BLOCKS, days // DAYS_IN_BLOCK // 2 * 2))
            self.details["logits"] = found.logits.tolist()
            paths = _or_why(lambda: crossed(matrix, self.settings.groups, TESTED, objective, self._purge))
        return [
            validate.overfit(found),
            self._walk(values, matrix, anchored=True),
            self._walk(values, matrix, anchored=False),
            self._folds(values, matrix),
            validate.combinations(paths),
        ]

    def _walk(self, values: list[dict[str, Values]], matrix: FloatArray, *, anchored: bool) -> Check:
        """Return the check of a walk forward; what it chooses is run anew in the time that follows."""
        days, count = matrix.shape
        folds = self.settings.folds
        first = days - days // (folds + ROLLING) * folds
        found = self._judged(
            "anchored" if anchored else "rolling",
            lambda: walk_forward(days, folds, anchored=anchored, first=first, purge=self._purge),
            values,
            matrix,
        )
        return validate.forward(found, anchored=anchored, choices=count)

    def _folds(self, values: list[dict[str, Values]], matrix: FloatArray) -> Check:
        """Return the check of a cross-validation; what it chooses is run anew in the fold that was left out."""
        days, count = matrix.shape
        found = self._judged(
            "cross-validated", lambda: purged_folds(days, self.settings.folds, self._purge), values, matrix
        )
        return validate.crossed_folds(found, choices=count)

    def _judged(
        self,
        name: str,
        split: Callable[[], list[Split]],
        values: list[dict[str, Values]],
        matrix: FloatArray,
    ) -> Walk | str:
        """Return what came of choosing in each training and running anew in its test, or why it cannot be told."""
        objective = OBJECTIVES[self.settings.metric]
        found = _or_why(
            lambda: walk(matrix, split(), objective, lambda at, span: self._within(values[at], span))
        )
        if isinstance(found, Walk):
            self._walks[name] = self._told(found, values)
        return found

    def _within(self, values: dict[str, Values], span: Span) -> FloatArray:
        """Return the daily returns of a run that begins with the first of some days and ends with the last."""
        days = self.runs.days[0] + span[0], self.runs.days[0] + span[1]
        result = self.runs.run(self.runs.within(self.runs.with_values(values), days))
        return daily_returns(result, days)

    @cached_property
    def _purge(self) -> Purge:
        """Return how many days apart choosing and judging stay."""
        days, asked = len(self.returns), self.settings
        return Purge(
            self._holding_days() if asked.purge is None else asked.purge,
            max(1, days // 100) if asked.embargo is None else asked.embargo,
        )

    def _holding_days(self) -> int:
        """Return how many days the middle round trip lasts, rounded up: so long an outcome takes to be known."""
        lasted = [trip.ts_exit - trip.ts_entry for trip in self.base.round_trips if trip.ts_exit is not None]
        days = int(np.ceil(np.median(lasted) / DAY_NS)) if lasted else 1
        return min(max(days, 1), len(self.returns) // (4 * self.settings.groups))

    def _told(self, found: Walk, values: list[dict[str, Values]]) -> list[dict[str, object]]:
        def date(day: int) -> str:
            return short_time((self.runs.days[0] + day) * DAY_NS)[:10]

        return [
            {
                "train": [[date(first), date(last)] for first, last in step.train],
                "test": [date(step.test[0]), date(step.test[1])],
                "values": values[step.chosen],
                "inside": step.inside,
                "outside": step.outside,
            }
            for step in found.steps
        ]

    def _splits(self) -> dict[str, int]:
        return {
            "folds": self.settings.folds, "groups": self.settings.groups, "tested": TESTED,
            "purged_days": self._purge.horizon, "embargoed_days": self._purge.embargo,
        }  # fmt: skip

    # --- moments

    @cached_property
    def _is_shiftable(self) -> bool:
        """Return whether opinions stand in columns, and are to be run again."""
        strategies = self.runs.material.strategies.values()
        return self.budget.permutations > 0 and all(isinstance(each, BarStrategy) for each in strategies)

    def _timing(self, observed: float) -> Check:
        draw = self._draw(2)
        if self._is_shiftable:
            size = min(len(bars) for bars in self.base.bars.values())
            moved = [
                self.runs.returns(self.runs.with_shift(int(shift)))
                for shift in shifts(size, self.budget.permutations, draw)
            ]
            found = np.array([annual(sharpe(each)) or 0.0 for each in moved])
        else:
            held = holdings(self.base)
            count = APPROXIMATE_SHIFTS if self.settings.permutations is None else self.settings.permutations
            scale = np.sqrt(365 * len(self.base.ts) / len(self.returns))
            rows = [0, *shifts(len(self.base.ts), count, draw).tolist()]
            per_slice = [
                sharpe(shifted_returns(held.weights, held.changes, held.cost, row)) or 0.0 for row in rows
            ]
            observed, found = float(per_slice[0] * scale), np.array(per_slice[1:]) * scale
        self.details["timing"] = {"observed": observed, "shifted": found.tolist()}
        return validate.timing(observed, found, is_rerun=self._is_shiftable)

    # --- costs, noise, other orders of things

    def _costs(self) -> Check:
        found = {}
        for factor in COSTS:
            returns = self.returns if factor == 1 else self.runs.returns(self.runs.with_costs(factor))
            found[factor] = float(np.prod(1.0 + returns) - 1.0)
        self.details["costs"] = {f"{factor:g}": total for factor, total in found.items()}
        return validate.costs(found)

    def _noise(self, observed: float) -> Check:
        draw = self._draw(3)
        runs = [self.runs.returns(self.runs.with_noise(NOISE, draw)) for _ in range(self.budget.noise)]
        found = np.array([annual(sharpe(each)) or 0.0 for each in runs])
        self.details["noise"] = found.tolist()
        if not runs:
            return validate.noise(observed, found, found)
        paths = Paths.of(np.column_stack(runs))
        self._fans["noise"] = _fan(paths, self.returns)
        return validate.noise(observed, found, paths.final - 1.0)

    def _resampled(self) -> list[Check]:
        redrawn = bootstrap(self.returns, RESAMPLES, self._draw(4))
        gains = self._gains()
        shuffled = (
            shuffle_trades(gains, RESAMPLES, self._draw(5)) if len(gains) >= validate.FEW_TRADES else None
        )
        limit = self.runs.material.config.risk.breakers.max_drawdown or validate.DEEPEST
        self._fans["resampled"] = _fan(redrawn, self.returns)
        if shuffled is not None:
            self._fans["shuffled"] = _fan(shuffled, gains)
        self.details["falls"] = redrawn.drawdown.tolist()
        return [
            validate.resampled(redrawn),
            validate.falls(redrawn, shuffled, limit),
            validate.ruin(redrawn),
        ]

    def _gains(self) -> FloatArray:
        """Return what each closed round trip earned, as a share of the equity when it began."""
        closed = [trip for trip in self.base.round_trips if trip.ts_exit is not None]
        row = np.searchsorted(self.base.ts, [trip.ts_entry for trip in closed], side="right")
        equity = np.r_[self.base.start_equity, self.base.equity][row]
        pnl = np.array([float(trip.pnl) for trip in closed])
        gains: FloatArray = pnl[equity > 0] / equity[equity > 0]
        return gains


def _fan(found: Paths, own: FloatArray) -> dict[str, object]:
    """Return the band that paths stay in and the path of the run itself, which earned `own`."""
    equity = np.cumprod(np.r_[1.0, np.maximum(1.0 + own, 0.0)])
    return {
        "rows": found.rows.tolist(),
        "bands": found.fan.tolist(),
        "own": equity[found.rows].tolist(),
    }
