"""What to do about absent bars: leave the hole, fill it flat, or take a second venue's bars. Nothing is hidden.

Bars that are there are never changed. What was put in is returned as marks beside the bars, and the ledger of a series
keeps them (`market.ledger`).
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np

from abidance.market.bars import Bars, FloatArray, IntArray
from abidance.market.findings import reuses
from abidance.market.quality import checked
from abidance.model.errors import DataError
from abidance.model.instrument import timeframe_ns

_BASIS = 24


class Policy(StrEnum):
    """How a hole is treated."""

    LEAVE = "leave"
    FLAT = "flat"
    SECOND = "second"


class Mark(msgspec.Struct, frozen=True):
    """Bars that were put in: `bars` of them from `ts` (open, ns UTC), by which policy, and from which instrument."""

    ts: int
    bars: int
    policy: Policy
    source: str = ""


class Repaired(NamedTuple):
    """A series with what was put in, and where."""

    bars: Bars
    marks: tuple[Mark, ...]


def repair(bars: Bars, policy: Policy, second: Bars | None = None) -> Repaired:
    """Return the bars with their holes treated by `policy`; holes before the first bar and after the last stay.

    A hole after which the symbol seems to stand for another asset stays too: nothing leads from one to the other.
    FLAT repeats the close before the hole, without volume. SECOND takes the bars of `second` (another venue's of the
    same timeframe), moved by the usual ratio of both before the hole so that no jump is made, with its volumes; what it
    lacks stays a hole. Raises DataError for bars that cannot be, and when SECOND has nothing to take from.
    """
    if policy is Policy.LEAVE or not len(bars):
        return Repaired(bars, ())
    if policy is Policy.SECOND and (second is None or second.timeframe != bars.timeframe):
        raise DataError(
            f"To repair {bars.instrument} {bars.timeframe} from a second venue, its bars of {bars.timeframe} are needed.",
            "Name an instrument with such bars.",
        )
    checked(bars)
    step = timeframe_ns(bars.timeframe)
    grid = np.arange(bars.ts[0], bars.ts[-1] + step, step)
    absent: IntArray = grid[~np.isin(grid, bars.ts, assume_unique=True)]
    after = np.array([finding.ts for finding in reuses(bars)], dtype=np.int64)
    absent = absent[~np.isin(bars.ts[np.searchsorted(bars.ts, absent)], after)]
    if not len(absent):
        return Repaired(bars, ())
    before = np.searchsorted(bars.ts, absent) - 1
    if second is None or policy is Policy.FLAT:
        price = bars.close[before]
        added = Bars(bars.instrument, bars.timeframe, absent, (price,) * 4 + (np.zeros(len(absent)),))
        return Repaired(_merged(bars, added), _marks(absent, step, policy, ""))
    added = _from_second(bars, checked(second), absent, before)
    return Repaired(_merged(bars, added), _marks(added.ts, step, policy, second.instrument))


def _from_second(bars: Bars, second: Bars, absent: IntArray, before: IntArray) -> Bars:
    _, rows, theirs = np.intersect1d(absent, second.ts, return_indices=True)
    ratios = _ratios(bars, second)
    common = np.cumsum(np.isfinite(ratios))
    factor = np.empty(len(rows))
    usual = ratios[np.isfinite(ratios)]
    for at, row in enumerate(before[rows]):  # the last common bars before each hole tell the premium
        stop = int(common[row])
        factor[at] = np.median(usual[max(0, stop - _BASIS) : stop]) if stop else np.nan
    known = np.isfinite(factor)
    rows, theirs, factor = rows[known], theirs[known], factor[known]
    prices: list[FloatArray] = [column[theirs] * factor for column in second.columns()[:4]]
    return Bars(bars.instrument, bars.timeframe, absent[rows], (*prices, second.volume[theirs]))


def _ratios(bars: Bars, second: Bars) -> FloatArray:
    """Return our close over theirs for each of our bars, NaN where they have none."""
    ratios = np.full(len(bars), np.nan)
    _, mine, theirs = np.intersect1d(bars.ts, second.ts, return_indices=True)
    ratios[mine] = bars.close[mine] / second.close[theirs]
    return ratios


def _merged(bars: Bars, added: Bars) -> Bars:
    order = np.argsort(np.concatenate((bars.ts, added.ts)), kind="stable")
    columns = (np.concatenate(pair)[order] for pair in zip(bars.columns(), added.columns(), strict=True))
    return Bars(
        bars.instrument, bars.timeframe, np.concatenate((bars.ts, added.ts))[order], columns, bars.universe
    )


def _marks(ts: IntArray, step: int, policy: Policy, source: str) -> tuple[Mark, ...]:
    if not len(ts):
        return ()
    starts = np.flatnonzero(np.r_[True, np.diff(ts) != step])
    counts = np.diff(np.r_[starts, len(ts)])
    return tuple(
        Mark(int(ts[at]), int(count), policy, source) for at, count in zip(starts, counts, strict=True)
    )
