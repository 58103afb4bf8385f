"""Which stretches of time a choice may be made in, and which it is then judged in; indices alone, no data.

Observations are 0 to n - 1, oldest first. What is known of observation i (its label: the return of a day, the outcome
of a trade) may take until observation i + `horizon`. An observation whose label overlaps one that is tested is purged
from training, and so are the `embargo` observations after a tested stretch, because what happened in it still lingers.
A walk forward trains on nothing after a test; there both together stay out between a training and its test.

Source: López de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from abidance.model.errors import DataError, InvariantError

IntArray = NDArray[np.int64]
Span = tuple[int, int]
"""Observations from the first up to, not including, the second."""


@dataclass(frozen=True)
class Split:
    """Observations to choose in, and the stretches to judge in."""

    train: IntArray
    tests: tuple[Span, ...]

    @property
    def test(self) -> IntArray:
        """Return the tested observations, oldest first."""
        return np.concatenate([np.arange(start, stop) for start, stop in self.tests])


@dataclass(frozen=True)
class Purge:
    """How far apart training and test must stay, in observations (see the module)."""

    horizon: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        if self.horizon < 0 or self.embargo < 0:
            raise InvariantError(f"{self} cannot be: neither may be negative.")


def walk_forward(
    size: int, folds: int, *, anchored: bool = True, first: int | None = None, purge: Purge | None = None
) -> list[Split]:
    """Return `folds` splits whose tests follow one another to the end; each is trained on what was before it.

    Anchored training begins at the first observation, rolling training is always as long as the first one. `first` is
    the length of the first training, else that of one fold more than the tests have; what does not divide goes to it.
    Raises DataError when there is not one observation for every fold and one to train on.
    """
    purge = purge or Purge()
    gap = purge.horizon + purge.embargo
    if folds < 1:
        raise InvariantError(f"{folds} folds cannot be.")
    length = size // (folds + 1) if first is None else (size - first) // folds
    begin = size - length * folds
    if length < 1 or begin - gap < 1:
        needed = max(folds + (first or 1), -(-size * (gap + 1) // max(begin, 1)))
        raise _too_short(size, needed, f"a walk of {folds} folds{_apart(purge)}")
    starts = range(begin, size, length)
    return [
        Split(
            np.arange(0 if anchored else start - begin, start - gap),
            ((start, start + length),),
        )
        for start in starts
    ]


def purged_folds(size: int, folds: int, purge: Purge | None = None) -> list[Split]:
    """Return k-fold splits: every observation is tested once, and trained on is what the purge leaves of the rest."""
    return [each.split for each in combinatorial(size, folds, 1, purge)]


@dataclass(frozen=True)
class Combination:
    """One choice of groups to test."""

    groups: tuple[int, ...]
    split: Split


def combinatorial(size: int, groups: int, tested: int, purge: Purge | None = None) -> list[Combination]:
    """Return a split for every choice of `tested` out of `groups` stretches of (almost) equal length.

    Raises DataError when a split would leave nothing to train on.
    """
    purge = purge or Purge()
    if not 1 <= tested < groups:
        raise InvariantError(f"{tested} of {groups} groups cannot be tested.")
    if size < groups:
        raise _too_short(size, groups, f"{groups} groups")
    stretches = group_spans(size, groups)
    found = []
    for chosen in combinations(range(groups), tested):
        spans = _joined([stretches[group] for group in chosen])
        split = Split(_left_by(size, spans, purge), spans)
        if not len(split.train):
            needed = groups * (purge.horizon * 2 + purge.embargo + 1)
            raise _too_short(size, needed, f"{groups} groups{_apart(purge)}")
        found.append(Combination(chosen, split))
    return found


def paths(groups: int, tested: int) -> list[tuple[int, ...]]:
    """Return the paths through all groups that `combinatorial` makes: per path and group the number of its split.

    Each split serves each of its groups in exactly one path, so that there are `tested / groups` as many paths as
    splits.
    """
    serving: list[list[int]] = [[] for _ in range(groups)]
    for number, chosen in enumerate(combinations(range(groups), tested)):
        for group in chosen:
            serving[group].append(number)
    return list(zip(*serving, strict=True))


def group_spans(size: int, groups: int) -> list[Span]:
    """Return where the groups of `combinatorial` begin and end."""
    edges = np.linspace(0, size, groups + 1).astype(int).tolist()
    return list(pairwise(edges))


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return neighbouring stretches as one."""
    found: list[Span] = []
    for start, stop in spans:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return tuple(found)


def _left_by(size: int, spans: Sequence[Span], purge: Purge) -> IntArray:
    """Return the observations whose labels touch none of the tested ones', and that stand outside their embargo."""
    left = np.ones(size, dtype=bool)
    for start, stop in spans:
        left[max(0, start - purge.horizon) : stop + purge.horizon + purge.embargo] = False
    return np.flatnonzero(left)


def _too_short(size: int, needed: int, what: str) -> DataError:
    return DataError(
        f"{size:,} periods are too few for {what}: some {needed:,} are needed.",
        "Take a longer time range, or fewer folds or groups that stand less far apart.",
    )


def _apart(purge: Purge) -> str:
    return f" with {purge.horizon} purged and {purge.embargo} embargoed" if purge != Purge() else ""


def spans_of(observations: IntArray) -> tuple[Span, ...]:
    """Return the stretches that some observations, oldest first, make."""
    if not len(observations):
        return ()
    edges = np.flatnonzero(np.diff(observations) > 1) + 1
    return tuple((int(part[0]), int(part[-1]) + 1) for part in np.split(observations, edges))
