"""Warm-up: how much history it takes until more of it changes nothing.

A drift is no dishonesty, so it never fails by itself: a run gives far more history than the warm-up. It is a warning
when even that much leaves decisions that depend on where the history begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from abidance.model.errors import StrategyError
from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.subject import COLUMNS, Subject, moment, unlike
from abidance.strategy.decisions import Decisions

NAME = "warm-up"
WINDOW = 200
WINDOWS = 4
MULTIPLES = (1, 2, 5, 10, 20, 50)
ROUNDING = 1e-6
"""The relative drift of a number that may come from summing in another order."""


@dataclass(frozen=True, slots=True)
class _Drift:
    """How decisions with a short history differ from those with the longest: rows, flips, largest relative change."""

    rows: int = 0
    flips: int = 0
    largest: float = 0.0

    def __add__(self, other: "_Drift") -> "_Drift":
        return _Drift(self.rows + other.rows, self.flips + other.flips, max(self.largest, other.largest))


def check_warmup(subject: Subject, provided: int) -> Check:
    """Decide on the same windows after histories of growing length; runs give `provided` bars of it when they can."""
    least = subject.warmup + 1
    if len(subject.bars) >= least:
        try:
            subject.decide(subject.known(len(subject.bars), len(subject.bars) - least))
        except StrategyError as error:
            return _failed(
                f"It fails on the first bar after its warm-up of {subject.warmup:,}: {error.found}", error
            )
    lengths = _lengths(subject, provided)
    longest = lengths[-1] if lengths else 0
    if len(lengths) < 2:
        told = f"There is too little history to compare: {len(subject.bars):,} bars, a warm-up of {subject.warmup:,}."
        return Check(NAME, Verdict.UNCHECKED, told, "Give a longer time range, or leave it out.")
    drifts = dict.fromkeys(lengths[:-1], _Drift())
    windows = _windows(subject, longest)
    for start in windows:
        try:
            parts = {length: _decided(subject, start, length) for length in lengths}
        except StrategyError as error:
            when = moment(subject.closes(start + WINDOW - 1))
            return _failed(f"It fails on a short history that ends at {when} UTC: {error.found}", error)
        for length in drifts:
            drifts[length] += _drift(parts[length], parts[longest])
    return _judged(subject.warmup, drifts, (longest, provided, WINDOW * len(windows)))


def _failed(told: str, error: StrategyError) -> Check:
    remedy = error.remedy or "Declare the number of bars that it needs as its warm-up."
    return Check(NAME, Verdict.FAIL, told, remedy)


def _lengths(subject: Subject, provided: int) -> list[int]:
    """Return the lengths of history to try, the shortest being the declared warm-up."""
    room = len(subject.bars) - WINDOW
    unit = max(subject.warmup, 1)
    tried = {subject.warmup, provided, 2 * provided, *(unit * multiple for multiple in MULTIPLES)}
    tried |= {length for length in (20, 50, 100, 200, 500, 1_000, 2_000) if length > subject.warmup}
    lengths = sorted(length for length in tried if length <= room)
    return sorted({*lengths, room}) if lengths and room < 2 * provided else lengths


def _windows(subject: Subject, longest: int) -> list[int]:
    """Return where windows begin: the last one, and others before it that have as much history."""
    last = len(subject.bars) - WINDOW
    return sorted({int(row) for row in np.linspace(longest, last, WINDOWS)})


def _decided(subject: Subject, start: int, length: int) -> dict[str, np.ndarray]:
    found: Decisions = subject.decide(subject.known(start + WINDOW, start - length))
    return {name: getattr(found, name)[length:] for name in COLUMNS}


def _drift(short: Mapping[str, np.ndarray], long: Mapping[str, np.ndarray]) -> _Drift:
    changed = np.zeros(WINDOW, dtype=bool)
    largest = 0.0
    for name in COLUMNS:
        rows = unlike(short[name], long[name])
        changed |= rows
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.abs(short[name][rows] / long[name][rows] - 1)
        largest = max([largest, *np.where(np.isnan(share), np.inf, share).tolist()])
    return _Drift(int(changed.sum()), int(unlike(short["target"], long["target"]).sum()), largest)


def _judged(warmup: int, drifts: Mapping[int, _Drift], about: tuple[int, int, int]) -> Check:
    longest, provided, rows = about
    drifting = [length for length, drift in drifts.items() if drift.rows]
    longer = (length for length in (*drifts, longest) if not drifting or length > drifting[-1])
    settled = next(longer)
    figures = {
        "warmup": warmup,
        "settled_after": settled if settled < longest or not drifting else None,
        "longest": longest,
        "flips": {str(length): drift.flips for length, drift in drifts.items()},
    }
    if not drifting:
        told = f"The declared warm-up of {warmup:,} bars is enough: up to {longest:,} bars of history change nothing."
        return Check(NAME, Verdict.PASS, told, evidence=figures)
    drift = drifts[drifting[-1]]
    if drifting[-1] < min(provided, longest):
        first = drifts[drifting[0]]
        told = (
            f"It settles within {settled:,} bars of history; runs give {provided:,} when they are there. With only"
            f" {drifting[0]:,}, {first.flips} of {rows} opinions differ."
        )
        remedy = f"Declare a warm-up of {settled:,} to be safe where the data begin." if first.flips else ""
        return Check(NAME, Verdict.PASS, told, remedy, evidence=figures)
    if not drift.flips and drift.largest < ROUNDING:
        told = f"History beyond the warm-up of {warmup:,} bars moves numbers by {drift.largest:.1g} of their size at most."
        return Check(NAME, Verdict.PASS, told, evidence=figures)
    told = (
        f"What it decides depends on where the history begins: with {drifting[-1]:,} bars of it instead of {longest:,} it has"
        f" another opinion on {drift.flips}, and other distances or confidence with it on {drift.rows} of {rows} bars."
        f" A run that starts elsewhere decides otherwise."
    )
    remedy = (
        f"Declare a warm-up of {settled:,} or more bars, or look back over a fixed number of bars; count hours and days"
        f" by the clock (`bars.ts`), not by the row."
    )
    return Check(NAME, Verdict.WARN, told, remedy, evidence=figures)
