"""What is known of the times of a stored series or tape: where it is whole, and where it has holes and why.

Rows alone cannot say it: an hour without a trade looks like an hour that nobody recorded. What is whole is not asked
for again, and a backtest meets the holes that a live run met.
"""

from collections.abc import Iterable, Iterator

import msgspec


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """From `start` up to `end` (ns UTC) data is missing or was not to be trusted; `reason` is a sentence for people."""

    start: int
    end: int
    reason: str = ""


class Spans(msgspec.Struct, frozen=True):
    """Stretches of time in ns UTC, ends excluded: `whole` ones, sorted and apart, and holes, sorted by start."""

    whole: tuple[tuple[int, int], ...] = ()
    holes: tuple[Hole, ...] = ()

    def joined(self, other: "Spans") -> "Spans":
        """Return what both know together."""
        holes = dict.fromkeys((*self.holes, *other.holes))
        ordered = sorted(holes, key=lambda hole: (hole.start, hole.end, hole.reason))
        return Spans(union((*self.whole, *other.whole)), tuple(ordered))

    def missing(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """Return the stretches from `start` up to `end` that are not whole."""
        return complement(self.whole, start, end)

    def holes_in(self, start: int | None, end: int | None) -> tuple[Hole, ...]:
        """Return the holes that reach into a stretch of time."""
        return tuple(
            hole
            for hole in self.holes
            if (end is None or hole.start < end) and (start is None or hole.end > start)
        )


def union(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the same times as stretches that are sorted and do not touch."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(each for each in stretches if each[0] < each[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def complement(stretches: Iterable[tuple[int, int]], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Return the times from `start` up to `end` that lie in none of the stretches."""
    return tuple(_complement(union(stretches), start, end))


def _complement(stretches: tuple[tuple[int, int], ...], start: int, end: int) -> Iterator[tuple[int, int]]:
    for low, high in stretches:
        if low >= end:
            break
        if low > start:
            yield start, low
        start = max(start, high)
    if start < end:
        yield start, end
