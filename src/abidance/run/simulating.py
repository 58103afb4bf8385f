"""Simulate: the same run over many markets that might have been, or over what happened under stress.

Each path is a whole backtest, in compiled code where that can tell it, by the event engine where it cannot. What a path
draws depends on the seed and on its number alone, so that more paths, other jobs and an added stress leave the markets
of the others as they were.
"""

import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from abidance.backtest.result import DATA_NOTICE, BacktestResult
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapSpan
from abidance.market.quality import checked
from abidance.market.store import parse_timerange, show
from abidance.market.terms import Terms, Version
from abidance.model.errors import AbidanceError, DataError, UsageError
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.research.calibration import FEWEST, fit
from abidance.research.markets import Market, on_tick
from abidance.research.stress import Stress, When
from abidance.run.compiled import compiled_backtest, fallback_of, prepare
from abidance.run.config import TRADES, RunConfig
from abidance.run.setup import BarSource, Material, gather
from abidance.strategy.base import BarStrategy
from abidance.strategy.decisions import warmup_of

REAL = "real"
"""The market that happened: the stored bars."""
MARKETS = (*FEWEST, REAL)
DEFAULT_BARS = 2_000
MOST_PATHS, MOST_BARS = 1_000_000, 10_000_000
NONE = Stress()
_FUNDING_NS = 8 * 3_600 * SECOND_NS
_BATCH_BARS = 50_000
"""Bars of one batch of paths, more or less: small enough for progress and Ctrl-C, large enough to be worth sending."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is to be simulated. Raises UsageError for what cannot be.

    `bars` is the length of a generated path in bars of the shortest timeframe, None the usual one. `growth` replaces
    the drift of a generated market: the expected change of all prices in a year, as a share. A path is ruined when it
    has, at some time, lost the share `ruin` of the money it began with. `jobs` is how many processes, None as fits.
    """

    market: str = "bootstrap"
    stress: Stress = NONE
    paths: int = 200
    seed: int = 1
    bars: int | None = None
    growth: float | None = None
    ruin: float = 0.3
    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.market not in MARKETS:
            raise UsageError(f"There is no market {self.market!r}.", f"There are {', '.join(MARKETS)}.")
        _check(1 <= self.paths <= MOST_PATHS, f"--paths {self.paths} cannot be run", f"1 to {MOST_PATHS:,}")
        _check(self.seed >= 0, f"--seed {self.seed} is negative", "0 or more, for example 1")
        _check(0 < self.ruin <= 1, f"--ruin {self.ruin:g} is no share of the money", "0.3 for a loss of 30 %")
        _check(self.jobs is None or 1 <= self.jobs <= 1_024, f"-j {self.jobs} cannot be", "1 or more")
        if self.bars is not None:
            _check(2 <= self.bars <= MOST_BARS, f"--bars {self.bars} make no market", f"2 to {MOST_BARS:,}")
        if self.growth is not None:
            _check(
                -1 < self.growth <= 100, f"--drift {self.growth:g} is no growth", "0 for none, 0.2 for +20 %"
            )
        if self.market == REAL and (self.bars is not None or self.growth is not None):
            raise UsageError(
                "The real market has its own length and drift.",
                "Leave out --bars and --drift; --timerange says which bars are taken.",
            )


def _check(holds: bool, found: str, remedy: str) -> None:
    if not holds:
        raise UsageError(f"{found}.", f"Give {remedy}.")


class PathResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one path came to. Money is in the run's currency, shares are fractions, a drawdown is negative.

    `breakers` counts by code what tripped or failed, `digest` is that of the result, `fallback` says why the event
    engine ran the path, if it did. `strikes` says when each stress struck, ns UTC.
    """

    number: int
    final_equity: float
    total_return: float
    max_drawdown: float
    lowest: float
    """The lowest equity as a share of the money at the start."""
    buy_and_hold: float
    trades: int
    costs: float
    refusals: dict[str, int]
    breakers: dict[str, int]
    strikes: tuple[int, ...]
    digest: str
    fallback: str


@dataclass(frozen=True)
class Simulation:
    """A finished simulation; `notes` are sentences for the user, `facts` say what the market was fitted to."""

    plan: Plan
    config: RunConfig
    start_equity: float
    timeframe: str
    bars: int
    facts: Mapping[str, object]
    fingerprint: str
    notes: tuple[str, ...]
    paths: Sequence[PathResult]


@dataclass(frozen=True)
class _Served:
    """Bars of one length by instrument, funding, rules and holes, behind the questions that a run asks."""

    bars: Mapping[str, Bars]
    stage: "Stage"

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        whole = self.bars[instrument].higher(timeframe)
        edges = [0 if start is None else start, np.iinfo(np.int64).max if end is None else end]
        found = whole.slice(*np.searchsorted(whole.ts, edges).tolist())
        if not len(found):
            raise DataError(
                f"A path holds no whole bar of {instrument} {timeframe}.",
                "Take longer paths with --bars, a longer --timerange, or a shorter halt.",
            )
        return found

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        rates = self.stage.funding.get(instrument)
        if rates is None:
            return None
        low = 0 if start is None else int(np.searchsorted(rates.ts, start))
        high = len(rates) if end is None else int(np.searchsorted(rates.ts, end))
        return Funding(instrument, rates.ts[low:high], rates.rate[low:high]) if low < high else None

    def terms(self, instrument: str, _ts: int | None = None) -> Version | None:
        rules = self.stage.rules.get(instrument)
        return None if rules is None else Version(0, Terms(rules, instrument))

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        low, high = start or 0, np.iinfo(np.int64).max if end is None else end
        found = (each for each in self.stage.gaps if each.instrument == instrument)
        return tuple(each for each in found if each.start < high and each.end > low)


@dataclass(frozen=True)
class Stage:
    """What all paths stand on: a market to draw `count` bars from or, without one, the `real` bars.

    Strikes fall between `start` and `end`, ns UTC. All paths trade by the `rules` of the run, and only the real bars
    have the `gaps` of a recording.
    """

    market: Market | None
    real: Mapping[str, Bars]
    count: int
    rules: Mapping[str, Instrument]
    funding: Mapping[str, Funding]
    start: int
    end: int
    gaps: tuple[GapSpan, ...] = ()
    source: BarSource | None = None
    """What serves the run where trades decide what fills, since nothing happens to the market then."""

    def bars(
        self, stress: Stress, draw: Generator, chance: Generator
    ) -> tuple[dict[str, Bars], tuple[int, ...]]:
        """Return the bars of one path under stress, and when each strike fell."""
        bars = dict(self.real) if self.market is None else self.market.draw(self.count, draw)
        grid = next(iter(bars.values())).ts
        moments = grid[(grid >= self.start) & (grid < self.end)]
        times = tuple(_moment(when, moments, chance) for _, when in stress.strikes)
        if stress.strikes or stress.changes:
            bars = {id: self._rounded(stress.bars(each, times)) for id, each in bars.items()}
        return bars, times

    def _rounded(self, bars: Bars) -> Bars:
        prices = [on_tick(column, self.rules[bars.instrument].tick) for column in bars.columns()[:4]]
        return Bars(bars.instrument, bars.timeframe, bars.ts, (*prices, bars.volume))


def _moment(when: When, moments: NDArray[np.int64], chance: Generator) -> int:
    if when.ts is not None:
        return when.ts
    share = float(chance.random()) if when.share is None else when.share
    return int(moments[min(int(share * len(moments)), len(moments) - 1)])


@dataclass(frozen=True)
class Work:
    """All that a path needs; it can be sent to another process."""

    plan: Plan
    config: RunConfig
    folder: Path | None
    stage: Stage

    def run(self, number: int) -> PathResult:
        """Run one path."""
        draw, chance = (default_rng(SeedSequence(self.plan.seed, spawn_key=(number, at))) for at in range(2))
        bars, times = self.stage.bars(self.plan.stress, draw, chance)
        source = self.stage.source or _Served(bars, self.stage)
        result = compiled_backtest(self.config, source, self.folder)
        return _summary(number, result, times)


def _summary(number: int, result: BacktestResult, times: tuple[int, ...]) -> PathResult:
    start = result.start_equity
    curve = np.concatenate(([start], result.equity))
    bought = result.benchmark[-1] if len(result.benchmark) else start
    told = Counter(n.code for n in result.notices if n.code != DATA_NOTICE and n.level != "info")
    refused = Counter(str(refusal.code) for _, refusal in result.refusals)
    return PathResult(
        number=number,
        final_equity=float(curve[-1]),
        total_return=float(curve[-1] / start - 1),
        max_drawdown=float((curve / np.maximum.accumulate(curve)).min() - 1),
        lowest=float(curve.min() / start),
        buy_and_hold=float(bought / start - 1),
        trades=sum(trip.ts_exit is not None for trip in result.round_trips),
        costs=float(sum(result.costs.values())),
        refusals=dict(sorted(refused.items())),
        breakers=dict(sorted(told.items())),
        strikes=times,
        digest=result.digest,
        fallback=fallback_of(result),
    )


def simulate(
    config: RunConfig,
    source: BarSource,
    plan: Plan,
    folder: Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Simulation:
    """Run `config` over the paths of `plan`; `progress(done, total)` is called now and then (paths).

    `say` is told when kernels are about to be compiled, which happens once for an installed version.

    Markets are fitted to the bars that `config` names, and begin with the first of them. Real bars under stress differ
    from path to path only when chance says when something strikes; where it does not, one path is run.
    """
    if config.detail_timeframe == TRADES:
        _check_traded(plan)
    material = gather(config, source, folder)
    stressed = _under_stress(material.config, plan.stress)
    timeframe = min((timeframe for _, timeframe in material.bars), key=timeframe_ns)
    _check_timeframes(material, timeframe)
    if plan.market == REAL:
        stage = _real_stage(material, source, timeframe)
        if not plan.stress.is_random:
            plan = replace(plan, paths=1)
    else:
        stressed = stressed.model_copy(update={"timerange": ""})
        stage = _drawn_stage(material, source, timeframe, plan)
    _check_dates(plan.stress, stage)
    prepare(material, say)
    work = Work(plan, stressed, folder, stage)
    found: list[PathResult] = []
    for batch in _batches(work):
        found += batch
        if progress is not None:
            progress(len(found), plan.paths)
    return Simulation(
        plan=plan,
        config=stressed,
        start_equity=float(sum(stressed.wallets(material.venues).values())),
        timeframe=timeframe,
        bars=stage.count,
        facts=stage.market.facts if stage.market is not None else {},
        fingerprint=material.fingerprint,
        notes=(*material.notices, *_told_by_events(found)),
        paths=sorted(found, key=lambda path: path.number),
    )


def _told_by_events(paths: Sequence[PathResult]) -> tuple[str, ...]:
    """Return a sentence for each reason why the event engine ran some of the paths."""
    reasons = Counter(path.fallback for path in paths if path.fallback)
    return tuple(f"{reason} ({count:,} of {len(paths):,} paths)" for reason, count in sorted(reasons.items()))


def _under_stress(config: RunConfig, stress: Stress) -> RunConfig:
    config = config.resolved()
    venues = {name: stress.venue(venue) for name, venue in config.venues.items()}
    return config.model_copy(update={"venue": stress.venue(config.venue), "venues": venues})


# --- what the paths stand on


def _real_stage(material: Material, source: BarSource, timeframe: str) -> Stage:
    _, end = parse_timerange(material.config.timerange) if material.config.timerange else (None, None)
    bars = {
        id: material.bars[id, timeframe] if material.tapes else checked(source.read(id, timeframe, None, end))
        for id in material.instruments
    }
    perpetuals = {id: source.funding(id) for id in material.funding}
    start = max(material.start, *(int(each.ts[0]) for each in bars.values()))
    stop = min(int(each.ts_close[-1]) for each in bars.values())
    count = max(int(np.count_nonzero(each.ts >= material.start)) for each in bars.values())
    rates = {id: rates for id, rates in perpetuals.items() if rates is not None}
    served = source if material.tapes else None
    return Stage(None, bars, count, material.instruments, rates, start, stop, material.gaps, served)


def _drawn_stage(material: Material, source: BarSource, timeframe: str, plan: Plan) -> Stage:
    start, end = parse_timerange(material.config.timerange) if material.config.timerange else (None, None)
    rules, count = material.instruments, plan.bars or DEFAULT_BARS
    _check_warmup(material, timeframe, count)
    series = [
        material.bars[id, timeframe]
        if (id, timeframe) in material.bars
        else checked(source.read(id, timeframe, start, end))
        for id in rules
    ]
    market = fit(plan.market, series, [each.tick for each in rules.values()], plan.growth)
    length = count * timeframe_ns(timeframe)
    if market.start + length > np.iinfo(np.int64).max // 2:
        raise UsageError(f"{count:,} bars of {timeframe} end after every calendar.", "Give fewer --bars.")
    funding = {
        id: _usual(rates, market.start, market.start + length) for id, rates in material.funding.items()
    }
    return Stage(market, {}, count, rules, funding, market.start, market.start + length)


def _usual(rates: Funding, start: int, end: int) -> Funding:
    """Return the mean of the rates that were, every eight hours."""
    span = max(int(rates.ts[-1] - rates.ts[0]), _FUNDING_NS)
    mean = float(rates.rate.sum()) * _FUNDING_NS / (span + _FUNDING_NS)
    ts = np.arange(-(-start // _FUNDING_NS) * _FUNDING_NS, end, _FUNDING_NS, dtype=np.int64)
    return Funding(rates.instrument, ts, np.full(len(ts), mean))


def _check_traded(plan: Plan) -> None:
    """Refuse a market that no trades are known of."""
    if plan.market != REAL:
        what = f"and a market drawn by {plan.market} has none"
    elif plan.stress.strikes or plan.stress.changes:
        what = f"and there are none of a market under {plan.stress.text}"
    else:
        return
    raise UsageError(
        f"Trades decide what fills in this run (`detail_timeframe`), {what}.",
        "Choose bars as `detail_timeframe`, or none; with --market real only costs and latency can be stressed.",
    )


def _check_timeframes(material: Material, shortest: str) -> None:
    for _, timeframe in material.bars:
        if timeframe_ns(timeframe) % timeframe_ns(shortest):
            raise UsageError(
                f"Bars of {timeframe} cannot be built from the run's shortest, {shortest}.",
                "Give strategies bar lengths that divide each other, for example 1h and 4h.",
            )


def _check_warmup(material: Material, timeframe: str, count: int) -> None:
    for each in material.config.strategies:
        strategy = material.strategies[each.name]
        warmup = warmup_of(strategy) if isinstance(strategy, BarStrategy) else 0
        needed = warmup * timeframe_ns(each.timeframe) // timeframe_ns(timeframe)
        if needed >= count:
            raise UsageError(
                f"{each.name} decides nothing in its first {needed:,} bars, and a path has {count:,}.",
                f"Make the paths longer, for example --bars {needed * 10}.",
            )


def _check_dates(stress: Stress, stage: Stage) -> None:
    for _, when in stress.strikes:
        if when.ts is not None and not stage.start <= when.ts < stage.end:
            raise UsageError(
                f"A stress at {show(when.ts)} strikes outside the run.",
                f"The paths last from {show(stage.start)} to {show(stage.end)}: name a date in between, or write @50%.",
            )


# --- the paths, in this process or in several


@dataclass(frozen=True)
class _Failure:
    kind: type[AbidanceError]
    found: str
    remedy: str


def _batches(work: Work) -> Iterator[list[PathResult]]:
    """Yield the results of batches of paths, in the order in which they are done."""
    paths, size = work.plan.paths, max(1, _BATCH_BARS // work.stage.count)
    jobs = work.plan.jobs or max(1, min(_cores(), paths // size // 2))
    size = max(1, min(size, paths // (2 * jobs)))
    numbers = [range(first, min(first + size, paths)) for first in range(0, paths, size)]
    if min(jobs, paths) == 1:
        yield from (_run_batch(work, each) for each in numbers)
        return
    context = get_context("spawn")  # a fork would copy locks that other threads hold
    with ProcessPoolExecutor(jobs, context, _leave_interrupts_to_the_parent) as pool:
        try:
            for future in as_completed([pool.submit(_sent_batch, work, each) for each in numbers]):
                found = future.result()
                if isinstance(found, _Failure):
                    raise found.kind(found.found, found.remedy)
                yield found
        except BrokenProcessPool:
            raise AbidanceError(
                "A process that ran paths has died.", "There may be too little memory: try fewer with -j 1."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_batch(work: Work, numbers: range) -> list[PathResult]:
    found = [work.run(number) for number in numbers]
    gc.collect()  # what a finished run leaves behind is old to the collector, which would let it pile up
    return found


def _sent_batch(work: Work, numbers: range) -> list[PathResult] | _Failure:
    try:
        return _run_batch(work, numbers)
    except AbidanceError as error:  # its two sentences would not survive the way back as an exception
        return _Failure(type(error), error.found, error.remedy)
