"""Sweeps: thousands of settings of a run, each scored as a whole backtest of it would be, at memory speed.

What settings share is done once: bars are laid out, indicators are remembered by what they were computed from, and
signals by the parameters that made them. A setting that the compiled executor does not cover is run by the event
engine; the score is the same, it only takes longer.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import numpy as np

from abidance.backtest import compiled
from abidance.backtest.compiled import CannotTellError, Scene, Score, score_of
from abidance.backtest.result import BacktestResult
from abidance.backtest.sweeping import Track, reason_against
from abidance.engine.config import StrategyConfig
from abidance.indicators import recursions
from abidance.indicators.memory import Memory, remembering
from abidance.journal.metrics import day_ends, days_covered, figures_of_days, underwater
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.run.backtest import play, result_of
from abidance.run.compiled import first_time, scene_of, tapes_of, unsupported
from abidance.run.config import RunConfig
from abidance.run.setup import BarSource, assemble, gather, history_of, made
from abidance.run.tuning import configured, knobs_of, placed
from abidance.strategy.base import BarStrategy
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import Decisions, Opinion, nothing, opinion

_CHUNK = 20
"""Settings that a thread takes at once: handing over costs about as much as scoring one."""
_OPINIONS = 64
"""Signals that are kept: settings that differ in their exits alone come one after another."""

Setting = Mapping[str, Any]


def sweep(
    config: RunConfig,
    source: BarSource,
    grid: Mapping[str, Sequence[Any]],
    folder: Path | None = None,
    workers: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[Setting, Score]]:
    """Yield every setting of a grid and its score, in order.

    Names are parameters of the strategy (`fast`), or settings of it (`exits.stop_loss`, `sizing.fraction`); None is a
    value like any other there. With several strategies a name begins with the strategy's. Name last what changes no
    signal: it costs least there. `say` is told when kernels are about to be compiled. Raises UsageError for what does
    not fit, and whatever a run of a setting raises.
    """
    arena = Arena(config, source, folder)
    knobs = knobs_of(arena.config, folder, grid)
    for name, values in grid.items():
        for value in values:
            configured(arena.config, {knobs[name]: value})
    if say is not None and (text := arena.first_time()):
        say(text)
    settings: Iterator[Setting] = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
    workers = workers or os.cpu_count() or 1

    def scored(chunk: list[Setting]) -> list[tuple[Setting, Score]]:
        placings = ({knobs[name]: value for name, value in setting.items()} for setting in chunk)
        return [
            (setting, arena.score(placed(arena.config, values)))
            for setting, values in zip(chunk, placings, strict=True)
        ]

    if workers == 1:
        while chunk := list(islice(settings, _CHUNK)):
            yield from scored(chunk)
        return
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[list[tuple[Setting, Score]]]] = deque()
        while chunk := list(islice(settings, _CHUNK)):
            running.append(pool.submit(scored, chunk))
            if len(running) > 2 * workers:
                yield from running.popleft().result()
        for chunk_scored in running:
            yield from chunk_scored.result()


class Arena:
    """A run laid out to be scored again and again with other settings of its strategies; threads may share it.

    Without `remembers` each score asks the strategies anew, and they compute everything anew.
    """

    def __init__(
        self, config: RunConfig, source: BarSource, folder: Path | None = None, *, remembers: bool = True
    ) -> None:
        recursions.use()
        self._source, self._folder = source, folder
        self._remembers = remembers
        self._memory = Memory()
        self._laying_out = Lock()
        self._layout = _Layout(config, source, folder)
        self.config = self._layout.material.config

    def first_time(self) -> str:
        """Return a sentence for the user when the next score would compile kernels first; empty otherwise."""
        layout = self._layout
        return compiled.first_time(lane=True) if layout.lane is not None else first_time(layout.material)

    def score(self, config: RunConfig) -> Score:
        """Score a setting: the run's configuration with other parameters, exits or sizes of its strategies."""
        if (found := self.fast(config)) is not None:
            return found
        layout = self._layout_for(config)
        strategies = {each.name: made(layout.kinds[each.name], each) for each in config.strategies}
        material = replace(layout.material, config=config, strategies=strategies)
        if (reason := unsupported(material)) is None:
            try:
                return score_of(compiled.simulate(scene_of(material), keeps_logs=False)[0])
            except CannotTellError as error:
                reason = error.found
        core = assemble(material, OrderIds(0, 0, b"backtest").make, tape=material.bars, isolate=False)
        return _told(result_of(material, core, play(material, core, digest=False), {}), reason)

    def fast(self, config: RunConfig) -> Score | None:
        """Score a setting by the fast lane alone; None where it cannot tell."""
        layout = self._layout_for(config)
        if layout.lane is None:
            return None
        by_name = {each.name: each for each in config.strategies}
        with remembering(self._memory) if self._remembers else nullcontext():
            choice = [
                layout.opinion(number, by_name[place.strategy], self._remembers).turns(
                    by_name[place.strategy].exits
                )
                for number, place in enumerate(layout.lane.places)
            ]
        try:
            track = layout.tracks.get_nowait()
        except Empty:
            track = Track(layout.lane)
        found = track.run(by_name, choice)
        layout.tracks.put(track)
        return found

    def _layout_for(self, config: RunConfig) -> "_Layout":
        """Return the layout, with more bars before the time range when a setting wants more to warm up on."""
        layout = self._layout
        history = max(map(layout.history_for, config.strategies))
        if history > layout.history:
            with self._laying_out:
                if history > self._layout.history:
                    self._layout = _Layout(config, self._source, self._folder)
        return self._layout

    @property
    def classes(self) -> list[str]:
        """Return the names of the strategies' classes."""
        return [kind.__name__ for kind in self._layout.kinds.values()]

    @cached_property
    def days_covered(self) -> float:
        """Return how many days the run covers."""
        closes = [bars.ts_close for bars in self._layout.material.bars.values()]
        return days_covered(np.unique(np.concatenate(closes)))

    @cached_property
    def fingerprint(self) -> str:
        """Return the hash of the bars and funding rates that settings are scored on."""
        return self._layout.material.fingerprint


class _Layout:
    """What the settings of a run share: its bars, its scene for the fast lane (if it has one), what was said on it."""

    def __init__(self, config: RunConfig, source: BarSource, folder: Path | None) -> None:
        self.material = gather(config, source, folder)
        self.kinds = {name: type(each) for name, each in self.material.strategies.items()}
        self.history = history_of(self.material.strategies.values())
        self.tracks: SimpleQueue[Track] = SimpleQueue()
        self.lane: Scene | None = None
        if unsupported(self.material) is None:
            scene = scene_of(self.material, _silence)
            self.lane = scene if not reason_against(scene) else None
        tapes = tapes_of(self.material) if self.lane is not None else {}
        self._tapes = {key: series.tape() for key, series in tapes.items()}
        self._opinions: dict[Any, Opinion] = {}
        self._histories: dict[Any, int] = {}

    def history_for(self, config: StrategyConfig) -> int:
        """Return how many bars before the time range a strategy with these parameters warms up on."""
        key = (config.name, *config.parameters.items())
        if key not in self._histories:
            self._histories[key] = history_of([made(self.kinds[config.name], config)])
        return self._histories[key]

    def opinion(self, number: int, config: StrategyConfig, remembers: bool) -> Opinion:
        """Return what a strategy says in one place, as it said it last time where it can have said nothing else."""
        key = (number, *config.parameters.items())
        found = self._opinions.get(key) if remembers else None
        if found is None:
            assert self.lane is not None
            place = self.lane.places[number]
            tape = self._tapes[self.lane.series[place.series].instrument, config.timeframe]
            strategy = made(self.kinds[config.name], config)
            assert tape is not None
            assert isinstance(strategy, BarStrategy)
            found = opinion(strategy, tape, place.first)
            if remembers:
                self._opinions[key] = found
                for oldest in list(self._opinions)[: -max(_OPINIONS, 2 * len(self.lane.places))]:
                    self._opinions.pop(oldest, None)
        return found


def figures_of(arena: Arena, score: Score) -> dict[str, float | None]:
    """Return those figures of a whole run that a score tells, by their names; empty for runs below ten days."""
    figures = figures_of_days(
        score.ts, score.equity, score.start_equity, arena.days_covered, score.max_drawdown
    )
    return figures | {"trades": float(score.trades), "fees": score.fees} if figures else {}


def _silence(_strategy: BarStrategy, _tape: Bars, exits: ExitsConfig) -> Decisions:
    """Stand in for a strategy's decisions where a scene is laid out and nobody is asked yet."""
    return nothing(0, exits)


def _told(result: BacktestResult, reason: str) -> Score:
    """Return the score of a run of the event engine, with the reason why it was needed."""
    ends = day_ends(result.ts)
    return Score(
        start_equity=result.start_equity,
        ts=result.ts[ends],
        equity=result.equity[ends],
        max_drawdown=float(underwater(result.equity, result.start_equity).min()),
        trades=sum(trip.ts_exit is not None for trip in result.round_trips),
        fills=len(result.fills),
        fees=float(sum(fill.fee for fill in result.fills)),
        refusals=len(result.refusals),
        fallback=reason,
    )
