"""One backtest, again and again, with one thing different each time: parameters, costs, bars, moments, stretches.

Which runs are wanted, and what comes of them, is decided elsewhere. Equal seeds give equal runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from abidance.backtest.compiled import CannotTellError
from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import DAY_NS
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store import show
from abidance.model.errors import DataError, UsageError
from abidance.research.montecarlo import noisy
from abidance.research.splits import Span
from abidance.research.variants import Shifted, Values, fresh
from abidance.research.walk import daily_returns
from abidance.run.backtest import play, result_of
from abidance.run.compiled import compiled_run
from abidance.run.setup import LEAST_HISTORY, WARMUPS, Key, Material, assemble
from abidance.strategy.base import BarStrategy
from abidance.venues.sim.config import FeeTier, VenueConfig

FloatArray = NDArray[np.float64]
_CAP = 0.99
"""No cost takes the whole of what is traded, however often it is multiplied."""


@dataclass
class Reruns:
    """Makes the runs: one material, and what may differ from it. `made` is called after each.

    Runs are made in compiled code where that can tell them. `fallback` says why the event engine ran the first that it
    ran; empty while there was none.
    """

    material: Material
    made: Callable[[], None]
    fallback: str = ""

    def __post_init__(self) -> None:
        if self.material.tapes:
            raise UsageError(
                "Runs are to be repeated over bars that are cut and disturbed, and trades decide what fills in this one.",
                "Choose bars as `detail_timeframe`, or none.",
            )

    @cached_property
    def days(self) -> Span:
        """Return the UTC days of the run since 1970, the second not included."""
        closes = [bars.ts_close for bars in self.material.bars.values()]
        first = min(int(each[0]) for each in closes)
        return (first - 1) // DAY_NS, (max(int(each[-1]) for each in closes) - 1) // DAY_NS + 1

    def run(self, material: Material) -> BacktestResult:
        """Run a material from the start, with strategies that know nothing of other runs."""
        strategies = {
            name: each if isinstance(each, Shifted) else fresh(each)
            for name, each in material.strategies.items()
        }
        material = replace(material, strategies=strategies)
        try:
            result = compiled_run(material)
        except CannotTellError as error:
            self.fallback = self.fallback or error.found
            core = assemble(material, OrderIds(0, 0, b"backtest").make, tape=material.bars, isolate=False)
            result = result_of(material, core, play(material, core, digest=False), {})
        self.made()
        return result

    def returns(self, material: Material) -> FloatArray:
        """Return the daily returns of a run of `material` over the days of the base run."""
        return daily_returns(self.run(material), self.days)

    def with_values(self, values: Mapping[str, Values]) -> Material:
        """Return the material with other parameters, by strategy."""
        strategies = {name: fresh(each, values[name]) for name, each in self.material.strategies.items()}
        return replace(self.material, strategies=strategies)

    def with_costs(self, factor: float) -> Material:
        """Return the material with fees and slippage multiplied."""
        config = self.material.config
        venues = {name: _dearer(config.venue_of(name), factor) for name in config.venues}
        dearer = config.model_copy(update={"venue": _dearer(config.venue, factor), "venues": venues})
        return replace(self.material, config=dearer)

    def with_noise(self, strength: float, draw: np.random.Generator) -> Material:
        """Return the material with disturbed bars; longer bars of an instrument are built from its shortest ones."""
        found: dict[Key, Bars] = {}
        for id, shortest in self.material.drive.items():
            tick = float(self.material.instruments[id].tick)
            moved = noisy(self.material.bars[id, shortest], strength, draw, tick=tick)
            for key, bars in self.material.bars.items():
                if key[0] == id:
                    found[key] = moved if key[1] == shortest else _rebuilt(bars, moved)
        return replace(self.material, bars={key: found[key] for key in self.material.bars})

    def with_shift(self, shift: int) -> Material:
        """Return the material with all opinions moved by `shift` bars; every strategy must be a BarStrategy."""
        strategies = {
            name: Shifted(copy, shift, self.material.start)
            for name, each in self.material.strategies.items()
            if isinstance(copy := fresh(each), BarStrategy)
        }
        return replace(self.material, strategies=strategies)

    @staticmethod
    def within(material: Material, days: Span) -> Material:
        """Return the material cut to some of its days; the bars before them warm strategies up."""
        start, end = days[0] * DAY_NS, days[1] * DAY_NS
        warmups = [each.warmup for each in material.strategies.values() if isinstance(each, BarStrategy)]
        history = max(LEAST_HISTORY, WARMUPS * max(warmups, default=0))
        past: dict[Key, Bars] = {}
        bars: dict[Key, Bars] = {}
        for key, known in material.bars.items():
            before = material.past.get(key)
            whole = known if before is None or not len(before) else before.followed_by(known)
            low, high = (int(np.searchsorted(whole.ts, moment)) for moment in (start, end))
            if low >= high:
                raise DataError(
                    f"There are no bars of {key[0]} {key[1]} from {show(start)[:10]} to {show(end)[:10]}.",
                    "Judge a time range without such holes, with --timerange.",
                )
            past[key], bars[key] = whole.slice(max(0, low - history), low), whole.slice(low, high)
        funding = {id: _between(rates, start, end) for id, rates in material.funding.items()}
        return replace(material, past=past, bars=bars, funding=funding)


def _dearer(venue: VenueConfig, factor: float) -> VenueConfig:
    """Return a venue whose costs are multiplied; a rebate stays what it is."""

    def times(rate: float) -> float:
        return rate if rate < 0 else min(rate * factor, _CAP)

    fees = tuple(FeeTier(volume=t.volume, maker=times(t.maker), taker=times(t.taker)) for t in venue.fees)
    slip = venue.slippage
    dearer = slip.model_copy(
        update={
            "spread": times(slip.spread), "fixed": times(slip.fixed),
            "volume_share": slip.volume_share * factor,
        }
    )  # fmt: skip
    return venue.model_copy(update={"fees": fees, "slippage": dearer})


def _rebuilt(bars: Bars, shorter: Bars) -> Bars:
    """Return `bars` with those prices that `shorter` bars give."""
    built = shorter.higher(bars.timeframe)
    _, rows, known = np.intersect1d(bars.ts, built.ts, assume_unique=True, return_indices=True)
    columns = []
    for old, new in zip(bars.columns(), built.columns(), strict=True):
        column = old.copy()
        column[rows] = new[known]
        columns.append(column)
    return Bars(bars.instrument, bars.timeframe, bars.ts, columns, bars.universe)


def _between(rates: Funding, start: int, end: int) -> Funding:
    low, high = (int(np.searchsorted(rates.ts, moment)) for moment in (start, end))
    return Funding(rates.instrument, rates.ts[low:high], rates.rate[low:high])
