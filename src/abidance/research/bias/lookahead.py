"""Look-ahead: what was decided on a part of the history must be that part of what is decided on the whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from abidance.model.errors import StrategyError
from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.rules import Finding
from abidance.research.bias.source import Source
from abidance.research.bias.subject import Difference, Subject, differences, moment, shown
from abidance.research.bias.tracing import Blame, blame, signals_of

NAME = "look-ahead"
POINTS = 60


@dataclass(frozen=True)
class Culprit:
    """A line to blame, and what is known to be wrong with it."""

    blame: Blame
    findings: tuple[Finding, ...]

    @property
    def sentence(self) -> str:
        """Return the line and what is wrong with it as a sentence."""
        place, name = self.blame.place, self.blame.name
        what = f", where {name} parts" if name else ", where the two take different ways"
        why = "".join(f" {finding.message}" for finding in self.findings[:1])
        return f"It comes from {place}{what}: `{place.text}`.{why}"


def check_lookahead(
    subject: Subject, sources: Sequence[Source], findings: Sequence[Finding], points: int = POINTS
) -> Check:
    """Decide on the history up to many moments and compare each with what is decided on the whole."""
    stops = cuts(subject, points)
    if not stops:
        told = f"There are only {len(subject.bars):,} bars, no more than the warm-up of {subject.warmup:,}."
        return Check(NAME, Verdict.UNCHECKED, told, "Give a longer time range.")
    found: list[tuple[int, Difference]] = []
    for stop in stops:
        known = subject.known(stop)
        try:
            found += [(stop, each) for each in differences(subject.whole, subject.decide(known))][:1]
        except StrategyError as error:
            return _failed(subject, stop, error)
    if not found:
        told = f"What it decided up to {len(stops)} moments in time is what it decides on all {len(subject.bars):,} bars."
        return Check(NAME, Verdict.PASS, told)
    stop, parted = found[0]
    culprit = culprit_of(
        sources,
        findings,
        signals_of(subject.make(), subject.bars),
        signals_of(subject.make(), subject.known(stop)),
    )
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
        (culprit.blame.place,) if culprit else (),
        evidence(subject, parted) | {"known_until_ns": subject.closes(stop - 1), "moments": len(found)},
    )


def cuts(subject: Subject, points: int) -> list[int]:
    """Return at most `points` lengths of the history to decide on: half spread evenly, half just after new opinions."""
    length, low = len(subject.bars), max(subject.first, subject.warmup) + 1
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


def culprit_of(
    sources: Sequence[Source],
    findings: Sequence[Finding],
    first: Callable[[], object],
    second: Callable[[], object],
) -> Culprit | None:
    """Trace two runs and return the line where they part, with what the source alone says about that line."""
    found = blame(list(sources), first, second)
    if found is None:
        return None
    about = [each for each in findings if each.is_in(found.place, found.statement)]
    return Culprit(found, tuple(about))


def _failed(subject: Subject, stop: int, error: StrategyError) -> Check:
    told = f"With the {stop:,} bars known at {moment(subject.closes(stop - 1))} UTC it fails: {error.found}"
    remedy = error.remedy or "It must work on any history longer than its warm-up."
    return Check(NAME, Verdict.FAIL, told, remedy, (), {"known_until_ns": subject.closes(stop - 1)})
