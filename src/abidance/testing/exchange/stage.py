"""Ready-made markets: generated from a seed, or played from recorded bars and trades."""

from collections.abc import Mapping, Sequence

from abidance.market.reference import instrument
from abidance.model.instrument import timeframe_ns
from abidance.model.market import Bar, Trade
from abidance.testing.exchange.crowd import (
    BarPath,
    Crowd,
    Player,
    Walk,
    generated_past,
    recorded_past,
    trades_of,
)
from abidance.testing.exchange.market import Market

PRICES: Mapping[str, float] = {
    "BTC": 60_000.0,
    "ETH": 2_500.0,
    "BNB": 600.0,
    "SOL": 150.0,
    "XRP": 2.0,
    "ADA": 0.6,
    "DOGE": 0.2,
}
"""Where generated prices begin; any other asset begins at 100."""
_DAY_S = 86_400


def generated(
    id: str,
    seed: int,
    start: int,
    *,
    pace: float = 20.0,
    past_seconds: int = _DAY_S,
    price: float = 0.0,
) -> Market:
    """Return a market that a seed decides: `past_seconds` of trades before `start` (ns UTC), then a live crowd.

    `pace` is how often somebody acts, per second. Raises UsageError for an instrument that is not in the bundled table.
    """
    found = instrument(id)
    begin = price or PRICES.get(found.base, 100.0)
    past = generated_past(found, begin, start, past_seconds, seed)
    crowd = Crowd(Walk(f"{seed}:{id}", begin), f"{seed}:{id}", pace)
    return Market(found, [crowd], past, seed)


def guided(
    id: str, bars: Sequence[Bar], seed: int, start: int, step: int, *, past: int = 720, pace: float = 20.0
) -> Market:
    """Return a market whose crowd follows recorded bars, `step` ns each; the first `past` of them lie before `start`.

    Those of the past are played exactly, so that the venue's own bars of `step` are the recorded ones. Raises
    UsageError without a bar.
    """
    found = instrument(id)
    past = max(0, min(past, len(bars) - 1))
    before = trades_of(bars[:past], found, start - past * step, step)
    crowd = Crowd(BarPath(bars[past:], start, step), f"{seed}:{id}", pace)
    return Market(found, [crowd], recorded_past(before, found), seed)


def played(
    id: str,
    trades: Sequence[Trade] = (),
    bars: Sequence[Bar] = (),
    *,
    start: int,
    step: int = 0,
    seed: int = 0,
) -> Market:
    """Return a market that prints recorded trades, or the trades that make up recorded bars, exactly.

    Trades keep their own times: those before `start` are the past. Bars are played in `step` ns each from `start` on,
    by default in their own time.
    """
    found = instrument(id)
    if bars:
        step = step or timeframe_ns(bars[0].timeframe)
        return Market(found, [Player(trades_of(bars, found, start, step))], (), seed)
    ordered = sorted(trades, key=lambda each: each.ts)
    past = [each for each in ordered if each.ts < start]
    return Market(found, [Player(ordered[len(past) :])], recorded_past(past, found), seed)
