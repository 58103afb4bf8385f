"""Backtests by the compiled executor: from the same material as the event engine, to a result of the same type.

`unsupported` says what the compiled executor does not cover; the event engine then runs, and the result says so.
Nothing is ever computed by other rules in silence.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import fsum
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from abidance import __version__
from abidance.backtest import compiled, native
from abidance.backtest.compiled import CannotTellError, Doubt, Place, Scene
from abidance.backtest.logs import Story
from abidance.backtest.result import DATA_NOTICE, BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.engine.runners import LONG_SILENCE
from abidance.engine.series import Series, Universe
from abidance.execution.config import ExecutionConfig
from abidance.indicators import recursions
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.market.feed.merge import merge
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapReplay, GapSpan
from abidance.market.terms import Version
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.money import UNIT
from abidance.model.outcome import Notice
from abidance.risk.feeds import Feeds, loss_of
from abidance.run.backtest import Progress, backtest, buy_and_hold, quick_collector
from abidance.run.config import TRADES, RunConfig
from abidance.run.setup import BarSource, GapSource, Key, Material, TermsSource, gather
from abidance.strategy.base import BarStrategy
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import Decisions, decide

FALLBACK = "fallback"
"""The code of the notice that the event engine ran in place of the compiled executor."""
_RAN = "The event engine ran this backtest, not the compiled executor: "
Decide = Callable[[BarStrategy, Bars, ExitsConfig], Decisions]
_EXACT_INTEGER = 1 << 53
_YEAR_NS = 365 * 86_400 * SECOND_NS


def compiled_backtest(
    config: RunConfig,
    source: BarSource,
    folder: Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> BacktestResult:
    """Run a backtest in compiled code, or by the event engine where it cannot be; a notice then says why.

    `say` is told when kernels are about to be compiled, which happens once for an installed version.
    """
    started = time.perf_counter()
    spared = source
    if isinstance(source, StoredSource) and config.detail_timeframe != TRADES:
        spared = _Sparing(source, config)
    material = gather(config, spared, folder)
    if say is not None and (text := first_time(material)):
        say(text)
    try:
        return compiled_run(material, started)
    except CannotTellError as error:
        reason = error.found
    result = backtest(config, source, folder, progress)
    return _with_notice(result, Notice(material.start, "info", FALLBACK, _RAN + reason))


def first_time(material: Material) -> str:
    """Return a sentence for the user when a run of a material would compile kernels first; empty otherwise."""
    return compiled.first_time(trades=bool(material.tapes)) if unsupported(material) is None else ""


def prepare(material: Material, say: Callable[[str], None] | None = None) -> None:
    """Compile now what runs of a material would compile first, so that processes that make them need not all do so."""
    if text := first_time(material):
        if say is not None:
            say(text)
        native.prepare()
        recursions.prepare()


def compiled_run(material: Material, started: float | None = None) -> BacktestResult:
    """Run a material in compiled code; `started` is when its loading began (`time.perf_counter`).

    Raises CannotTellError, with the reason as a sentence, where the event engine is to run it.
    """
    if (reason := unsupported(material)) is not None:
        raise CannotTellError(reason)
    recursions.use()
    with quick_collector():
        return _run(material, time.perf_counter() if started is None else started)


def fallback_of(result: BacktestResult) -> str:
    """Return why the event engine ran in place of the compiled executor; empty when it did not."""
    return next((notice.text for notice in result.notices if notice.code == FALLBACK), "")


def reason_of(result: BacktestResult) -> str:
    """Return the same without what comes before the reason."""
    return fallback_of(result).removeprefix(_RAN)


def _with_notice(result: BacktestResult, notice: Notice) -> BacktestResult:
    return replace(result, notices=[notice, *result.notices])


def _run(material: Material, started: float) -> BacktestResult:
    scene = scene_of(material)
    _check_opinions(scene)
    loaded = time.perf_counter()
    world, shares = compiled.simulate(scene)
    story = Story(scene, world, OrderIds(0, 0, b"backtest").make, shares.told)
    finished = time.perf_counter()
    start_equity = float(sum(material.config.wallets(material.venues).values()))
    profits = {
        name: world.profits[at] for at, name in enumerate(scene.strategies) if len(scene.strategies) > 1
    }
    trips = story.round_trips
    costs = {
        "fees": fsum(trips.columns.fees),
        "slippage": story.sums.slippage(),
        "funding": 0.0 - fsum(trips.columns.funding),
    }
    return BacktestResult(
        currency=material.config.currency,
        start_equity=start_equity,
        ts=world.when,
        equity=world.equity,
        exposure=world.exposure,
        benchmark=buy_and_hold(material, world.when, start_equity),
        strategy_equity=profits or dict.fromkeys(scene.strategies, world.equity - start_equity),
        round_trips=trips,
        fills=story.fills,
        orders=story.orders,
        refusals=story.refusals,
        notices=[
            *(Notice(material.start, "info", DATA_NOTICE, text) for text in material.notices),
            *story.notices(),
        ],
        bars=material.shown(),
        costs=costs,
        config=material.recorded(),
        fingerprint=material.fingerprint,
        digest=story.digest(),
        version=__version__,
        elapsed=finished - loaded,
        timings={"load": loaded - started, "simulate": finished - loaded},
    )


def _check_opinions(scene: Scene) -> None:
    """Leave strategies without an opinion to the event engine, which refuses those that are silent for too long."""
    for name in scene.strategies:
        own = [place.decisions.target for place in scene.places if place.strategy == name]
        if all(len(target) >= LONG_SILENCE and np.isnan(target).all() for target in own):
            raise CannotTellError(f"{name} has no opinion on any bar.")


@runtime_checkable
class StoredSource(BarSource, Protocol):
    """Where bars come from that may stay where they are."""

    def stored(
        self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
    ) -> Bars:
        """Return what `read` does, perhaps as bars that are read when they are looked at."""
        ...


class _Sparing:
    """A source whose bars stay in its store where no strategy decides on them: they only fill orders.

    Series of the same times share them.
    """

    def __init__(self, source: StoredSource, config: RunConfig) -> None:
        self._source = source
        self._times: dict[str, NDArray[np.int64]] = {}
        self._seen = {each.timeframe for each in config.ready().strategies}

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return bars; their prices may stay in the store."""
        read = self._source.read if timeframe in self._seen else self._source.stored
        bars = read(instrument, timeframe, start, end)
        known = self._times.setdefault(timeframe, bars.ts)
        if np.array_equal(known, bars.ts):
            bars.ts = known
        return bars

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Return the rates that the source has."""
        return self._source.funding(instrument, start, end)

    def terms(self, instrument: str, ts: int | None = None) -> Version | None:
        """Return the rules that the source knows."""
        return self._source.terms(instrument, ts) if isinstance(self._source, TermsSource) else None

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        """Return the holes that the source knows."""
        return self._source.gaps(instrument, start, end) if isinstance(self._source, GapSource) else ()


# --- what is covered


def unsupported(material: Material) -> str | None:
    """Return, as a sentence, why the compiled executor does not cover a run, or None when it does."""
    for config in material.config.strategies:
        if (reason := _unsupported_strategy(material, config)) is not None:
            return reason
    for id, instrument in material.instruments.items():
        if (reason := _unsupported_instrument(material, instrument)) is not None:
            return f"{id} {reason}."
        count = sum(id in each.instruments for each in material.config.strategies)
        if 0 < instrument.max_stops < count or 0 < instrument.max_orders < count * compiled.ORDERS_OF_PLACE:
            return f"So many strategies trade {id} that their orders may be too many for its venue."
    if material.config.routing.routes:
        return "Entries are routed over several venues (`routing.routes`)."
    return None


def _unsupported_strategy(material: Material, config: StrategyConfig) -> str | None:
    if not isinstance(material.strategies[config.name], BarStrategy):
        return f"{config.name} decides on events, not on columns of bars."
    if config.sizing.method == "kelly" and config.sizing.lookback > compiled.MOST_RESULTS:
        return f"{config.name} is sized by more round trips than are kept (`sizing.lookback`)."
    if config.exits.take_profit_order != "limit":
        return f"{config.name} takes profits at market (`exits.take_profit_order`)."
    if config.execution.model_copy(update={"max_cost": None}) != ExecutionConfig():
        return f"{config.name} has its entries executed in ways that are not compiled (`execution`)."
    return None


def _unsupported_instrument(material: Material, instrument: Instrument) -> str | None:
    venue = material.config.venue_of(instrument.venue)
    steps = (*instrument.tick.as_integer_ratio(), *instrument.lot.as_integer_ratio())
    if instrument.is_perpetual and instrument.name.settle != instrument.quote:
        return f"settles in {instrument.name.settle}"
    if instrument.quote != material.config.currency:
        return f"is not quoted in {material.config.currency}"
    if venue.fee_asset == "received" and not instrument.is_perpetual:
        return 'pays for purchases with a part of what it buys (`fee_asset = "received"`), and that is no whole lot'
    # an asset that no run trades has no price here, so that the quote pays
    if (instrument.venue, venue.fee_asset) in {
        (each.venue, each.base) for each in material.instruments.values()
    }:
        return f"may pay its fees with {venue.fee_asset} that the run itself trades (`fee_asset`)"
    if (instrument.tick * instrument.lot) % UNIT or max(steps) > _EXACT_INTEGER:
        return "trades in steps that are too fine"
    return None


# --- the scene


def scene_of(material: Material, decided: Decide = decide) -> Scene:
    """Return what the compiled executor needs of a run that it covers; `decided` asks strategies."""
    config = material.config
    order = {id: rank for rank, id in enumerate(material.instruments)}
    keys = sorted(material.bars, key=lambda key: (timeframe_ns(key[1]), order[key[0]]))
    tapes = tapes_of(material)
    rows = sum(tapes[id, each.timeframe].ahead for each in config.strategies for id in each.instruments)
    sheet = compiled.Sheet(rows if decided is decide else 0)
    places = []
    for each in config.strategies:
        strategy = material.strategies[each.name]
        assert isinstance(strategy, BarStrategy)
        for id in each.instruments:
            key = (id, each.timeframe)
            tape = tapes[key].tape()
            assert tape is not None
            decisions = sheet.take(decided(strategy, tape, each.exits))
            first = len(tape) - len(material.bars[key])
            volatility = _volatility(each, tape, decisions)
            places.append(Place(each.name, keys.index(key), decisions, first, volatility))
    doubts, told = _doubts(material)
    return Scene(
        start=material.start,
        wallets=config.wallets(material.venues),
        instruments=material.instruments,
        venues={name: config.venue_of(name) for name in material.venues},
        strategies={each.name: each for each in config.strategies},
        risk=config.risk,
        series=[material.bars[key] for key in keys],
        drives=[material.drive[id] == timeframe for id, timeframe in keys],
        places=places,
        tapes=material.tapes,
        allocation=config.allocation,
        bar=timeframe_ns(config.timeframe),
        payments=list(merge(*material.payments()).events()),  # type: ignore[arg-type]
        doubts=doubts,
        doubts_told=told,
    )


def _doubts(material: Material) -> tuple[list[Doubt], list[str]]:
    """Return what is in doubt when, as the engine's risk keeps it of the streams that strategies look at."""
    feeds, found, told = Feeds(), list[Doubt](), list[str]()
    places = [(each.name, id) for each in material.config.strategies for id in each.instruments]
    for name, strategy in material.strategies.items():
        feeds.references[name] = tuple(strategy.references)
    doubted = dict.fromkeys(places, False)
    for status in GapReplay(material.gaps).events():
        if feeds.take(status) and status.instrument in material.instruments:
            found.append(Doubt(status.ts, -1, False, len(told)))
            told.append(loss_of(status))
        for number, place in enumerate(places):
            now = feeds.doubt(*place) is not None
            if now is not doubted[place]:
                doubted[place] = now
                found.append(Doubt(status.ts, number, now, -1))
    return found, told


def tapes_of(material: Material) -> Mapping[Key, Series]:
    """Return every series that strategies may look at, with all its bars known, as the engine lays them before them."""
    series: dict[Key, Series] = {}
    seen = {each.timeframe for each in material.config.strategies}
    for (id, timeframe), bars in material.bars.items():
        if timeframe not in seen:
            continue
        past = material.past.get((id, timeframe))
        tape = bars if past is None or not len(past) else past.followed_by(bars)
        series[id, timeframe] = Series(id, timeframe, past, tape)
    for each in series.values():
        each.universe = Universe(series, each.timeframe, whole=True)
    return series


def _volatility(config: StrategyConfig, tape: Bars, decisions: Decisions) -> NDArray[np.float64]:
    """Return what sizing by volatility would read at each wish (`engine.state.State.volatility`); NaN elsewhere."""
    if config.sizing.method != "volatility_target":
        return np.empty(0)
    lookback, per_year = config.sizing.lookback, _YEAR_NS / timeframe_ns(config.timeframe)
    found = np.full(len(tape), np.nan)
    for row in np.flatnonzero(decisions.target == decisions.target):
        closes = tape.close[max(0, row + 1 - lookback) : row + 1]
        if len(closes) == lookback and (closes > 0).all():
            found[row] = float(np.std(np.diff(np.log(closes)), ddof=1) * np.sqrt(per_year))
    return found
