"""Look-ahead: what was decided on a part of the history must be that part of what is decided on the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from abidance.market.bars import Bars
from abidance.model.errors import StrategyError
from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.rules import Finding
from abidance.research.bias.source import Source
from abidance.research.bias.subject import Difference, Subject, differences, moment, shown
from abidance.research.bias.tracing import Blame, blame, signals_of
from abidance.strategy.base import BarStrategy
from abidance.strategy.mistakes import Place

NAME = "look-ahead"
POINTS = 60


class Asked(NamedTuple):
    """A strategy, and the bars it is asked about."""

    strategy: BarStrategy
    bars: Bars


@dataclass(frozen=True)
class Author:
    """What is known of a strategy's source: its files, and what is suspicious in them."""

    sources: Sequence[Source]
    findings: Sequence[Finding]

    def culprit(self, first: Asked, second: Asked) -> "Culprit | None":
        """Trace two evaluations and return the line that makes them part, if any is seen."""
        rows = len(first.bars), len(second.bars)
        found = blame(list(self.sources), signals_of(*first), signals_of(*second), rows)
        known = [
            Culprit(each, tuple(f for f in self.findings if f.is_in(each.place, each.statement)))
            for each in found
        ]
        return next((each for each in known if each.findings), known[0] if known else None)


@dataclass(frozen=True)
class Culprit:
    """A line to blame, and what its text alone says against it."""

    blame: Blame
    findings: tuple[Finding, ...]

    @property
    def place(self) -> Place:
        """Return the line."""
        return self.findings[0].place if self.findings else self.blame.place

    @property
    def sentence(self) -> str:
        """Return the line and what is wrong with it as a sentence."""
        name = self.blame.name
        what = f", where {name} becomes another" if name else ", where the two take different ways"
        why = "".join(f" {finding.message}" for finding in self.findings[:1])
        return f"It comes from {self.place}{what}: `{self.place.text}`.{why}"


def check_lookahead(subject: Subject, author: Author, points: int = POINTS) -> Check:
    """Decide on the history up to many moments and compare each with what is decided on the whole."""
    stops = cuts(subject, points)
    if not stops:
        told = f"There are only {len(subject.bars):,} bars, no more than the warm-up of {subject.warmup:,}."
        return Check(NAME, Verdict.UNCHECKED, told, "Give a longer time range.")
    found: list[tuple[int, Difference]] = []
    failed: StrategyError | None = None
    worked = False
    for stop in stops:
        try:
            part = subject.decide(subject.known(stop))
        except StrategyError as error:
            if worked:
                return _failed(subject, stop, error)
            failed = error  # too short a history for it: the warm-up's affair
            continue
        worked = True
        found += [(stop, each) for each in differences(subject.whole, part)][:1]
    if failed and not worked:
        return _failed(subject, stops[-1], failed)
    if not found:
        told = f"What it decided up to {len(stops)} moments in time is what it decides on all {len(subject.bars):,} bars."
        return Check(NAME, Verdict.PASS, told)
    stop, parted = found[0]
    known = subject.known(stop)
    culprit = author.culprit(Asked(subject.make(), subject.bars), Asked(subject.make(), known))
    told = (
        f"It knows the future: at {moment(subject.closes(parted.row))} UTC {parted.column} is {shown(parted.first)} with"
        f" all bars, but {shown(parted.second)} with those known at {moment(subject.closes(stop - 1))}"
        f" ({len(found)} of {len(stops)} moments tell). {culprit.sentence if culprit else ''}"
    )
    return Check(
        NAME,
        Verdict.FAIL,
        told.strip(),
        "Row t may look at rows 0 to t only, and at other series through `other`, `higher` and `align`.",
        (culprit.place,) if culprit else (),
        evidence(subject, parted) | {"known_until_ns": subject.closes(stop - 1), "moments": len(found)},
    )


def cuts(subject: Subject, points: int) -> list[int]:
    """Return at most `points` lengths of the history to decide on: half spread evenly, half just after new opinions."""
    length, low = len(subject.bars), subject.warmup + 1
    if length - low <= points:
        return list(range(low, length))
    turns = subject.turns() + 1
    turns = turns[(turns >= low) & (turns < length)]
    at_turns = (
        turns[np.linspace(0, len(turns) - 1, min(len(turns), points // 2)).astype(int)] if len(turns) else []
    )
    evenly = np.linspace(low, length - 1, points - len(at_turns)).astype(int)
    return sorted({*map(int, evenly), *map(int, at_turns)})


def evidence(subject: Subject, parted: Difference) -> dict[str, object]:
    """Return a difference as plain values; nothing stated is None."""
    values = {"first": parted.first, "second": parted.second}
    return {
        "instrument": subject.bars.instrument,
        "close_ns": subject.closes(parted.row),
        "row": parted.row,
        "column": parted.column,
        **{name: None if value != value else value for name, value in values.items()},
    }


def _failed(subject: Subject, stop: int, error: StrategyError) -> Check:
    told = f"With the {stop:,} bars known at {moment(subject.closes(stop - 1))} UTC it fails: {error.found}"
    remedy = error.remedy or "It must work on any history longer than its warm-up."
    return Check(NAME, Verdict.FAIL, told, remedy, (), {"known_until_ns": subject.closes(stop - 1)})
