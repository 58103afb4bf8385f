"""Pages of lists, newest first, by a cursor that stays right while the list grows.

Owns which rows of a list are looked at; what a row must be to be wanted is for each route to say.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query

from abidance.api.problems import ProblemError
from abidance.api.schemas.wire import CURSOR, Page
from abidance.model.order import Purpose

LARGEST, LOOKED_AT = 500, 5_000
"""Items of a page at most, and rows that are looked at for one."""
LATEST = 2**52
A = TypeVar("A")
B = TypeVar("B")

Limit = Annotated[int, Query(ge=1, le=LARGEST, description="Items of a page.")]
Cursor = Annotated[
    str,
    Query(max_length=20, pattern=CURSOR, description="`next` of the page before; empty for the newest."),
]
Purposes = Annotated[
    list[Purpose] | None, Query(max_length=16, description="Only orders of these purposes; none is all.")
]
ByHand = Annotated[
    bool | None, Query(description="Only orders that people placed by hand, or only those of the strategy.")
]
Start = Annotated[int | None, Query(ge=0, le=LATEST, description="From this moment on, milliseconds UTC.")]
End = Annotated[int | None, Query(ge=0, le=LATEST, description="Before this moment, milliseconds UTC.")]


@dataclass(frozen=True)
class Period:
    """From one moment (ns UTC) on and before another; None leaves a side open."""

    start: int | None = None
    end: int | None = None

    def holds(self, moment: int) -> bool:
        """Say whether a moment lies in it."""
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)


ALWAYS = Period()


async def period(start: Start = None, end: End = None) -> Period:
    """Return the period that is asked for. Raises ProblemError for one that begins after its end."""
    if start is not None and end is not None and start > end:
        told = "The start lies behind the end."
        raise ProblemError(422, told, "Give an earlier start.", fields={"start": told})
    return Period(*(None if each is None else each * 1_000_000 for each in (start, end)))


During = Annotated[Period, Depends(period)]


@dataclass(frozen=True)
class Chosen(Generic[A, B]):
    """What is asked for of a list (oldest first, only ever appended to): each row is `shown` if it is `wanted`.

    Without `wanted` all are. All that are wanted lie `within` two places, the first and the one behind the last.
    """

    rows: Sequence[A]
    shown: Callable[[A], B]
    wanted: Callable[[A], bool] | None = None
    within: tuple[int, int] | None = None

    def page(self, limit: int, cursor: str) -> Page[B]:
        """Return the newest before the cursor."""
        return page(self.rows, limit, cursor, self.shown, self.wanted, within=self.within)

    def pieces(self, size: int) -> Iterator[list[B]]:
        """Yield all, oldest first: of so many rows at a time those that are wanted."""
        first, end = self.within or (0, len(self.rows))
        for start in range(first, end, size):
            rows = (self.rows[at] for at in range(start, min(start + size, end)))
            yield [self.shown(row) for row in rows if self.wanted is None or self.wanted(row)]


def page(
    rows: Sequence[A],
    limit: int,
    cursor: str,
    shown: Callable[[A], B],
    wanted: Callable[[A], bool] | None = None,
    places: Sequence[int] | None = None,
    within: tuple[int, int] | None = None,
) -> Page[B]:
    """Return the newest of `rows` (oldest first, only ever appended to) before the cursor.

    Where few rows are wanted, a page may end before it is full: nothing may hold the server up. Rows that are the part
    of such a list which others leave, or from which some may be taken away, are given with their `places` in it, such
    as the moments when they came, in order and each another: cursors are places. None is looked at that is not `within`
    two places.
    """
    at = len(rows) if not cursor else int(cursor) if places is None else bisect_left(places, int(cursor))
    if at > len(rows):
        raise ProblemError(422, "The cursor is of another list.", "Begin without a cursor.")
    first, end = within or (0, at)
    at = min(at, end)
    items: list[B] = []
    least = max(first, at - LOOKED_AT)
    while at > least and len(items) < limit:
        at -= 1
        row = rows[at]
        if wanted is None or wanted(row):
            items.append(shown(row))
    next = at if places is None or not at else places[at]
    is_whole = wanted is None and within is None
    return Page(items=items, next=str(next) if at > first else None, total=len(rows) if is_whole else None)


__all__ = [
    "ALWAYS",
    "ByHand",
    "Chosen",
    "Cursor",
    "During",
    "End",
    "Limit",
    "Period",
    "Purposes",
    "Start",
    "page",
    "period",
]
