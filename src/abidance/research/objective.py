"""What a search aims at and what it insists on: figures of a result with a direction, requirements, a user's function.

A figure that a run does not have (a Sharpe ratio without returns that vary) is no score: such a run is left out, said
why, and never taken for zero.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from abidance.backtest.breakdown import metrics_of
from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import Metrics
from abidance.model.errors import AbidanceError, UsageError
from abidance.research.space import unknown
from abidance.research.trials import Trial

MORE, LESS = "max", "min"
FIGURES = tuple(name for name in Metrics.__struct_fields__ if name != "start_equity")
_LESS = frozenset(
    (
        *("volatility", "max_drawdown_days", "longest_drawdown_days", "mean_exposure", "time_in_market"),
        *("open_trades", "average_holding_hours", "turnover", "fees", "slippage", "funding"),
    )
)
"""Figures of which less is wished for unless the user says otherwise; losses are negative, so more is better."""
_NEUTRAL = frozenset({"days", "returns_per_year"})
_REQUIREMENT = re.compile(
    r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*", re.ASCII
)
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

Function = Callable[[BacktestResult], object]


class UnscoredError(AbidanceError):
    """A run has no score; it is left out of the search and the reason is kept."""


@dataclass(frozen=True)
class Objective:
    """One figure, or one function of the user's (`path.py:function`), and whether more of it is wished for."""

    name: str
    maximise: bool = True

    @property
    def is_function(self) -> bool:
        """Return whether the user wrote it."""
        return ".py:" in self.name

    def better(self, one: float, other: float) -> bool:
        """Return whether `one` is the better score."""
        return one > other if self.maximise else one < other

    def __str__(self) -> str:
        """Return the objective as it is typed, its direction with it."""
        return f"{self.name}:{MORE if self.maximise else LESS}"

    @staticmethod
    def read(text: str) -> "Objective":
        """Return what is typed: `sharpe`, `turnover:min`, `path.py:function`, `path.py:function:min`."""
        name, colon, direction = text.strip().rpartition(":")
        if not colon or direction not in {MORE, LESS}:
            name, direction = text.strip(), ""
        if ".py:" in name:
            return Objective(name, direction != LESS)
        if name.endswith(".py"):
            raise UsageError(f"{name} names no function.", f"Write {name}:function.")
        if name not in FIGURES:
            raise unknown("metric", name, list(FIGURES))
        if name in _NEUTRAL and not direction:
            raise UsageError(f"More {name} is neither better nor worse.", f"Write {name}:max or {name}:min.")
        return Objective(name, direction == MORE if direction else name not in _LESS)


@dataclass(frozen=True)
class Requirement:
    """What a run must fulfil to be chosen, such as `trades >= 30`; a figure that is undefined fulfils nothing."""

    name: str
    sign: str
    bound: float

    def excess(self, value: float | None) -> float:
        """Return by how much a figure misses the requirement; zero or less is fulfilled."""
        if value is None or not math.isfinite(value):
            return 1e6
        miss = value - self.bound if self.sign[0] == "<" else self.bound - value
        fulfilled = _OPERATORS[self.sign](value, self.bound)
        return min(miss, 0.0) if fulfilled else max(miss, 1e-12)

    def __str__(self) -> str:
        """Return the requirement as it is typed."""
        return f"{self.name} {self.sign} {self.bound:g}"

    @staticmethod
    def read(text: str) -> "Requirement":
        """Return what is typed. Raises UsageError unless it is `FIGURE < NUMBER` (or >, <=, >=)."""
        found = _REQUIREMENT.fullmatch(text)
        if found is None:
            raise UsageError(
                f"--require {text!r} is no requirement.", 'Write for example --require "max_drawdown > -0.3".'
            )
        if found[1] not in FIGURES:
            raise unknown("metric", found[1], list(FIGURES))
        return Requirement(found[1], found[2], float(found[3]))


@dataclass(frozen=True)
class Aim:
    """What a search wants: one or several objectives, and requirements."""

    objectives: tuple[Objective, ...]
    requirements: tuple[Requirement, ...] = ()

    @property
    def is_one(self) -> bool:
        """Return whether there is one objective, so that there can be a best."""
        return len(self.objectives) == 1

    @staticmethod
    def read(objectives: Sequence[str], requirements: Sequence[str]) -> "Aim":
        """Return what is typed. Raises UsageError for what is no metric, or given twice."""
        aims = tuple(map(Objective.read, objectives))
        for aim in aims:
            if [each.name for each in aims].count(aim.name) > 1:
                raise UsageError(f"The objective {aim.name} is given twice.", "Give each once.")
        return Aim(aims, tuple(map(Requirement.read, requirements)))


@dataclass(frozen=True)
class Outcome:
    """What one run scored, in the order of the objectives; `excess` is one number a requirement, above 0 missed."""

    scores: tuple[float, ...]
    excess: tuple[float, ...]
    metrics: Mapping[str, float | None]
    trial: Trial | None = field(default=None, compare=False)
    """What the trial counter counts; None for a run without a Sharpe ratio."""
    fallback: str = field(default="", compare=False)
    """Why the event engine made the run in place of compiled code; empty where it was not asked for, or not needed."""


@dataclass(frozen=True)
class Refusal:
    """Why a run has no score."""

    reason: str


def score(result: BacktestResult, aim: Aim, functions: Mapping[str, Function]) -> Outcome:
    """Score a run. Raises UnscoredError when an objective is no number for it."""
    metrics = figures(result)
    scores = tuple(_score(each, result, metrics, functions) for each in aim.objectives)
    excess = tuple(each.excess(metrics[each.name]) for each in aim.requirements)
    return Outcome(scores, excess, metrics, Trial.of(result))


def score_figures(figures: Mapping[str, float | None], aim: Aim, trial: Trial | None) -> Outcome:
    """Score a run of which only some figures are known, those of `aim` among them. Raises UnscoredError as `score`."""
    metrics = dict.fromkeys(FIGURES) | dict(figures)
    scores = tuple(_defined(each, metrics) for each in aim.objectives)
    excess = tuple(each.excess(metrics[each.name]) for each in aim.requirements)
    return Outcome(scores, excess, metrics, trial)


def figures(result: BacktestResult) -> dict[str, float | None]:
    """Return the figures of a run by name."""
    found = msgspec.structs.asdict(metrics_of(result)[0])
    return {name: None if found[name] is None else float(found[name]) for name in FIGURES}


def _score(
    objective: Objective,
    result: BacktestResult,
    metrics: Mapping[str, float | None],
    functions: Mapping[str, Function],
) -> float:
    if not objective.is_function:
        return _defined(objective, metrics)
    found = functions[objective.name](result)
    if isinstance(found, bool) or not isinstance(found, int | float):
        try:
            found = float(found)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise UnscoredError(f"{objective.name} returned {str(found)[:80]!r}, no number.") from None
    if not math.isfinite(found):
        raise UnscoredError(f"{objective.name} returned {found}, no finite number ({_trades(metrics)}).")
    return float(found)


def _defined(objective: Objective, metrics: Mapping[str, float | None]) -> float:
    value = metrics[objective.name]
    if value is None or not math.isfinite(value):
        raise UnscoredError(f"{objective.name} is undefined for this run ({_trades(metrics)}).")
    return value


def _trades(metrics: Mapping[str, float | None]) -> str:
    count = int(metrics["trades"] or 0)
    return f"it closed {count:,} round trip{'' if count == 1 else 's'}"
