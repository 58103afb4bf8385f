"""The verdict: evidence in, one plain sentence and a mark per check out. All thresholds stand here, and nowhere else.

docs/validation.md gives the reason for each. Nothing is run and nothing is drawn here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

from abidance.backtest.wording import format_number, format_percent
from abidance.research.luck import (
    Overfitting,
    Record,
    deflated,
    expected_maximum,
    minimum_length,
    probabilistic,
    sharpe,
)
from abidance.research.montecarlo import Paths, band, p_value
from abidance.research.trials import Tried
from abidance.research.walk import Walk, annual

FloatArray = NDArray[np.float64]

FEWEST_DAYS = 60
"""Runs that are shorter get no verdict: their folds would be shorter than ten days."""
ENOUGH_TRADES, FEW_TRADES = 30, 10
SURE, LIKELY = 0.95, 0.90
"""Probabilities from which a skill passes, and below which it fails."""
OVERFIT, COIN = 0.20, 0.50
LOST_SELDOM, LOST_OFTEN = 0.05, 0.25
"""How often a chosen setting may lose afterwards: seldom excuses a bad rank, often condemns it."""
KEPT = 0.5
"""The share of the promised Sharpe ratio that must be left out of sample, or on disturbed bars."""
NEIGHBOURS, HALF = 0.7, 0.5
FEWEST_NEIGHBOURS = 3
NOISE_PROFITS, NOISE_FEW = 0.9, 0.5
BY_CHANCE, PERHAPS = 0.05, 0.10
RUIN = 0.5
"""The loss of the start that counts as ruin."""
RUIN_SELDOM, RUIN_SOMETIMES = 0.01, 0.05
DEEPEST = 0.25
"""The fall that is borne where the run's own breaker sets none."""
KNOWN_TRIALS = 10
"""From so many counted trials on, they alone say how much Sharpe ratios of this idea differ."""


class Mark(StrEnum):
    """What a check came to. SKIP: it could not be made, and says why."""

    PASS = "pass"  # noqa: S105 - a mark, no word to enter with
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Check(msgspec.Struct, frozen=True):
    """One check: what was asked, its mark, a sentence with the number, and the numbers (undefined ones are None)."""

    key: str
    name: str
    mark: Mark
    sentence: str
    figures: Mapping[str, float | None] = {}


@dataclass(frozen=True)
class Luck:
    """What the best of many tries is held against: how many there were, and how much their Sharpe ratios vary."""

    trials: int
    variance: float

    @staticmethod
    def of(tried: Tried, stated: int, neighbours: FloatArray, periods: int) -> "Luck":
        """Return the luck of an idea: trials are those counted or stated, whichever are more.

        While few are counted, the neighbouring settings (Sharpe ratios of one period) say how much trials vary, if that
        is more; where nothing does, trials vary as those without any skill do.
        """
        known = [tried.variance] if tried.variance is not None else []
        if len(tried) < KNOWN_TRIALS and len(neighbours) > 2:
            known.append(float(neighbours.var(ddof=1)))
        return Luck(max(len(tried), stated, 1), max(known, default=1.0 / (periods - 1)))


class Verdict(msgspec.Struct, frozen=True):
    """All checks together. `details` holds what pictures and tables are drawn from, as plain values."""

    strategy: str
    instruments: list[str]
    period: list[str]
    mark: Mark
    sentence: str
    checks: list[Check]
    details: dict[str, object]
    version: str
    fingerprint: str


def overall(checks: Sequence[Check]) -> tuple[Mark, str]:
    """Return the worst mark of all checks that were made, and what it means in one sentence."""
    named = {mark: [check.name.lower() for check in checks if check.mark is mark] for mark in Mark}
    made = len(checks) - len(named[Mark.SKIP])
    if failed := named[Mark.FAIL]:
        return Mark.FAIL, (
            f"What this backtest shows may well be luck or fragile: {len(failed)} of {made} checks fail "
            f"({', '.join(failed)}). Do not trade it as it is."
        )
    if doubtful := named[Mark.WARN]:
        return Mark.WARN, (
            f"There may be something in it, but {len(doubtful)} of {made} checks leave doubt "
            f"({', '.join(doubtful)}). Trade it on paper before any money."
        )
    return Mark.PASS, (
        f"All {made} checks pass: luck alone is an unlikely explanation. It is no promise; begin on paper, and small."
    )


def _mark(value: float | None, good: float, fair: float, *, low: bool = False) -> Mark:
    """Return PASS from `good` on, FAIL below `fair`; with `low`, lower values are better."""
    if value is None or not isfinite(value):
        return Mark.FAIL
    sign = -1 if low else 1
    return (
        Mark.PASS if sign * value >= sign * good else Mark.WARN if sign * value >= sign * fair else Mark.FAIL
    )


def _ratio(value: float | None) -> str:
    return format_number(value)


def _share(value: float | None, digits: int = 0) -> str:
    return format_percent(value, digits)


def _skipped(key: str, name: str, why: str) -> Check:
    return Check(key, name, Mark.SKIP, why)


# --- is there anything, and is it more than luck?


def enough_trades(trades: int) -> Check:
    """Judge whether there are enough closed round trips to judge anything else by."""
    mark = _mark(trades, ENOUGH_TRADES, FEW_TRADES)
    rest = "enough to judge by" if mark is Mark.PASS else f"{ENOUGH_TRADES} or more are wished for"
    return Check(
        "trades", "Enough trades", mark, f"{trades:,} round trips were closed; {rest}.", {"trades": trades}
    )


def skill(record: Record) -> Check:
    """Judge the probability that the true Sharpe ratio is above zero, and how long a record that would take."""
    chance, needed = probabilistic(record), minimum_length(record, confidence=SURE)
    told = (
        f"a record of {needed:,.0f} days is needed to say so with {_share(SURE)}"
        if isfinite(needed)
        else "no record, however long, would say so"
    )
    sentence = (
        f"With {_share(chance, 1)} probability the true Sharpe ratio ({_ratio(annual(record.sharpe))} here) is above"
        f" zero; {told}, there are {record.periods:,}."
    )
    figures = {
        "probability": chance, "sharpe": annual(record.sharpe), "skew": record.skew, "kurtosis": record.kurtosis,
        "days": float(record.periods), "days_needed": needed if isfinite(needed) else None,
    }  # fmt: skip
    return Check("skill", "Better than nothing", _mark(chance, SURE, LIKELY), sentence, figures)


def luck(record: Record, tries: Luck) -> Check:
    """Judge the Sharpe ratio against the best that as many tries without skill would have reached."""
    bar, chance = (
        expected_maximum(tries.trials, tries.variance),
        deflated(record, tries.trials, tries.variance),
    )
    if tries.trials == 1:
        sentence = (
            f"Only this one trial is counted, so that no luck of choosing is taken off: {_share(chance, 1)}. State the"
            " others, if there were any, with --trials."
        )
    else:
        sentence = (
            f"The best of {tries.trials:,} trials without skill would reach a Sharpe ratio of {_ratio(annual(bar))};"
            f" with {_share(chance, 1)} probability this one is more than that luck."
        )
    figures = {
        "probability": chance, "trials": float(tries.trials), "luck": annual(bar),
        "spread": annual(sqrt(tries.variance)),
    }  # fmt: skip
    return Check("luck", "Best of many tries", _mark(chance, SURE, LIKELY), sentence, figures)


def yardstick(ours: float | None, theirs: float | None) -> Check:
    """Judge the annual Sharpe ratio against that of buying and holding; falling short is no more than a doubt."""
    name = "Better than holding"
    if ours is None or theirs is None:
        return _skipped("yardstick", name, "Buying and holding has no Sharpe ratio on these bars.")
    better = ours >= theirs
    sentence = (
        f"For the risk taken it did {'no worse' if better else 'worse'} than buying and holding: Sharpe"
        f" {_ratio(ours)} against {_ratio(theirs)}."
    )
    figures = {"sharpe": ours, "benchmark": theirs}
    return Check("yardstick", name, Mark.PASS if better else Mark.WARN, sentence, figures)


def timing(observed: float, shifted: FloatArray, *, is_rerun: bool) -> Check:
    """Judge whether the moments of its decisions matter: the same decisions at other moments (annual Sharpe ratios)."""
    name = "Timing"
    if len(shifted) < 1 / BY_CHANCE - 1:
        return _skipped("timing", name, f"{len(shifted)} shifted runs are too few to tell.")
    chance = p_value(observed, shifted)
    how = "run again" if is_rerun else "approximated from its positions"
    sentence = (
        f"The same decisions moved in time ({how}) did as well in {int(np.sum(shifted >= observed)):,} of"
        f" {len(shifted):,} runs (p = {_share(chance, 1)}): the middle one has a Sharpe ratio of"
        f" {_ratio(float(np.median(shifted)))}, this one {_ratio(observed)}."
    )
    figures = {"p_value": chance, "observed": observed, "median": float(np.median(shifted))}
    return Check("timing", name, _mark(chance, BY_CHANCE, PERHAPS, low=True), sentence, figures)


# --- would other settings, and other times, have done it too?


def plateau(sharpes: FloatArray) -> Check:
    """Judge whether neighbouring settings (annual Sharpe ratios, the chosen one first) earn too."""
    name = "Neighbouring settings"
    if len(sharpes) <= FEWEST_NEIGHBOURS:
        why = f"There are fewer than {FEWEST_NEIGHBOURS} neighbouring settings to compare with."
        return _skipped("neighbours", name, why)
    others = sharpes[1:]
    good = float(np.mean(others > 0))
    sentence = (
        f"{_share(good)} of {len(others)} neighbouring settings earn money; the middle one has a Sharpe ratio of"
        f" {_ratio(float(np.median(others)))}, the chosen one {_ratio(float(sharpes[0]))}."
    )
    figures = {"share": good, "median": float(np.median(others)), "chosen": float(sharpes[0])}
    return Check("neighbours", name, _mark(good, NEIGHBOURS, HALF), sentence, figures)


def overfit(found: Overfitting | str) -> Check:
    """Judge whether choosing the best setting of one half of the time helps in the other half.

    Among settings that are all good the rank is a toss-up: then it counts that the chosen one hardly ever lost.
    A text instead of the outcome says why there is none.
    """
    name = "Choosing settings"
    if isinstance(found, str):
        return _skipped("overfitting", name, found)
    chance, lost = found.probability, found.loss_probability
    mark = Mark.PASS if chance <= OVERFIT or lost <= LOST_SELDOM else Mark.WARN
    if chance > COIN and lost > LOST_OFTEN:
        mark = Mark.FAIL
    sentence = (
        f"The best setting of one half of the time was in the worse half of the settings afterwards in {_share(chance, 1)}"
        f" of {len(found.logits):,} splits, and lost money in {_share(lost, 1)}."
    )
    figures = {
        "probability": chance, "loss_probability": lost, "degradation": found.degradation
    }  # fmt: skip
    return Check("overfitting", name, mark, sentence, figures)


def forward(found: Walk | str, *, anchored: bool, choices: int) -> Check:
    """Judge what was left of the promised Sharpe ratio where settings were chosen before and judged after.

    A text instead of a walk says why there is none.
    """
    key, name = ("anchored", "Anchored walk forward") if anchored else ("rolling", "Rolling walk forward")
    what = "Settings chosen on the past" if choices > 1 else "The same settings"
    return _kept(key, name, found, what, "stretches that followed", "before")


def crossed_folds(found: Walk | str, *, choices: int) -> Check:
    """Judge the same where each fold was left out of the choice once, by purged and embargoed cross-validation."""
    what = "Settings chosen without a fold" if choices > 1 else "The same settings"
    return _kept("folds", "Purged cross-validation", found, what, "folds that were left out", "in the others")


def _kept(key: str, name: str, found: Walk | str, what: str, where: str, when: str) -> Check:
    if isinstance(found, str):
        return _skipped(key, name, found)
    inside, outside, left = found.inside, found.outside, found.efficiency
    if outside is None:
        return _skipped(key, name, f"Nothing was traded in the {where}.")
    mark = Mark.FAIL if outside <= 0 else Mark.PASS if left is not None and left >= KEPT else Mark.WARN
    rest = (
        f", {_share(left)} of the {_ratio(inside)} {when}"
        if left is not None
        else f", {_ratio(inside)} {when}"
    )
    sentence = f"{what} had a Sharpe ratio of {_ratio(outside)} in the {len(found.steps)} {where}{rest}."
    return Check(key, name, mark, sentence, {"inside": inside, "outside": outside, "efficiency": left})


def combinations(found: Sequence[FloatArray] | str) -> Check:
    """Judge the paths of combinatorial purged cross-validation; a text instead of them says why there are none."""
    name = "Combinatorial paths"
    if isinstance(found, str):
        return _skipped("paths", name, found)
    sharpes = np.array([annual(sharpe(path)) or 0.0 for path in found])
    low, middle = float(sharpes.min()), float(np.median(sharpes))
    mark = Mark.PASS if low > 0 else Mark.WARN if middle > 0 else Mark.FAIL
    sentence = (
        f"Over {len(sharpes)} out-of-sample paths through the whole time the Sharpe ratio lies between {_ratio(low)}"
        f" and {_ratio(float(sharpes.max()))}, in the middle at {_ratio(middle)}."
    )
    figures = {"lowest": low, "median": middle, "highest": float(sharpes.max())}
    return Check("paths", name, mark, sentence, figures)


# --- does it stand when the world is a little different?


def costs(returns: dict[float, float]) -> Check:
    """Judge the total return at multiples of the configured costs."""
    twice, once = returns[2.0], returns[1.0]
    mark = Mark.PASS if twice > 0 else Mark.WARN if once > 0 else Mark.FAIL
    told = ", ".join(f"{_share(value, 1)} at {factor:g}x" for factor, value in sorted(returns.items()))
    figures = {f"{factor:g}x": value for factor, value in returns.items()}
    return Check("costs", "Costs", mark, f"The return is {told} of the costs that are configured.", figures)


def noise(observed: float, sharpes: FloatArray, totals: FloatArray) -> Check:
    """Judge the annual Sharpe ratios of runs on slightly disturbed bars; `totals` are their total returns."""
    name = "Disturbed prices"
    if not len(sharpes):
        return _skipped("noise", name, "No run on disturbed prices was asked for.")
    good, middle = float(np.mean(sharpes > 0)), float(np.median(sharpes))
    mark = _mark(good, NOISE_PROFITS, NOISE_FEW)
    if mark is Mark.PASS and middle < KEPT * observed:
        mark = Mark.WARN
    low, _, high = band(totals)
    sentence = (
        f"On {len(sharpes)} slightly disturbed copies of the bars {_share(good)} of the runs earn money; the middle"
        f" Sharpe ratio is {_ratio(middle)} instead of {_ratio(observed)}, and the return lies between"
        f" {_share(low, 1)} and {_share(high, 1)} (90% band)."
    )
    ratios = band(sharpes)
    figures = {
        "share": good, "median": middle, "observed": observed, "low": low, "high": high,
        "sharpe_low": ratios[0], "sharpe_high": ratios[2],
    }  # fmt: skip
    return Check("noise", name, mark, sentence, figures)


def resampled(found: Paths) -> Check:
    """Judge the final equity of bootstrapped returns."""
    low, middle, high = band(found.final - 1.0)
    mark = Mark.PASS if low > 0 else Mark.WARN if middle > 0 else Mark.FAIL
    sentence = (
        f"Drawing its days again {len(found.final):,} times in blocks gives returns between {_share(low, 1)} and"
        f" {_share(high, 1)} (90% band), {_share(middle, 1)} in the middle."
    )
    ratios = [annual(value) for value in band(found.sharpe)]
    figures = {"low": low, "median": middle, "high": high, "sharpe_low": ratios[0], "sharpe_high": ratios[2]}
    return Check("resampled", "The same days, drawn again", mark, sentence, figures)


def falls(found: Paths, shuffled: Paths | None, limit: float) -> Check:
    """Judge how deep equity might have fallen, against the fall at which the run's breaker stops (a share)."""
    usual, deep = float(np.median(found.drawdown)), float(np.quantile(found.drawdown, 0.05))
    orders = None if shuffled is None else band(shuffled.drawdown)
    worst = deep if orders is None else min(deep, orders[0])
    mark = Mark.PASS if worst >= -limit else Mark.WARN if usual >= -limit else Mark.FAIL
    also = (
        f"; with its trades in another order it falls by {_share(-orders[2], 1)} to {_share(-orders[0], 1)} (90% band)"
        if orders is not None
        else ""
    )
    sentence = f"One in twenty redrawn paths falls by {_share(-deep, 1)} or more{also}; the limit is {_share(limit)}."
    figures = {"median": usual, "deep": deep, "limit": -limit}
    if orders is not None:
        names = ("shuffled_deep", "shuffled_median", "shuffled_shallow")
        figures |= dict(zip(names, orders, strict=True))
    return Check("falls", "Depth of falls", mark, sentence, figures)


def ruin(found: Paths) -> Check:
    """Judge how often half of the money would have been lost at some time."""
    chance = found.ruined(RUIN)
    sentence = f"{_share(chance, 1)} of {len(found.final):,} redrawn paths lose {_share(RUIN)} of the start at some time."
    return Check("ruin", "Risk of ruin", _mark(chance, RUIN_SELDOM, RUIN_SOMETIMES, low=True), sentence,
                 {"probability": chance, "loss": RUIN})  # fmt: skip
