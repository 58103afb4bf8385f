"""What is wrong with a series of bars or funding rates, counted and judged. Nothing is repaired here.

What cannot be true is refused, be it a single bar: prices that are no prices, times out of order or off the grid, bars
that contradict themselves. Gaps, wicks and jumps are facts of markets: they are told, not refused. `impossible` is the
one rule for it: an import, a check and a run ask the same.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import FIELDS, Bars, FloatArray, IntArray, grid_offset
from abidance.market.funding import Funding
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.instrument import timeframe_ns

BoolArray = NDArray[np.bool_]

_NOISE = 1e-9
"""The share of a price by which it may leave its bar: what arithmetic with floats leaves behind, and no tick is."""

_LATE = "a time that does not come after the one before it"
_MISALIGNED = "a time off the timeframe's grid"
_PRICE = "a price that is zero, negative, infinite or not a number"
_VOLUME = "a volume that is negative, infinite or not a number"
_CONTRADICTION = "a high below or a low above another price"

_MISSING = 0.001
_LONG_GAP = 24
_ZERO_VOLUME = 0.01
_FLAT = 0.05
_WICK = 2.0
_OUTLIER_Z = 100.0
_LARGE_MOVE = 0.5
_MOST_FUNDING = 0.05
_USUAL_FUNDING = 0.002
_NORMAL = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


class Grade(StrEnum):
    """The verdict on a series."""

    OK = "ok"
    WARNING = "warning"
    REFUSED = "refused"


class Gap(msgspec.Struct, frozen=True):
    """A run of absent bars: the open time of the first (ns UTC) and how many."""

    start: int
    bars: int


class QualityReport(msgspec.Struct, frozen=True):
    """What a series of bars holds and lacks.

    `largest_move` is close to close as a ratio (-0.182 = 18.2 % down) at `largest_move_ts`; `wick` is the largest of
    high over body and body over low. Counts are of bars. `outliers` are moves far beyond what is usual in this series.
    """

    rows: int
    first: int
    last: int
    missing: int
    gaps: tuple[Gap, ...]
    duplicates: int
    out_of_order: int
    misaligned: int
    contradictions: int
    bad_prices: int
    bad_volumes: int
    zero_volume: int
    flat: int
    outliers: int
    largest_move: float
    largest_move_ts: int
    wick: float
    wick_ts: int
    grade: Grade
    reasons: tuple[str, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Return those of the reasons for which the series is refused."""
        return tuple(_refusals(self))

    @property
    def longest_gap(self) -> Gap | None:
        """Return the longest run of absent bars; of equals the first."""
        return max(self.gaps, key=lambda gap: gap.bars, default=None)


def inspect_bars(bars: Bars) -> QualityReport:
    """Return what `inspect` says of `bars`."""
    return inspect(bars.ts, bars.columns(), bars.timeframe)


def inspect(ts: IntArray, columns: tuple[FloatArray, ...], timeframe: str) -> QualityReport:
    """Return the report on bars with open times `ts` (ns UTC) and open, high, low, close, volume as `columns`.

    The times may be in any order and hold duplicates; neither is mended. Prices count as moves between neighbouring
    bars only, never across a gap.
    """
    step = timeframe_ns(timeframe)
    facts: dict[str, object] = {
        "rows": len(ts),
        **_times(ts, step),
        **_values(ts, columns, step),
        **_moves(ts, columns, step),
    }
    draft = QualityReport(**facts, grade=Grade.OK, reasons=())  # type: ignore[arg-type]
    refusals, warnings = draft.refusals, _warnings(draft)
    grade = Grade.REFUSED if refusals else Grade.WARNING if warnings else Grade.OK
    return msgspec.structs.replace(draft, grade=grade, reasons=(*refusals, *warnings))


class FundingReport(msgspec.Struct, frozen=True):
    """What is wrong with a series of funding rates; times are ns UTC, `holes` where rates must be missing.

    `largest` is the rate furthest from zero, 0.01 for 1 %.
    """

    rows: int
    first: int
    last: int
    holes: tuple[tuple[int, int], ...]
    largest: float
    grade: Grade
    reasons: tuple[str, ...]


def inspect_funding(funding: Funding) -> FundingReport:
    """Return the report on funding rates, of which there is at least one."""
    size = np.abs(funding.rate)
    first, last = int(funding.ts[0]), int(funding.ts[-1])
    absurd = np.flatnonzero(~(size <= _MOST_FUNDING))
    holes = tuple(funding.holes(first, last))
    reasons = []
    if len(absurd):
        rate, count = (
            float(funding.rate[absurd[0]]),
            f" ({len(absurd):,} such rates)" if len(absurd) > 1 else "",
        )
        reasons.append(
            f"The rate at {show(int(funding.ts[absurd[0]]))} is {rate:.6g}{count}; no venue charges more than"
            f" {_MOST_FUNDING:.0%} of the position at once, and 0.01 means 1 %."
        )
    elif np.median(size) > _USUAL_FUNDING:
        reasons.append(f"Half of the rates are above {_USUAL_FUNDING:.1%} at a time: are they in percent?")
    if holes:
        longest = max(holes, key=lambda hole: hole[1] - hole[0])
        many = "1 stretch" if len(holes) == 1 else f"{len(holes):,} stretches"
        reasons.append(
            f"{many} of more than 8 hours without a rate, the longest from {show(longest[0])} to {show(longest[1])}."
        )
    grade = Grade.REFUSED if len(absurd) else Grade.WARNING if reasons else Grade.OK
    largest = float(funding.rate[size.argmax()])
    return FundingReport(len(funding), first, last, holes, largest, grade, tuple(reasons))


def completeness(bars: Bars) -> list[tuple[str, float]]:
    """Return each month from the first bar to the last, as `2024-03`, with the share of its bars that is there."""
    if not len(bars):
        return []
    step = timeframe_ns(bars.timeframe)
    first, last = int(bars.ts[0]), int(bars.ts[-1])
    start, stop = (np.datetime64(ts, "ns").astype("datetime64[M]") for ts in (first, last))
    months = np.arange(start, stop + 2)
    bounds = months.astype("datetime64[ns]").astype(np.int64)
    present = np.diff(np.searchsorted(bars.ts, bounds))
    edges = np.clip(bounds, first, last + step)
    expected = np.diff(-(-(edges - first) // step))
    shares = np.divide(present, expected, out=np.ones(len(present)), where=expected > 0)
    return [(str(month), float(share)) for month, share in zip(months, shares, strict=False)]


def _times(ts: IntArray, step: int) -> dict[str, object]:
    unique = np.unique(ts)
    skipped = np.diff(unique) // step - 1
    at = np.flatnonzero(skipped > 0)
    return {
        "first": int(unique[0]) if len(ts) else 0,
        "last": int(unique[-1]) if len(ts) else 0,
        "missing": int(skipped[at].sum()),
        "gaps": tuple(Gap(int(unique[i]) + step, int(skipped[i])) for i in at),
        "duplicates": len(ts) - len(unique),
        "out_of_order": int(np.count_nonzero(np.diff(ts) < 0)),
    }


def _values(ts: IntArray, columns: tuple[FloatArray, ...], step: int) -> dict[str, object]:
    opens, highs, lows, closes, volumes = columns
    found = {fault: int(np.count_nonzero(rows)) for fault, rows in impossible(ts, columns, step).items()}
    flat = (opens == highs) & (highs == lows) & (lows == closes)
    return {
        "misaligned": found[_MISALIGNED],
        "contradictions": found[_CONTRADICTION],
        "bad_prices": found[_PRICE],
        "bad_volumes": found[_VOLUME],
        "zero_volume": int(np.count_nonzero(volumes == 0)),
        "flat": int(np.count_nonzero(flat)),
    }


def checked(bars: Bars) -> Bars:
    """Return the bars when a run may be made of them, which is when none of them is `impossible`.

    Raises DataError for the first that is; everything else that may be wrong is `inspect_bars`'s to tell.
    """
    if fault := first_fault(bars):
        raise DataError(
            f"The bar of {bars.instrument} {bars.timeframe} at {show(fault.ts)} has {fault.what} ({fault.bar}).",
            "Mend that row and import it with --replace, or delete its month in the data folder and import it again.",
        )
    return bars


class Fault(NamedTuple):
    """A bar that cannot be: when it opens (ns UTC), what it has that none can have, and its values as text."""

    ts: int
    what: str
    bar: str


def first_fault(bars: Bars) -> Fault | None:
    """Return the first bar that cannot be, or None when all can."""
    faults = impossible(bars.ts, bars.columns(), timeframe_ns(bars.timeframe))
    firsts = [(int(rows.argmax()), what) for what, rows in faults.items() if rows.any()]
    if not firsts:
        return None
    row, what = min(firsts, key=lambda first: first[0])
    values = (f"{name} {column[row]:.12g}" for name, column in zip(FIELDS, bars.columns(), strict=True))
    return Fault(int(bars.ts[row]), what, ", ".join(values))


def impossible(ts: IntArray, columns: tuple[FloatArray, ...], step: int) -> dict[str, BoolArray]:
    """Return, for each fault that a bar cannot have, which of the bars have it; the fault reads on after `has`."""
    volumes = columns[4]
    late = np.zeros(len(ts), dtype=bool)
    late[1:] = ts[1:] <= ts[:-1]
    return {
        _LATE: late,
        _MISALIGNED: (ts - grid_offset(step)) % step != 0,
        _PRICE: ~sound_prices(columns),
        _VOLUME: ~(np.isfinite(volumes) & (volumes >= 0)),
        _CONTRADICTION: contradictions(columns),
    }


def sound_prices(columns: tuple[FloatArray, ...]) -> BoolArray:
    """Return for each bar whether its four prices are finite and positive."""
    prices = np.vstack(columns[:4])
    return np.asarray((np.isfinite(prices) & (prices > 0)).all(axis=0))


def contradictions(columns: tuple[FloatArray, ...]) -> BoolArray:
    """Return for each bar whether its high is below, or its low above, another of its prices, beyond mere noise."""
    opens, highs, lows, closes, _ = columns
    share = 1 - _NOISE
    with np.errstate(invalid="ignore"):  # what is not a number contradicts nothing: it is no price
        return np.asarray(
            (highs < np.maximum(opens, closes) * share)
            | (lows * share > np.minimum(opens, closes))
            | (highs < lows * share)
        )


def _moves(ts: IntArray, columns: tuple[FloatArray, ...], step: int) -> dict[str, object]:
    opens, highs, lows, closes, _ = columns
    facts: dict[str, object] = {
        "outliers": 0,
        "largest_move": 0.0,
        "largest_move_ts": 0,
        "wick": 1.0,
        "wick_ts": 0,
    }
    sound = sound_prices(columns)
    if not sound.any():
        return facts
    with np.errstate(all="ignore"):
        wicks = np.maximum(highs / np.maximum(opens, closes), np.minimum(opens, closes) / lows)
        returns = np.diff(np.log(closes))
    wicks = np.where(sound, wicks, 1.0)
    facts |= {"wick": float(wicks.max()), "wick_ts": int(ts[wicks.argmax()])}
    neighbours = (np.diff(ts) == step) & sound[1:] & sound[:-1]
    if neighbours.any():
        returns = np.where(neighbours, returns, 0.0)
        at = int(np.abs(returns).argmax())
        facts |= {
            "outliers": _outliers(returns[neighbours]),
            "largest_move": float(closes[at + 1]) / float(closes[at]) - 1,
            "largest_move_ts": int(ts[at + 1]),
        }
    return facts


def _outliers(returns: FloatArray) -> int:
    """Count returns beyond a robust z-score, by the median absolute deviation of those that moved at all."""
    moved = returns[returns != 0]
    if len(moved) < 2:
        return 0
    middle = np.median(moved)
    spread = _NORMAL * np.median(np.abs(moved - middle))
    return int(np.count_nonzero(np.abs(returns - middle) > _OUTLIER_Z * spread)) if spread > 0 else 0


def _refusals(report: QualityReport) -> list[str]:
    reasons = []
    if not report.rows:
        return ["There are no bars."]
    if report.bad_prices:
        reasons.append(f"{_bars(report.bad_prices)} with {_PRICE}.")
    if report.bad_volumes:
        reasons.append(f"{_bars(report.bad_volumes)} with {_VOLUME}.")
    if report.out_of_order:
        reasons.append(f"{_bars(report.out_of_order)} out of order.")
    if report.duplicates:
        reasons.append(f"{_bars(report.duplicates)} with the time of another.")
    if report.misaligned:
        reasons.append(f"{_bars(report.misaligned)} with {_MISALIGNED}.")
    if report.contradictions:
        reasons.append(f"{_bars(report.contradictions)} with {_CONTRADICTION}.")
    return reasons


def _warnings(report: QualityReport) -> list[str]:
    reasons, rows = [], max(report.rows, 1)
    gap = report.longest_gap
    if gap and (report.missing > _MISSING * (rows + report.missing) or gap.bars > _LONG_GAP):
        reasons.append(
            f"{_bars(report.missing)} missing, at most {gap.bars} in a row from {show(gap.start)}."
        )
    if report.zero_volume > _ZERO_VOLUME * rows:
        reasons.append(f"{_bars(report.zero_volume)} without volume.")
    if report.flat > _FLAT * rows:
        reasons.append(f"{_bars(report.flat)} with one price only.")
    if report.wick > _WICK:
        reasons.append(f"A wick of {report.wick:,.1f} times the body at {show(report.wick_ts)}.")
    if report.outliers or abs(report.largest_move) > _LARGE_MOVE:
        count = f"{_bars(report.outliers)} with an extreme move; the" if report.outliers else "The"
        reasons.append(
            f"{count} largest move is {report.largest_move:+.1%} at {show(report.largest_move_ts)}."
        )
    return reasons


def _bars(count: int) -> str:
    return f"{count:,} bar{'' if count == 1 else 's'}"
