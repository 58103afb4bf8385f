"""Backtest: a replay of the store, a simulated venue, event time."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abidance import __version__
from abidance.backtest.event import Recorder, columns
from abidance.backtest.result import DATA_NOTICE, BacktestResult
from abidance.engine.engine import Engine
from abidance.engine.pump import Pump
from abidance.engine.runners import BarRunner
from abidance.execution.analysis import analyse
from abidance.kernel.ids import OrderIds
from abidance.kernel.ports import SimulatedVenue
from abidance.market.feed.stream import TickStream
from abidance.model.account import OWNER
from abidance.model.errors import StrategyError
from abidance.model.outcome import Notice, Outcome
from abidance.run.config import RunConfig
from abidance.run.decisions import Decisions
from abidance.run.setup import BarSource, Core, Material, assemble, gather

_CHUNK = 8192
Progress = Callable[[int, int], None]


def backtest(
    config: RunConfig,
    source: BarSource,
    folder: Path | None = None,
    progress: Progress | None = None,
    journal: Path | None = None,
) -> BacktestResult:
    """Run a backtest over the bars that `config` names; `progress(done, total)` is called now and then (bars).

    What is decided, and on what, is written to `journal`, a new file that a replica can read.
    """
    started = time.perf_counter()
    material = gather(config, source, folder)
    core = assemble(material, OrderIds(0, 0, b"backtest").make, tape=material.bars, isolate=False)
    check_opinions(core.engine)
    loaded = time.perf_counter()
    with nullcontext() if journal is None else closing(Decisions(journal, material, core)) as kept:
        recorder = play(material, core, progress, kept=kept)
    finished = time.perf_counter()
    timings = {"load": loaded - started, "simulate": finished - loaded}
    return result_of(material, core, recorder, timings)


def play(
    material: Material,
    core: Core[SimulatedVenue],
    progress: Progress | None = None,
    *,
    digest: bool = True,
    kept: Decisions | None = None,
) -> Recorder:
    """Replay the material through a core from its opening to its end and return what was kept of it."""
    recorder = Recorder(core.engine, tuple(material.strategies), digest=digest, ticks=False)

    def both(outcome: Outcome) -> None:
        recorder.observe(outcome)
        if kept is not None:
            kept.observe(outcome, pump.answered)

    pump = Pump(core.engine, core.venue, observe=recorder.observe if kept is None else both)
    for event in core.opening:
        pump.step(event)
    total = max(len(bars) for bars in material.bars.values())
    events = material.replay().events()
    with quick_collector():
        if isinstance(events, TickStream):
            pump.run(events)
            if progress is not None:
                progress(total, total)
            return recorder
        done = 0
        while chunk := list(islice(events, _CHUNK)):
            pump.run(chunk)
            done += len(chunk)
            if progress is not None:
                progress(min(done, total), total)
    return recorder


def check_opinions(engine: Engine) -> None:
    """Refuse a strategy that has no opinion on any bar of any of its instruments: most often NaN has spread."""
    runners: dict[str, list[BarRunner]] = {}
    for runner in engine.runners:
        if isinstance(runner, BarRunner):
            runners.setdefault(runner.name, []).append(runner)
    for name, own in runners.items():
        if all(runner.is_silent for runner in own):
            raise StrategyError(
                f"{name} has no opinion on any bar: its target is NaN in every row.",
                "Return 1, 0 or -1 where it has one, and look for NaN that spreads through an indicator.",
            )


@contextmanager
def quick_collector(often: tuple[int, int, int] = (100_000, 20, 100)) -> Iterator[None]:
    """Let the garbage collector look at new objects less often: a run makes millions that hold no cycles.

    `often` is what `gc.set_threshold` takes; each look takes as long as there are objects to look at.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*often)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def result_of(
    material: Material, core: Core[SimulatedVenue], recorder: Recorder, timings: Mapping[str, float]
) -> BacktestResult:
    """Gather what a finished run left behind."""
    portfolio, orders = core.engine.state.portfolio, core.engine.state.orders
    ts = np.frombuffer(recorder.ts, dtype=np.int64) if len(recorder.ts) else np.empty(0, dtype=np.int64)
    start_equity = sum(material.config.wallets(material.venues).values())
    return BacktestResult(
        currency=material.config.currency,
        start_equity=float(start_equity),
        ts=ts,
        equity=columns(recorder.equity),
        exposure=columns(recorder.exposure),
        benchmark=buy_and_hold(material, ts, float(start_equity)),
        strategy_equity=_profits(material, recorder, float(start_equity)),
        round_trips=[*portfolio.round_trips, *portfolio.open_round_trips()],
        fills=[each for each in core.engine.fills if each.strategy != OWNER],
        orders=orders.all(),
        refusals=recorder.refusals,
        notices=[*_about_data(material), *recorder.notices],
        bars=material.shown(),
        costs=_costs(core),
        config=material.recorded(),
        fingerprint=material.fingerprint,
        digest=recorder.digest.hexdigest(),
        version=__version__,
        elapsed=timings.get("simulate", 0.0),
        timings=dict(timings),
    )


def _about_data(material: Material) -> list[Notice]:
    return [Notice(material.start, "info", DATA_NOTICE, text) for text in material.notices]


def _profits(material: Material, recorder: Recorder, start_equity: float) -> dict[str, NDArray[np.float64]]:
    if len(material.strategies) == 1:
        return {name: columns(recorder.equity) - start_equity for name in material.strategies}
    return {name: columns(profits) for name, profits in recorder.profits.items()}


def buy_and_hold(material: Material, ts: NDArray[np.int64], start_equity: float) -> NDArray[np.float64]:
    """Return the equity, at each of `ts`, of buying all traded instruments in equal parts at their first open.

    The purchase pays the taker's fee and slippage that the run pays; nothing is sold, no funding is paid.
    """
    shown = material.shown()
    equity = np.zeros(len(ts))
    grid: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    for id, bars in shown.items():
        config = material.config.venue_of(material.instruments[id].venue)
        slippage = config.slippage.spread / 2 + config.slippage.fixed
        price = float(bars.open[0]) * (1 + slippage)
        units = start_equity / len(shown) / (price * (1 + max(tier.taker for tier in config.fees)))
        closes = bars.ts_close
        if grid is None or not np.array_equal(closes, grid[0]):
            same = np.array_equal(closes, ts)
            grid = closes, np.arange(len(ts)) if same else np.searchsorted(closes, ts, side="right") - 1
        row = grid[1]
        equity += np.where(row >= 0, units * bars.close[np.maximum(row, 0)], start_equity / len(shown))
    return equity


def _costs(core: Core[SimulatedVenue]) -> dict[str, float]:
    state = core.engine.state
    trips = [*state.portfolio.round_trips, *state.portfolio.open_round_trips()]
    analysis = analyse(state.orders.all(), core.engine.fills)
    return {
        "fees": float(sum(trip.fees for trip in trips)),
        "slippage": float(analysis.overall.slippage),
        "funding": float(-sum(trip.funding for trip in trips)),
    }
