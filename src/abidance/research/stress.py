"""What may befall a market or a venue: crash, gap, halt, wilder prices, thinner volume, dearer and slower trading.

Each stress is a value that changes bars, or a venue's costs, into new ones; nothing is drawn or run here. What befalls
prices keeps every bar a bar (the high on top, the low below, all above 0) and every time; only a halt takes bars out.

As text, stresses are joined by commas: `crash:-0.4:24:0.5@2024-03-01,fees:2x`. What strikes once may say when, by a
date or by its place in the run (`@50%`); without that, chance decides on each path.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import Bars
from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig

FloatArray = NDArray[np.float64]
_LATEST_YEAR = 2262  # what fits into 64 bits of nanoseconds
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)


@dataclass(frozen=True)
class Crash:
    """All prices fall by `depth` (0.4 is 40 %) over so many bars; `recovery` of the fall comes back in as many."""

    depth: float
    bars: int = 24
    recovery: float = 0.0

    def strike(self, bars: Bars, ts: int) -> Bars:
        """Return the bars as they are when the fall begins with the one that opens at `ts`, or the next."""
        passed = np.arange(len(bars) + 1) - np.searchsorted(bars.ts, ts)
        bottom, end = np.log1p(-self.depth), np.log1p(-self.depth * (1 - self.recovery))
        level = np.exp(np.interp(passed, (0, self.bars, 2 * self.bars), (0.0, bottom, end)))
        return scaled(bars, level[:-1], level[1:])


@dataclass(frozen=True)
class Gap:
    """All prices jump by `move` (-0.2 is 20 % down) between one close and the next open, and stay there."""

    move: float

    def strike(self, bars: Bars, ts: int) -> Bars:
        """Return the bars as they are when the one that opens at `ts`, or the next, is the first after the jump."""
        level = np.where(bars.ts >= ts, 1.0 + self.move, 1.0)
        return scaled(bars, level, level)


@dataclass(frozen=True)
class Halt:
    """So many bars are missing: nothing trades, and nobody can get out."""

    bars: int

    def strike(self, bars: Bars, ts: int) -> Bars:
        """Return what is left when the bar that opens at `ts`, or the next, is the first that is missing."""
        first = int(np.searchsorted(bars.ts, ts))
        kept = np.r_[0:first, first + self.bars : len(bars)].astype(np.int64)
        columns = (column[kept] for column in bars.columns())
        return Bars(bars.instrument, bars.timeframe, bars.ts[kept], columns, bars.universe)


@dataclass(frozen=True)
class Volatility:
    """All moves around the mean path are so many times as large.

    The mean path is the straight line, on a log scale, from the first open to the last close, which both stay.
    """

    times: float

    def change(self, bars: Bars) -> Bars:
        """Return the bars with larger, or smaller, moves."""
        if not len(bars):
            return bars
        first, last = np.log(bars.open[0]), np.log(bars.close[-1])
        level = np.exp((1.0 - self.times) * np.linspace(first, last, len(bars) + 1))
        return scaled(bars, level[:-1], level[1:], self.times)


@dataclass(frozen=True)
class Liquidity:
    """Only this share of every bar's volume is traded."""

    times: float

    def change(self, bars: Bars) -> Bars:
        """Return the bars with their volumes changed."""
        columns = (*bars.columns()[:4], bars.volume * self.times)
        return Bars(bars.instrument, bars.timeframe, bars.ts, columns, bars.universe)


@dataclass(frozen=True)
class Fees:
    """All fees are so many times as high; rebates stay."""

    times: float

    def venue(self, config: VenueConfig) -> VenueConfig:
        """Return the venue with these costs. Raises UsageError when a fee would take all of a trade."""
        tiers = [
            FeeTier(
                volume=tier.volume,
                maker=_below_one(tier.maker * self.times, "fees") if tier.maker > 0 else tier.maker,
                taker=_below_one(tier.taker * self.times, "fees"),
            )
            for tier in config.fees
        ]
        return config.model_copy(update={"fees": tuple(tiers)})


@dataclass(frozen=True)
class Slippage:
    """Spread, fixed slippage and price impact are so many times as high."""

    times: float

    def venue(self, config: VenueConfig) -> VenueConfig:
        """Return the venue with these costs. Raises UsageError when slippage would take all of a trade."""
        slippage = SlippageConfig(
            spread=_below_one(config.slippage.spread * self.times, "slippage"),
            fixed=_below_one(config.slippage.fixed * self.times, "slippage"),
            volume_share=config.slippage.volume_share * self.times,
        )
        return config.model_copy(update={"slippage": slippage})


@dataclass(frozen=True)
class Latency:
    """Orders arrive so many milliseconds later."""

    ms: int

    def venue(self, config: VenueConfig) -> VenueConfig:
        """Return the slower venue."""
        return config.model_copy(update={"latency_ms": config.latency_ms + self.ms})


Strike = Crash | Gap | Halt
Change = Volatility | Liquidity
Cost = Fees | Slippage | Latency


@dataclass(frozen=True)
class When:
    """The moment of a strike: `ts` (ns UTC), or the `share` of the run that has passed, or, with neither, by chance."""

    ts: int | None = None
    share: float | None = None


@dataclass(frozen=True)
class Stress:
    """All that befalls a run: what strikes once and when, what changes all bars, what trading costs."""

    text: str = ""
    strikes: tuple[tuple[Strike, When], ...] = ()
    changes: tuple[Change, ...] = ()
    costs: tuple[Cost, ...] = ()

    @property
    def is_random(self) -> bool:
        """Say whether chance decides when something strikes."""
        return any(when == When() for _, when in self.strikes)

    def bars(self, bars: Bars, times: tuple[int, ...]) -> Bars:
        """Return the bars under stress, prices not on the tick yet; `times` says when each strike begins, ns UTC."""
        for change in self.changes:
            bars = change.change(bars)
        struck = [(strike, ts) for (strike, _), ts in zip(self.strikes, times, strict=True)]
        for strike, ts in sorted(struck, key=lambda each: isinstance(each[0], Halt)):
            bars = strike.strike(bars, ts)  # halts last: a fall goes on while nobody can trade
        return bars

    def venue(self, config: VenueConfig) -> VenueConfig:
        """Return a venue under stress. Raises UsageError when a cost would take all of a trade."""
        for cost in self.costs:
            config = cost.venue(config)
        return config


def scaled(bars: Bars, opening: FloatArray, closing: FloatArray, power: float = 1.0) -> Bars:
    """Return the bars with each price taken to `power` and multiplied by the level at its bar's open or close.

    High and low take the level, of the two, that leaves them outside: the path inside the bar is not known.
    """
    with np.errstate(over="ignore"):
        largest = np.finfo(np.float64).max ** 0.5
        columns = (
            bars.open**power * opening,
            bars.high**power * np.maximum(opening, closing),
            bars.low**power * np.minimum(opening, closing),
            bars.close**power * closing,
        )
        prices = [np.clip(column, 1.0 / largest, largest) for column in columns]
    return Bars(bars.instrument, bars.timeframe, bars.ts, (*prices, bars.volume), bars.universe)


def _below_one(rate: float, name: str) -> float:
    if rate >= 1:
        raise UsageError(f"The stress on {name} takes {rate:.0%} of a trade.", f"Multiply {name} by less.")
    return rate


# --- as text


def parse(text: str) -> Stress:
    """Return the stress that a text describes; an empty one is none. Raises UsageError, saying what fits."""
    found = Stress(text.strip())
    for part in (part.strip() for part in text.split(",")):
        if part:
            found = _with(found, part)
        elif text.strip():
            raise UsageError(f"The stress {text!r} has nothing between two commas.", "Take one away.")
    return found


def _with(stress: Stress, part: str) -> Stress:
    what, at, moment = part.partition("@")
    name, _, rest = what.partition(":")
    values = [value.strip() for value in rest.split(":")] if rest else []
    name = name.strip().lower()
    if name not in _KINDS:
        near = get_close_matches(name, _KINDS, 1)
        known = ", ".join(example for example, *_ in _KINDS.values())
        raise UsageError(
            f"There is no stress {name!r}.",
            (f"Did you mean {near[0]}? " if near else "") + f"Known: {known}.",
        )
    example, most, make = _KINDS[name]
    if not 1 <= len(values) <= most:
        raise _unclear(part, example)
    try:
        found = make(*values)
    except (ValueError, OverflowError):
        raise _unclear(part, example) from None
    if isinstance(found, Crash | Gap | Halt):
        return replace(stress, strikes=(*stress.strikes, (found, _when(moment, part) if at else When())))
    if at:
        raise UsageError(f"The stress {part!r} lasts for the whole run.", f"Leave out @{moment}.")
    if isinstance(found, Volatility | Liquidity):
        return replace(stress, changes=(*stress.changes, found))
    return replace(stress, costs=(*stress.costs, found))


def _unclear(part: str, example: str) -> UsageError:
    return UsageError(f"The stress {part!r} is not understood.", f"Write for example {example}.")


def _within(value: str, low: float, high: float, unit: str = "") -> float:
    """Return a number above `low` and up to `high`; raises ValueError for any other."""
    text = value.lower().removesuffix(unit)
    if not _NUMBER.fullmatch(text) or not low < float(text) <= high:
        raise ValueError(value)
    return float(text)


def _times(value: str) -> float:
    return _within(value, 0.0, 100.0, "x")


def _count(value: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,5}", value):
        raise ValueError(value)
    return int(value)


def _crash(depth: str, bars: str = "24", recovery: str = "0") -> Crash:
    fall = _within(depth, -1.0, 1.0)  # written as a fall, with or without its sign
    if not 0 < abs(fall) < 1:
        raise ValueError(depth)
    return Crash(abs(fall), _count(bars), _within(recovery, -1e-9, 1.0))


def _gap(move: str) -> Gap:
    jump = _within(move, -1.0, 10.0)
    if not jump:
        raise ValueError(move)
    return Gap(jump)


def _volatility(times: str) -> Volatility:
    return Volatility(_within(times, 0.0, 10.0, "x"))


def _latency(delay: str) -> Latency:
    text = delay.lower()
    if text.endswith("ms"):
        return Latency(_count(text.removesuffix("ms")))
    return Latency(round(1_000 * _within(text, 0.0, 86_400.0, "s")))


_KINDS: dict[str, tuple[str, int, Callable[..., Strike | Change | Cost]]] = {
    "crash": ("crash:-0.4:24:0.5@2024-03-01", 3, _crash),
    "gap": ("gap:-0.2@50%", 1, _gap),
    "halt": ("halt:12", 1, lambda bars: Halt(_count(bars))),
    "volatility": ("volatility:2x", 1, _volatility),
    "liquidity": ("liquidity:0.1x", 1, lambda times: Liquidity(_times(times))),
    "fees": ("fees:2x", 1, lambda times: Fees(_times(times))),
    "slippage": ("slippage:3x", 1, lambda times: Slippage(_times(times))),
    "latency": ("latency:500ms", 1, _latency),
}
"""Every stress by its name: an example, the most values it takes, and what makes it of them (ValueError if they are
none)."""


def _when(moment: str, part: str) -> When:
    moment = moment.strip()
    if moment.endswith("%"):
        try:
            return When(share=_within(moment, -1e-9, 100.0, "%") / 100)
        except ValueError:
            raise _unclear(part, "@50%, a place in the run between 0% and 100%") from None
    try:
        date = datetime.fromisoformat(moment)
        date = date.replace(tzinfo=date.tzinfo or UTC)
        if not 1970 <= date.year < _LATEST_YEAR:
            raise ValueError(moment)
    except ValueError:
        raise _unclear(part, "@2024-03-01, @2024-03-01T12:00 (UTC) or @50%") from None
    return When(ts=int(date.timestamp()) * SECOND_NS)
