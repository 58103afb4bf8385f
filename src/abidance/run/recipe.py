"""What a worker needs to score a setting, here or elsewhere, and what identifies a search. It runs nothing itself.

`Executor` is the one seam to what runs a backtest.
"""

import atexit
import hashlib
import inspect
import runpy
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from abidance.backtest import native
from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.journal.metrics import risk_returns
from abidance.market.bars import Bars
from abidance.market.build import Tape
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapSpan
from abidance.market.store import fingerprint
from abidance.market.terms import Version
from abidance.model.errors import ConfigError, StrategyError, UsageError
from abidance.research.objective import (
    Aim,
    Function,
    Outcome,
    Refusal,
    UnscoredError,
    score,
    score_figures,
)
from abidance.research.space import Values
from abidance.research.trials import Trial, idea
from abidance.run import compiled
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, reason_of
from abidance.run.config import RunConfig
from abidance.run.plugins import find_strategy
from abidance.run.setup import BarSource, GapSource, TermsSource, gather
from abidance.run.sweeping import Arena, figures_of
from abidance.run.tapes import TapeSource, no_trades
from abidance.run.tuning import Tuning
from abidance.run.version import version_of, version_of_file
from abidance.strategy.mistakes import FAILURES, file_error

Evaluate = Callable[[RunConfig], BacktestResult]
Executor = Callable[[RunConfig, BarSource, Path | None], BacktestResult]
"""Makes an Evaluate of a source of bars and a folder of strategies; a function of a module, so that it pickles."""

_REFUSED = (StrategyError, UsageError, ConfigError, UnscoredError)
"""What speaks of one setting only; anything else that is raised ends the search."""


@dataclass
class Remembering:
    """A source of bars that is asked everything once; it pickles with what it was told, for workers elsewhere."""

    source: BarSource | None
    told: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return bars as the source does."""
        bars: Bars = self._ask("read", instrument, timeframe, start, end)
        return bars

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Return rates as the source does."""
        rates: Funding | None = self._ask("funding", instrument, start, end)
        return rates

    def trades(self, instrument: str, start: int | None = None, end: int | None = None) -> Tape:
        """Return trades as the source does. Raises ConfigError when it has none to give.

        It is asked for all before `end`: how early a run's trades begin hangs on what its strategies warm up on.
        """
        tape: Tape | None = self._ask("trades", instrument, None, end, kind=TapeSource)
        if tape is None:
            raise no_trades()
        first = 0 if start is None else int(np.searchsorted(tape.ts, start))
        return Tape(tape.ts[first:], tape.price[first:], tape.size[first:])

    def terms(self, instrument: str, ts: int | None = None) -> Version | None:
        """Return the rules of a venue as the source does, None when it knows none."""
        version: Version | None = self._ask("terms", instrument, ts, kind=TermsSource)
        return version

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        """Return the holes of a recording as the source does, none when it knows none."""
        found: tuple[GapSpan, ...] | None = self._ask("gaps", instrument, start, end, kind=GapSource)
        return found or ()

    def _ask(self, what: str, *key: object, kind: type | None = None) -> Any:
        question = (what, *key)
        if question not in self.told:
            assert self.source is not None, f"{question} was not asked where the search began"
            knows = kind is None or isinstance(self.source, kind)
            self.told[question] = getattr(self.source, what)(*key) if knows else None
        return self.told[question]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the source behind: files of this host may not be there elsewhere."""
        return {"source": None, "told": self.told}


@dataclass(frozen=True)
class Recipe:
    """Everything a worker needs to score a setting, here or on another host; called, it returns what scores."""

    tuning: Tuning
    aim: Aim
    source: Remembering
    folder: Path | None
    executor: Executor = backtest
    files: Mapping[str, bytes] | None = None
    """The user's files when the worker is on another host: they are laid out there in a folder of its own."""

    def evaluate(self, config: RunConfig) -> BacktestResult:
        """Run a configuration over the bars of the search."""
        return self.executor(config, self.source, self.folder)

    def __call__(self) -> Callable[[Values], Outcome | Refusal]:
        """Return the function that scores a setting."""
        recipe = self if self.files is None else replace(self, folder=_laid_out(self.files), files=None)
        functions = {
            each.name: _function(each.name, recipe.folder)
            for each in recipe.aim.objectives
            if each.is_function
        }
        asked = {each.name for each in recipe.aim.objectives} | {
            each.name for each in recipe.aim.requirements
        }
        if recipe.executor is compiled_backtest and asked <= _TOLD_BY_SCORES:
            return _Sweeper(recipe)
        return _Scorer(recipe, functions)


def first_time(recipe: Recipe) -> str:
    """Return a sentence for the user when scoring settings would compile kernels first; empty otherwise."""
    where = recipe.tuning.config, recipe.source, recipe.folder
    if isinstance(recipe(), _Sweeper):
        return "" if native.run_lane.is_kept else Arena(*where).first_time()
    return compiled.first_time(gather(*where)) if recipe.executor is compiled_backtest else ""


_TOLD_BY_SCORES = frozenset(
    [
        "final_equity",
        "profit",
        "total_return",
        "days",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "calmar",
        "omega",
        "cvar_95",
        "returns_per_year",
        "max_drawdown",
        "trades",
        "fees",
    ]
)
"""Figures that need no more of a run than its score: settings are then scored as in a sweep, a hundred times faster."""


@dataclass
class _Sweeper:
    """Scores settings in an arena, and by whole runs where a score does not tell the figures (below ten days)."""

    recipe: Recipe
    arena: Arena | None = None

    def __call__(self, values: Values) -> Outcome | Refusal:
        recipe = self.recipe
        try:
            config = recipe.tuning.configured(values)
            if self.arena is None:
                self.arena = Arena(recipe.tuning.config, recipe.source, recipe.folder)
            found = self.arena.score(config)
            figures = figures_of(self.arena, found)
            if not figures:
                return _Scorer(recipe, {})(values)
            returns, _ = risk_returns(found.ts, found.equity, found.start_equity)
            trial = Trial.made(idea(self.arena.classes), self.arena.fingerprint, returns, found.trades)
            return replace(score_figures(figures, recipe.aim, trial), fallback=found.fallback)
        except _REFUSED as error:
            return Refusal(error.found)


@dataclass(frozen=True)
class _Scorer:
    recipe: Recipe
    functions: Mapping[str, Function]

    def __call__(self, values: Values) -> Outcome | Refusal:
        try:
            result = self.recipe.evaluate(self.recipe.tuning.configured(values))
            found = score(result, self.recipe.aim, self.functions)
            return replace(found, fallback=reason_of(result))
        except _REFUSED as error:
            return Refusal(error.found)


def portable(recipe: Recipe) -> Recipe:
    """Return the recipe with the user's files in it, for workers that do not see this disk."""
    files: dict[str, bytes] = {}
    strategies = []
    for each in recipe.tuning.config.strategies:
        file = file_of(each, recipe.folder)
        if file is not None:
            files |= {near.name: near.read_bytes() for near in file.parent.glob("*.py") if near.is_file()}
            cls = find_strategy(each.strategy, recipe.folder).__name__
            each = each.model_copy(update={"strategy": f"{file.name}:{cls}"})
        strategies.append(each)
    objectives = []
    for objective in recipe.aim.objectives:
        if objective.is_function:
            path, _, name = objective.name.rpartition(":")
            found = _found(path, recipe.folder)
            files[found.name] = found.read_bytes()
            objective = replace(objective, name=f"{found.name}:{name}")
        objectives.append(objective)
    config = recipe.tuning.config.model_copy(update={"strategies": tuple(strategies)})
    return replace(
        recipe,
        tuning=replace(recipe.tuning, config=config),
        aim=replace(recipe.aim, objectives=tuple(objectives)),
        files=files,
    )


def _laid_out(files: Mapping[str, bytes]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="abidance-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def file_of(each: StrategyConfig, folder: Path | None) -> Path | None:
    """Return the user's file that a strategy is in, None for a shipped one."""
    cls = find_strategy(each.strategy, folder)
    if cls.__module__.startswith("abidance."):
        return None
    return Path(inspect.getfile(cls))


def _function(text: str, folder: Path | None) -> Function:
    """Return the user's function `path.py:name`, made so that what it raises names its line."""
    path, _, name = text.rpartition(":")
    file = str(_found(path, folder))
    try:
        function = runpy.run_path(file).get(name)
    except FAILURES as error:
        raise file_error(file, error) from error
    if not callable(function):
        raise UsageError(f"{path} holds no function {name}.", "Define it as: def name(result): return 1.0")

    def guarded(result: BacktestResult) -> object:
        try:
            return function(result)
        except FAILURES as error:
            told = file_error(file, error)
            raise StrategyError(told.found.replace("Importing it", f"{name}()", 1), told.remedy) from error

    return guarded


def _found(path: str, folder: Path | None) -> Path:
    for candidate in (Path(path), *([folder / path] if folder else [])):
        if candidate.is_file():
            return candidate.resolve()
    raise UsageError(f"There is no file {path}.", "Name the file of the objective's function.")


# --- what a study is made of


def pins(recipe: Recipe) -> dict[str, str]:
    """Return what identifies strategy, bars and settings of a search; reads everything that the search will read.

    What is searched is no part of it, nor is where files lie.
    """
    config = recipe.tuning.config
    material = gather(config, recipe.source, recipe.folder)
    data = fingerprint(*material.bars.values(), *material.past.values(), *material.funding.values())
    if material.tapes:  # two tapes may make the same bars
        columns = (column.tobytes() for tape in material.tapes.values() for column in tape)
        data = hashlib.sha256(b"".join((data.encode(), *columns))).hexdigest()
    code = hashlib.sha256()
    for each in config.strategies:
        code.update(version_of(find_strategy(each.strategy, recipe.folder)))
    for objective in recipe.aim.objectives:
        if objective.is_function:
            code.update(version_of_file(_found(objective.name.rpartition(":")[0], recipe.folder)))
    settings = recipe.tuning.configured(_neutral(recipe.tuning)).model_dump(mode="json")
    for each in settings["strategies"]:
        each.pop("strategy")
    text = repr(sorted(_flat(settings))).encode()
    return {"strategy": code.hexdigest(), "data": data, "settings": hashlib.sha256(text).hexdigest()}


def _neutral(tuned: Tuning) -> Values:
    """Return one fixed point of the space: what is searched must not count as a setting."""
    return {
        name: each.choices[0] if each.choices else each.low for name, each in tuned.space.dimensions.items()
    }


def _flat(value: Any, at: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for name, item in value.items() for pair in _flat(item, f"{at}.{name}")]
    return [(at, repr(value))]
