"""Places in a series of bars that deserve a look: outliers, stuck feeds, re-used symbols, disagreement with a venue.

`quality` judges a whole series; this names moments in it. A finding is a question, not a verdict: crashes are real, and
so are halts. Looking back over history, it may compare a bar with what came after it: never trade on a finding.
"""

from enum import StrEnum

import msgspec
import numpy as np

from abidance.market.bars import Bars, FloatArray, IntArray
from abidance.market.quality import sound_prices
from abidance.model.instrument import SECOND_NS, timeframe_ns

_BLOCK = 512
_NORMAL = 1.4826  # median absolute deviation to standard deviation, for a normal distribution
_OUTLIER_Z = 25.0
_LEAST_MOVE = 0.02
_STUCK_BARS = 12
_REUSE_SILENCE = 24 * 3_600 * SECOND_NS
_REUSE_RATIO = 3.0
_DISAGREE_Z = 15.0
_LEAST_DISAGREEMENT = 0.01


class FindingKind(StrEnum):
    """What was found."""

    OUTLIER = "outlier"
    STUCK = "stuck"
    REUSED = "reused"
    DISAGREES = "disagrees"


class Finding(msgspec.Struct, frozen=True):
    """What was found in `bars` bars from the one that opens at `ts` (ns UTC); `score` is the larger the odder."""

    kind: FindingKind
    ts: int
    bars: int
    score: float
    text: str


def findings(bars: Bars) -> list[Finding]:
    """Return what is odd within one series, oldest first. Bars out of order are not looked at."""
    if len(bars) < 2 or (np.diff(bars.ts) <= 0).any():
        return []
    return sorted([*_outliers(bars), *_stuck(bars), *reuses(bars)], key=lambda finding: finding.ts)


def disagreements(bars: Bars, other: Bars) -> list[Finding]:
    """Return where the closes of two venues part by more than they usually do, oldest first.

    The usual distance (the premium of one quote asset or venue) is the median of some 500 common bars around.
    """
    _, mine, theirs = np.intersect1d(bars.ts, other.ts, return_indices=True)
    sound = sound_prices(bars.columns())[mine] & sound_prices(other.columns())[theirs]
    mine, theirs = mine[sound], theirs[sound]
    if len(mine) < 2:
        return []
    apart = np.log(bars.close[mine] / other.close[theirs])
    away, usual = _robust(apart)
    score = np.abs(away) / usual
    odd = (score > _DISAGREE_Z) & (np.abs(away) > _LEAST_DISAGREEMENT)
    found = []
    for start, stop in _runs(odd):
        at = start + int(np.abs(away[start:stop]).argmax())
        text = (
            f"{bars.close[mine[at]]:.8g} here and {other.close[theirs[at]]:.8g} at {other.instrument}:"
            f" {np.expm1(away[at]):+.1%} from what is usual between them."
        )
        ts = int(bars.ts[mine[start]])
        found.append(Finding(FindingKind.DISAGREES, ts, stop - start, float(score[at]), text))
    return found


def _outliers(bars: Bars) -> list[Finding]:
    """Moves from bar to bar, and wicks, far beyond the usual move of the bars around."""
    sound = sound_prices(bars.columns())
    with np.errstate(all="ignore"):
        moves = np.diff(np.log(bars.close), prepend=np.nan)
        tops = np.log(bars.high / np.maximum(bars.open, bars.close))
        tails = np.log(bars.low / np.minimum(bars.open, bars.close))
    follows = (
        np.r_[False, np.diff(bars.ts) == timeframe_ns(bars.timeframe)] & sound & np.r_[False, sound[:-1]]
    )
    moves = np.where(follows, moves, 0.0)
    _, usual = _robust(moves)
    found = []
    for values, what in (
        (moves, "The close moved {:+.1%}"),
        (tops, "A wick of {:+.1%}"),
        (tails, "A wick of {:+.1%}"),
    ):
        values = np.where(sound, values, 0.0)
        odd = (np.abs(values) > _OUTLIER_Z * usual) & (np.abs(values) > _LEAST_MOVE)
        found += [
            Finding(
                FindingKind.OUTLIER,
                int(bars.ts[at]),
                1,
                float(abs(values[at]) / usual[at]),
                f"{what.format(np.expm1(values[at]))}, {abs(values[at]) / usual[at]:,.0f} deviations.",
            )
            for at in np.flatnonzero(odd)
        ]
    return found


def _stuck(bars: Bars) -> list[Finding]:
    """Runs of bars that say the same: nothing trades, or a feed repeats itself."""
    rows = np.vstack(bars.columns())
    same = np.r_[False, (rows[:, 1:] == rows[:, :-1]).all(axis=0)]
    found = []
    for start, stop in _runs(same):
        count = stop - start + 1
        if count >= _STUCK_BARS:
            how = "without volume" if rows[4, start] == 0 else f"and the volume {rows[4, start]:.6g}"
            text = f"{count:,} bars in a row with the price {rows[3, start]:.8g} {how}."
            found.append(Finding(FindingKind.STUCK, int(bars.ts[start - 1]), count, float(count), text))
    return found


def reuses(bars: Bars) -> list[Finding]:
    """Return the bars that come after a long silence with a price that has nothing to do with the one before it.

    Perhaps the symbol was given to another asset.
    """
    silence = np.diff(bars.ts) - timeframe_ns(bars.timeframe)
    if not (silence >= _REUSE_SILENCE).any():
        return []
    with np.errstate(all="ignore"):
        ratio = bars.open[1:] / bars.close[:-1]
        change = np.exp(np.abs(np.log(ratio)))
    found = []
    for at in np.flatnonzero((silence >= _REUSE_SILENCE) & np.isfinite(change) & (change > _REUSE_RATIO)):
        hours = silence[at] / (3_600 * SECOND_NS)
        text = (
            f"After {hours:,.0f} hours without a bar the price is {ratio[at]:,.6g} times what it was:"
            " perhaps the symbol was given to another asset."
        )
        found.append(Finding(FindingKind.REUSED, int(bars.ts[at + 1]), 1, float(change[at]), text))
    return found


def _robust(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return how far each value is from the median of the block around it, and the block's robust deviation.

    The deviation is infinite where too little moves for there to be a usual.
    """
    edges = np.arange(0, len(values), _BLOCK)
    if len(edges) > 1 and len(values) - edges[-1] < _BLOCK // 2:
        edges = edges[:-1]  # a short rest belongs to the block before it
    away, usual = np.zeros(len(values)), np.full(len(values), np.inf)
    for start, stop in zip(edges, [*edges[1:], len(values)], strict=True):
        block = values[start:stop]
        distance = block - np.median(block)
        moved = np.abs(distance[distance != 0])
        spread = _NORMAL * float(np.median(moved)) if len(moved) > 1 else 0.0
        away[start:stop] = distance
        if spread > 0:
            usual[start:stop] = spread
    return away, usual


def _runs(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Return where each run of True begins and the row after its end."""
    edges: IntArray = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
