"""Pages of lists, newest first, by a cursor that stays right while the list grows."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from abidance.api.problems import ProblemError
from abidance.api.schemas.wire import CURSOR, Page
from abidance.model.order import Purpose

LARGEST, LOOKED_AT = 500, 5_000
"""Items of a page at most, and rows that are looked at for one."""
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


def page(
    rows: Sequence[A],
    limit: int,
    cursor: str,
    shown: Callable[[A], B],
    wanted: Callable[[A], bool] | None = None,
    places: Sequence[int] | None = None,
) -> Page[B]:
    """Return the newest of `rows` (oldest first, only ever appended to) before the cursor.

    Where few rows are wanted, a page may end before it is full: nothing may hold the server up. Rows that are the part
    of such a list which others leave, or from which some may be taken away, are given with their `places` in it, such
    as the moments when they came, in order and each another: cursors are places.
    """
    at = len(rows) if not cursor else int(cursor) if places is None else bisect_left(places, int(cursor))
    if at > len(rows):
        raise ProblemError(422, "The cursor is of another list.", "Begin without a cursor.")
    items: list[B] = []
    least = at - LOOKED_AT
    while at > max(0, least) and len(items) < limit:
        at -= 1
        row = rows[at]
        if wanted is None or wanted(row):
            items.append(shown(row))
    next = at if places is None or not at else places[at]
    return Page(items=items, next=str(next) if at else None, total=len(rows) if wanted is None else None)


__all__ = ["ByHand", "Cursor", "Limit", "Purposes", "page"]
